"""The proof that training teaches: the quick start lifts held-out pass@1, its placebo does not.

The short form runs in CI; the whole one is marked slow (`make test-slow`) and takes about half an
hour on four cores.
"""

from pathlib import Path

import pytest

from proofloop.measure.estimators.bootstrap import paired_difference
from proofloop.measure.read import read_run
from proofloop.measure.summary import summarise
from proofloop.runs.checks import load_recipe
from proofloop.runs.training import run_training

SEEDS = (0, 1, 2)


def train(out: Path, *settings: str) -> Path:
    recipe = load_recipe("quickstart", settings)
    run_training(recipe, out, resume=False, on_progress=lambda report: None)
    return out


def test_a_few_steps_already_lift_the_embedded_model(tmp_path: Path) -> None:
    run = train(
        tmp_path / "run",
        "train.num_steps=12",
        "train.tasks_per_step=32",
        "train.samples_per_task=8",
        "train.workers=2",
        "eval.every=0",
        "eval.final_num_tasks=90",
        "eval.final_num_samples=8",
    )
    (first, *_) = summarise(run).pass_at_k
    assert first.k == 1
    assert first.base is not None
    assert 0.15 < first.base.value < 0.55, "the base model has room to learn"
    assert first.difference is not None
    assert first.difference.low is not None
    assert first.difference.low > 0.0


def gains(runs: list[Path]) -> tuple[float, float, float]:
    """Paired difference in held-out pass@1 over tasks and seeds: value and 95% interval."""
    pairs = []
    for run in runs:
        data = read_run(run)
        assert data.base is not None
        assert data.trained is not None
        pairs.append((data.base.values((1,))[:, 0], data.trained.values((1,))[:, 0]))
    interval = paired_difference(pairs)
    assert interval.low is not None
    assert interval.high is not None
    return interval.value, interval.low, interval.high


@pytest.mark.slow
def test_the_quick_start_gains_twenty_points_over_three_seeds(tmp_path: Path) -> None:
    runs = [train(tmp_path / f"seed{s}", f"train.seed={s}") for s in SEEDS]
    value, low, high = gains(runs)
    print(f"gain {100 * value:.1f} points [{100 * low:.1f}, {100 * high:.1f}] over {SEEDS}")
    assert value >= 0.20
    assert low > 0.15


@pytest.mark.slow
def test_a_random_reward_gains_nothing(tmp_path: Path) -> None:
    value, low, high = gains([train(tmp_path / "placebo", "reward.control=random")])
    print(f"placebo {100 * value:.1f} points [{100 * low:.1f}, {100 * high:.1f}]")
    assert low <= 0 <= high
