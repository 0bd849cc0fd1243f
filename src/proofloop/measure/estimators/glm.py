"""Binomial regressions of failure, many resamples at once.

Not here: what the columns mean, and intervals; `horizon` and `surface` give them.  Modelling
*failure* makes one slope serve all links: success `exp(-(t/s)^kappa)` is the complementary
log-log link with `eta = kappa log t - kappa log s`, so its slope is Weibull's kappa (McCullagh &
Nelder 1989, section 4.3).

Axes: U rows of the design, P coefficients, B resamples.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MAX_STEPS = 60
_SMALL_GAIN = 1e-9
"""In log-likelihood: a step that promises less ends the search."""
_FARTHEST = 30.0
"""|eta| beyond which a chance differs from 0 or 1 by less than 1e-13."""


class Link(StrEnum):
    LOGIT = "logit"
    """log(q / (1-q)) of the failure rate q."""
    CLOGLOG = "cloglog"
    """log(-log(1-q)): survival of a hazard; on log length the slope is Weibull's kappa."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fits:
    """Maximum likelihood fits of B resamples."""

    coefs_BP: Floats
    logliks_B: Floats
    """Without the binomial coefficients, which do not depend on the model."""
    finite_B: NDArray[np.bool_]
    """False where the likelihood has no maximum (separation): those coefficients mean nothing."""


def eta_of_success(success: float, link: Link) -> float:
    """The linear predictor at which an attempt succeeds with this chance."""
    if not 0 < success < 1:
        raise ValueError(f"a chance of success lies between 0 and 1, got {success}")
    if link is Link.CLOGLOG:
        return float(np.log(-np.log(success)))
    return float(np.log1p(-success) - np.log(success))


def success_at(eta: Floats, link: Link) -> Floats:
    if link is Link.CLOGLOG:
        return np.exp(-np.exp(np.minimum(eta, 700.0)))
    return np.exp(-np.logaddexp(0.0, eta))


def derivatives(eta: Floats, passed: Floats, failed: Floats, link: Link) -> tuple[Floats, ...]:
    """Log-likelihood, its slope in eta and minus its second derivative, elementwise.

    Both are concave in eta, so Newton's step with halving finds the maximum where there is one.
    """
    eta = np.clip(eta, -_FARTHEST, _FARTHEST)
    if link is Link.LOGIT:
        log_fail, log_pass = -np.logaddexp(0.0, -eta), -np.logaddexp(0.0, eta)
        rate = np.exp(log_fail)
        total = passed + failed
        bend = total * rate * (1 - rate)
        return passed * log_pass + failed * log_fail, failed - total * rate, bend
    hazard = np.exp(eta)
    with np.errstate(over="ignore"):
        ratio = np.where(hazard > 700, 0.0, hazard / np.expm1(np.minimum(hazard, 700.0)))
    log_fail = np.log(-np.expm1(-hazard))
    bend = passed * hazard + failed * np.maximum(ratio * (hazard + ratio - 1), 0.0)
    return failed * log_fail - passed * hazard, failed * ratio - passed * hazard, bend


def fit(
    design_UP: Floats,
    passed_BU: Floats,
    failed_BU: Floats,
    *,
    link: Link,
    offset_U: Floats | None = None,
    ridge_P: Floats | None = None,
) -> Fits:
    """Newton's method on all resamples at once; counts may be fractions (weights).

    `ridge_P` is the weight of half a squared coefficient that is taken off the log-likelihood.
    Raises ValueError where a column is a mixture of the others, or counts are negative.
    """
    if np.linalg.matrix_rank(design_UP) < design_UP.shape[1]:
        raise ValueError("the design's columns depend on each other: too few different settings")
    if min(passed_BU.min(initial=0.0), failed_BU.min(initial=0.0)) < 0:
        raise ValueError("counts must not be negative")
    problem = _Problem(
        design_UP=design_UP,
        passed_BU=passed_BU,
        failed_BU=failed_BU,
        offset_U=np.zeros(len(design_UP)) if offset_U is None else offset_U,
        ridge_P=np.zeros(design_UP.shape[1]) if ridge_P is None else ridge_P,
        link=link,
    )
    # The first resample (the data themselves) is where the others start: near their own maximum.
    first = np.zeros(1, np.intp)
    start_BP, _, found_B = _climb(problem.of(first), problem.of(first).start())
    start_BP = np.repeat(start_BP, len(passed_BU), axis=0) if found_B[0] else problem.start()
    coefs_BP, value_B, found_B = _climb(problem, start_BP)
    logliks_B = value_B + 0.5 * (coefs_BP**2 @ problem.ridge_P)
    return Fits(coefs_BP=coefs_BP, logliks_B=logliks_B, finite_B=found_B)


def _climb(problem: "_Problem", start_BP: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Coefficients, the objective there, and whether it is a maximum."""
    coefs_BP = start_BP.copy()
    value_B = problem.value(coefs_BP)
    live = np.arange(len(coefs_BP))
    for _ in range(_MAX_STEPS):
        part = problem.of(live)
        step_BP, gain_B = part.newton(coefs_BP[live])
        coefs_BP[live], value_B[live] = part.climbed(coefs_BP[live], value_B[live], step_BP)
        live = live[gain_B > _SMALL_GAIN]
        if not live.size:
            break
    found_B = np.isfinite(value_B) & problem.is_bent(coefs_BP)
    found_B[live] = False
    return coefs_BP, value_B, found_B


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    """What is fitted: the same design for all resamples, counts of their own."""

    design_UP: Floats
    passed_BU: Floats
    failed_BU: Floats
    offset_U: Floats
    ridge_P: Floats
    link: Link

    def of(self, rows: NDArray[np.intp]) -> "_Problem":
        return replace(self, passed_BU=self.passed_BU[rows], failed_BU=self.failed_BU[rows])

    def start(self) -> Floats:
        """Weighted least squares on the links of the smoothed rates."""
        total_BU = self.passed_BU + self.failed_BU
        rate_BU = (self.failed_BU + 0.5) / (total_BU + 1)
        target_BU = np.log(-np.log1p(-rate_BU))
        if self.link is Link.LOGIT:
            target_BU = np.log(rate_BU) - np.log1p(-rate_BU)
        gram_BPP = self.gram(total_BU) + 1e-9 * np.eye(self.design_UP.shape[1])
        return _solve(gram_BPP, (total_BU * (target_BU - self.offset_U)) @ self.design_UP)

    def eta(self, coefs_BP: Floats) -> Floats:
        return coefs_BP @ self.design_UP.T + self.offset_U

    def value(self, coefs_BP: Floats) -> Floats:
        """The log-likelihood less the ridge."""
        terms = derivatives(self.eta(coefs_BP), self.passed_BU, self.failed_BU, self.link)
        return terms[0].sum(axis=1) - 0.5 * (coefs_BP**2 @ self.ridge_P)

    def gram(self, weights_BU: Floats) -> Floats:
        num = self.design_UP.shape[1]
        outer_UPP = self.design_UP[:, :, None] * self.design_UP[:, None, :]
        return (weights_BU @ outer_UPP.reshape(-1, num * num)).reshape(-1, num, num)

    def newton(self, coefs_BP: Floats) -> tuple[Floats, Floats]:
        """The step, and the gain in log-likelihood that it promises."""
        _, slope_BU, bend_BU = derivatives(
            self.eta(coefs_BP), self.passed_BU, self.failed_BU, self.link
        )
        gradient_BP = slope_BU @ self.design_UP - coefs_BP * self.ridge_P
        hessian_BPP = self.gram(bend_BU) + np.diag(self.ridge_P)
        # A separated resample's matrix turns singular in floating point before it is noticed.
        size_B = 1e-12 * np.trace(hessian_BPP, axis1=1, axis2=2)[:, None, None] + 1e-300
        step_BP = _solve(hessian_BPP + size_B * np.eye(coefs_BP.shape[1]), gradient_BP)
        # What a quadratic knows does not reach further than a few units of eta.
        reach_B = np.abs(step_BP @ self.design_UP.T).max(axis=1)
        step_BP *= np.minimum(1.0, 5.0 / np.maximum(reach_B, 1e-300))[:, None]
        return step_BP, (gradient_BP * step_BP).sum(axis=1)

    def climbed(self, coefs_BP: Floats, value_B: Floats, step_BP: Floats) -> tuple[Floats, Floats]:
        """After the longest of the step, its half, its quarter… that loses nothing."""
        coefs_BP, value_B, left = coefs_BP.copy(), value_B.copy(), np.arange(len(coefs_BP))
        for halvings in range(12):
            tried_BP = coefs_BP[left] + step_BP[left] / 2**halvings
            tried_B = self.of(left).value(tried_BP)
            good_B = tried_B >= value_B[left] - 1e-12
            coefs_BP[left[good_B]], value_B[left[good_B]] = tried_BP[good_B], tried_B[good_B]
            left = left[~good_B]
            if not left.size:
                break
        return coefs_BP, value_B

    def is_bent(self, coefs_BP: Floats) -> NDArray[np.bool_]:
        """Whether the likelihood bends in every direction; separated data leave it flat in one.

        Newton's gain falls as exp(-steps) there, so it looks like convergence; but then the bend,
        as a share of what each attempt could give, times the number of attempts, is of the size
        of the last gain, while one attempt out of place alone would make it about 1.
        """
        total_BU = self.passed_BU + self.failed_BU
        eta_BU = self.eta(coefs_BP)
        bend_BU = derivatives(eta_BU, self.passed_BU, self.failed_BU, self.link)[2]
        full_BPP = self.gram(total_BU) + np.diag(self.ridge_P)
        size_B = np.trace(full_BPP, axis1=1, axis2=2)[:, None, None]
        even_PP = np.eye(len(self.ridge_P))
        lower_BPP = np.linalg.cholesky(full_BPP + (1e-9 * size_B + 1e-300) * even_PP)
        half_BPP = np.linalg.solve(lower_BPP, self.gram(bend_BU) + np.diag(self.ridge_P))
        share_BPP = np.linalg.solve(lower_BPP, np.swapaxes(half_BPP, 1, 2))
        smallest_B = np.linalg.eigvalsh((share_BPP + np.swapaxes(share_BPP, 1, 2)) / 2)[:, 0]
        return smallest_B * total_BU.sum(axis=1) > 1e3 * _SMALL_GAIN


def _solve(matrix_BPP: Floats, right_BP: Floats) -> Floats:
    return np.asarray(np.linalg.solve(matrix_BPP, right_BP[:, :, None])[:, :, 0], np.float64)
