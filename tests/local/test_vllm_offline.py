"""vLLM in this process: the same guarantees as of a server, and nothing of ours changed.

Needs vLLM beside our dependencies, so it is run by vLLM's interpreter (docs/vllm.md).
"""

import os
import random
import signal
import sys
import weakref
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from tiny_runs import ignore, tiny_recipe
from vllm_policy import CONTEXT, FollowedPolicy

from proofloop.core.completion import (
    PolicyVersion,
    Request,
    SamplingParams,
    StopReason,
    StreamingEngine,
)
from proofloop.core.errors import ConfigError, ModelError, TrainingHalted, UserError
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.weights import flatten, sha256
from proofloop.engine.vllm_offline import OfflineVllmEngine
from proofloop.engine.vllm_weights import write_weights
from proofloop.runs.evaluation import run_evaluation
from proofloop.runs.models import resolve_model
from proofloop.runs.recipe import EngineConfig, EngineKind, Recipe
from proofloop.runs.training import run_training
from proofloop.store import Phase, RunStore
from proofloop.train.loop_sync import Report, StepReport

pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(find_spec("vllm") is None, reason="this interpreter has no vllm"),
]
OPTIONS = ("--max-model-len", "512", "--enforce-eager")


@pytest.fixture(autouse=True)
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def engine_of(
    path: Path, stop_ids: tuple[int, ...], directory: Path, *options: str
) -> OfflineVllmEngine:
    log = directory / "vllm.log"
    return OfflineVllmEngine(path, stop_ids, directory, options=(*OPTIONS, *options), log=log)


class Policy(FollowedPolicy[OfflineVllmEngine]):
    def __init__(self, directory: Path, *options: str) -> None:
        super().__init__(directory)
        self.engine = engine_of(self.path, self.stop_ids, directory, *options)

    def publish(self) -> PolicyVersion:
        version = self.write()
        assert self.engine.load(version) == 1.0
        return version


@pytest.fixture(scope="module", name="shared")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Policy]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
        patch.setenv("HF_HUB_OFFLINE", "1")
        policy = Policy(tmp_path_factory.mktemp("shared"))
    yield policy
    policy.engine.close()


@pytest.fixture
def policy(shared: Policy) -> Iterator[Policy]:
    """The shared one, as it was loaded."""
    before = shared.flat.clone()
    shared.publish()
    yield shared
    shared.flat.copy_(before)


def test_weights_change_in_place_and_every_filter_is_told(policy: Policy) -> None:
    for factor in (1.0, 1.05, 0.9):  # the same context each time: cached keys would be stale
        policy.flat *= factor
        policy.publish()
        policy.check()
        policy.check(temperature=0.7)
    policy.check(temperature=0.6, top_k=5)
    policy.check(top_p=0.6)
    policy.check(min_p=0.1)
    policy.check(temperature=1.3, top_k=20, min_p=0.05)


def test_seeds_and_places_are_kept(policy: Policy) -> None:
    assert policy.check() == policy.check()
    assert len(set(policy.check())) > 1
    assert isinstance(policy.engine, StreamingEngine)
    requests = [
        Request(
            context=CONTEXT[:n],
            seeds=(n, 50),
            sampling=SamplingParams(max_tokens=8 * n, temperature=n % 2),
        )
        for n in range(1, 5)
    ]
    given = list(policy.engine.generate_each(requests))
    assert sorted(place for place, _ in given) == [0, 1, 2, 3]
    assert given[0][0] != 3, "the longest is not waited for"
    assert dict(given) == dict(enumerate(policy.engine.generate(requests)))
    for place, answers in given:
        assert [a.seed for a in answers] == [place + 1, 50]
        assert (answers[0].tokens == answers[1].tokens) or place % 2 == 0, "greedy is greedy"


def test_a_stop_string_ends_a_completion_that_keeps_its_tokens(policy: Policy) -> None:
    whole = policy.check(temperature=0.0)[0]
    word = policy.tokenizer.decode(whole[3:5])
    sampling = SamplingParams(max_tokens=20, temperature=0.0, stop=(word,))
    request = Request(context=CONTEXT, seeds=(1,), sampling=sampling)
    ((answer,),) = policy.engine.generate([request])
    assert answer.stop_reason is StopReason.STOP_STRING
    assert answer.tokens == whole[: len(answer.tokens)]
    assert word in policy.tokenizer.decode(answer.tokens)
    assert len(answer.tokens) <= 5


def test_other_weights_are_refused(policy: Policy) -> None:
    first, before = policy.publish(), policy.flat.clone()
    policy.flat *= 1.01
    newer = PolicyVersion(step=2, sha256=sha256(policy.flat))
    with pytest.raises(ModelError, match=r"has weights \w{12}, announced were \w{12}"):
        policy.engine.load(newer)  # the file is of the step before
    with pytest.raises(ModelError, match=r"of step 1, not \w{12} of step 2: something else in it"):
        policy.check()
    policy.engine.expect(first)
    policy.flat.copy_(before)
    policy.check()
    # Other weights while answers grow: those that are not given out yet never are.
    requests = [
        Request(context=CONTEXT, seeds=(1,), sampling=SamplingParams(max_tokens=n)) for n in (2, 20)
    ]
    growing = policy.engine.generate_each(requests)
    next(growing)
    worker = policy.engine._llm.llm_engine.model_executor.driver_worker.worker
    worker.proofloop_now = {"step": 3, "sha256": "f" * 64}
    with pytest.raises(ModelError, match=r"has weights f{12} of step 3"):
        next(growing)
    policy.publish()
    policy.check()


def test_what_is_not_finished_holds_no_weights_up(policy: Policy) -> None:
    """Whoever leaves in the middle of a batch, as Ctrl-C does."""
    requests = [
        Request(context=CONTEXT, seeds=(1,), sampling=SamplingParams(max_tokens=n)) for n in (2, 20)
    ]
    growing = policy.engine.generate_each(requests)
    next(growing)
    with pytest.raises(ModelError, match="keeps keys and values of older weights"):
        policy.engine.load(policy.write())
    growing.close()
    policy.publish()
    policy.check()


def test_what_does_not_fit_is_refused(policy: Policy) -> None:
    request = Request(context=(5,) * 500, seeds=(1,), sampling=SamplingParams(max_tokens=20))
    with pytest.raises(UserError, match=r"500 tokens and 20 more are over vLLM's 512"):
        policy.engine.generate([request])


def _settings() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "set_num_threads": torch.set_num_threads,
        "dtype": torch.get_default_dtype(),
        "matmul": torch.get_float32_matmul_precision(),
        "attention": torch.backends.cuda.cudnn_sdp_enabled(),
        "torch": torch.get_rng_state().tolist(),
        "numpy": np.random.get_state()[1].tolist(),
        "random": random.getstate(),
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        # But for what torch's compiler keeps for itself.
        "environment": {k: v for k, v in os.environ.items() if "TORCHINDUCTOR" not in k},
        "excepthook": sys.excepthook,
        "cores": os.sched_getaffinity(0),
        "gradients": torch.is_grad_enabled(),
    }


def _gradient(model: Decoder) -> torch.Tensor:
    tokens_T = torch.arange(5, 105)[None]
    hidden, _ = model.encode_context(tokens_T, torch.tensor([100]))
    model.logits(hidden[0]).log_softmax(-1)[:, 7].sum().backward()
    gradient_T = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    return gradient_T


def test_this_process_stays_as_it_was(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = resolve_model("pico")
    model = load_model(path)
    flat = flatten(model)
    write_weights(dict(model.named_parameters()), tmp_path)
    request = Request(context=CONTEXT, seeds=(1, 2), sampling=SamplingParams(max_tokens=9))
    gradient_T = _gradient(model)
    before = _settings()
    engine = engine_of(path, (0,), tmp_path)
    assert _settings() == before
    engine.load(PolicyVersion(step=1, sha256=sha256(flat)))
    engine.generate([request])
    assert _settings() == before
    assert torch.equal(_gradient(model), gradient_T), "to the last bit"
    theirs = weakref.ref(engine._llm.llm_engine.model_executor.driver_worker.worker.get_model())
    engine.close()
    assert _settings() == before
    assert theirs() is None, "its memory is free again"
    assert not torch.distributed.is_initialized()
    assert capfd.readouterr() == ("", "")
    assert "Initializing a V1 LLM engine" in (tmp_path / "vllm.log").read_text()


def recipe_here(**train: Any) -> Recipe:
    recipe = tiny_recipe(resolve_model("pico"), **train)
    return msgspec.structs.replace(
        recipe, engine=EngineConfig(kind=EngineKind.VLLM, options=OPTIONS)
    )


def test_options_are_vllms_and_wrong_ones_are_a_line(tmp_path: Path) -> None:
    for options, match in (
        (("--no-such-option", "1"), r"^engine\.options: unrecognized arguments: --no-such-option"),
        (("--dtype", "float31"), r"^engine\.options: argument --dtype: invalid"),
        (("--port", "80"), r"--port 80; those of `vllm serve` are taken that are not of its addr"),
        (("--tensor-parallel-size", "2"), r"has one device; several are a server's"),
        (("--max-model-len", "99999"), r"in this process refuses: .*max_model_len"),
        (("--logprobs-mode", "raw_logprobs"), r"are not of what was sampled: --logprobs-mode"),
        (("--enable-chunked-prefill",), r"--no-enable-chunked-prefill; start it with this opt"),
    ):
        with pytest.raises(UserError, match=match) as raised:
            Policy(tmp_path, *options)
        assert "\n" not in str(raised.value)


def test_a_run_is_trained_on_what_vllm_samples(tmp_path: Path) -> None:
    recipe = recipe_here(learning_rate=1e-3)
    run_training(recipe, tmp_path / "r", resume=False, on_progress=ignore)
    with RunStore.read(tmp_path / "r") as store:
        gaps = [gap for _, gap in store.metrics("logprob_gap_max")]
        sampled = {s for (s,) in store.outcomes(Phase.TRAIN, 2, ("policy_sha256",))}
        assert sampled == {store.weights_sha256(1)}
        trained = flatten(load_model(tmp_path / "r" / "model"))
        assert store.weights_sha256(3) == sha256(trained)
    assert len(gaps) == 3
    assert max(gaps) < 1e-4
    assert not torch.equal(trained, flatten(load_model(resolve_model("pico"))))
    assert not (tmp_path / "r" / "sync" / "weights.safetensors").exists()
    assert "Weights" in (tmp_path / "r" / "vllm.log").read_text()


def test_ctrl_c_while_vllm_samples_ends_a_run_after_its_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, step = recipe_here(learning_rate=1e-3), OfflineVllmEngine._step
    steps: list[int] = []
    is_training = False

    def interrupted(engine: OfflineVllmEngine) -> Any:
        nonlocal is_training
        if is_training and not steps:  # once: a second one would be immediate
            is_training = False
            signal.raise_signal(signal.SIGINT)
        return step(engine)

    def note(report: Report) -> None:
        nonlocal is_training
        is_training = isinstance(report, StepReport) or report.num_tasks_done == report.num_tasks
        if isinstance(report, StepReport):
            steps.append(report.step)

    with monkeypatch.context() as patch:
        patch.setattr(OfflineVllmEngine, "_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_training(recipe, tmp_path / "r", resume=False, on_progress=note)
    assert steps == [1]
    run_training(recipe, tmp_path / "r", resume=True, on_progress=ignore)
    with RunStore.read(tmp_path / "r") as store:
        assert [step for step, _ in store.metrics("logprob_gap_max")] == [1, 2, 3]


def test_an_evaluation_samples_here_too(tmp_path: Path) -> None:
    run_evaluation(recipe_here(), tmp_path / "e", resume=False, on_progress=lambda r: None)
    with RunStore.read(tmp_path / "e") as store:
        assert sum(c.num_scored for c in store.pass_counts(Phase.EVAL, 0)) == 6
        rows = store.outcomes(Phase.EVAL, 0, ("policy_sha256",))
    assert {sha for (sha,) in rows} == {sha256(flatten(load_model(resolve_model("pico"))))}


def test_a_gap_is_found_at_once_and_in_training(tmp_path: Path) -> None:
    """In bfloat16 vLLM says something else of its samples than float32 does."""
    recipe = recipe_here(max_logprob_gap=1e-4)
    rounded = (*OPTIONS, "--dtype", "bfloat16")
    for max_gap, error, match in (
        (1e-4, ModelError, r"vLLM in this process and model\.path disagree by"),
        (0.0, TrainingHalted, "sampler and trainer disagree"),
    ):
        engine = EngineConfig(kind=EngineKind.VLLM, options=rounded, max_gap=max_gap)
        with pytest.raises(error, match=match):
            run_training(
                msgspec.structs.replace(recipe, engine=engine),
                tmp_path / f"{max_gap}",
                resume=False,
                on_progress=ignore,
            )


def test_several_processes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^train\.workers: 2 processes do not go with vLLM in"):
        run_training(recipe_here(workers=2), tmp_path / "r", resume=False, on_progress=ignore)
