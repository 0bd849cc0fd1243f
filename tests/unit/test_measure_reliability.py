"""Nines, their intervals and their refusals; the fits they rest on."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import betabinom, binom

from proofloop.measure.compare.nines import says_plan
from proofloop.measure.estimators.beta_binomial import fit_beta_binomial, profile_interval
from proofloop.measure.estimators.bounded import bounded_mean
from proofloop.measure.estimators.next_nine import (
    next_nine,
    rule_of_three,
    trials_without_failure,
)
from proofloop.measure.estimators.reliability import (
    design_effect,
    fan,
    intraclass_correlation,
    nines,
    reliability,
    tasks_of_failures,
)
from proofloop.measure.estimators.shares import clopper_pearson


def test_nines_by_hand():
    assert [nines(rate) for rate in (0.0, 0.9, 0.99)] == pytest.approx([0.0, 1.0, 2.0])
    assert nines(1.0) is None
    with pytest.raises(ValueError):
        nines(1.01)


def test_no_failure_in_so_many_trials_shows_so_much():
    assert (trials_without_failure(0.99), trials_without_failure(0.999)) == (299, 2995)
    assert rule_of_three(299) == pytest.approx(0.99, abs=1e-4)
    assert 1 - rule_of_three(3000) == pytest.approx(3 / 3000, rel=0.01)
    for bad in (0.0, 1.0):
        with pytest.raises(ValueError):
            trials_without_failure(bad)
    with pytest.raises(ValueError):
        rule_of_three(0)


@given(st.integers(1, 60), st.data())
def test_clopper_pearson_ends_leave_a_fortieth_in_each_tail(n: int, data: st.DataObject):
    c = data.draw(st.integers(0, n))
    low, high = clopper_pearson(c, n)
    assert low == 0.0 if c == 0 else binom.sf(c - 1, n, low) == pytest.approx(0.025)
    assert high == 1.0 if c == n else binom.cdf(c, n, high) == pytest.approx(0.025)


def test_correlation_by_hand():
    """All-or-none tasks: MSW = 0, so icc = 1 and the design effect is the runs a task."""
    assert intraclass_correlation([4, 4], [4, 0]) == pytest.approx(1.0)
    assert design_effect([4, 4], 1.0) == pytest.approx(4.0)
    # Two tasks of 1 in 2: MSB = 0, MSW = 2 * 2 * 0.25 / 2 = 0.5, so icc = -0.5 / (0 + 0.5).
    assert intraclass_correlation([2, 2], [1, 1]) == pytest.approx(-1.0)
    assert design_effect([2, 2], -1.0) == 1.0
    assert intraclass_correlation([4, 4], [4, 4]) is None
    assert intraclass_correlation([1, 1], [1, 0]) is None
    assert design_effect([4, 6], None) == 5.0


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6)), min_size=2, max_size=8))
def test_correlation_equals_the_anova_of_single_outcomes(cells: list[tuple[int, int]]):
    cells = [(n, min(c, n)) for n, c in cells]
    groups = [np.array([1.0] * c + [0.0] * (n - c)) for n, c in cells]
    every = np.concatenate(groups)
    ours = intraclass_correlation([n for n, _ in cells], [c for _, c in cells])
    if every.min() == every.max() or every.size == len(groups):
        assert ours is None
        return
    between = sum(g.size * (g.mean() - every.mean()) ** 2 for g in groups) / (len(groups) - 1)
    within = sum(((g - g.mean()) ** 2).sum() for g in groups) / (every.size - len(groups))
    size = (every.size - sum(g.size**2 for g in groups) / every.size) / (len(groups) - 1)
    assert ours == pytest.approx((between - within) / (between + (size - 1) * within))


def test_the_tasks_of_most_failures():
    assert tasks_of_failures([1, 7, 1, 1]) == 2
    assert tasks_of_failures([8, 1, 1, 0]) == 1
    assert tasks_of_failures([5, 5, 5, 5, 5]) == 4
    assert tasks_of_failures([0, 0]) is None


def test_a_record_by_hand():
    """Ten tasks of 4 runs; one fails 2 of 4."""
    found = reliability([4] * 10, [4] * 9 + [2])
    assert (found.num_tasks, found.num_trials, found.num_failures) == (10, 40, 2)
    assert (found.num_failing_tasks, found.tasks_of_failures) == (1, 1)
    assert found.across.value == pytest.approx(0.95)
    assert found.nines.value == pytest.approx(-math.log10(0.05))
    assert found.within is not None
    # E[p²] / E[p]: 9 tasks of 1 and one of C(2,2)/C(4,2) = 1/6, over 9.5.
    assert found.within.value == pytest.approx((9 + 1 / 6) / 9.5)
    assert found.refusal is not None
    assert "sit in 1 task:" in found.refusal


def test_a_claim_is_refused_when_a_handful_of_tasks_fails_and_not_else():
    assert reliability([10] * 100, [10] * 96 + [8] * 4).refusal is not None
    assert reliability([10] * 100, [10] * 90 + [9] * 10).refusal is None
    assert reliability([10] * 100, [10] * 100).refusal is None
    assert reliability([10] * 10, [5] * 3 + [10] * 7).refusal is None  # no nine to claim


def test_without_failures_tasks_are_what_counts():
    found = reliability([20] * 50, [20] * 50)
    assert (found.nines.value, found.nines.high, found.icc) == (None, None, None)
    assert found.across.low == pytest.approx(0.025 ** (1 / 50), abs=3e-3)
    assert found.design_effect == 20.0
    assert found.tasks_of_failures is None
    assert found.wilson[0] == pytest.approx(1 / (1 + 1.959964**2 / 50))
    more_runs = reliability([2000] * 50, [2000] * 50)
    assert more_runs.across.low == found.across.low


def test_impossible_counts_are_refused():
    for n, c in (([4], [4]), ([4, 0], [4, 0]), ([4, 4], [5, 1]), ([4, 4], [1])):
        with pytest.raises(ValueError):
            reliability(n, c)


def test_the_next_nine_without_failures():
    found = next_nine([5] * 60, [5] * 60)
    assert (found.target, found.num_tasks, found.num_trials) == (pytest.approx(0.99), 368, 1840)
    assert found.num_runs is None


def test_a_nine_just_below_the_rate_is_not_called_above_it():
    n, hardly, below = [1000] * 20, [1000] * 18 + [1, 0], [1000] * 17 + [900, 0, 0]
    plan = next_nine(n, hardly)
    assert plan.target == pytest.approx(0.9)
    assert plan.num_tasks is None
    assert "hardly above" in says_plan(plan, reliability(n, hardly))
    assert "is above the rate seen" in says_plan(next_nine(n, below), reliability(n, below))


def test_the_next_nine_is_there_once_so_many_tasks_like_these_were_seen():
    n, c = np.full(60, 10), np.array([10] * 56 + [1] * 4)
    found = next_nine(n, c)
    assert found.target == pytest.approx(0.9)
    assert found.num_tasks is not None
    times = found.num_tasks / 60
    assert bounded_mean(c / n, repeat=times)[0] >= 0.9
    assert bounded_mean(c / n, repeat=0.97 * times)[0] < 0.9


def test_no_number_of_tasks_shows_more_than_the_rate():
    assert next_nine([10] * 60, [10] * 30 + [8] * 30).num_tasks is None


def test_more_runs_help_where_tasks_are_alike_and_not_where_they_are_all_or_none():
    alike = next_nine([20] * 40, [19, 20] * 20)
    assert alike.num_runs is not None
    split = next_nine([20] * 40, [20] * 37 + [0] * 3)
    assert split.num_tasks is not None
    assert split.num_runs is None


def test_the_fan_beside_independence():
    """Half of the tasks always pass and half never: pass^k stays at 1/2 where coins give 2^-k."""
    found = fan([8] * 40, [8, 0] * 20, (1, 2, 4, 9))
    assert found.pass_hat.means[:3] == pytest.approx([0.5, 0.5, 0.5])
    assert found.pass_at.means[:3] == pytest.approx([0.5, 0.5, 0.5])
    assert found.independent_K == pytest.approx([0.5, 0.25, 0.0625, 0.5**9])
    assert np.isnan(found.pass_hat.means[3])
    assert found.pass_hat.at(3) is None


@given(st.integers(2, 30), st.data())
def test_bounded_mean_of_coins_is_clopper_pearson(n: int, data: st.DataObject):
    c = data.draw(st.integers(0, n))
    assert bounded_mean([1.0] * c + [0.0] * (n - c)) == pytest.approx(
        clopper_pearson(c, n), abs=0.012
    )


def test_bounded_mean_equals_weights_drawn_one_by_one():
    values = np.random.default_rng(1).beta(2.0, 0.5, 15)
    weights = np.random.default_rng(2).dirichlet(np.ones(16), size=40_000)
    low = np.quantile(weights[:, :15] @ values, 0.025)
    high = np.quantile(weights[:, :15] @ values + weights[:, 15], 0.975)
    assert bounded_mean(values) == pytest.approx((low, high), abs=0.01)
    for bad in ([], [1.2], [math.nan]):
        with pytest.raises(ValueError):
            bounded_mean(bad)


def test_a_fit_finds_the_distribution_that_made_the_counts():
    rng = np.random.default_rng(4)
    n = np.full(6000, 16)
    fit = fit_beta_binomial(n, rng.binomial(n, rng.beta(0.6, 1.4, 6000)))
    assert fit is not None
    assert (fit.a, fit.b) == pytest.approx((0.6, 1.4), rel=0.1)
    rates = rng.beta(1.5, 3.0, 6000) * (rng.random(6000) > 0.3)
    inflated = fit_beta_binomial(n, rng.binomial(n, rates), zero_inflated=True)
    assert inflated is not None
    assert inflated.zero_share == pytest.approx(0.3, abs=0.05)
    assert inflated.mean == pytest.approx(0.7 / 3, abs=0.02)
    near = fit_beta_binomial(n, rng.binomial(n, rates), zero_inflated=True, near=inflated)
    assert near is not None
    assert near.zero_share == pytest.approx(0.3, abs=0.05)


def test_a_fits_curves_are_expectations_over_its_beta():
    rng = np.random.default_rng(5)
    n = np.full(300, 16)
    fit = fit_beta_binomial(n, rng.binomial(n, rng.beta(0.6, 1.4, 300)), zero_inflated=True)
    assert fit is not None
    p = rng.beta(fit.a, fit.b, 400_000) * (rng.random(400_000) > fit.zero_share)
    assert fit.pass_at([1, 8, 100]) == pytest.approx(
        [float(np.mean(1 - (1 - p) ** k)) for k in (1, 8, 100)], abs=5e-3
    )
    assert fit.pass_hat([1, 8]) == pytest.approx([float(np.mean(p**k)) for k in (1, 8)], abs=5e-3)


def test_nothing_to_fit_is_no_fit():
    assert fit_beta_binomial([4, 4], [0, 0]) is None
    assert fit_beta_binomial([4, 4], [4, 4]) is None
    assert fit_beta_binomial([1, 1], [0, 1]) is None
    assert fit_beta_binomial([], []) is None
    with pytest.raises(ValueError):
        fit_beta_binomial([4], [5])
    with pytest.raises(ValueError, match="no attempts"):
        profile_interval([0], [0])


def naive_profile_end(n: int, counts: list[int], sign: int) -> float:
    """scipy's own likelihood, optimised over the concentration at each mean."""

    def best(mean: float) -> float:
        found = minimize_scalar(
            lambda s: (
                -betabinom.logpmf(counts, n, mean * math.exp(s), (1 - mean) * math.exp(s)).sum()
            ),
            bounds=(-4, 8),
            method="bounded",
        )
        return -float(found.fun)

    top = minimize_scalar(lambda m: -best(m), bounds=(0.01, 0.99), method="bounded")
    drop = -float(top.fun) - 1.9207294
    far = 0.999 if sign > 0 else 0.001
    return brentq(lambda m: best(m) - drop, float(top.x), far)


def test_profile_interval_matches_scipys_likelihood():
    counts = [10, 9, 10, 3, 10, 8, 10, 10, 0, 10, 7, 10]
    low, high = profile_interval([10] * 12, counts)
    assert low == pytest.approx(naive_profile_end(10, counts, -1), abs=2e-3)
    assert high == pytest.approx(naive_profile_end(10, counts, 1), abs=2e-3)
    assert profile_interval([10] * 50, [10] * 50) == pytest.approx(
        (math.exp(-1.9207 / 50), 1.0), abs=1e-4
    )


def test_three_nines_on_few_failing_tasks_are_covered():
    """Science's hard world, smaller: 0.99 with concentration 0.5 on 60 tasks."""
    rng = np.random.default_rng(7)
    hits = 0
    for world in range(200):
        rates = rng.beta(0.99 * 0.5, 0.01 * 0.5, 60)
        low, high = bounded_mean(rng.binomial(20, rates) / 20, seed=world)
        hits += low <= 0.99 <= high
    assert hits >= 186


def test_profile_interval_covers_where_success_rates_are_beta():
    rng = np.random.default_rng(9)
    hits = 0
    for _ in range(100):
        low, high = profile_interval([10] * 60, rng.binomial(10, rng.beta(2.7, 0.3, 60)))
        hits += low <= 0.9 <= high
    assert 88 <= hits <= 100
