"""Runs in bfloat16, with layers computed again, and with the one process that has a device."""

import shutil
from pathlib import Path

import pytest
import torch
from tiny_runs import StopAfter, ignore, remember, tiny_recipe

from proofloop.core.errors import TrainingHalted, UserError
from proofloop.runs.crews import DeviceCrew
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


@pytest.mark.parametrize("crew", ["processes", "this process"])
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
    assert all(1e-4 < gap < 0.05 for gap in gaps), "float32 samples, bfloat16 trains"


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
            from proofloop.runs.crews import open_crew

            undone.setattr("proofloop.runs.training.open_crew", open_crew)
            assert alone == remember(
                trained(tiny_model, tmp_path / f"{name}-worker", num_steps=1, **train)
            )
