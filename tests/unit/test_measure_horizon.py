"""Horizons, surfaces and the null of independent steps against hand-worked numbers, a second naive
implementation and worlds whose truth is known."""

import math

import numpy as np
import pytest
from coverage_rows import coverage_part
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats

from proofloop.measure.estimators import clusters, glm
from proofloop.measure.estimators.compounding import compounding
from proofloop.measure.estimators.frailty import FrailtyMark, fit_frailty
from proofloop.measure.estimators.horizon import (
    HorizonLink,
    Reach,
    Shape,
    fit_horizons,
)
from proofloop.measure.estimators.metr import metr_horizons
from proofloop.measure.estimators.surface import fit_surface, movement

FAST = {"num_resamples": 100}


def failure_rate(eta, link: glm.Link):
    return 1 - np.exp(-np.exp(eta)) if link is glm.Link.CLOGLOG else 1 / (1 + np.exp(-eta))


def minus_loglik(coefs, design, passed, failed, link, ridge=0.0):
    """Straight from the definition, for a general optimiser."""
    rate = np.clip(failure_rate(design @ coefs, link), 1e-300, 1 - 1e-16)
    return -(failed @ np.log(rate) + passed @ np.log1p(-rate)) + 0.5 * ridge * coefs[-1] ** 2


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(list(glm.Link)))
def test_fits_equal_those_of_a_general_optimiser(seed: int, link: glm.Link):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=12)
    total = rng.integers(1, 9, 12)
    failed = rng.binomial(total, failure_rate(0.4 + rng.normal() * x, link)).astype(float)
    design = np.column_stack([np.ones(12), x])
    fit = glm.fit(design, (total - failed)[None], failed[None], link=link)
    assume(fit.finite_B[0])
    naive = optimize.minimize(
        minus_loglik, [0.0, 0.0], (design, total - failed, failed, link), method="Nelder-Mead",
        options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4000},
    )  # fmt: skip
    assert -fit.logliks_B[0] <= naive.fun + 1e-7
    assert fit.coefs_BP[0] == pytest.approx(naive.x, abs=2e-3)


@pytest.mark.parametrize("link", list(glm.Link))
def test_derivatives_are_those_of_the_log_likelihood(link: glm.Link):
    eta, step = np.linspace(-6, 3, 19), 1e-5
    for passed, failed in ((1.0, 0.0), (0.0, 1.0), (3.0, 2.0)):
        value, slope, bend = glm.derivatives(eta, np.full(19, passed), np.full(19, failed), link)
        ends = [glm.derivatives(eta + d, np.full(19, passed), np.full(19, failed), link)
                for d in (-step, step)]  # fmt: skip
        assert slope == pytest.approx((ends[1][0] - ends[0][0]) / (2 * step), abs=1e-6)
        assert bend == pytest.approx(-(ends[1][1] - ends[0][1]) / (2 * step), abs=1e-6)
        assert value[3] == pytest.approx(
            -minus_loglik(
                np.array([eta[3]]), np.ones((1, 1)), np.array([passed]), np.array([failed]), link
            )
        )


def test_resamples_fitted_together_equal_those_fitted_alone():
    rng = np.random.default_rng(2)
    design = np.column_stack([np.ones(30), rng.normal(size=30)])
    counts_BU = rng.binomial(8, 0.4, size=(20, 30)).astype(float)
    together = glm.fit(design, counts_BU, 8 - counts_BU, link=glm.Link.CLOGLOG)
    for number, counts in enumerate(counts_BU):
        alone = glm.fit(design, counts[None], 8 - counts[None], link=glm.Link.CLOGLOG)
        assert alone.coefs_BP[0] == pytest.approx(together.coefs_BP[number], abs=1e-7)


def test_separated_data_have_no_finite_fit():
    x = np.arange(8.0)
    design = np.column_stack([np.ones(8), x])
    passed = np.where(x < 4, 5.0, 0.0)
    for link in glm.Link:
        assert not glm.fit(design, passed[None], 5 - passed[None], link=link).finite_B[0]
    passed[4] = 1.0  # one attempt out of place joins the two sides
    passed[3] = 4.0
    for link in glm.Link:
        assert glm.fit(design, passed[None], 5 - passed[None], link=link).finite_B[0]


def test_columns_that_depend_on_each_other_are_refused():
    with pytest.raises(ValueError, match="depend"):
        glm.fit(np.ones((4, 2)), np.ones((1, 4)), np.ones((1, 4)), link=glm.Link.LOGIT)


def test_two_lengths_are_fitted_exactly():
    """6 of 8 at length 1 and 2 of 8 at length 4: two parameters go through both."""
    fits = fit_horizons([1, 4], [8, 8], [6, 2], **FAST)
    logit = fits.of(HorizonLink.LOGIT)
    assert logit.slope is not None
    assert logit.slope.value == pytest.approx(2 * math.log(3) / math.log(4))
    assert logit.horizons[0].length is not None
    assert logit.horizons[0].length.value == pytest.approx(2.0)
    weibull = fits.of(HorizonLink.CLOGLOG)
    kappa = math.log(math.log(0.25) / math.log(0.75)) / math.log(4)
    assert weibull.slope is not None
    assert weibull.slope.value == pytest.approx(kappa)
    assert weibull.horizons[0].length is not None
    assert weibull.horizons[0].length.value == pytest.approx(
        (math.log(0.5) / math.log(0.75)) ** (1 / kappa)
    )


def test_a_constant_hazard_needs_one_length_only():
    """7 of 10 at length 5: hazard -log(0.7)/5, half-life 5 log 2 / -log 0.7."""
    fits = fit_horizons([5, 5], [5, 5], [4, 3], **FAST)
    assert fits.of(HorizonLink.LOGIT).shape is Shape.ONE_LENGTH
    exponential = fits.of(HorizonLink.EXPONENTIAL)
    assert exponential.shape is Shape.FITTED
    length = exponential.horizons[0].length
    assert length is not None
    assert length.value == pytest.approx(5 * math.log(2) / -math.log(0.7))
    assert exponential.horizons[0].reach is Reach.LONGER


@pytest.mark.parametrize(
    ("passed", "shape", "reach"),
    [
        ([4, 4, 4, 4], Shape.ALL_PASSED, Reach.LONGER),
        ([0, 0, 0, 0], Shape.ALL_FAILED, Reach.SHORTER),
        ([4, 4, 0, 0], Shape.SEPARATED, Reach.UNDEFINED),
        ([4, 2, 0, 0], Shape.SEPARATED, Reach.UNDEFINED),
        ([0, 0, 4, 4], Shape.NOT_FALLING, Reach.UNDEFINED),
        ([1, 2, 3, 3], Shape.NOT_FALLING, Reach.UNDEFINED),
    ],
)
def test_what_cannot_be_fitted_comes_back_marked(passed: list[int], shape: Shape, reach: Reach):
    fit = fit_horizons([1, 2, 4, 8], [4, 4, 4, 4], passed, **FAST).of(HorizonLink.LOGIT)
    assert fit.shape is shape
    assert (fit.slope, fit.aic) == (None, None)
    assert [h.reach for h in fit.horizons] == [reach] * 3
    assert all(h.length is None for h in fit.horizons)


def test_horizons_beyond_the_tasks_are_marked():
    rng = np.random.default_rng(1)
    length = np.tile([4.0, 8.0, 16.0, 32.0], 20)
    passed = rng.binomial(8, np.exp(-length / 20))
    fit = fit_horizons(length, np.full(80, 8), passed, successes=(0.99, 0.5, 0.001), **FAST)
    weibull = fit.of(HorizonLink.CLOGLOG)
    reaches = [Reach.SHORTER, Reach.INSIDE, Reach.LONGER]
    assert [h.reach for h in weibull.horizons] == reaches


@pytest.mark.parametrize(
    ("lengths", "total", "passed"),
    [
        ([1, 0], [4, 4], [1, 1]),
        ([1], [4, 4], [1, 1]),
        ([1, 2], [4, 4], [5, 1]),
        ([1, math.inf], [4, 4], [1, 1]),
        ([], [], []),
        ([1, 2], [4, 0], [1, 0]),
    ],
)
def test_impossible_counts_and_lengths_are_refused(lengths, total, passed):
    with pytest.raises(ValueError):
        fit_horizons(lengths, total, passed)


def test_the_true_link_has_the_lowest_aic_and_dispersion_shows_hidden_difficulty():
    rng = np.random.default_rng(3)
    length = np.exp(rng.uniform(0, 6, 400))
    even = rng.binomial(8, np.exp(-((length / 40) ** 0.6)))
    plain = fit_horizons(length, np.full(400, 8), even, **FAST)
    assert plain.best is not None
    assert plain.best.link is HorizonLink.CLOGLOG
    assert plain.dispersion == pytest.approx(1.0, abs=0.25)
    hidden = rng.binomial(8, np.exp(-(length * np.exp(rng.normal(size=400)) / 40)))
    varied = fit_horizons(length, np.full(400, 8), hidden, **FAST)
    assert varied.dispersion is not None
    assert varied.dispersion > 1.5


def test_families_widen_and_nesting_widens_more():
    rng = np.random.default_rng(4)
    family = np.repeat(np.arange(40), 5)
    length = np.exp(rng.uniform(0, 6, 200))
    eta = np.log(30 / length) + 1.5 * rng.normal(size=40)[family]
    passed = rng.binomial(8, 1 / (1 + np.exp(-eta)))

    def width(**options) -> float:
        fits = fit_horizons(length, np.full(200, 8), passed, num_resamples=400, **options)
        found = fits.of(HorizonLink.LOGIT).horizons[0].length
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        return found.high - found.low

    alone = width()
    together = width(families_T=family)
    assert together > 1.2 * alone
    assert width(families_T=family, nested=True) > together


def test_metrs_horizon_is_a_weighted_logit_with_a_ridge():
    rng = np.random.default_rng(5)
    family = np.repeat(np.arange(12), [1, 2, 3, 4] * 3)
    length = 2.0 ** rng.uniform(-2, 9, family.size)
    passed = rng.binomial(4, 1 / (1 + (length / 20) ** 0.7))
    found = metr_horizons(length, np.full(family.size, 4), passed, family, num_resamples=50)
    weight = 1 / np.sqrt(np.bincount(family)[family])
    weight /= weight.sum()
    design = np.column_stack([np.ones(family.size), np.log2(length)])
    share = passed / 4
    problem = (design, weight * share, weight * (1 - share), glm.Link.LOGIT, 0.1)
    naive = optimize.minimize(
        minus_loglik, [0.0, 0.0], problem, method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-13},
    )  # fmt: skip
    assert found.horizons[0].length is not None
    assert found.horizons[0].length.value == pytest.approx(
        2 ** (-naive.x[0] / naive.x[1]), rel=1e-3
    )
    assert found.slope is not None
    assert found.slope.value == pytest.approx(naive.x[1] / math.log(2), rel=1e-3)
    assert found.aic is None


def test_weights_of_resamples_add_up_and_keep_families_whole():
    data = clusters.counts([4, 4, 4, 4], [1, 2, 3, 4], ["a", "b", "b", "a"])
    weights = clusters.drawn_weights(data, 50, np.random.default_rng(0))
    assert weights[0].tolist() == [1, 1, 1, 1]
    assert (weights[:, 0] == weights[:, 3]).all()
    assert (weights[:, 1] == weights[:, 2]).all()
    assert (weights[:, 0] + weights[:, 1] == 2).all()
    rows, row_T = clusters.rows_of(np.array([2.0, 1.0, 1.0, 2.0]))
    assert rows[:, 0].tolist() == [1, 2]
    assert clusters.summed(data.passed_T[None], row_T).tolist() == [[5, 5]]


def test_a_resample_without_a_value_opens_both_ends():
    values = np.concatenate([[1.0], np.linspace(0.5, 1.5, 90), np.full(10, np.nan)])
    found = clusters.percentile(values, num_tasks=9)
    assert found is not None
    assert (found.low, found.high) == (None, None)
    assert clusters.percentile(np.array([np.nan, 1.0]), num_tasks=9) is None


def test_frailty_is_integrated_out():
    """Against adaptive quadrature, task by task."""
    rng = np.random.default_rng(6)
    length = np.exp(rng.uniform(0, 5, 30))
    felt = length * np.exp(1.2 * rng.normal(size=30))
    passed = rng.binomial(8, np.exp(-felt / 20))
    fit = fit_frailty(length, np.full(30, 8), passed)
    assert fit.mark is FrailtyMark.FITTED
    assert fit.slope is not None
    assert fit.intercept is not None
    assert fit.sd is not None

    def loss(intercept: float, slope: float, sd: float) -> float:
        total = 0.0
        for t, c in zip(length, passed, strict=True):

            def joint(u: float, t: float = t, c: int = c) -> float:
                rate = failure_rate(intercept + slope * math.log(t) + sd * u, glm.Link.CLOGLOG)
                return stats.norm.pdf(u) * (1 - rate) ** c * rate ** (8 - c)

            total -= math.log(integrate.quad(joint, -7, 7, epsabs=0, epsrel=1e-7, limit=200)[0])
        return total

    best = loss(fit.intercept, fit.slope.value, fit.sd)
    for shift in (
        (0.05, 0, 0),
        (-0.05, 0, 0),
        (0, 0.03, 0),
        (0, -0.03, 0),
        (0, 0, 0.1),
        (0, 0, -0.1),
    ):
        assert loss(fit.intercept + shift[0], fit.slope.value + shift[1], fit.sd + shift[2]) > best
    assert fit.slope_without is not None
    assert fit.slope_without < fit.slope.value
    assert fit.p_value is not None
    assert fit.p_value < 0.01


def test_frailty_that_data_cannot_tell_is_marked():
    assert fit_frailty([1, 2, 3, 4], [1] * 4, [1, 0, 1, 0]).mark is FrailtyMark.NO_REPEATS
    assert fit_frailty([1, 2], [4, 4], [4, 4]).mark is FrailtyMark.UNFITTABLE
    assert fit_frailty([1, 2, 4], [4] * 3, [1, 2, 3]).slope is None


def grid(num: int = 10):
    axes = np.meshgrid(2.0 ** np.arange(5), np.arange(1.0, 5.0), np.arange(num), indexing="ij")
    return axes[0].ravel(), axes[1].ravel()


def drawn(steps, complexity, coefs, seed: int):
    x, y = np.log(steps) - np.log(steps).mean(), complexity - complexity.mean()
    eta = coefs[0] - coefs[1] * x - coefs[2] * y - coefs[3] * x * y
    total = np.full(steps.size, 8)
    return total, np.random.default_rng(seed).binomial(total, 1 / (1 + np.exp(-eta)))


def test_a_surface_finds_its_coefficients_and_contours():
    steps, complexity = grid(400)
    coefs = (0.3, 1.1, 0.7, 0.2)
    fit = fit_surface(steps, complexity, *drawn(steps, complexity, coefs, 1), **FAST)
    for found, true in zip((fit.b0, fit.b1, fit.b2, fit.b3), coefs, strict=True):
        assert found is not None
        assert found.value == pytest.approx(true, abs=0.05)
    contour = next(c for c in fit.contours if (c.success, c.complexity) == (0.5, 2.0))
    away = 2.0 - complexity.mean()
    log_steps = np.log(steps).mean() + (0.3 - 0.7 * away) / (1.1 + 0.2 * away)
    assert contour.steps is not None
    assert contour.steps.value == pytest.approx(math.exp(log_steps), rel=0.05)
    assert contour.reach is Reach.INSIDE


def test_movement_tells_along_which_axis_training_went():
    steps, complexity = grid(100)
    base = drawn(steps, complexity, (0.3, 1.1, 0.7, 0.0), 1)
    longer = movement(
        steps, complexity, base, drawn(steps, complexity, (0.3, 0.7, 0.7, 0.0), 2), **FAST
    )
    assert longer.along_horizon is not None
    assert longer.along_complexity is not None
    assert longer.along_horizon.value == pytest.approx(-0.4, abs=0.1)
    assert not longer.along_horizon.includes_zero
    assert longer.along_complexity.includes_zero
    same = movement(steps, complexity, base, base, **FAST)
    assert same.level is not None
    assert (same.level.value, same.level.low, same.level.high) == (0, 0, 0)


def test_surfaces_that_cannot_be_fitted_are_refused():
    steps, complexity = grid(4)
    total = np.full(steps.size, 4)
    assert "every attempt passed" in str(fit_surface(steps, complexity, total, total).refusal)
    apart = np.where(np.log(steps) + complexity < 3.9, 4, 0)
    refused = fit_surface(steps, complexity, total, apart)
    assert "plane" in str(refused.refusal)
    assert (refused.b1, refused.contours) == (None, ())
    mixed = drawn(steps, complexity, (0, 1, 0, 0), 1)
    flat = fit_surface(steps, np.ones(steps.size), *mixed)
    assert "two values" in str(flat.refusal)
    moved = movement(steps, complexity, (total, total), (total, apart))
    assert str(moved.refusal).startswith("base: every attempt passed")
    with pytest.raises(ValueError, match="positive"):
        fit_surface([0, 1], [1, 2], [4, 4], [1, 1])


def test_compounding_predicts_the_power_of_the_single_step():
    """18 of 20 at one step: 0.9^3 = 0.729 at three, where 9 of 20 passed; two complexities, of
    which the other has no task of one step."""
    found = compounding([1, 1, 3, 3, 3], [1, 1, 1, 1, 2], [10] * 5, [9, 9, 4, 5, 5])
    first, other = found.cells
    assert first.observed == pytest.approx(0.45)
    assert first.predicted == pytest.approx(0.729)
    assert first.deviation is not None
    assert first.deviation.value == pytest.approx(0.45 - 0.729)
    assert (other.predicted, other.deviation) == (None, None)
    assert found.net_deviation is not None
    assert found.net_deviation.value == pytest.approx(0.45 - 0.729)


def test_cells_that_deviate_both_ways_are_told_where_their_mean_is_none():
    """Half of one step passes: 1/4 at two, where half pass, and 1/8 at three, where none do, on so
    many tasks that the mean of +1/4 and -1/8 is 0."""
    few, many = 20, 40
    single, above, below = (
        ([10] * few, [5] * few),
        ([10] * few, [5] * few),
        ([10] * many, [0] * many),
    )
    steps = [1] * few + [2] * few + [3] * many
    columns = [[*single[i], *above[i], *below[i]] for i in (0, 1)]
    found = compounding(steps, [1] * len(steps), *columns)
    assert found.net_deviation is not None
    assert found.net_deviation.value == pytest.approx(0)
    assert found.both_ways is not None
    assert [cell.steps for cell in found.both_ways] == [2, 3]
    alike = compounding(steps[: 2 * few], [1] * (2 * few), *(c[: 2 * few] for c in columns))
    assert alike.both_ways is None


def test_compounding_marks_what_a_power_cannot_tell():
    solved = compounding([1, 1, 4, 4], [1] * 4, [5] * 4, [5, 5, 3, 4])
    assert solved.cells[0].predicted is None
    assert solved.net_deviation is None
    none_pass = compounding([1, 1, 8, 8], [1] * 4, [5] * 4, [3, 4, 0, 0]).cells[0].deviation
    assert none_pass is not None
    assert none_pass.high is not None
    # Two tasks without a pass leave a share of up to 78% that would have had some.
    assert none_pass.high > 0.7
    with pytest.raises(ValueError, match="one step"):
        compounding([2, 4], [1, 1], [5, 5], [3, 2])
    with pytest.raises(ValueError, match="whole"):
        compounding([1, 1.5], [1, 1], [5, 5], [3, 2])


def test_kappa_sees_errors_that_beget_errors():
    steps, complexity = grid(40)
    total = np.full(steps.size, 8)
    for kappa in (1.0, 1.4):
        rate = np.exp(-0.05 * complexity * steps**kappa)
        passed = np.random.default_rng(7).binomial(total, rate)
        found = compounding(steps, complexity, total, passed, num_resamples=200).kappa
        assert found is not None
        assert found.value == pytest.approx(kappa, abs=0.1)


def test_intervals_cover_in_small_simulations():
    part = coverage_part("horizon")
    found = [*part.weibull_rows(num_worlds=12, seed=11), *part.family_rows(num_worlds=12, seed=12)]
    shares = {(r.estimator, r.world, r.target): r.num_covered / r.num_worlds for r in found}
    right = {
        key: share
        for key, share in shares.items()
        if "cloglog" in key[2] or key[2] == "kappa" or "families" in key[0].split(",")[-1]
    }
    assert len(right) >= 12
    assert min(right.values()) >= 0.7
    wrong_link = shares["horizon.fit_horizons", "kappa 1, 230 tasks x 8 runs", "h99 by logit"]
    assert wrong_link < 0.2


def test_surface_and_compounding_cover_in_small_simulations():
    part = coverage_part("horizon")
    found = [
        *part.surface_rows(num_worlds=12, seed=13),
        *part.compounding_rows(num_worlds=12, seed=14),
    ]
    assert min(r.num_covered / r.num_worlds for r in found) >= 0.7


def test_frailty_undoes_the_bias_of_kappa():
    part = coverage_part("horizon")
    rows = list(part.frailty_rows(num_worlds=6, seed=15))
    shares = {(r.estimator, r.world): r.num_covered / r.num_worlds for r in rows}
    world = str(part.Weibull(kappa=1.0, frailty=1.0))
    assert shares["frailty.fit_frailty", world] >= 0.6
    assert shares["horizon.fit_horizons", world] <= 0.2


def test_statsmodels_agrees():
    api = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(8)
    length = np.exp(rng.uniform(0, 6, 80))
    passed = rng.binomial(8, np.exp(-((length / 40) ** 0.7)))
    design = np.column_stack([np.ones(80), np.log(length)])
    links = {
        HorizonLink.LOGIT: api.families.links.Logit(),
        HorizonLink.CLOGLOG: api.families.links.CLogLog(),
    }
    fits = fit_horizons(length, np.full(80, 8), passed, **FAST)
    for link, theirs in links.items():
        model = api.GLM(
            np.column_stack([8 - passed, passed]), design, api.families.Binomial(theirs)
        )
        params = model.fit().params
        fit = fits.of(link)
        assert fit.slope is not None
        assert (fit.intercept, fit.slope.value) == pytest.approx(tuple(params), rel=1e-5)
