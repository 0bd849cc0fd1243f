"""On a real GPU: the CPU's numbers, a run with a resume, and the benchmark's agreement.

Skipped with a reason where PyTorch sees none.  `elsewhere` proves on a CPU that tensors are where
they belong; what is left to see here is what kernels of a GPU make of them.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from test_native import SHAPES
from test_native_training import decoder
from test_precision import bundles, gradient
from tiny_runs import StopAfter, ignore, remember, tiny_recipe

from proofloop.core.completion import Request, SamplingParams
from proofloop.engine.fixed_batch import NO_GRAPHS, recorded
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.arithmetic import compute_in
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.weights import flatten, sha256
from proofloop.runs.models import resolve_model
from proofloop.runs.placement import why_no_gpu
from proofloop.runs.training import run_training

BENCH = Path(__file__).parents[2] / "bench" / "gpu.py"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(why_no_gpu() is not None, reason=f"no GPU: {why_no_gpu()}"),
]


def small(name: str) -> Decoder:
    model = decoder(SHAPES[name])
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(0.5)
    return model


@pytest.mark.parametrize("arithmetic", [None, torch.bfloat16])
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_gradients_are_the_cpus(name: str, again: bool, arithmetic: torch.dtype | None) -> None:
    model = small(name)
    given = bundles(model)
    expected, stats = gradient(model, given)
    there = model.to("cuda")
    compute_in(there, arithmetic)
    there.recomputes = again
    found, their_stats = gradient(there, given)
    error = float((found.cpu() - expected).norm() / expected.norm())
    assert error < (1e-4 if arithmetic is None else 0.05)
    assert their_stats.loss == pytest.approx(stats.loss, rel=1e-4 if arithmetic is None else 0.02)


@pytest.mark.parametrize("arithmetic", [None, torch.bfloat16])
def test_sampled_tokens_are_rated_alike(arithmetic: torch.dtype | None) -> None:
    model = load_model(resolve_model("pico"))
    hash_on_cpu = sha256(flatten(model))
    model = model.to("cuda")
    flat = flatten(model)
    compute_in(model, arithmetic)
    engine = LocalEngine(model, flat, (0,))
    assert engine.sampler is None
    assert engine.version().sha256 == hash_on_cpu
    sampling = SamplingParams(max_tokens=32)
    requests = [
        Request(context=(5, 6, 7 + i), seeds=tuple(range(8)), sampling=sampling) for i in range(4)
    ]
    answers = engine.generate(requests)
    assert answers == engine.generate(requests), "seeded"
    on_cpu = LocalEngine(load_model(resolve_model("pico")), flat.cpu(), (0,), kernel=False)
    pairs = [
        pair
        for ours, theirs in zip(answers, on_cpu.generate(requests), strict=True)
        for pair in zip(ours, theirs, strict=True)
    ]
    same = [(a, b) for a, b in pairs if a.tokens == b.tokens]
    if arithmetic is None:
        assert len(same) > 0.9 * len(pairs)
        for a, b in same:
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-3)


@pytest.mark.parametrize("arithmetic", [None, torch.bfloat16])
def test_recorded_steps_sample_what_steps_do(
    arithmetic: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through more room for keys and a grid that shrinks; and they are recorded."""
    found: list[bool] = []

    def noted(step: Callable[[], None], device: torch.device) -> Callable[[], None] | None:
        run = recorded(step, device)
        found.append(run is not None)
        return run

    monkeypatch.setattr("proofloop.engine.fixed_batch.recorded", noted)
    model = load_model(resolve_model("pico")).to("cuda")
    compute_in(model, arithmetic)
    sampling = SamplingParams(max_tokens=200, temperature=1.3, top_p=0.95)
    requests = [
        Request(context=(5, 6, 7 + i), seeds=tuple(range(8 * i, 8 * i + 8)), sampling=sampling)
        for i in range(4)
    ]
    engine = LocalEngine(model, flatten(model), tuple(range(40)))
    answers = engine.generate(requests)
    assert found
    assert all(found)
    monkeypatch.setenv(NO_GRAPHS, "1")
    assert engine.generate(requests) == answers
    assert not found[-1]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_run_stops_and_resumes(tiny_model: Path, tmp_path: Path, precision: str) -> None:
    recipe = tiny_recipe(
        tiny_model, device="cuda", precision=precision, activation_checkpointing=True, num_steps=2
    )
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, tmp_path / "run", resume=False, on_progress=StopAfter(1))
    run_training(recipe, tmp_path / "run", resume=True, on_progress=ignore)
    saved = load_model(tmp_path / "run" / "model")
    assert sha256(flatten(saved)) == remember(tmp_path / "run").weights[2]


def test_the_benchmark_runs() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCH), "--shape", "tiny", "--batches", "1", "16", "--tokens", "512"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tokens / s" in done.stdout
