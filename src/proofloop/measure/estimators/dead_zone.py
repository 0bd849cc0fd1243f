"""How long a dead zone lasts: the nulls, and the slope that is compared with them.

One success logit trained by gradient ascent obeys `dp/dt = eta (p (1-p))^m`:

| objective | m | time from p0 small to a fixed p |
|---|---|---|
| plain policy gradient (maximises p) | 2 | ~ 1 / p0 |
| advantages divided by the group's spread (arcsin sqrt p) | 3/2 | ~ p0^(-1/2) |
| log-likelihood of successes (log p) | 1 | ~ log(1 / p0) |

(Davis & Recht 2025, arXiv:2510.13651, for the objectives.)  Of log p itself the equation is
`dp/dt = eta p (1-p)^2`; m = 1 is its beginning, exact for the objective logit p.  With binary
rewards nothing moves before the first success, which costs about `1 / (p0 batch)` steps more.  A
slope of log time on log p0 says which regime a run is in; a jump much sharper than its null is
evidence of a change of phase.

Axes: R runs.
"""

import functools
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, optimize, special, stats

from proofloop.core.record import Record
from proofloop.measure.estimators.interval import LEVEL, Interval

Floats = NDArray[np.float64]

_FINE = {"xatol": 1e-6, "fatol": 1e-9, "maxiter": 2000}


class Objective(StrEnum):
    PLAIN = "plain"
    STD = "std"
    LOG = "log"


def null_clock(rate: ArrayLike, objective: Objective) -> Floats:
    """F with dF/dp = (p (1-p))^(-m), so that the time from p0 to p is (F(p) - F(p0)) / eta.

    m = 1: logit p.  m = 3/2: (4p - 2) / sqrt(p (1-p)).  m = 2: 2 logit p + 1/(1-p) - 1/p.
    Raises ValueError for rates outside (0, 1): from 0 no time suffices.
    """
    p = np.asarray(rate, np.float64)
    if not ((p > 0) & (p < 1)).all():
        raise ValueError("the null's rates lie between 0 and 1, both excluded")
    logit = np.log(p) - np.log1p(-p)
    if objective is Objective.LOG:
        return logit
    if objective is Objective.STD:
        return (4 * p - 2) / np.sqrt(p * (1 - p))
    return 2 * logit + 1 / (1 - p) - 1 / p


def null_curve(time: ArrayLike, start_rate: float, eta: float, objective: Objective) -> Floats:
    """p(t) of the null from `start_rate`: its clock inverted by interpolation on logits (a relative
    error below 1e-4 of p (1-p))."""
    target = null_clock(start_rate, objective) + eta * np.asarray(time, np.float64)
    return 1 / (1 + np.exp(-np.interp(np.arcsinh(target), *_table(objective))))


@functools.cache
def _table(objective: Objective) -> tuple[Floats, Floats]:
    """arcsinh of the clock at even logits: clocks span 26 decades, and this is nearly straight."""
    logits = np.linspace(-30.0, 30.0, 24001)
    rates = np.clip(1 / (1 + np.exp(-logits)), 1e-300, 1 - 1e-13)
    return np.arcsinh(null_clock(rates, objective)), logits


def null_time(
    start_rates_R: ArrayLike,
    objective: Objective,
    *,
    target: float = 0.5,
    eta: float = 1.0,
    batch: float | None = None,
) -> Floats:
    """Steps to reach `target`, with the discovery cost 1 / (p0 batch) where a batch is given."""
    rate_R = np.asarray(start_rates_R, np.float64)
    time_R = (null_clock(target, objective) - null_clock(rate_R, objective)) / eta
    return time_R if batch is None else time_R + 1 / (rate_R * batch)


def group_time(
    start_rates_R: ArrayLike,
    objective: Objective,
    *,
    group: int,
    target: float = 0.5,
    eta: float = 1.0,
) -> Floats:
    """Steps of `eta` to reach `target` where each is taken from one group of so many attempts.

    The null with what is waited for and lost in finite groups: over s ~ Binomial(G, p) / G,
    `d logit p / dt = eta E[s (1-s) / scale(s)]` with the scale 1, sqrt(s (1-s)) or s; groups that
    all fail or all pass move nothing.  For large G it is `null_time`, but for log p, whose last
    factor 1-p it keeps.  Where G p is below 1 all three objectives become the plain one.
    Integrated over logits (trapezoids of 0.01).
    """
    successes = np.arange(1, group)
    share = successes / group
    scales = {
        Objective.PLAIN: np.ones_like(share),
        Objective.STD: np.sqrt(share * (1 - share)),
        Objective.LOG: share,
    }
    step = share * (1 - share) / scales[objective]
    times: list[float] = []
    for start in np.asarray(start_rates_R, np.float64):
        first, last = (float(special.logit(rate)) for rate in (start, target))
        logits = np.linspace(first, last, 2 + int(100 * abs(last - first)))
        drift = stats.binom.pmf(successes, group, special.expit(logits)[:, None]) @ step
        times.append(float(integrate.trapezoid(1 / drift, logits)) / eta)
    return np.array(times)


class DeadZone(Record):
    """How time to take-off grows as the start gets rarer."""

    slope: Interval
    """Of log time on log p0."""
    null_slopes: dict[str, float]
    """By objective: the slope that the null itself has over these very p0, discovery excluded.  In
    the limit of small p0 they are -1, -1/2 and 0."""
    discovery_slope: float
    """-1: of the cost 1 / (p0 batch) alone."""
    num_runs: int
    num_censored: int


def dead_zone(
    start_rates_R: ArrayLike,
    times_R: ArrayLike,
    *,
    took_off_R: ArrayLike | None = None,
    target: float = 0.5,
) -> DeadZone:
    """Slope of log time to take-off on log start rate, beside the slopes of the nulls.

    A run that never took off has its length as time and False in `took_off_R`; left out, the rarest
    starts would look the fastest.  Maximum likelihood with normal errors of log time, such runs
    counted as later (Tobin 1958); the interval is the profile where
    `2 (l_max - l) <= R log(1 + F(1, R-2) / (R-2))`, Student's own without censored runs.
    Start rates are taken as known: noise in log p0 pulls the slope towards 0, so measure p0 with
    some twenty successes or more.
    Raises ValueError for fewer than four runs that took off, p0 outside (0, target), times that are
    not positive, or a single p0.
    """
    rate_R, time_R = np.asarray(start_rates_R, np.float64), np.asarray(times_R, np.float64)
    seen_R = np.ones(rate_R.shape, bool) if took_off_R is None else np.asarray(took_off_R, bool)
    if not rate_R.shape == time_R.shape == seen_R.shape or rate_R.ndim != 1:
        raise ValueError("start rates, times and marks need one value a run")
    if seen_R.sum() < 4:
        raise ValueError(f"a slope needs four runs that took off, got {int(seen_R.sum())}")
    if not ((rate_R > 0) & (rate_R < target)).all() or not (time_R > 0).all():
        raise ValueError("start rates lie between 0 and the target, times are positive")
    x_R, y_R = np.log(rate_R), np.log(time_R)
    if np.ptp(x_R[seen_R]) < 1e-9:
        raise ValueError("all runs that took off started at one rate: no slope")
    nulls = {o.value: _slope(x_R, np.log(null_time(rate_R, o, target=target))) for o in Objective}
    return DeadZone(
        slope=_censored_slope(x_R, y_R, seen_R),
        null_slopes=nulls,
        discovery_slope=-1.0,
        num_runs=len(x_R),
        num_censored=int((~seen_R).sum()),
    )


def _slope(x_R: Floats, y_R: Floats) -> float:
    away_R = x_R - x_R.mean()
    return float(away_R @ y_R / (away_R @ away_R))


def _censored_slope(x_R: Floats, y_R: Floats, seen_R: NDArray[np.bool_]) -> Interval:
    num_runs = len(x_R)
    centre = float(x_R.mean())
    scale = max(float(np.std(y_R)), 1e-9)

    def loss(params: Floats, slope: float) -> float:
        sd = float(np.exp(params[1]))
        z_R = (y_R - params[0] - slope * (x_R - centre)) / sd
        seen = -0.5 * float(z_R[seen_R] @ z_R[seen_R]) - int(seen_R.sum()) * float(params[1])
        return -seen - float(stats.norm.logsf(z_R[~seen_R]).sum())

    def least(slope: float) -> float:
        rest_R = y_R[seen_R] - slope * (x_R[seen_R] - centre)
        sd = max(float(rest_R.std()), 1e-6 * scale)
        if seen_R.all():
            return loss(np.array([rest_R.mean(), np.log(sd)]), slope)
        found: Any = optimize.minimize(loss, np.array([rest_R.mean(), np.log(sd)]), args=(slope,),
                                       method="Nelder-Mead", options=_FINE)  # fmt: skip
        return float(found.fun)

    first = _slope(x_R[seen_R], y_R[seen_R])
    width = max(1.0, abs(first))
    best: Any = optimize.minimize_scalar(least, bracket=(first - 0.1 * width, first + 0.1 * width))
    value = float(best.x)
    quantile = float(stats.f.ppf(LEVEL, 1, num_runs - 2))
    bar = float(best.fun) + 0.5 * num_runs * float(np.log1p(quantile / (num_runs - 2)))
    ends = [_crossing(lambda s: least(s) - bar, value, side * 0.05 * width) for side in (-1, 1)]
    return Interval(value=value, low=ends[0], high=ends[1], num_tasks=num_runs)


def _crossing(above: Callable[[float], float], start: float, step: float) -> float | None:
    """Where the profile crosses its bar, in steps that double; None if it never does."""
    inner = start
    for _ in range(20):
        if above(inner + step) > 0:
            root: Any = optimize.brentq(above, inner, inner + step, xtol=1e-7)
            return float(root)
        inner, step = inner + step, 2 * step
    return None
