"""The length of task that a policy masters with a given chance: one family of regressions.

All fits of the literature are binomial regressions of failure on log length t with another link:

| link | success | slope |
|---|---|---|
| logit (METR, arXiv:2503.14499, section 4) | 1 / (1 + (t/h50)^b) | b |
| cloglog: Weibull survival (Hamilton 2026) | exp(-(t/s)^kappa) | kappa |
| exponential: constant hazard (Ord, arXiv:2505.05115) | exp(-t/s) | kappa = 1, not fitted |

Links that agree at h50 differ by factors at h99: on a constant hazard over 230 tasks x 8 runs the
logit's h99 is about three times too long (`bench/coverage/horizon.py`).  So all are fitted, the
likelihood compares them, and a horizon beyond the tasks' lengths is marked: there the link speaks,
not the data.  kappa < 1 on lengths that are themselves estimates (human minutes) is no evidence of
a falling hazard: hidden differences of difficulty alone bring it about; see `frailty`.

Axes: T tasks, U distinct lengths, B resamples.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from proofloop.core.record import Record
from proofloop.measure.estimators import clusters, glm
from proofloop.measure.estimators.interval import Interval

Floats = NDArray[np.float64]

NUM_RESAMPLES = 1000
SUCCESSES = (0.5, 0.8, 0.99)


class HorizonLink(StrEnum):
    LOGIT = "logit"
    CLOGLOG = "cloglog"
    EXPONENTIAL = "exponential"


class Reach(StrEnum):
    """Where a horizon lies: the mark that its figure must carry."""

    INSIDE = "inside the data"
    SHORTER = "shorter than any task"
    LONGER = "longer than any task"
    UNDEFINED = "not defined"


class Shape(StrEnum):
    """Whether the data allow a fit at all."""

    FITTED = "fitted"
    ALL_PASSED = "every attempt passed: the horizon is longer than any task"
    ALL_FAILED = "every attempt failed: the horizon is shorter than any task"
    SEPARATED = "all shorter tasks passed, all longer failed: the slope has no bound"
    NOT_FALLING = "success does not fall with length"
    ONE_LENGTH = "all tasks are of one length"


class Horizon(Record):
    """The length at which an attempt succeeds with chance `success`."""

    success: float
    length: Interval | None
    """In the unit of the lengths given; an end that the data leave open is None."""
    reach: Reach


class HorizonFit(Record):
    """One link.  Figures are None unless `shape` is FITTED."""

    link: HorizonLink
    shape: Shape
    intercept: float | None
    """Of the failure's linear predictor `intercept + slope * log(length)`."""
    slope: Interval | None
    """kappa under cloglog; exactly 1 under exponential, which fits none."""
    aic: float | None
    """`2 P - 2 log L`, without the binomial coefficients common to all links.  None for weighted
    fits, whose weights are no counts."""
    qaic: float | None
    """`2 P - 2 log L / dispersion` (Burnham & Anderson 2002, eq. 2.41): what to compare links by
    where tasks of one length differ, which makes AIC's differences too large."""
    horizons: tuple[Horizon, ...]


class HorizonFits(Record):
    """All links on the same tasks."""

    fits: tuple[HorizonFit, ...]
    dispersion: float | None
    """Pearson's chi² over its degrees of freedom under the best link, not below 1; well above 1,
    tasks of one length differ in difficulty and `frailty` has more to say."""
    shortest: float
    longest: float
    num_tasks: int
    num_families: int

    def of(self, link: HorizonLink) -> HorizonFit:
        return next(fit for fit in self.fits if fit.link is link)

    @property
    def best(self) -> HorizonFit | None:
        """The link of the lowest QAIC; differences below about 2 say nothing."""
        fitted = [f for f in self.fits if f.qaic is not None]
        return min(fitted, key=lambda f: f.qaic or 0.0) if fitted else None


def fit_horizons(
    lengths_T: ArrayLike,
    num_samples_T: ArrayLike,
    num_passed_T: ArrayLike,
    *,
    families_T: ArrayLike | None = None,
    links: Sequence[HorizonLink] = tuple(HorizonLink),
    successes: Sequence[float] = SUCCESSES,
    nested: bool = False,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> HorizonFits:
    """Horizons under each link, with intervals from resampled families (or tasks, without them).

    Intervals are percentiles over resamples of the outermost unit, see `clusters`, and speak of
    tasks like these.  In worlds of kappa 1 and 0.6 (bench/coverage/horizon.py) they hold kappa and
    the horizons of the right link 92-96% of times with 230 tasks x 8 runs, 91-95% with 60 tasks x 4
    runs; with fewer than about 30 units expect less.  Not so under a wrong link: the logit's
    interval of h50 then holds the truth 5% of times, of h99 1%.
    Raises ValueError for counts that are impossible and lengths that are not positive; all passed,
    all failed, separated or rising data come back marked, without figures.
    """
    data = clusters.counts(num_samples_T, num_passed_T, families_T)
    lengths = checked_lengths(lengths_T, data.num_tasks)
    rows_US, row_T = clusters.rows_of(np.log(lengths))
    rng = np.random.default_rng(seed)
    if nested:
        passed_BT, failed_BT = clusters.nested_counts(data, num_resamples, rng)
    else:
        weights_BT = clusters.drawn_weights(data, num_resamples, rng)
        passed_BT, failed_BT = weights_BT * data.passed_T, weights_BT * data.failed_T
    passed_BU = clusters.summed(passed_BT, row_T)
    failed_BU = clusters.summed(failed_BT, row_T)
    shape = shape_of(rows_US[:, 0], passed_BU[0], failed_BU[0])
    fits = [fit_link(rows_US[:, 0], passed_BU, failed_BU, k, shape, data, successes)
            for k in links]  # fmt: skip
    dispersion = _dispersion(fits, np.log(lengths), data)
    return HorizonFits(
        fits=tuple(_with_qaic(fit, dispersion) for fit in fits),
        dispersion=dispersion,
        shortest=float(lengths.min()),
        longest=float(lengths.max()),
        num_tasks=data.num_tasks,
        num_families=data.num_families,
    )


def shape_of(log_length_U: Floats, passed_U: Floats, failed_U: Floats) -> Shape:
    """Whether one slope can be fitted; exact, since with one axis separation is a threshold."""
    if not failed_U.any():
        return Shape.ALL_PASSED
    if not passed_U.any():
        return Shape.ALL_FAILED
    if np.ptp(log_length_U[passed_U + failed_U > 0]) == 0:
        return Shape.ONE_LENGTH
    passes, fails = log_length_U[passed_U > 0], log_length_U[failed_U > 0]
    if fails.min() >= passes.max():
        return Shape.SEPARATED
    if fails.max() <= passes.min():
        return Shape.NOT_FALLING
    return Shape.FITTED


def checked_lengths(lengths_T: ArrayLike, num_tasks: int) -> Floats:
    lengths = np.asarray(lengths_T, np.float64)
    if lengths.shape != (num_tasks,):
        raise ValueError(f"{lengths.size} lengths for {num_tasks} tasks")
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("lengths must be positive numbers: the fit is on their logarithm")
    return lengths


def _link_of(link: HorizonLink) -> glm.Link:
    return glm.Link.LOGIT if link is HorizonLink.LOGIT else glm.Link.CLOGLOG


def fit_link(
    log_length_U: Floats,
    passed_BU: Floats,
    failed_BU: Floats,
    link: HorizonLink,
    shape: Shape,
    data: clusters.Counts,
    successes: Sequence[float],
    ridge_P: Floats | None = None,
) -> HorizonFit:
    """One link on counts whose first row are the data and whose others are resamples."""
    # A slope fixed at 1 needs no second length and cannot rise.
    fixed = link is HorizonLink.EXPONENTIAL
    loose = (Shape.SEPARATED, Shape.NOT_FALLING, Shape.ONE_LENGTH)
    if fixed and shape in loose:
        shape = Shape.FITTED
    if shape is not Shape.FITTED:
        return _marked(link, shape, successes)
    ones_U = np.ones_like(log_length_U)
    fits = glm.fit(
        ones_U[:, None] if fixed else np.column_stack([ones_U, log_length_U]),
        passed_BU,
        failed_BU,
        link=_link_of(link),
        offset_U=log_length_U if fixed else None,
        ridge_P=ridge_P,
    )
    intercept_B = fits.coefs_BP[:, 0]
    slope_B = np.ones_like(intercept_B) if fixed else fits.coefs_BP[:, 1]
    usable_B = fits.finite_B & (slope_B > 0)
    if not usable_B[0]:
        return _marked(link, Shape.NOT_FALLING, successes)
    units = {"num_tasks": data.num_tasks, "num_units": data.num_families}
    horizons: list[Horizon] = []
    for success in successes:
        target = glm.eta_of_success(success, _link_of(link))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            length_B = np.exp((target - intercept_B) / slope_B)
        length_B = np.where(usable_B, length_B, np.nan)
        length = clusters.percentile(length_B, **units)
        horizons.append(Horizon(success=success, length=length,
                                reach=_reach(length, log_length_U)))  # fmt: skip
    num_fitted = fits.coefs_BP.shape[1]
    return HorizonFit(
        link=link,
        shape=shape,
        intercept=float(intercept_B[0]),
        slope=clusters.percentile(np.where(fits.finite_B, slope_B, np.nan), **units),
        aic=2 * num_fitted - 2 * float(fits.logliks_B[0]),
        qaic=None,
        horizons=tuple(horizons),
    )


def _marked(link: HorizonLink, shape: Shape, successes: Sequence[float]) -> HorizonFit:
    reach = {Shape.ALL_PASSED: Reach.LONGER, Shape.ALL_FAILED: Reach.SHORTER}
    beyond = reach.get(shape, Reach.UNDEFINED)
    return HorizonFit(
        link=link,
        shape=shape,
        intercept=None,
        slope=None,
        aic=None,
        qaic=None,
        horizons=tuple(Horizon(success=s, length=None, reach=beyond) for s in successes),
    )


def _reach(length: Interval | None, log_length_U: Floats) -> Reach:
    if length is None:
        return Reach.UNDEFINED
    if length.value < np.exp(log_length_U.min()) * (1 - 1e-9):
        return Reach.SHORTER
    if length.value > np.exp(log_length_U.max()) * (1 + 1e-9):
        return Reach.LONGER
    return Reach.INSIDE


def _dispersion(
    fits: Sequence[HorizonFit], log_length_T: Floats, data: clusters.Counts
) -> float | None:
    """Under the link of the lowest AIC; None where nothing is fitted or no freedom is left."""
    fitted = [f for f in fits if f.aic is not None]
    num_free = data.num_tasks - 2
    if not fitted or num_free < 1:
        return None
    best = min(fitted, key=lambda f: f.aic or 0.0)
    assert best.intercept is not None
    assert best.slope is not None
    eta_T = best.intercept + best.slope.value * log_length_T
    chance_T = np.clip(glm.success_at(eta_T, _link_of(best.link)), 1e-12, 1 - 1e-12)
    total_T = data.passed_T + data.failed_T
    chi2 = ((data.passed_T - total_T * chance_T) ** 2 / (total_T * chance_T * (1 - chance_T))).sum()
    return max(1.0, float(chi2) / num_free)


def _with_qaic(fit: HorizonFit, dispersion: float | None) -> HorizonFit:
    if fit.aic is None or dispersion is None:
        return fit
    num_fitted = 1 if fit.link is HorizonLink.EXPONENTIAL else 2
    deviance = fit.aic - 2 * num_fitted
    return msgspec.structs.replace(fit, qaic=2 * num_fitted + deviance / dispersion)
