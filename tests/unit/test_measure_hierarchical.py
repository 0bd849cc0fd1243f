"""Rates over seeds, tasks and runs, where the task bootstrap does not suffice."""

import numpy as np
import pytest

from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.hierarchical import hierarchical_rate
from proofloop.measure.estimators.interval import Interval


def width(interval: Interval | None) -> float:
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    return interval.high - interval.low


def holds(interval: Interval, truth: float) -> bool:
    return (
        interval.low is not None
        and interval.high is not None
        and (interval.low <= truth <= interval.high)
    )


def test_these_very_tasks_have_the_noise_of_their_runs_only():
    """Rates 0.1 and 0.9 by turns, 100 runs: sd of the mean sqrt(0.09 / 100 / 20)."""
    c = np.array([10, 90] * 10)
    fixed = hierarchical_rate([100] * 20, c, tasks_are_fixed=True)
    assert fixed.value == pytest.approx(0.5)
    assert width(fixed) == pytest.approx(2 * 1.96 * np.sqrt(0.09 / 100 / 20), rel=0.1)
    assert width(hierarchical_rate([100] * 20, c)) > 8 * width(fixed)


def test_tasks_that_agree_by_chance_do_not_look_certain():
    """Five tasks of 1 pass in 2: no spread between tasks, but ten coins say little."""
    found = hierarchical_rate([2] * 5, [1] * 5)
    assert width(found) > 0.5


def test_one_seed_of_many_tasks_is_the_task_bootstrap():
    rng = np.random.default_rng(3)
    c = rng.binomial(16, rng.beta(0.5, 0.5, 80))
    tasks = bootstrap_mean((c / 16)[:, None]).at(0)
    assert width(hierarchical_rate([16] * 80, c)) == pytest.approx(width(tasks), rel=0.1)


def test_seeds_that_disagree_widen_the_interval():
    n = np.full((3, 20), 16)
    alike = hierarchical_rate(n, np.full((3, 20), 8))
    apart = hierarchical_rate(n, np.repeat([[4], [8], [12]], 20, axis=1))
    assert apart.value == alike.value == 0.5
    assert width(apart) > 2 * width(alike)


def test_impossible_cells_are_refused():
    for n, c in (([4, 0], [1, 0]), ([4, 4], [5, 1]), ([4, 4], [1])):
        with pytest.raises(ValueError):
            hierarchical_rate(n, c)
    with pytest.raises(ValueError, match="one task says nothing"):
        hierarchical_rate([8], [4])
    assert hierarchical_rate([8], [4], tasks_are_fixed=True).value == 0.5


def test_it_covers_with_few_tasks_and_with_few_seeds():
    rng, fixed_hits, task_hits, seed_hits = np.random.default_rng(5), 0, 0, 0
    for world in range(150):
        p = rng.beta(2.0, 2.0, 8)
        n = np.array([2, 16] * 4)
        c = rng.binomial(n, p)
        options = {"seed": world, "num_resamples": 400}
        fixed_hits += holds(hierarchical_rate(n, c, tasks_are_fixed=True, **options), p.mean())
        task_hits += holds(hierarchical_rate(n, c, **options), 0.5)
        effects = rng.normal(0, 1.5, 20) + rng.normal(0, 0.3, (4, 1))
        runs = np.full((4, 20), 8)
        c = rng.binomial(runs, 1 / (1 + np.exp(-effects)))
        seed_hits += holds(hierarchical_rate(runs, c, **options), 0.5)
    assert min(fixed_hits, task_hits, seed_hits) >= 135
