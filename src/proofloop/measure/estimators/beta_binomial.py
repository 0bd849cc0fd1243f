"""A distribution of task difficulty fitted to counts: beta-binomial, on request zero-inflated.

The success rate p of a task is 0 with probability `zero_share`, else Beta(a, b); of n attempts
Binomial(n, p) pass.  What leaves the data (a k beyond the samples) rests on this shape alone.
Not here: posteriors of single tasks.

Axes: U unique (n, c) pairs with how many tasks have them, C values of the concentration a + b.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, minimize, minimize_scalar
from scipy.special import betaln, expit, gammaln, logit
from scipy.stats import chi2

from proofloop.measure.estimators.interval import LEVEL

Floats = NDArray[np.float64]

LOG_CONCENTRATIONS = (-9.0, 14.0)
"""Searched for log(a + b): from all-or-none tasks to tasks that are all alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BetaBinomial:
    """A fitted distribution of success rates, at its greatest likelihood."""

    a: float
    b: float
    zero_share: float
    log_likelihood: float
    """Nats, without the binomial coefficients, which no parameter enters."""

    @property
    def mean(self) -> float:
        return (1 - self.zero_share) * self.a / (self.a + self.b)

    def pass_at(self, k: ArrayLike) -> Floats:
        """`(1 - zero_share) (1 - B(a, b+k) / B(a, b))`, for any k."""
        k = np.asarray(k, np.float64)
        none = np.exp(betaln(self.a, self.b + k) - betaln(self.a, self.b))
        return np.asarray((1 - self.zero_share) * (1 - none))

    def pass_hat(self, k: ArrayLike) -> Floats:
        """`(1 - zero_share) B(a+k, b) / B(a, b)`, for any k >= 1."""
        k = np.asarray(k, np.float64)
        every = np.exp(betaln(self.a + k, self.b) - betaln(self.a, self.b))
        return np.asarray((1 - self.zero_share) * every)


class _Counts:
    """Unique (n, c) pairs, so that a fit costs the same for any number of tasks."""

    def __init__(self, num_samples_T: ArrayLike, num_passed_T: ArrayLike) -> None:
        n_T = np.atleast_1d(np.asarray(num_samples_T, np.int64))
        c_T = np.atleast_1d(np.asarray(num_passed_T, np.int64))
        if n_T.shape != c_T.shape or np.any(c_T < 0) or np.any(c_T > n_T):
            raise ValueError("each task needs 0 <= num_passed <= num_samples")
        used_T = n_T > 0
        pairs = np.stack([n_T[used_T], c_T[used_T]], axis=1)
        unique_U, weight_U = np.unique(pairs, axis=0, return_counts=True)
        self.n_U = unique_U[:, 0].astype(np.float64)
        self.c_U = unique_U[:, 1].astype(np.float64)
        self.weight_U = weight_U.astype(np.float64)
        self.num_tasks = int(weight_U.sum())

    @property
    def total_passed(self) -> float:
        return float(self.c_U @ self.weight_U)

    @property
    def total_failed(self) -> float:
        return float((self.n_U - self.c_U) @ self.weight_U)

    def log_likelihood(self, a: Floats, b: Floats, zero_share: float = 0.0) -> Floats:
        """For arrays of a and b of one shape."""
        a_U, b_U = a[..., None], b[..., None]
        # Differences of log-gammas rather than of log-betas: exact for tiny a or b.
        log_U = (
            gammaln(self.c_U + a_U)
            - gammaln(a_U)
            + gammaln(self.n_U - self.c_U + b_U)
            - gammaln(b_U)
            - gammaln(self.n_U + a_U + b_U)
            + gammaln(a_U + b_U)
        )
        if zero_share > 0:
            log_U = log_U + np.log1p(-zero_share)
            none_U = np.where(self.c_U == 0, np.log(zero_share), -np.inf)
            log_U = np.logaddexp(log_U, none_U)
        return log_U @ self.weight_U


def fit_beta_binomial(
    num_samples_T: ArrayLike,
    num_passed_T: ArrayLike,
    *,
    zero_inflated: bool = False,
    near: BetaBinomial | None = None,
) -> BetaBinomial | None:
    """Maximum likelihood (empirical Bayes; Kazdan et al. 2025, arXiv:2510.05197, for pass@k).

    The zero share is only weakly told apart from a small a: both say that many tasks are never
    solved within the samples.  None where nothing can be learned: no task with two attempts, or
    all attempts passed, or all failed.  `near` starts the search there only, as suits a resample.
    Raises ValueError where counts are impossible.
    """
    counts = _Counts(num_samples_T, num_passed_T)
    if not counts.num_tasks or counts.n_U.max() < 2:
        return None
    if counts.total_passed == 0 or counts.total_failed == 0:
        return None

    def loss(point: Floats) -> float:
        a, b, zero_share = _parameters(point, zero_inflated)
        return -float(counts.log_likelihood(np.array(a), np.array(b), zero_share))

    bounds = [(-20.0, 20.0), LOG_CONCENTRATIONS, (-12.0, 6.0)][: 3 if zero_inflated else 2]
    starts = _starts(counts, zero_inflated) if near is None else [_point(near, zero_inflated)]
    fits = [minimize(loss, start, method="L-BFGS-B", bounds=bounds) for start in starts]
    best = fits[int(np.argmin([float(fit.fun) for fit in fits]))]
    a, b, zero_share = _parameters(np.asarray(best.x, np.float64), zero_inflated)
    return BetaBinomial(a=a, b=b, zero_share=zero_share, log_likelihood=-float(best.fun))


def _starts(counts: _Counts, zero_inflated: bool) -> list[list[float]]:
    mean = counts.total_passed / (counts.total_passed + counts.total_failed)
    starts = [[float(logit(mean)), log_s] for log_s in (-1.0, 2.0)]
    if not zero_inflated:
        return starts
    unsolved = float(counts.weight_U[counts.c_U == 0].sum()) / counts.num_tasks
    shares = (0.01, min(max(0.02, 0.9 * unsolved), 0.95))
    return [[*start, float(logit(share))] for start in starts for share in shares]


def _point(fit: BetaBinomial, zero_inflated: bool) -> list[float]:
    point = [float(np.log(fit.a / fit.b)), float(np.log(fit.a + fit.b))]
    return [*point, float(logit(min(max(fit.zero_share, 1e-4), 0.99)))] if zero_inflated else point


def _parameters(point: Floats, zero_inflated: bool) -> tuple[float, float, float]:
    """From (logit mean, log concentration[, logit zero share])."""
    mean, concentration = float(expit(point[0])), float(np.exp(point[1]))
    zero_share = float(expit(point[2])) if zero_inflated else 0.0
    return max(mean * concentration, 1e-12), max((1 - mean) * concentration, 1e-12), zero_share


def profile_interval(num_samples_T: ArrayLike, num_passed_T: ArrayLike) -> tuple[float, float]:
    """95% profile-likelihood interval of the mean success rate E[p] under a beta-binomial.

    All means whose best concentration is within chi²(1)/2 nats of the best of all (Wilks).  With
    no failure at all the worst concentration is all-or-none tasks, so the lower end is
    exp(-1.92/T): tasks, not attempts, are what counts.
    Raises ValueError where counts are impossible or there is no attempt.
    """
    counts = _Counts(num_samples_T, num_passed_T)
    if counts.num_tasks == 0:
        raise ValueError("no attempts to take a success rate from")
    drop = float(chi2.ppf(LEVEL, 1)) / 2

    def profile(x: float) -> float:
        """The best log-likelihood at logit mean x: a grid of concentrations, refined twice."""
        mean, failing = float(expit(x)), float(expit(-x))
        (low, high), best = LOG_CONCENTRATIONS, -np.inf
        for _ in range(3):
            log_C = np.linspace(low, high, 24)
            values_C = counts.log_likelihood(mean * np.exp(log_C), failing * np.exp(log_C))
            at, best = int(values_C.argmax()), float(values_C.max())
            low, high = log_C[max(at - 1, 0)], log_C[min(at + 1, log_C.size - 1)]
        return best

    total = counts.total_passed + counts.total_failed
    edge = 30.0
    if counts.total_failed == 0 or counts.total_passed == 0:
        best_x = edge if counts.total_failed == 0 else -edge
    else:
        centre = float(logit(counts.total_passed / total))
        found = minimize_scalar(
            lambda x: -profile(x), bounds=(centre - 4, centre + 4), options={"xatol": 0.003}
        )
        best_x = float(found.x)
    best = profile(best_x)

    def below(x: float) -> float:
        return profile(x) - best + drop

    low = 0.0 if counts.total_passed == 0 else float(expit(brentq(below, -edge, best_x, xtol=1e-4)))
    high = 1.0 if counts.total_failed == 0 else float(expit(brentq(below, best_x, edge, xtol=1e-4)))
    return low, high
