"""Gained and lost tasks against their null: by hand, by brute force, and on planted truths."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofloop.measure.estimators.new_solved import (
    beta_null,
    beta_null_at,
    task_changes,
    turnover,
    turnover_by_halves,
)


@pytest.mark.parametrize(("n", "c"), [(4, 0), (4, 1), (6, 2), (6, 6), (8, 3)])
def test_the_null_is_the_mean_over_all_ways_to_split_the_base_in_two(n: int, c: int):
    """B solves what A does not, counted over every half A of the n samples."""
    halves = list(combinations(range(n), n // 2))
    gained = [
        not any(i < c for i in half) and any(i < c for i in set(range(n)) - set(half))
        for half in halves
    ]
    result = turnover([n, n], [c, c], [n, n], [c, c])
    assert result is not None
    assert result.null.value == pytest.approx(sum(gained) / len(halves))


def test_turnover_by_hand():
    """Base 1 of 2 and 0 of 2; trained 1 of 1 and 1 of 1, so m = 1: gained (1/2 + 1) / 2, the null
    pass@2 - pass@1 = (1/2 + 0) / 2."""
    result = turnover([2, 2], [1, 0], [1, 1], [1, 1])
    assert result is not None
    assert (result.num_samples, result.gained.value, result.null.value) == (1, 0.75, 0.25)
    assert result.gained_over_null.value == pytest.approx(0.5)
    assert result.lost.value == 0.0


def test_too_few_samples_have_no_turnover():
    assert turnover([1, 8], [1, 1], [8, 8], [1, 1]) is None
    assert turnover([8, 8], [1, 1], [0, 8], [0, 1]) is None
    assert turnover([], [], [], []) is None
    with pytest.raises(ValueError, match="2 tasks of the base, 1 of the trained"):
        turnover([8, 8], [1, 1], [8], [1])


def test_an_excess_of_a_fraction_of_a_task_is_no_finding():
    """32 samples of easy tasks: nothing turns over, and a difference of 1e-5 is not surely so."""
    rng, n = np.random.default_rng(3), np.full(60, 32)
    for _ in range(20):
        result = turnover(n, rng.binomial(n, 0.3), n, rng.binomial(n, 0.3))
        assert result is not None
        assert result.gained_over_null.includes_zero
        assert result.gained_over_null.high is not None
        assert result.gained_over_null.high >= 1 - 0.025 ** (1 / 60)


@pytest.mark.parametrize(("a", "b", "share"), [(0.3, 0.7, 0.188), (0.1, 1.5, 0.067)])
def test_the_beta_null_is_what_a_copy_newly_solves(a: float, b: float, share: float):
    """Of tasks that the base failed n times a copy with n samples solves a share that n leaves."""
    assert beta_null(a) == pytest.approx(share, abs=5e-4)
    rng = np.random.default_rng(8)
    rates = rng.beta(a, b, 200_000)
    for n in (64, 1024):
        failed = rng.binomial(n, rates) == 0
        solved = rng.binomial(n, rates) > 0
        simulated = float(solved[failed].mean())
        assert beta_null_at(a, b, base_samples=n, trained_samples=n) == pytest.approx(
            simulated, abs=0.005
        )
        assert simulated == pytest.approx(beta_null(a), abs=0.01)


def test_twice_the_samples_solve_more_of_the_rest():
    assert beta_null(0.5, ratio=3.0) == pytest.approx(0.5)
    for bad in ((0.0, 1.0), (0.5, 0.0)):
        with pytest.raises(ValueError, match="a > 0"):
            beta_null(*bad)
    with pytest.raises(ValueError, match="samples on both sides"):
        beta_null_at(0.3, 0.7, base_samples=0, trained_samples=4)


def fisher_by_counting(n_from: int, c_from: int, n_to: int, c_to: int) -> float:
    """Of all ways to deal the passes over the attempts, the share with c_to or more on `to`."""
    passed, total = c_from + c_to, n_from + n_to
    ways = [math.comb(n_to, x) * math.comb(n_from, passed - x) for x in range(passed + 1)]
    return sum(ways[c_to:]) / math.comb(total, passed)


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_task_changes_are_fishers_test(n_base: int, n_trained: int, data: st.DataObject):
    c_base, c_trained = data.draw(st.integers(0, n_base)), data.draw(st.integers(0, n_trained))
    p = fisher_by_counting(n_base, c_base, n_trained, c_trained)
    changes = task_changes([n_base], [c_base], [n_trained], [c_trained], false_discoveries=0.2)
    q = changes.gain_q_T[0]
    most = min(c_base + c_trained, n_trained)
    reachable = fisher_by_counting(n_base, c_base + c_trained - most, n_trained, most)
    if reachable > 0.2 + 1e-9:
        assert np.isnan(q)
    elif reachable < 0.2 - 1e-9:
        assert q == pytest.approx(p)
        assert changes.gained == ((0,) if p <= 0.2 else ())


def test_gained_lost_kept_by_hand():
    """0 of 8 -> 8 of 8 is 1 in 12,870; 1 of 8 -> 8 of 8 rose too, but was solved before."""
    n = [8] * 6
    changes = task_changes(n, [0, 1, 8, 8, 4, 0], n, [8, 8, 0, 1, 4, 0])
    assert changes.gained == (0, 1)
    assert changes.newly_solved == (0,)
    assert changes.lost == (2, 3)
    assert changes.no_longer_solved == (2,)
    assert changes.kept == (4,)
    assert changes.num_testable == 5
    assert changes.gain_q_T[0] == pytest.approx(5 / math.comb(16, 8))
    with pytest.raises(ValueError, match="differ in length"):
        task_changes(n, [0], n, n)
    with pytest.raises(ValueError, match="num_passed <= num_samples"):
        task_changes([4], [5], [4], [1])


def test_false_discoveries_stay_below_their_level_and_real_gains_are_found():
    """A third of the tasks rose from 0.1 to 0.9 in 16 samples; of those called few did not."""
    rng = np.random.default_rng(12)
    false, found = [], []
    for _ in range(60):
        base = rng.beta(0.4, 1.0, 60)
        trained = base.copy()
        base[:20], trained[:20] = 0.1, 0.9
        n = np.full(60, 16)
        changes = task_changes(n, rng.binomial(n, base), n, rng.binomial(n, trained))
        wrong = [task for task in changes.gained if task >= 20]
        false.append(len(wrong) / max(len(changes.gained), 1))
        found.append(len([task for task in changes.gained if task < 20]))
    assert np.mean(false) <= 0.1
    assert np.mean(found) >= 19


def placebo_misses(num_seeds: int) -> int:
    """Seeds in which new-solved minus null of a base against its copy does not include 0."""
    misses = 0
    for seed in range(num_seeds):
        rng = np.random.default_rng(seed)
        rates, n = rng.beta(0.3, 0.7, 60), np.full(60, 32)
        result = turnover(n, rng.binomial(n, rates), n, rng.binomial(n, rates))
        assert result is not None
        misses += not result.gained_over_null.includes_zero
    return misses


def test_a_copy_of_the_base_gains_nothing_over_the_null_in_93_of_100_seeds():
    assert placebo_misses(100) <= 7


def test_the_same_random_numbers_on_both_sides_do_not_hide_what_a_copy_would_gain() -> None:
    """A copy that meets the base's own chances repeats its samples: by totals it seems to gain less
    than its null, by halves it gains just that."""
    rng = np.random.default_rng(7)
    by_totals, by_halves = [], []
    for _ in range(60):
        passed_NT = rng.random((16, 80)) < rng.beta(0.3, 0.7, size=80)
        halves_HT = np.stack([passed_NT[::2].sum(axis=0), passed_NT[1::2].sum(axis=0)])
        n_T, n_HT = np.full(80, 16), np.full((2, 80), 8)
        totals = turnover(n_T, halves_HT.sum(axis=0), n_T, halves_HT.sum(axis=0))
        split = turnover_by_halves(n_HT, halves_HT, n_HT, halves_HT)
        assert totals is not None
        assert split is not None
        assert split.null == totals.null
        by_totals.append(totals.gained_over_null)
        by_halves.append(split.gained_over_null)
    assert np.mean([interval.value for interval in by_totals]) < -0.01
    assert abs(np.mean([interval.value for interval in by_halves])) < 0.004
    assert sum(interval.includes_zero for interval in by_halves) >= 54
    assert turnover_by_halves(np.zeros((2, 3)), np.zeros((2, 3)), n_HT[:, :3], n_HT[:, :3]) is None
    with pytest.raises(ValueError, match="two halves"):
        turnover_by_halves(n_T, n_T, n_T, n_T)
