"""Sigmoid, forecast, entropy law and compute multiplier against exact curves and a profile that a
general optimiser walks."""

import numpy as np
import pytest
from coverage_rows import coverage_part
from scipy import optimize, stats

from proofloop.measure.estimators.entropy_law import fit_entropy_law
from proofloop.measure.estimators.multiplier import MultiplierMark, multipliers
from proofloop.measure.estimators.scaling import (
    FLAT,
    Identified,
    fit_sigmoid,
    forecast,
    predict,
    score_at,
)


def curve(compute, asymptote=0.61, midpoint=1.0):
    return score_at(compute, start=0.2, asymptote=asymptote, midpoint=midpoint, steepness=2.0)


def run(end: float, seed: int, noise: float = 0.01):
    compute = np.geomspace(0.1, end, 20)
    return compute, curve(compute) + noise * np.random.default_rng(seed).normal(size=20)


def test_the_law_by_hand():
    """At C_mid half the way; at 3 C_mid with B = 2, 9/10 of it."""
    assert curve([1.0, 3.0]) == pytest.approx([0.405, 0.2 + 0.41 * 0.9])


def test_a_curve_without_noise_is_found():
    compute = np.geomspace(0.1, 8, 20)
    noise = 1e-5 * np.random.default_rng(0).normal(size=20)
    fit = fit_sigmoid(compute, curve(compute) + noise)
    assert fit.asymptote.value == pytest.approx(0.61, abs=1e-4)
    assert fit.midpoint.value == pytest.approx(1.0, abs=1e-3)
    assert fit.steepness.value == pytest.approx(2.0, abs=1e-2)
    assert fit.start.value == pytest.approx(0.2, abs=1e-4)
    assert fit.identified is Identified.PRECISELY


def naive_profile(compute, score, asymptote: float) -> float:
    """RSS at this A, over the other three by a general optimiser from several starts."""

    def residuals(p):
        model = score_at(compute, start=p[0], asymptote=asymptote, midpoint=np.exp(p[1]),
                         steepness=np.exp(p[2]))  # fmt: skip
        return score - model

    box = ([-2, -8, np.log(0.15)], [1, 8, np.log(12)])
    starts = [[0.2, m, b] for m in (-0.5, 0.3, 1.0) for b in (0.2, 0.8, 1.2)]
    return min(2 * optimize.least_squares(residuals, s, bounds=box).cost for s in starts)


@pytest.mark.parametrize(("end", "seed"), [(3.0, 1), (8.0, 2)])
def test_the_interval_of_a_is_where_the_walked_profile_crosses_the_bar(end: float, seed: int):
    compute, score = run(end, seed)
    fit = fit_sigmoid(compute, score)
    least = optimize.minimize_scalar(
        lambda a: naive_profile(compute, score, a), bounds=(0.4, 1.0), method="bounded"
    )
    assert fit.asymptote.value == pytest.approx(least.x, abs=2e-3)
    limit = least.fun * (1 + stats.f.ppf(0.95, 1, 16) / 16)
    for found in (fit.asymptote.low, fit.asymptote.high):
        assert found is not None
        assert naive_profile(compute, score, found) == pytest.approx(limit, rel=0.01)
    assert min(p.loglik for p in fit.profile) < fit.bar
    best = max(fit.profile, key=lambda p: p.loglik)
    assert best.asymptote == pytest.approx(fit.asymptote.value, abs=0.01)


def test_short_runs_are_not_identified_and_say_why():
    half = fit_sigmoid(*run(0.5, 1))
    assert half.identified is Identified.NO
    assert half.asymptote.high is None
    assert "does not close" in str(half.why_not)
    middle = fit_sigmoid(*run(2.0, 1))
    assert middle.identified is Identified.NO
    assert fit_sigmoid(*run(4.0, 1)).identified is Identified.ROUGHLY
    assert fit_sigmoid(*run(8.0, 1)).why_not is None


def test_a_flat_run_has_no_asymptote():
    rng = np.random.default_rng(3)
    fit = fit_sigmoid(np.geomspace(1, 100, 15), 0.3 + 0.01 * rng.normal(size=15))
    assert fit.identified is Identified.NO
    assert "no gain" in str(fit.why_not)
    assert (fit.asymptote.low, fit.asymptote.high) == (None, None)
    # Scores that are not shares may lie anywhere, and so may the interval's end.
    free = fit_sigmoid(np.geomspace(1, 100, 15), 0.3 + 0.01 * rng.normal(size=15), floor=-np.inf)
    assert free.identified is Identified.NO


def test_of_flat_runs_few_pass_for_curves():
    rng = np.random.default_rng(4)
    compute = np.geomspace(1, 100, 20)
    fits = [fit_sigmoid(compute, 0.3 + 0.01 * rng.normal(size=20)) for _ in range(40)]
    assert sum(fit.why_not != FLAT for fit in fits) <= 5  # 1 to 6%; by one parameter 15% would


def test_noise_that_carries_over_is_not_identified():
    compute = np.geomspace(0.1, 8, 40)
    wave = 0.02 * np.sin(np.arange(40) / 2)
    fit = fit_sigmoid(compute, curve(compute) + wave)
    assert fit.residual_lag1 is not None
    assert fit.residual_lag1 > 0.6
    assert "neighbouring" in str(fit.why_not)


def test_a_known_start_narrows():
    data = run(1.5, 4)
    free, held = fit_sigmoid(*data), fit_sigmoid(*data, start=0.2)
    assert (held.start.low, held.start.high) == (0.2, 0.2)
    assert held.midpoint.high is not None
    assert free.midpoint.high is None or held.midpoint.high <= free.midpoint.high


def test_no_curve_of_the_region_rises_above_the_ceiling():
    for prediction in predict(*run(0.5, 5), [1.0, 10.0, 1000.0]):
        # The noise of a single evaluation comes on top.
        assert prediction.high <= 1.05
        assert prediction.low < prediction.predicted < prediction.high


def test_no_curve_of_the_region_falls_below_the_floor():
    """Scores that fall towards 0 and are forecast: an asymptote below it is none."""
    rng = np.random.default_rng(8)
    compute = np.geomspace(0.1, 2, 16)
    score = score_at(compute, start=0.1, asymptote=0.0, midpoint=1.0, steepness=1.5)
    score = np.abs(score + 0.003 * rng.normal(size=16))
    found = forecast(compute, score, fit_up_to=1.0, start=0.1)
    assert all(p.predicted >= 0 for p in found.predictions)
    assert all(p.low > -0.01 for p in found.predictions)  # the noise comes on top
    free = forecast(compute, score, fit_up_to=0.7, start=0.1, floor=-np.inf)
    assert min(p.low for p in free.predictions) < min(p.low for p in found.predictions)


def test_a_forecast_reports_its_miss():
    compute, score = run(8.0, 6)
    late = forecast(compute, score, fit_up_to=4.0)
    held_out = compute > 4.0
    assert [p.compute for p in late.predictions] == pytest.approx(compute[held_out])
    assert [p.actual for p in late.predictions] == pytest.approx(score[held_out])
    miss = score[held_out] - np.array([p.predicted for p in late.predictions])
    assert late.mean_miss == pytest.approx(miss.mean())
    assert abs(late.mean_miss) < 0.02
    early = forecast(compute, score, fit_up_to=0.6)
    ends = [p.predictions[-1].high - p.predictions[-1].low for p in (early, late)]
    assert ends[0] > 5 * ends[1]
    assert early.fit.identified is Identified.NO
    with pytest.raises(ValueError, match="held out"):
        forecast(compute, score, fit_up_to=10.0)


@pytest.mark.parametrize(
    ("compute", "score", "message"),
    [
        ([1, 2, 3, 4, 5], [0.1] * 5, "6 evaluations"),
        ([1, 1, 1, 4, 5, 6, 7], [0.1] * 7, "different compute"),
        ([0, 1, 2, 3, 4, 5], [0.1] * 6, "positive"),
        ([1, 2, 3, 4, 5, 6], [0.1, 0.2, 0.3, 0.4, 0.5, 1.2], "ceiling"),
        ([1, 2, 3, 4, 5, 6], [0.1, 0.2, np.nan, 0.4, 0.5, 0.6], "numbers"),
        ([1, 2, 3], [0.1, 0.2], "3 values"),
    ],
)
def test_what_is_no_learning_curve_is_refused(compute, score, message: str):
    with pytest.raises(ValueError, match=message):
        fit_sigmoid(compute, score)


def arm(midpoints, asymptote=0.61):
    compute = np.geomspace(0.1, 10, 20)
    ripple = 1e-4 * np.sin(37 * np.arange(20))
    return [(compute, curve(compute, asymptote, m) + ripple) for m in midpoints]


def test_the_multiplier_is_the_ratio_of_midpoints_where_curves_agree_otherwise():
    for found in multipliers(arm([2.0, 2.0]), arm([1.0, 1.0]), [0.3, 0.4, 0.5]):
        assert found.mark is MultiplierMark.INSIDE
        assert found.ratio is not None
        assert found.ratio.value == pytest.approx(2.0, rel=0.01)


def test_the_multipliers_interval_is_welchs():
    ref, new = [1.5, 2.0, 3.0], [0.8, 1.0, 1.3, 1.1]
    ratio = multipliers(arm(ref), arm(new), [0.4])[0].ratio
    assert ratio is not None
    welch = stats.ttest_ind(np.log(ref), np.log(new), equal_var=False).confidence_interval()
    assert ratio.value == pytest.approx(np.exp(np.log(ref).mean() - np.log(new).mean()), rel=0.01)
    assert (ratio.low, ratio.high) == pytest.approx(
        (np.exp(welch.low), np.exp(welch.high)), rel=0.03
    )


def test_the_multiplier_is_undefined_above_the_smaller_asymptote():
    marks = [
        m.mark for m in multipliers(arm([2.0, 2.0], 0.5), arm([1.0, 1.0]), [0.1, 0.4, 0.499, 0.55])
    ]
    below, above = MultiplierMark.BELOW, MultiplierMark.ABOVE
    assert marks == [below, MultiplierMark.INSIDE, MultiplierMark.OUTSIDE, above]
    one_seed = multipliers(arm([2.0]), arm([1.0, 1.0]), [0.4])[0].ratio
    assert one_seed is not None
    assert (one_seed.low, one_seed.high) == (None, None)
    with pytest.raises(ValueError, match="each arm"):
        multipliers([], arm([1.0]), [0.4])


def test_the_entropy_law_is_least_squares_on_exp_h():
    rng = np.random.default_rng(7)
    entropy = np.linspace(0.9, 0.3, 12)
    score = 0.9 - 0.3 * np.exp(entropy) + 0.01 * rng.normal(size=12)
    law = fit_entropy_law(entropy, score, [0.5, 0.1])
    line = stats.linregress(np.exp(entropy), score)
    reach = stats.t.ppf(0.975, 10) * line.stderr
    assert law.a == pytest.approx(-line.slope)
    assert (law.a_low, law.a_high) == pytest.approx((-line.slope - reach, -line.slope + reach))
    assert law.ceiling.value == pytest.approx(line.intercept + line.slope)
    assert [p.is_extrapolated for p in law.predictions] == [False, True]
    assert law.ceiling.is_extrapolated


@pytest.mark.parametrize(
    ("entropy", "score", "message"),
    [
        ([0.1] * 4, [0.1] * 4, "5 pairs"),
        ([0.5] * 6, [0.1] * 6, "alike"),
        ([-0.1, 0.2, 0.3, 0.4, 0.5], [0.1] * 5, "negative"),
    ],
)
def test_what_holds_no_entropy_law_is_refused(entropy, score, message: str):
    with pytest.raises(ValueError, match=message):
        fit_entropy_law(entropy, score)


def test_intervals_cover_and_the_table_of_identifiability_holds():
    part = coverage_part("scaling")
    rows = [r for make in (part.forecast_rows, part.entropy_rows, part.multiplier_rows)
            for r in make(num_worlds=10, seed=5)]  # fmt: skip
    honest = [r for r in rows if "bootstrap" not in r.estimator]
    assert min(r.num_covered / r.num_worlds for r in honest) >= 0.7
    alone = [r for r in part.sigmoid_rows(num_worlds=10, seed=6) if "carries" not in r.world]
    assert min(r.num_covered / r.num_worlds for r in alone) >= 0.7
    table = [line.split(" | ") for line in part.identifiability(num_worlds=8, seed=7)]
    named = {row[0]: row[3] for row in table}
    assert (named["0.5 C_mid"], named["1 C_mid"], named["8 C_mid"]) == ("0.0%", "0.0%", "100.0%")
