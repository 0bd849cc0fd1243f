"""Runs in bfloat16, with layers computed again, and with the one process that has a device."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch
from elsewhere import elsewhere, moved
from tiny_runs import StopAfter, ignore, remember, tiny_recipe

from proofloop.core.errors import TrainingHalted, UserError
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.config import Backend
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.networks import empty_network
from proofloop.engine.models.scalar_head import ScalarHead
from proofloop.engine.models.weights import flatten, sha256
from proofloop.runs.crews import DeviceCrew, open_crew
from proofloop.runs.placement import prepare
from proofloop.runs.recipe import LoraRecipe, Recipe
from proofloop.runs.training import run_training
from proofloop.store import RunStore
from proofloop.train.config import Method
from proofloop.train.trainer import MicroBatch

IN_BFLOAT16 = {"precision": "bfloat16", "activation_checkpointing": True}


def trained(model: Path, run: Path, **train: object) -> Path:
    run_training(tiny_recipe(model, **train), run, resume=False, on_progress=ignore)
    return run


def arithmetic_events(run: Path) -> list[str]:
    with RunStore.read(run) as store:
        return [e.message for e in store.events() if e.kind == "arithmetic"]


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU gets, on the CPU."""
    monkeypatch.setattr("proofloop.runs.training.open_crew", DeviceCrew)


@pytest.mark.parametrize(
    "crew", [pytest.param("processes", marks=pytest.mark.slow), "this process"]
)
def test_a_run_in_bfloat16_resumes_to_the_same_bits(
    tiny_model: Path, tmp_path: Path, crew: str, request: pytest.FixtureRequest
) -> None:
    if crew == "this process":
        request.getfixturevalue("in_this_process")
    whole = trained(tiny_model, tmp_path / "whole", **IN_BFLOAT16)
    recipe = tiny_recipe(tiny_model, **IN_BFLOAT16)
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, stopped, resume=False, on_progress=StopAfter(1))
    run_training(recipe, stopped, resume=True, on_progress=ignore)
    assert remember(stopped) == remember(whole)
    assert arithmetic_events(stopped) == ["cpu (cpu), products in bfloat16"]
    with RunStore.read(whole) as store:
        gaps = [value for _, value in store.metrics("logprob_gap_mean")]
    assert all(gap < 1e-3 for gap in gaps), "sampler and trainer round alike"


def test_one_process_does_what_a_worker_does(
    tiny_model: Path, tmp_path: Path, in_this_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = remember(trained(tiny_model, tmp_path / "alone"))
    monkeypatch.undo()
    with_worker = trained(tiny_model, tmp_path / "worker")
    assert alone == remember(with_worker)
    assert arithmetic_events(with_worker) == []


def test_a_gap_that_bfloat16_may_have_stops_float32(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingHalted, match="in another precision"):
        trained(tiny_model, tmp_path / "run", **IN_BFLOAT16, max_logprob_gap=1e-5)


def test_too_little_memory_is_said(
    tiny_model: Path, tmp_path: Path, in_this_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(batch: MicroBatch, model: object) -> MicroBatch:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.")

    monkeypatch.setattr(MicroBatch, "where", full)
    with pytest.raises(UserError, match=r"train\.device: CUDA out of memory\. .*micro_batch"):
        trained(tiny_model, tmp_path / "run")
    shutil.rmtree(tmp_path / "run")


@pytest.mark.slow
def test_what_a_method_needs_beside_the_model(
    tiny_model: Path, tmp_path: Path, in_this_process: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher, the starting weights and a value head: where the model is, in one process, too."""
    keys: dict[str, dict[str, object]] = {
        "teacher": {"method": Method.DISTIL, "teacher": str(tiny_model)},
        "start": {"kl_weight": 0.1},
        "values": {"algorithm": "ppo", "baseline": "value"},
    }
    for name, train in keys.items():
        alone = remember(trained(tiny_model, tmp_path / name, num_steps=1, **train))
        with monkeypatch.context() as undone:
            undone.setattr("proofloop.runs.training.open_crew", open_crew)
            assert alone == remember(
                trained(tiny_model, tmp_path / f"{name}-worker", num_steps=1, **train)
            )


@pytest.mark.parametrize(
    "train",
    [
        pytest.param(IN_BFLOAT16, id="bfloat16"),
        pytest.param({}, id="plain", marks=pytest.mark.slow),
        pytest.param(
            {"kl_weight": 0.1, "loss": "gspo", "correction": "token"},
            id="start",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"algorithm": "ppo", "baseline": "value"}, id="values", marks=pytest.mark.slow
        ),
        pytest.param(
            {"method": Method.DISTIL, "teacher": "the same"}, id="teacher", marks=pytest.mark.slow
        ),
        pytest.param({"adapters": True}, id="adapters", marks=pytest.mark.slow),
    ],
)
def test_a_whole_run_elsewhere(
    tiny_model: Path, tmp_path: Path, train: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps, a stop and a resume on a device that tensors of the CPU cannot meet."""
    steps = sys.modules["torch.optim.optimizer"]
    monkeypatch.setattr(steps, "_get_fused_kernels_supported_devices", lambda: ["cpu", "meta"])

    def placed_elsewhere(model: Decoder, recipe: Recipe) -> Decoder:
        prepare(model, recipe.train)
        assert moved(model) is model
        return model

    def network_elsewhere(path: Path, backend: Backend) -> Decoder:
        model = moved(empty_network(path, backend))
        assert isinstance(model, Decoder)
        return model

    def head_elsewhere(width: int) -> ScalarHead:
        head = moved(ScalarHead(width))
        assert isinstance(head, ScalarHead)
        return head

    monkeypatch.setattr("proofloop.runs.adapters.placed", placed_elsewhere)
    monkeypatch.setattr("proofloop.runs.placement.empty_network", network_elsewhere)
    monkeypatch.setattr("proofloop.runs.worker.ScalarHead", head_elsewhere)
    settings = dict(train) | {"num_steps": 2}
    adapters = settings.pop("adapters", False)
    if "teacher" in settings:
        settings["teacher"] = str(tiny_model)
    recipe = tiny_recipe(tiny_model, **settings)
    if adapters:
        recipe = msgspec.structs.replace(recipe, lora=LoraRecipe(rank=2))
    run = tmp_path / "run"
    with elsewhere():
        with pytest.raises(KeyboardInterrupt):
            run_training(recipe, run, resume=False, on_progress=StopAfter(1))
        run_training(recipe, run, resume=True, on_progress=ignore)
    assert arithmetic_events(run) == [f"meta (meta), products in {recipe.train.precision}"]
    with RunStore.read(run) as store:
        assert store.completed_steps() == [1, 2]
        assert all(0 <= gap < 0.01 for _, gap in store.metrics("logprob_gap_mean"))
    saved = load_model(run / "model")
    assert sha256(flatten(saved)) == remember(run).weights[2]


def test_the_benchmark_of_a_gpu_can_be_tried_without_one() -> None:
    bench = Path(__file__).parents[2] / "bench" / "gpu.py"
    small = ("--device", "cpu", "--shape", "tiny", "--batches", "2", "--tokens", "128")
    done = subprocess.run(
        [sys.executable, str(bench), *small, "--only", "equal", "train", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    gaps = {row["what"]: row["gradient, relative"] for row in rows if "gradient, relative" in row}
    assert gaps["cpu in float32 against the CPU in float32"] == 0
    assert 0 < gaps["cpu in bfloat16 against the CPU in float32"] < 0.02
    assert sum(row["what"] == "train" for row in rows) == 2
