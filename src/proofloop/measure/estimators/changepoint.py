"""By which law a run took off: a plateau with an end, or a null that has none.

All laws have a ceiling A and a start; the nulls are those of `dead_zone` for p/A, of which the one
for the log-likelihood is the logistic curve.  The plateau is that logistic held at its start until
t0, so it has one parameter more, and the nulls' slow beginnings need none.

Axes: S evaluations on one fixed probe set.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from proofloop.core.record import Record
from proofloop.measure.estimators.dead_zone import Objective, null_clock, null_curve
from proofloop.measure.estimators.interval import LEVEL, Interval
from proofloop.measure.estimators.takeoff import evaluations

Floats = NDArray[np.float64]

MIN_EVALUATIONS = 8


class Law(StrEnum):
    FLAT = "flat"
    LOGISTIC = "logistic: null of the log-likelihood"
    STD = "null of advantages over the spread"
    PLAIN = "null of the plain gradient"
    PLATEAU = "plateau, then logistic"


_NULLS = {Law.LOGISTIC: Objective.LOG, Law.STD: Objective.STD, Law.PLAIN: Objective.PLAIN}


class LawFit(Record):
    law: Law
    bic: float
    """`P log S - 2 log L / dispersion`."""
    rates: tuple[float, ...]
    """The fitted curve at the evaluations."""


class ChangePoint(Record):
    fits: tuple[LawFit, ...]
    best: Law
    evidence: float
    """BIC of the best law without a change point minus that of the plateau: above 10 is very strong
    for a change (Raftery 1995), below 0 the plateau is not needed."""
    plateau_end: Interval | None
    """t0 of the plateau with its profile likelihood interval; None unless the plateau is best."""
    dispersion: float
    """Pearson's chi² over its degrees of freedom under the plateau, not below 1: evaluations of a
    run scatter more than attempts do, and unscaled every wiggle would ask for a parameter."""


def change_point(
    steps_S: ArrayLike, num_passed_S: ArrayLike, num_samples_S: ArrayLike
) -> ChangePoint:
    """Fits of all laws by maximum likelihood, compared by BIC.

    How often each is found when it is true: bench/coverage/takeoff.py.
    Raises ValueError as `take_off` does, for fewer than eight evaluations, and where none or all
    of the attempts passed.
    """
    steps, passed, total = evaluations(steps_S, num_passed_S, num_samples_S)
    if len(steps) < MIN_EVALUATIONS:
        raise ValueError(f"a change point needs {MIN_EVALUATIONS} evaluations, got {len(steps)}")
    if passed.sum() in (0, total.sum()):
        raise ValueError("none or all of the attempts passed: there is no curve to fit")
    curve = _Curve((steps - steps[0]) / (steps[-1] - steps[0]), passed, total)
    flat = np.full(len(steps), passed.sum() / total.sum())
    found = {law: curve.null(law) for law in _NULLS}
    ends, plateaus = curve.plateaus(found[Law.LOGISTIC])
    logliks = np.array([curve.loglik(rates) for rates in plateaus])
    found |= {Law.FLAT: flat, Law.PLATEAU: plateaus[int(logliks.argmax())]}
    dispersion = curve.dispersion(found[Law.PLATEAU])
    num_fitted = {Law.FLAT: 1, Law.PLATEAU: 4} | dict.fromkeys(_NULLS, 3)
    fits = tuple(
        LawFit(
            law=law,
            bic=num_fitted[law] * float(np.log(len(steps)))
            - 2 * curve.loglik(found[law]) / dispersion,
            rates=tuple(float(p) for p in found[law]),
        )
        for law in Law
    )
    bics = {fit.law: fit.bic for fit in fits}
    best = min(bics, key=lambda law: bics[law])
    without = min(bic for law, bic in bics.items() if law is not Law.PLATEAU)
    span = float(steps[-1] - steps[0])
    end = _end_of(ends * span + steps[0], logliks / dispersion, len(steps))
    return ChangePoint(
        fits=fits,
        best=best,
        evidence=without - bics[Law.PLATEAU],
        plateau_end=end if best is Law.PLATEAU else None,
        dispersion=dispersion,
    )


def _end_of(ends: Floats, loglik: Floats, num: int) -> Interval:
    held = np.flatnonzero(2 * (loglik.max() - loglik) <= stats.chi2.ppf(LEVEL, 1))
    first, last = int(held[0]), int(held[-1])
    # Only ends at evaluations and between were tried: the next ones outside bound what was not.
    return Interval(
        value=float(ends[loglik.argmax()]),
        low=None if first == 0 else float(ends[first - 1]),
        high=None if last == len(ends) - 1 else float(ends[last + 1]),
        num_tasks=num,
    )


class _Curve:
    """The counts, on time from 0 to 1."""

    def __init__(self, time_S: Floats, passed_S: Floats, total_S: Floats):
        self.time_S, self.passed_S, self.total_S = time_S, passed_S, total_S

    def loglik(self, rate_S: Floats) -> float:
        failed_S = self.total_S - self.passed_S
        terms = special.xlogy(self.passed_S, rate_S) + special.xlog1py(failed_S, -rate_S)
        return float(terms.sum())

    def dispersion(self, rate_S: Floats) -> float:
        var_S = np.maximum(self.total_S * rate_S * (1 - rate_S), 1e-9)
        chi2 = float(((self.passed_S - self.total_S * rate_S) ** 2 / var_S).sum())
        return max(1.0, chi2 / (len(rate_S) - 4))

    def null(self, law: Law) -> Floats:
        """The fitted rates; from several starts, since a slow start and a low rate look alike."""
        objective = _NULLS[law]

        def rates(params: Floats) -> Floats:
            q0 = special.expit(params[1])
            q_S = null_curve(self.time_S, float(q0), float(np.exp(params[2])), objective)
            return special.expit(params[0]) * q_S

        fitted = [self._least(rates, start) for start in self._starts(objective)]
        return max((rates(p) for p in fitted), key=self.loglik)

    def plateaus(self, logistic: Floats) -> tuple[Floats, list[Floats]]:
        """Ends of the plateau tried (two between evaluations), and the best rates at each."""
        ends = np.unique(np.concatenate([self.time_S[:-2], self.time_S[:-2] +
                                         np.diff(self.time_S)[:-1] / 2]))  # fmt: skip
        found: list[Floats] = []
        near = np.zeros(3)
        for end in ends:

            def rates(params: Floats, end: float = float(end)) -> Floats:
                after_S = np.maximum(0.0, self.time_S - end)
                q_S = special.expit(params[1] + np.exp(params[2]) * after_S)
                return special.expit(params[0]) * q_S

            # The neighbour's optimum is near this one's.
            starts = [*self._starts(Objective.LOG, float(end))[:1], *([near] if found else [])]
            fitted = [self._least(rates, start) for start in starts]
            near = max(fitted, key=lambda params: self.loglik(rates(params)))
            found.append(rates(near))
        # At an end of 0 the plateau is the logistic itself.
        if self.loglik(logistic) > self.loglik(found[0]):
            found[0] = logistic
        return ends, found

    def _starts(self, objective: Objective, end: float = 0.0) -> list[Floats]:
        rate_S = (self.passed_S + 0.5) / (self.total_S + 1)
        top = min(0.98, float(rate_S[-max(1, len(rate_S) // 10) :].mean()) * 1.05)
        q0 = float(rate_S[self.time_S <= end].mean()) if end > 0 else float(rate_S[:2].mean())
        half = float(self.time_S[np.argmax(rate_S >= top / 2)])
        starts: list[Floats] = []
        for factor in (1.0, 0.2):
            q = float(np.clip(factor * q0 / top, 1e-5, 0.45))
            away = float(null_clock(0.5, objective) - null_clock(q, objective))
            speed = away / max(half - end, 0.02)
            starts.append(np.array([special.logit(top), special.logit(q), np.log(speed)]))
        return starts

    def _least(self, rates: Callable[[Floats], Floats], start: Floats) -> Floats:
        share_S = self.passed_S / self.total_S

        def residuals(params: Floats) -> Floats:
            """Signed roots of the deviance, whose sum of squares is -2 log L and a constant."""
            rate_S = np.clip(rates(params), 1e-12, 1 - 1e-12)
            apart_S = special.xlogy(share_S, share_S / rate_S)
            apart_S += special.xlogy(1 - share_S, (1 - share_S) / (1 - rate_S))
            return np.sign(share_S - rate_S) * np.sqrt(2 * self.total_S * np.maximum(apart_S, 0.0))

        bounds = ([-7.0, -14.0, -8.0], [7.0, 7.0, 16.0])
        start = np.clip(start, np.array(bounds[0]) + 1e-3, np.array(bounds[1]) - 1e-3)
        found: Any = optimize.least_squares(residuals, start, bounds=bounds, max_nfev=30)
        return np.asarray(found.x, np.float64)
