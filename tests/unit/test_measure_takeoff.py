"""Dead zones, their nulls and change points against integrated equations, ordinary regression and
worlds whose law is known."""

import numpy as np
import pytest
from coverage_rows import coverage_part
from scipy import integrate, stats

from proofloop.measure.estimators.changepoint import Law, change_point
from proofloop.measure.estimators.dead_zone import (
    Objective,
    dead_zone,
    group_time,
    null_clock,
    null_curve,
    null_time,
)
from proofloop.measure.estimators.takeoff import take_off, time_to

POWERS = {Objective.PLAIN: 2.0, Objective.STD: 1.5, Objective.LOG: 1.0}


@pytest.mark.parametrize("objective", list(Objective))
def test_the_null_is_its_equation_integrated(objective: Objective):
    power, end = POWERS[objective], float(null_time([0.003], objective, target=0.9)[0])
    times = np.linspace(0, end, 9)
    solved = integrate.solve_ivp(
        lambda _, p: (p * (1 - p)) ** power, (0, end), [0.003], t_eval=times, rtol=1e-10, atol=1e-14
    )
    assert null_curve(times, 0.003, 1.0, objective) == pytest.approx(solved.y[0], rel=1e-5)
    assert null_curve(times / 3, 0.003, 3.0, objective) == pytest.approx(solved.y[0], rel=1e-5)
    assert solved.y[0][-1] == pytest.approx(0.9, abs=1e-6)


@pytest.mark.parametrize(("objective", "limit"), [
    (Objective.PLAIN, -1.0), (Objective.STD, -0.5), (Objective.LOG, 0.0)
])  # fmt: skip
def test_null_slopes_tend_to_their_limits(objective: Objective, limit: float):
    rates = np.array([1e-9, 1e-8])
    slope = np.diff(np.log(null_time(rates, objective)))[0] / np.log(10)
    assert slope == pytest.approx(limit, abs=0.06)


def test_discovery_comes_on_top():
    plain = null_time([0.01], Objective.LOG, eta=2.0)
    assert null_time([0.01], Objective.LOG, eta=2.0, batch=64) == pytest.approx(plain + 1 / 0.64)
    with pytest.raises(ValueError, match="excluded"):
        null_clock(0.0, Objective.LOG)


def test_the_slope_is_ordinary_regression_where_all_took_off():
    rng = np.random.default_rng(1)
    rates = np.geomspace(0.003, 0.1, 15)
    times = np.exp(1 - 0.6 * np.log(rates) + 0.2 * rng.normal(size=15))
    found = dead_zone(rates, times)
    line = stats.linregress(np.log(rates), np.log(times))
    reach = stats.t.ppf(0.975, 13) * line.stderr
    ends = (line.slope - reach, line.slope + reach)
    assert found.slope.value == pytest.approx(line.slope, abs=1e-4)
    assert (found.slope.low, found.slope.high) == pytest.approx(ends, abs=1e-4)
    assert found.null_slopes["plain"] < found.null_slopes["std"] < found.null_slopes["log"] < 0
    assert found.null_slopes["plain"] == pytest.approx(-0.93, abs=0.02)


def test_runs_that_never_took_off_count():
    """Left out, the rarest starts look fast and the slope flat."""
    rng = np.random.default_rng(2)
    rates = np.repeat(np.geomspace(0.003, 0.1, 10), 3)
    times = np.exp(1 - 0.8 * np.log(rates) + 0.4 * rng.normal(size=30))
    seen = times < 120
    whole = dead_zone(rates, np.minimum(times, 120), took_off_R=seen)
    part = dead_zone(rates[seen], times[seen])
    assert whole.num_censored == (~seen).sum() > 4
    assert whole.slope.value < part.slope.value - 0.03
    assert whole.slope.value == pytest.approx(-0.8, abs=0.15)


@pytest.mark.parametrize(
    ("rates", "times", "message"),
    [
        ([0.01, 0.02, 0.03], [3, 2, 1], "four runs"),
        ([0.01, 0.02, 0.03, 0.6], [3, 2, 1, 1], "target"),
        ([0.01, 0.02, 0.03, 0.04], [3, 2, 1, 0], "positive"),
        ([0.01] * 4, [3, 2, 1, 1], "one rate"),
        ([0.01] * 4, [3, 2, 1], "one value a run"),
    ],
)
def test_what_has_no_slope_is_refused(rates, times, message: str):
    with pytest.raises(ValueError, match=message):
        dead_zone(rates, times)


def test_take_off_is_the_first_step_beyond_the_start():
    """4 evaluations of 100: level 1 - 0.05 / 4, bounds of 5 of 100 reach 13.6%, 27 of 100 begin at
    16.5%."""
    found = take_off([0, 10, 20, 30], [5, 12, 27, 60], [100] * 4)
    tail = 0.05 / 4 / 2
    assert found.start_high == pytest.approx(stats.beta.ppf(1 - tail, 6, 95))
    assert stats.beta.ppf(tail, 12, 89) < found.start_high < stats.beta.ppf(tail, 27, 74)
    assert found.t0 == 20
    assert take_off([0, 10], [5, 6], [100, 100]).t0 is None


def test_the_spike_share_by_hand():
    steps = [0, 1, 50, 100]
    found = take_off(steps, [100, 400, 500, 700], [1000] * 4).spike_share
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert found.low is not None
    assert found.high is not None
    assert 0.4 < found.low < 0.5 < found.high < 0.6
    assert take_off([0, 50, 100], [100, 500, 700], [1000] * 3).spike_share is None
    assert take_off(steps, [100, 110, 90, 104], [1000] * 4).spike_share is None


@pytest.mark.parametrize(
    ("steps", "passed", "message"),
    [([0, 10], [5, 101], "num_passed"), ([10, 0], [5, 6], "rise"), ([0], [5], "two evaluations")],
)
def test_what_is_no_curve_is_refused(steps, passed, message: str):
    with pytest.raises(ValueError, match=message):
        take_off(steps, passed, [100] * len(steps))


@pytest.mark.parametrize("law", list(Law))
def test_each_law_is_found_where_it_is_true(law: Law):
    part = coverage_part("takeoff")
    rng = np.random.default_rng(3)
    found = change_point(part.STEPS, rng.binomial(500, part.curves()[law]), [500] * 41)
    assert found.best is law
    assert (found.evidence > 10) == (law is Law.PLATEAU)
    assert (found.plateau_end is not None) == (law is Law.PLATEAU)
    if found.plateau_end is not None:
        assert found.plateau_end.value == pytest.approx(80, abs=5)
    rates = next(fit.rates for fit in found.fits if fit.law is law)
    assert np.array(rates) == pytest.approx(part.curves()[law], abs=0.05)


def test_curves_without_shape_are_refused():
    steps = list(range(8))
    with pytest.raises(ValueError, match="8 evaluations"):
        change_point(steps[:7], [1] * 7, [9] * 7)
    with pytest.raises(ValueError, match="none or all"):
        change_point(steps, [0] * 8, [9] * 8)


def test_intervals_cover_in_small_simulations():
    part = coverage_part("takeoff")
    rows = [*part.slope_rows(num_worlds=12, seed=4), *part.take_off_rows(num_worlds=60, seed=5)]
    shares = {(r.world, r.target): r.num_covered / r.num_worlds for r in rows if r.num_worlds}
    assert min(share for key, share in shares.items() if "5 successes" not in key[0]) >= 0.75


@pytest.mark.parametrize("objective", list(Objective))
def test_large_groups_take_the_null_s_time(objective: Objective):
    rates = [0.02, 0.1]
    found = group_time(rates, objective, group=20_000, target=0.4, eta=2.0)
    wanted = null_time(rates, objective, target=0.4, eta=2.0)
    if objective is Objective.LOG:  # log p slows down by 1 - p, which its null leaves out
        wanted += (1 / (1 - 0.4) - 1 / (1 - np.array(rates))) / 2.0
    assert found == pytest.approx(wanted, rel=0.01)


def test_in_groups_without_successes_all_objectives_are_the_plain_one():
    """A group of four moves by 3/16, sqrt(3)/4 or 3/4 for one success, and by nothing for none."""
    rates = np.array([1e-4, 1e-3])
    times = [group_time(rates, objective, group=4, target=0.002) for objective in Objective]
    slopes = [np.log(t[0] / t[1]) / np.log(1e-4 / 1e-3) for t in times]
    assert slopes == pytest.approx([slopes[0]] * 3, abs=0.005)
    one = [3 / 16, np.sqrt(3) / 4, 3 / 4]
    assert [t[0] * step for t, step in zip(times, one, strict=True)] == pytest.approx(
        [times[0][0] * one[0]] * 3, rel=0.01
    )


def test_a_target_is_passed_where_the_pooled_curve_passes_it():
    assert time_to([0, 10, 20], [0, 4, 8], [10, 10, 10], 0.6) == pytest.approx(15)
    # 5 of 10, then 1 of 10: pooled to 0.3 at both, so that one lucky look is no arrival.
    assert time_to([0, 10, 20, 30], [0, 5, 1, 9], [10] * 4, 0.45) == pytest.approx(22.5)
    assert time_to([0, 10], [1, 2], [10, 10], 0.5) is None
    assert time_to([0, 10], [6, 2], [10, 10], 0.2) == 0.0
