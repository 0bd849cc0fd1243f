"""Every estimator against a second, naive implementation, and the intervals against worlds whose
truth is known."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofloop.measure.estimators.bootstrap import bootstrap_mean, paired_difference
from proofloop.measure.estimators.pass_at_k import pass_at_k
from proofloop.measure.estimators.shares import wilson


def by_enumeration(n: int, c: int, k: int) -> float:
    """The share of all k-subsets of n attempts (the first c passed) that hold a passing one."""
    subsets = list(combinations(range(n), k))
    return sum(any(i < c for i in subset) for subset in subsets) / len(subsets)


def test_pass_at_k_equals_enumeration_of_all_subsets():
    for n in range(1, 9):
        for c in range(n + 1):
            values = pass_at_k([n], [c], range(1, n + 1))[0]
            expected = [by_enumeration(n, c, k) for k in range(1, n + 1)]
            assert values == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 500), st.data())
def test_pass_at_k_equals_the_binomials_at_any_size(n: int, data: st.DataObject):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    exact = 1 - math.comb(n - c, k) / math.comb(n, k)
    assert pass_at_k([n], [c], [k])[0, 0] == pytest.approx(exact, abs=1e-12)


def test_pass_at_k_is_unknown_beyond_the_samples():
    values_TK = pass_at_k([4, 8], [1, 1], [4, 5])
    assert np.isnan(values_TK).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize(("n", "c", "ks"), [([4], [5], [1]), ([4], [-1], [1]), ([4], [1], [0])])
def test_impossible_counts_are_refused(n: list[int], c: list[int], ks: list[int]):
    with pytest.raises(ValueError):
        pass_at_k(n, c, ks)


def test_bootstrap_means_match_a_loop_over_resamples():
    """The same draws, other arithmetic: pick the values by index and average them one by one."""
    rng = np.random.default_rng(5)
    values = rng.random((12, 2))
    values[3, 1] = np.nan
    curve = bootstrap_mean(values, seed=9)
    drawn = np.random.default_rng(9).integers(12, size=(2000, 12))
    for column in range(2):
        means = [np.nanmean(values[index, column]) for index in drawn]
        low, high = np.quantile(means, [0.025, 0.975])
        assert (curve.lows[column], curve.highs[column]) == pytest.approx((low, high))
    assert curve.num_tasks.tolist() == [12, 11]
    assert curve.means[1] == pytest.approx(np.nanmean(values[:, 1]))


def test_one_task_has_a_value_but_no_interval_and_none_has_nothing():
    one = bootstrap_mean(np.array([[0.5]])).at(0)
    assert one is not None
    assert (one.value, one.low, one.high, one.num_tasks) == (0.5, None, None, 1)
    assert one.is_thin
    assert one.includes_zero
    assert bootstrap_mean(np.empty((0, 1))).at(0) is None
    assert bootstrap_mean(np.array([[np.nan], [np.nan]])).at(0) is None


def test_agreement_of_all_tasks_is_not_certainty():
    """None of 10 tasks solved: the mean may still be 1 - 0.05^(1/10) = 0.26."""
    none = bootstrap_mean(np.zeros((10, 1))).at(0)
    assert none is not None
    assert (none.low, none.high) == pytest.approx((0.0, 1 - 0.05**0.1))
    same = bootstrap_mean(np.zeros((10, 1)), bounds=(-1, 1)).at(0)
    assert same is not None
    assert (same.low, same.high) == pytest.approx((-(1 - 0.05**0.1), 1 - 0.05**0.1))


def simulated_coverage(num_tasks: int, num_worlds: int, num_samples: int, k: int) -> float:
    """Share of worlds whose 95% interval holds the true pass@k of the task distribution."""
    rng = np.random.default_rng(20)
    population = rng.beta(0.3, 0.7, size=400_000)
    truth = float(np.mean(1 - (1 - population) ** k))
    hits = 0
    for world in range(num_worlds):
        rates_T = rng.beta(0.3, 0.7, size=num_tasks)
        passed_T = rng.binomial(num_samples, rates_T)
        values_TK = pass_at_k(np.full(num_tasks, num_samples), passed_T, [k])
        curve = bootstrap_mean(values_TK, seed=world, num_resamples=500)
        hits += bool(curve.lows[0] <= truth <= curve.highs[0])
    return hits / num_worlds


@pytest.mark.parametrize("k", [1, 8])
def test_nominal_95_percent_covers_95_percent(k: int):
    assert 0.92 <= simulated_coverage(num_tasks=100, num_worlds=400, num_samples=16, k=k) <= 0.98


def difference_coverage(*, same_tasks: bool, seed_spread: float) -> float:
    """Four seeds of training on 60 tasks: does the interval hold the true mean gain of 0.2?"""
    rng = np.random.default_rng(21)
    hits = 0
    for world in range(200):
        gains_T = rng.normal(0.2, 0.25, size=60)
        pairs: list[tuple[np.ndarray, np.ndarray]] = []
        for _ in range(4):
            own_T = gains_T if same_tasks else rng.normal(0.2, 0.25, size=60)
            delta_T = own_T + rng.normal(0, 0.1, size=60) + rng.normal(0, seed_spread)
            pairs.append((np.zeros(60), delta_T))
        interval = paired_difference(pairs, same_tasks=same_tasks, seed=world)
        assert interval.low is not None
        assert interval.high is not None
        hits += interval.low <= 0.2 <= interval.high
    return hits / 200


def test_paired_difference_covers_the_gain_over_seeds_and_tasks():
    assert 0.92 <= difference_coverage(same_tasks=True, seed_spread=0.02) <= 0.99
    assert 0.90 <= difference_coverage(same_tasks=False, seed_spread=0.02) <= 0.99


def test_seeds_that_disagree_widen_the_interval():
    task_effects = np.linspace(-0.1, 0.1, 50)
    alike = paired_difference([(np.zeros(50), 0.2 + task_effects)] * 3)
    apart = paired_difference([(np.zeros(50), g + task_effects) for g in (0.0, 0.2, 0.4)])
    assert apart.value == pytest.approx(alike.value)
    assert (apart.high or 0) - (apart.low or 0) > 3 * ((alike.high or 0) - (alike.low or 0))


def test_paired_difference_of_one_seed_is_the_paired_bootstrap():
    rng = np.random.default_rng(3)
    base, trained = rng.random(40), rng.random(40)
    expected = bootstrap_mean((trained - base)[:, None], bounds=(-1, 1)).at(0)
    assert paired_difference([(base, trained)]) == expected


def test_pairs_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="differ in number"):
        paired_difference([([0.0], [1.0]), ([0.0, 0.0], [1.0, 1.0])])
    with pytest.raises(ValueError, match="none missing"):
        paired_difference([([0.0], [math.nan])])


def test_wilson_solves_its_defining_equation():
    """Both ends p satisfy |p_hat - p| = z sqrt(p (1-p) / n)."""
    for passed, total in [(0, 7), (3, 10), (64, 64), (81, 263)]:
        for end in wilson(passed, total):
            distance = abs(passed / total - end)
            assert distance == pytest.approx(
                1.959963985 * math.sqrt(end * (1 - end) / total), abs=1e-8
            )
    with pytest.raises(ValueError):
        wilson(1, 0)
