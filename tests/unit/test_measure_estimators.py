"""Every estimator against a second, naive implementation, and the intervals against worlds whose
truth is known."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import t as student_t

from proofloop.measure.estimators.bootstrap import bootstrap_mean, paired_difference
from proofloop.measure.estimators.pass_at_k import pass_at_k, pass_hat_k
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


@given(st.integers(1, 60), st.data())
def test_pass_hat_k_equals_the_binomials_and_mirrors_pass_at_k(n: int, data: st.DataObject):
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    value = pass_hat_k([n], [c], [k])[0, 0]
    assert value == pytest.approx(math.comb(c, k) / math.comb(n, k), abs=1e-12)
    assert value == pytest.approx(1 - pass_at_k([n], [n - c], [k])[0, 0], abs=1e-12)


def test_pass_hat_k_by_hand():
    """3 of 4 passed: pairs that both passed are 3 of 6, triples 1 of 4, and no quadruple."""
    assert pass_hat_k([4], [3], [1, 2, 3, 4])[0] == pytest.approx([0.75, 0.5, 0.25, 0.0])
    assert np.isnan(pass_hat_k([4], [3], [5])[0, 0])
    with pytest.raises(ValueError, match=r"pass\^k needs k >= 1"):
        pass_hat_k([4], [3], [0])


def test_pass_at_k_is_unknown_beyond_the_samples():
    values_TK = pass_at_k([4, 8], [1, 1], [4, 5])
    assert np.isnan(values_TK).tolist() == [[False, True], [False, False]]


@pytest.mark.parametrize(("n", "c", "ks"), [([4], [5], [1]), ([4], [-1], [1]), ([4], [1], [0])])
def test_impossible_counts_are_refused(n: list[int], c: list[int], ks: list[int]):
    with pytest.raises(ValueError):
        pass_at_k(n, c, ks)


def naive_interval(
    values: np.ndarray, drawn: np.ndarray, bounds: tuple[float, float]
) -> tuple[float, float]:
    """The same draws, other arithmetic: values picked by index, ends found by bisection."""
    low, high = bounds
    mean, count = float(np.nanmean(values)), int((~np.isnan(values)).sum())
    coin = (mean - low) * (high - mean)
    effect = min(float(np.nanvar(values, ddof=1)) / coin, 1.0)
    stats: list[float] = []
    for index in drawn:
        picked = values[index][~np.isnan(values[index])]
        own = effect
        if np.ptp(picked) > 1e-9:
            spread = (picked.mean() - low) * (high - picked.mean())
            own = min(float(picked.var(ddof=1)) / spread, 1.0)
        stats.append((picked.mean() - mean) / math.sqrt(own * coin / len(picked)))
    student = float(student_t.ppf(0.975, count - 1))
    ends = (
        min(float(np.quantile(stats, 0.025)), -student),
        max(float(np.quantile(stats, 0.975)), student),
    )

    def z(mu: float) -> float:
        return (mean - mu) / math.sqrt(effect * (mu - low) * (high - mu) / count)

    tiny = 1e-13
    return (
        brentq(lambda mu: z(mu) - ends[1], low + tiny, mean),
        brentq(lambda mu: z(mu) - ends[0], mean, high - tiny),
    )


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0)])
def test_bootstrap_intervals_match_a_loop_over_resamples(bounds: tuple[float, float]):
    values = np.random.default_rng(5).beta(0.4, 0.9, (12, 3))
    values[3, 1] = np.nan
    values[:, 2] = [0.0] * 10 + [1.0, 1.0]
    curve = bootstrap_mean(values, bounds=bounds, seed=9)
    drawn = np.random.default_rng(9).integers(12, size=(2000, 12))
    for column in range(3):
        low, high = naive_interval(values[:, column], drawn, bounds)
        assert (curve.lows[column], curve.highs[column]) == pytest.approx((low, high), abs=1e-8)
    assert curve.num_tasks.tolist() == [12, 11, 12]
    assert curve.means[1] == pytest.approx(np.nanmean(values[:, 1]))


def test_without_bounds_the_scale_is_the_plain_one():
    values = np.random.default_rng(6).normal(100.0, 5.0, (40, 1))
    free = bootstrap_mean(values, bounds=(-math.inf, math.inf)).at(0)
    above = bootstrap_mean(values, bounds=(0.0, math.inf)).at(0)
    assert free == above
    assert free == bootstrap_mean(values, bounds=(math.nan, math.nan)).at(0)
    assert free is not None
    assert free.low is not None
    reach = float(student_t.ppf(0.975, 39) * values.std(ddof=1) / math.sqrt(40))
    assert free.value - free.low == pytest.approx(reach, rel=0.15)
    alike = bootstrap_mean(np.full((5, 1), 7.0), bounds=(0.0, math.inf)).at(0)
    assert alike is not None
    assert (alike.value, alike.low, alike.high) == (7.0, None, None)


def test_values_outside_of_the_bounds_are_refused():
    with pytest.raises(ValueError, match="outside of the bounds 0 to 1"):
        bootstrap_mean(np.array([[0.5], [1.5]]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_an_interval_holds_its_value_and_stays_within_the_bounds(values: list[float]):
    interval = bootstrap_mean(np.array(values)[:, None], num_resamples=50).at(0)
    assert interval is not None
    if len(values) == 1:
        assert interval.low is None
        return
    assert interval.low is not None
    assert interval.high is not None
    assert -1e-9 <= interval.low <= interval.value + 1e-9
    assert interval.value - 1e-9 <= interval.high <= 1 + 1e-9


def test_one_task_has_a_value_but_no_interval_and_none_has_nothing():
    one = bootstrap_mean(np.array([[0.5]])).at(0)
    assert one is not None
    assert (one.value, one.low, one.high, one.num_tasks) == (0.5, None, None, 1)
    assert one.is_thin
    assert one.includes_zero
    assert bootstrap_mean(np.empty((0, 1))).at(0) is None
    assert bootstrap_mean(np.array([[np.nan], [np.nan]])).at(0) is None


def test_agreement_of_all_tasks_is_not_certainty():
    """None of 10 tasks solved: the mean may still be 1 - 0.025^(1/10) = 0.31."""
    none = bootstrap_mean(np.zeros((10, 1))).at(0)
    assert none is not None
    assert (none.low, none.high) == pytest.approx((0.0, 1 - 0.025**0.1))
    same = bootstrap_mean(np.zeros((10, 1)), bounds=(-1, 1)).at(0)
    assert same is not None
    assert (same.low, same.high) == pytest.approx((-(1 - 0.025**0.1), 1 - 0.025**0.1))


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


@pytest.mark.parametrize("num_tasks", [30, 100])
@pytest.mark.parametrize("k", [1, 8])
def test_nominal_95_percent_covers_95_percent(k: int, num_tasks: int):
    covered = simulated_coverage(num_tasks=num_tasks, num_worlds=400, num_samples=16, k=k)
    assert 0.93 <= covered <= 0.98


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


def test_seeds_in_which_nothing_moves_are_no_certainty():
    nothing = np.zeros(24)
    one = paired_difference([(nothing, nothing)])
    assert one.low is not None
    assert one.low < -0.1
    assert paired_difference([(nothing, nothing)] * 3) == one
    apart = paired_difference([(nothing, nothing)] * 3, same_tasks=False)
    assert apart.low is not None
    assert one.low < apart.low < -0.03, "more tasks, all alike, say more"


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


@pytest.mark.parametrize("nearly", [0.0, -1e-6, -1e-5, -1e-3])
def test_one_task_that_carries_all_the_spread_does_not_run_away(nearly: float):
    """32 paired differences: one of a half, two of next to nothing, the others of nothing."""
    differences_T1 = np.zeros((32, 1))
    differences_T1[0], differences_T1[1:3] = 0.5, nearly
    interval = bootstrap_mean(differences_T1, bounds=(-1.0, 1.0)).at(0)
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    assert -0.03 < interval.low < 0 < 0.04 < interval.high < 0.15


def test_a_task_that_is_never_solved_among_many_that_are():
    values_T1 = np.ones((240, 1))
    values_T1[0], values_T1[1] = 0.0, 0.5
    interval = bootstrap_mean(values_T1).at(0)
    assert interval is not None
    assert interval.low is not None
    assert 0.97 < interval.low < 0.985
