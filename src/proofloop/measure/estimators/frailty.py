"""Horizon fits with a hidden difficulty of each task: kappa with and without frailty.

Tasks of one length differ in ways no length shows.  Averaging over them flattens the curve: a
constant hazard with difficulties of sd 1 in log length is fitted as a Weibull of kappa about 0.7
(the frailty effect, Vaupel et al. 1979).  Repeated runs tell the two apart: runs of one task then
agree more than chance has them.

Not here: families.  The interval takes tasks for independent.

Axes: T tasks, Q quadrature nodes.
"""

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from proofloop.core.record import Record
from proofloop.measure.estimators import clusters, glm
from proofloop.measure.estimators.horizon import Shape, shape_of
from proofloop.measure.estimators.interval import LEVEL, Interval

Floats = NDArray[np.float64]

_NUM_NODES = 30
_WIDEST = 8.0
"""Largest sd searched, in units of the linear predictor."""


class FrailtyMark(StrEnum):
    FITTED = "fitted"
    NO_REPEATS = "one run a task: frailty and slope cannot be told apart"
    UNFITTABLE = "all passed, all failed, separated, or not falling with length"


class FrailtyFit(Record):
    """`link(failure) = intercept + slope log t + sd u`, u normal, one a task."""

    mark: FrailtyMark
    slope: Interval | None
    """kappa of one task (cloglog), with its profile likelihood interval."""
    slope_without: float | None
    """The same with sd = 0: what a plain fit says."""
    intercept: float | None
    sd: float | None
    """Of the hidden difficulty, in the linear predictor; divided by slope, in log length."""
    p_value: float | None
    """Likelihood ratio of sd = 0; half of chi²(1), since 0 is the edge (Self & Liang 1987)."""


def fit_frailty(
    lengths_T: ArrayLike,
    num_samples_T: ArrayLike,
    num_passed_T: ArrayLike,
    *,
    link: glm.Link = glm.Link.CLOGLOG,
) -> FrailtyFit:
    """Maximum marginal likelihood, integrated by Gauss-Hermite quadrature at 30 nodes.

    Right where the hidden difficulties are about normal; no data of this size can check that.
    Raises ValueError as `attempts` does and for lengths that are not positive; what cannot be
    fitted comes back marked, without figures.
    """
    data = clusters.counts(num_samples_T, num_passed_T)
    lengths = np.asarray(lengths_T, np.float64)
    if lengths.shape != (data.num_tasks,) or not (lengths > 0).all():
        raise ValueError("lengths must be positive, one a task")
    shape = shape_of(np.log(lengths), data.passed_T, data.failed_T)
    if shape is not Shape.FITTED:
        return _marked(FrailtyMark.UNFITTABLE)
    if (data.passed_T + data.failed_T).max() < 2:
        return _marked(FrailtyMark.NO_REPEATS)
    centre = float(np.log(lengths).mean())
    problem = _Marginal(np.log(lengths) - centre, data, link)
    plain = glm.fit(problem.design_TP, data.passed_T[None], data.failed_T[None], link=link)
    coefs = plain.coefs_BP[0]
    if not plain.finite_B[0] or coefs[1] <= 0:
        return _marked(FrailtyMark.UNFITTABLE)
    best = problem.best(np.array([coefs[0], coefs[1], 0.5]))
    gain = max(0.0, float(plain.logliks_B[0]) * -1 - float(best.fun))
    low, high = (_end(problem, best, side) for side in (-1, 1))
    return FrailtyFit(
        mark=FrailtyMark.FITTED,
        slope=Interval(value=float(best.x[1]), low=low, high=high, num_tasks=data.num_tasks),
        slope_without=float(coefs[1]),
        intercept=float(best.x[0] - best.x[1] * centre),
        sd=float(best.x[2]),
        p_value=0.5 * float(stats.chi2.sf(2 * gain, 1)) if gain > 0 else 1.0,
    )


class _Marginal:
    """Minus the log-likelihood with the hidden difficulties integrated out."""

    def __init__(self, x_T: Floats, data: clusters.Counts, link: glm.Link):
        nodes, weights = special.roots_hermitenorm(_NUM_NODES)
        self.node_Q, self.log_weight_Q = nodes, np.log(weights / weights.sum())
        self.design_TP = np.column_stack([np.ones_like(x_T), x_T])
        self.data, self.link = data, link

    def value(self, params: Floats) -> tuple[float, Floats]:
        """At (intercept, slope, sd), with its gradient."""
        eta_TQ = (self.design_TP @ params[:2])[:, None] + params[2] * self.node_Q
        passed, failed = self.data.passed_T[:, None], self.data.failed_T[:, None]
        loglik_TQ, slope_TQ, _ = glm.derivatives(eta_TQ, passed, failed, self.link)
        joint_TQ = loglik_TQ + self.log_weight_Q
        total_T: Floats = np.logaddexp.reduce(joint_TQ, axis=1)
        pull_TQ = np.exp(joint_TQ - total_T[:, None]) * slope_TQ
        along = pull_TQ.sum(axis=1) @ self.design_TP
        gradient = np.append(along, float((pull_TQ @ self.node_Q).sum()))
        return -float(total_T.sum()), -gradient

    def best(self, start: Floats, slope: float | None = None) -> optimize.OptimizeResult:
        held = (None, None) if slope is None else (slope, slope)
        return optimize.minimize(
            self.value, start, jac=True, method="L-BFGS-B",
            bounds=[(None, None), held, (0.0, _WIDEST)],
            options={"ftol": 1e-12, "gtol": 1e-7},
        )  # fmt: skip


def _end(problem: _Marginal, best: optimize.OptimizeResult, side: int) -> float | None:
    """Where the profile over the slope has fallen by chi²(1) / 2; None if it never does."""
    bar: Any = float(best.fun) + stats.chi2.ppf(LEVEL, 1) / 2
    start = best.x.copy()

    def above(slope: float) -> float:
        start[1] = slope
        least: Any = problem.best(start, slope).fun
        return float(least) - float(bar)

    centre, step = float(best.x[1]), 0.1 * abs(float(best.x[1]))
    for _ in range(12):
        if above(centre + side * step) > 0:
            inner = centre + side * step / 2 if step > 0.11 * abs(centre) else centre
            root: Any = optimize.brentq(above, inner, centre + side * step, xtol=1e-4)
            return float(root)
        step *= 2
    return None


def _marked(mark: FrailtyMark) -> FrailtyFit:
    return FrailtyFit(
        mark=mark, slope=None, slope_without=None, intercept=None, sd=None, p_value=None
    )
