"""The sigmoid law of a score over compute, what the data say of its asymptote, and forecasts.

`R(C) = R0 + (A - R0) / (1 + (C_mid/C)^B)` (Khatri et al. 2025, arXiv:2510.13786, eq. 1), least
squares.  For given C_mid and B it is linear in R0 and A, so a grid over those two with the rest in
closed form holds the whole likelihood: the fit, the profile of every parameter and the range of
every prediction are read from one region, with no local optimum and no covariance matrix, which
knows nothing of asymptotes still out of sight.

Not in the intervals: training seeds (fit each, see `multiplier`), and noise that carries over from
one evaluation to the next, of which `residual_lag1` warns.

Axes: N evaluations, G grid points, M forecasts.
"""

from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from proofloop.core.record import Record
from proofloop.measure.estimators.interval import LEVEL
from proofloop.measure.estimators.sigmoid import Range, Region, curve, region_of

Floats = NDArray[np.float64]

MIN_POINTS = 6
"""Four parameters and two left for the noise."""
MOST_CARRIED = 0.3
"""Of 20 evaluations with independent noise 1 run in 100 or so shows more."""


FLAT = "a flat line fits as well: no gain beyond noise"


class Identified(StrEnum):
    """What may be claimed of the asymptote."""

    NO = "not identified"
    ROUGHLY = "identified"
    """The run went beyond 2 C_mid and the profile closes on both sides."""
    PRECISELY = "identified, 0.02 may be claimed where the interval says so"
    """Beyond 4 C_mid too."""


class Bounds(Record):
    """A fitted parameter with its profile likelihood interval; an end the data leave open is
    None."""

    value: float
    low: float | None
    high: float | None


class Point(Record):
    """One value of a profile."""

    asymptote: float
    loglik: float
    """Relative to the best, 0 or below; the 95% interval is where it exceeds `bar`."""


class SigmoidFit(Record):
    start: Bounds
    """R0."""
    asymptote: Bounds
    """A."""
    midpoint: Bounds
    """C_mid, in the unit of compute given."""
    steepness: Bounds
    """B."""
    noise: float
    """Residual standard deviation."""
    residual_lag1: float | None
    """Correlation of neighbouring residuals; above 0.3 the intervals are too narrow, and nothing
    counts as identified."""
    identified: Identified
    why_not: str | None
    profile: tuple[Point, ...]
    bar: float
    last_compute: float
    num_points: int


class Prediction(Record):
    compute: float
    predicted: float
    low: float
    high: float
    """Where a new evaluation falls with 95%: range of the curve and noise together."""
    actual: float | None
    """None where nothing was held out at this compute."""


class Forecast(Record):
    fit: SigmoidFit
    """Of the first part alone."""
    predictions: tuple[Prediction, ...]
    mean_miss: float
    """Actual minus predicted, mean over the held-out part."""
    largest_miss: float
    share_inside: float
    """Of the held-out evaluations within their intervals; they share one curve, so this is not
    95% of any one run."""


def score_at(
    compute: ArrayLike, *, start: float, asymptote: float, midpoint: float, steepness: float
) -> Floats:
    """The law itself, for figures and simulated worlds."""
    share = curve(np.log(np.asarray(compute, np.float64)), float(np.log(midpoint)), steepness)
    return start + (asymptote - start) * share


def fit_sigmoid(
    compute_N: ArrayLike,
    score_N: ArrayLike,
    *,
    start: float | None = None,
    floor: float = 0.0,
    ceiling: float = 1.0,
) -> SigmoidFit:
    """Least squares with profile likelihood intervals and a verdict on the asymptote.

    `start` fixes R0 where it was measured by itself (a base model's score); `floor` and `ceiling`
    are the smallest and largest possible scores: an end of A's interval beyond them is open.
    Leave early evaluations out before the call if they are noisier than the rest.  The interval of
    a parameter is where `RSS <= RSS_min (1 + F(1, N-p) / (N-p))`
    (Bates & Watts 1988, section 6.1).  Identified asks for the rules found by simulation (no
    asymptote before 2 C_mid, no claim of 0.02 before 4 C_mid, both by C_mid's upper end) and for a
    profile closed on both sides below the ceiling.
    In runs of 20 evaluations that end at 0.5 to 8 C_mid (bench/coverage/scaling.py) the intervals
    hold A, C_mid and B 95-100% of times, R0 93-97%; none that end at C_mid or before pass for
    identified, of those at 2 C_mid 1%, at 4 C_mid nearly all.  Where noise carries over from one
    evaluation to the next by 0.3, A is held 85% of times, by 0.6 71%; of 20 evaluations the
    residuals show that in one run of eight only, so space evaluations far apart.
    Raises ValueError for fewer than six evaluations, compute that is not positive, or scores above
    the ceiling or missing.
    """
    return _fit(_region(compute_N, score_N, start, floor, ceiling))


def _fit(region: Region) -> SigmoidFit:
    last = float(region.log_compute_N.max())
    asymptote, midpoint = region.asymptotes(), region.midpoints()
    residual_N = region.score_N - region.best_curve(region.log_compute_N)
    carried = _lag1(residual_N)
    why_not = _why_not(region, asymptote, midpoint, last)
    if why_not is None and carried is not None and carried > MOST_CARRIED:
        why_not = f"neighbouring residuals agree ({carried:.2f}): the intervals are too narrow"
    identified = Identified.ROUGHLY if why_not is None else Identified.NO
    if why_not is None and midpoint.high is not None and last >= midpoint.high + np.log(4):
        identified = Identified.PRECISELY
    limit, least = region.limit, region.least
    return SigmoidFit(
        start=_bounds(region.starts()),
        asymptote=_bounds(asymptote),
        midpoint=_exp(midpoint),
        steepness=_exp(region.bends()),
        noise=region.noise,
        residual_lag1=carried,
        identified=identified,
        why_not=why_not,
        profile=tuple(Point(asymptote=a, loglik=v) for a, v in region.profile()),
        bar=-0.5 * len(region.score_N) * float(np.log(limit / least)),
        last_compute=float(np.exp(last)),
        num_points=len(region.score_N),
    )


def forecast(
    compute_N: ArrayLike,
    score_N: ArrayLike,
    *,
    fit_up_to: float,
    start: float | None = None,
    floor: float = 0.0,
    ceiling: float = 1.0,
) -> Forecast:
    """Fit the evaluations with compute <= `fit_up_to`, predict the others, and say by how much the
    prediction missed.

    A prediction's range is that of all curves in the likelihood region, plus noise as seen in the
    fitted part.  Raises ValueError as `fit_sigmoid` does, and where nothing is held out.
    """
    compute, score = np.asarray(compute_N, np.float64), np.asarray(score_N, np.float64)
    seen_N = compute <= fit_up_to
    if seen_N.all():
        raise ValueError(f"no evaluation beyond compute {fit_up_to:g}: nothing is held out")
    region = _region(compute[seen_N], score[seen_N], start, floor, ceiling)
    ahead = _predicted(region, compute[~seen_N])
    actual = score[~seen_N]
    filled = tuple(
        msgspec.structs.replace(p, actual=float(a)) for p, a in zip(ahead, actual, strict=True)
    )
    miss = np.array([a - p.predicted for p, a in zip(ahead, actual, strict=True)])
    inside = [p.low <= a <= p.high for p, a in zip(ahead, actual, strict=True)]
    return Forecast(
        fit=_fit(region),
        predictions=filled,
        mean_miss=float(miss.mean()),
        largest_miss=float(miss[np.abs(miss).argmax()]),
        share_inside=float(np.mean(inside)),
    )


def predict(
    compute_N: ArrayLike,
    score_N: ArrayLike,
    at_M: ArrayLike,
    *,
    start: float | None = None,
    floor: float = 0.0,
    ceiling: float = 1.0,
) -> tuple[Prediction, ...]:
    """Predicted evaluations at new compute; raises ValueError as `fit_sigmoid` does."""
    region = _region(compute_N, score_N, start, floor, ceiling)
    return _predicted(region, np.asarray(at_M, np.float64))


def _predicted(region: Region, at: Floats) -> tuple[Prediction, ...]:
    noise = region.noise * float(stats.t.ppf((1 + LEVEL) / 2, region.num_free))
    predictions: list[Prediction] = []
    for log_compute, value in zip(np.log(at), region.best_curve(np.log(at)), strict=True):
        low, high = region.curve_range(float(log_compute))
        predictions.append(
            Prediction(
                compute=float(np.exp(log_compute)),
                predicted=float(value),
                low=float(value - np.hypot(value - low, noise)),
                high=float(value + np.hypot(high - value, noise)),
                actual=None,
            )
        )
    return tuple(predictions)


def _region(
    compute_N: ArrayLike, score_N: ArrayLike, start: float | None, floor: float, ceiling: float
) -> Region:
    log_compute_N, scores_N = _checked(compute_N, score_N, ceiling)
    return region_of(log_compute_N, scores_N, start=start, floor=floor, ceiling=ceiling)


def _checked(compute_N: ArrayLike, score_N: ArrayLike, ceiling: float) -> tuple[Floats, Floats]:
    compute, score = np.asarray(compute_N, np.float64), np.asarray(score_N, np.float64)
    if compute.ndim != 1 or compute.shape != score.shape:
        raise ValueError(f"{compute.size} values of compute for {score.size} scores")
    if compute.size < MIN_POINTS or np.unique(compute).size < MIN_POINTS:
        raise ValueError(f"a sigmoid needs {MIN_POINTS} evaluations at different compute, "
                         f"got {np.unique(compute).size}")  # fmt: skip
    if not (np.isfinite(compute) & (compute > 0)).all():
        raise ValueError("compute must be positive: the law is in its logarithm")
    if not (np.isfinite(score) & (score <= ceiling)).all():
        raise ValueError(f"scores must be numbers not above the ceiling {ceiling:g}")
    order = np.argsort(compute, kind="stable")
    return np.log(compute[order]), score[order]


def _why_not(region: Region, asymptote: Range, midpoint: Range, last: float) -> str | None:
    if region.is_flat:
        return FLAT
    if asymptote.high is None or asymptote.low is None:
        return "the profile over A does not close: it may lie as far as scores go"
    if midpoint.high is None:
        return "C_mid has no upper end: the run may not have come to its middle"
    if last < midpoint.high + np.log(2):
        reached = float(np.exp(last - midpoint.value))
        sure = float(np.exp(last - midpoint.high))
        return f"the run ends at {reached:.2g} C_mid, for sure only {sure:.2g}; 2 are needed"
    return None


def _bounds(found: Range) -> Bounds:
    return Bounds(value=found.value, low=found.low, high=found.high)


def _exp(found: Range) -> Bounds:
    low = None if found.low is None else float(np.exp(found.low))
    high = None if found.high is None else float(np.exp(found.high))
    return Bounds(value=float(np.exp(found.value)), low=low, high=high)


def _lag1(residual_N: Floats) -> float | None:
    spread = float(residual_N @ residual_N)
    if spread < 1e-24:
        return None
    return float(residual_N[1:] @ residual_N[:-1]) / spread
