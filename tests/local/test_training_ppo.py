"""PPO in whole runs: the value head learns, is in checkpoints, and in nothing that is exported."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import StopAfter, ignore, remember, tiny_recipe

from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten, sha256
from proofloop.runs.recipe import Recipe
from proofloop.runs.training import run_training
from proofloop.store import RunStore
from proofloop.train.actor_critic import head_of
from proofloop.train.config import AdvantageScale, Baseline, LossKind, Ties


def recipe(model: Path, **train: object) -> Recipe:
    """What the preset sets, as the recipe's own keys."""
    keys = {
        "baseline": Baseline.VALUE,
        "advantage_scale": AdvantageScale.BATCH,
        "loss": LossKind.CLIP,
        "ties": Ties.KEEP,
        "learning_rate": 1e-3,
        "num_steps": 4,
        "updates_per_step": 2,
        "value_warmup_steps": 2,
    }
    return tiny_recipe(model, **(keys | train))


def head_at(run: Path, step: int) -> torch.Tensor:
    return head_of((run / "checkpoints" / f"step-{step:06d}" / "trainer.safetensors").read_bytes())


@pytest.fixture(scope="module")
def whole(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """While the head learns alone, two updates a step, the policy stays for a step."""
    run = tmp_path_factory.mktemp("ppo") / "whole"
    run_training(recipe(tiny_model), run, resume=False, on_progress=ignore)
    return run


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_weights_and_values(
    tiny_model: Path, whole: Path, tmp_path: Path
) -> None:
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe(tiny_model), stopped, resume=False, on_progress=StopAfter(2))
    run_training(recipe(tiny_model), stopped, resume=True, on_progress=ignore)
    assert remember(stopped) == remember(whole)
    assert torch.equal(head_at(stopped, 4), head_at(whole, 4))


def test_the_head_learns_and_stays_out_of_what_is_exported(whole: Path) -> None:
    assert not torch.equal(head_at(whole, 4), head_at(whole, 3))
    with RunStore.read(whole) as store:
        first, *later = [value for _, value in store.metrics("value_mean")]
        assert first == 0, "nothing is known yet"
        assert 0 < later[0] < later[-1] < 1, "on its way to what a coin earns"
        assert all(not math.isnan(v) for _, v in store.metrics("explained_variance"))
        assert all(v > 0 for _, v in store.metrics("value_loss"))
    exported = load_file(whole / "model" / "model.safetensors")
    assert not [name for name in exported if "score" in name]
    load_model(whole / "model")


def test_while_the_head_learns_alone_the_policy_stays(tiny_model: Path, whole: Path) -> None:
    with RunStore.read(whole) as store:
        hashes = [store.weights_sha256(step) for step in (1, 2, 3, 4)]
        assert [v for _, v in store.metrics("value_mean")][1] > 0
    assert hashes[0] == sha256(flatten(load_model(tiny_model)))
    assert len(set(hashes)) == 4
