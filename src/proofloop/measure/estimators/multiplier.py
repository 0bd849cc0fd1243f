"""The compute multiplier: how much less compute a recipe needs for the same score.

`CM(P) = C_ref(P) / C_new(P)`, the horizontal distance of two learning curves at score P.  It is one
number only where both curves share asymptote and steepness, so it is a curve in P, and above the
smaller asymptote it is not defined.

Axes: S training seeds of an arm, M scores.
"""

from collections.abc import Sequence
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from proofloop.core.record import Record
from proofloop.measure.estimators.interval import LEVEL, Interval
from proofloop.measure.estimators.scaling import SigmoidFit, fit_sigmoid

Floats = NDArray[np.float64]


class MultiplierMark(StrEnum):
    INSIDE = "inside the data"
    OUTSIDE = "outside the data: a curve is read beyond a run's evaluations"
    ABOVE = "above the asymptote of a run: never reached"
    BELOW = "not above the start of a run: reached without training"


class Multiplier(Record):
    """CM at one score."""

    score: float
    ratio: Interval | None
    """None under ABOVE and BELOW; no interval unless both arms have two seeds.  `num_tasks` counts
    the seeds of both arms."""
    mark: MultiplierMark


def multipliers(
    ref: Sequence[tuple[ArrayLike, ArrayLike]],
    new: Sequence[tuple[ArrayLike, ArrayLike]],
    scores_M: ArrayLike,
    *,
    start: float | None = None,
    ceiling: float = 1.0,
) -> tuple[Multiplier, ...]:
    """CM at each score, from (compute_N, score_N) of every seed of both arms.

    Each seed's curve is fitted by itself (`fit_sigmoid`); the ratio is that of the geometric means
    of compute over seeds, its interval Welch's on the log computes.  The seed is the unit, whatever
    the number of evaluations.  Not a percentile bootstrap over seeds: with three it has only ten
    different resamples and covers about 80% (bench/coverage/scaling.py compares the two).
    Raises ValueError as `fit_sigmoid` does, and for an arm without seeds.
    """
    if not ref or not new:
        raise ValueError("a multiplier needs at least one run of each arm")
    arms = [[fit_sigmoid(c, r, start=start, ceiling=ceiling) for c, r in arm] for arm in (ref, new)]
    firsts = [[float(np.min(np.asarray(c, np.float64))) for c, _ in arm] for arm in (ref, new)]
    return tuple(_at(arms, firsts, float(p)) for p in np.asarray(scores_M, np.float64).reshape(-1))


def log_compute_at(fit: SigmoidFit, score: float) -> float | None:
    """The fitted curve read from score to log compute; None outside (R0, A)."""
    if not fit.start.value < score < fit.asymptote.value:
        return None
    share = (score - fit.start.value) / (fit.asymptote.value - score)
    return float(np.log(fit.midpoint.value) + np.log(share) / fit.steepness.value)


def _at(arms: list[list[SigmoidFit]], firsts: list[list[float]], score: float) -> Multiplier:
    fits = [fit for arm in arms for fit in arm]
    if any(score >= fit.asymptote.value for fit in fits):
        return Multiplier(score=score, ratio=None, mark=MultiplierMark.ABOVE)
    logs: list[Floats] = []
    outside = False
    for arm, first in zip(arms, firsts, strict=True):
        found = [log_compute_at(fit, score) for fit in arm]
        values = [v for v in found if v is not None]
        if len(values) < len(arm):
            return Multiplier(score=score, ratio=None, mark=MultiplierMark.BELOW)
        outside |= any(
            not np.log(low) - 1e-9 <= v <= np.log(fit.last_compute) + 1e-9
            for v, low, fit in zip(values, first, arm, strict=True)
        )
        logs.append(np.asarray(values))
    mark = MultiplierMark.OUTSIDE if outside else MultiplierMark.INSIDE
    return Multiplier(score=score, ratio=_ratio(*logs), mark=mark)


def _ratio(ref_S: Floats, new_S: Floats) -> Interval:
    log_ratio = float(ref_S.mean() - new_S.mean())
    num = len(ref_S) + len(new_S)
    if min(len(ref_S), len(new_S)) < 2:
        return Interval(value=float(np.exp(log_ratio)), low=None, high=None, num_tasks=num)
    parts = [float(arm.var(ddof=1)) / len(arm) for arm in (ref_S, new_S)]
    freedom = [p**2 / (len(arm) - 1) for p, arm in zip(parts, (ref_S, new_S), strict=True)]
    if sum(parts) < 1e-18:
        return Interval(value=float(np.exp(log_ratio)), low=None, high=None, num_tasks=num)
    quantile = stats.t.ppf((1 + LEVEL) / 2, sum(parts) ** 2 / sum(freedom))
    reach = float(quantile) * float(np.sqrt(sum(parts)))
    return Interval(
        value=float(np.exp(log_ratio)),
        low=float(np.exp(log_ratio - reach)),
        high=float(np.exp(log_ratio + reach)),
        num_tasks=num,
    )
