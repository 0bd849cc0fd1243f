"""Bits of elicitation: how improbable the base model held what the trained model now does.

For a task that the trained model solves, `-log2 p_base(right)` says how much training had to add:
few bits are elicitation, many are new.  Three figures a task, from weakest assumption to strongest:
- `bits_at_most`: certain.  p_base(right) is at least the base's probability of the distinct right
  completions that were seen.
- `bits_at_least`: from the base's own counts, 97.5% Clopper-Pearson.  It alone can carry "new".
- `bits`: an unbiased estimate of p_base(right), which reaches 1e-10 without 1e10 samples.  It
  cannot know of right completions that the trained model has all but given up: then p_base(right)
  is larger than estimated, never smaller by much, so `bits` errs towards "new".

Needs exact log-probabilities of whole completions (the stop token included) under the very
distribution that was sampled, at temperature 1 with nothing cut off (no top-p, no top-k).

Axes: T tasks, A attempts of all tasks, flat (`task_A` says whose), D distinct right completions.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.interval import LEVEL, Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_EFFECTIVE = 5.0
MAX_SPREAD = 1.25
"""Of log weights, nats.  Beyond it the estimate rests on completions that are seldom drawn, and a
large effective sample size is no comfort: it is largest where the heavy ones were all missed."""
_DISAGREEMENT = 0.1
"""Nats by which log-probabilities of one completion may differ (batching, kernels)."""
_ROUNDING = 1e-3


class Mark(StrEnum):
    """Why a task has no estimate."""

    UNSOLVED = "unsolved"
    FEW_EFFECTIVE = "few effective samples"
    UNEVEN = "uneven weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class RightSamples:
    """Samples of the trained model; the log-probabilities matter where `passed_A`, nats."""

    task_A: Ints
    completion_A: Ints
    """Equal numbers within a task are the same token sequence."""
    passed_A: NDArray[np.bool_]
    base_logprob_A: Floats
    trained_logprob_A: Floats

    def __post_init__(self) -> None:
        shapes = {
            a.shape
            for a in (
                self.task_A,
                self.completion_A,
                self.passed_A,
                self.base_logprob_A,
                self.trained_logprob_A,
            )
        }
        if len(shapes) > 1 or self.task_A.ndim != 1:
            raise ValueError(f"columns of samples must be flat and of one length, got {shapes}")
        for name, logprobs in (("base", self.base_logprob_A), ("trained", self.trained_logprob_A)):
            right = logprobs[self.passed_A]
            missing = int(np.isnan(right).sum())
            if missing:
                raise ValueError(
                    f"{missing} of {right.size} right samples lack a log-probability under the "
                    f"{name} model: score them first, an elicitation ledger cannot guess them"
                )
            if np.any(right > _ROUNDING):
                raise ValueError(f"a log-probability under the {name} model is above 0")
        if np.any(np.isneginf(self.trained_logprob_A[self.passed_A])):
            raise ValueError("a sample has probability 0 under the model that drew it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Bits a task; NaN where there is nothing to say, and `marks_T` says why."""

    num_samples_T: Ints
    num_passed_T: Ints
    num_distinct_T: Ints
    bits_at_most_T: Floats
    bits_at_least_T: Floats
    """NaN where the base's own counts were not given."""
    bits_T: Floats
    lows_T: Floats
    highs_T: Floats
    importance_bits_T: Floats
    """From the plain importance mean; also where marked, for a look beside `bits_T`."""
    effective_T: Floats
    """Effective sample size of the right samples' weights, (sum w)^2 / sum w^2."""
    spread_T: Floats
    """Standard deviation of the right samples' log weights, nats."""
    marks_T: tuple[Mark | None, ...]

    @property
    def mean_bits(self) -> Interval | None:
        """Mean over estimated tasks; tasks are resampled, which carries the samples' noise too."""
        return _mean(self.bits_T)

    @property
    def mean_bits_at_most(self) -> Interval | None:
        """Mean over solved tasks of the certain bound."""
        return _mean(self.bits_at_most_T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """Solved tasks by bits: bin i is [edges[i], edges[i+1])."""

    edges: Floats
    num_estimated: Ints
    num_bounded: Ints
    """Tasks with a mark, by `bits_at_most`: they lie here or further left."""
    num_unsolved: int


def elicitation_ledger(
    samples: RightSamples,
    num_tasks: int,
    *,
    temperature: float,
    top_p: float = 1.0,
    base_samples_T: ArrayLike | None = None,
    base_passed_T: ArrayLike | None = None,
) -> Ledger:
    """The ledger of tasks 0 … num_tasks - 1.

    Bound: p >= sum over distinct right y of p_base(y), summed as logarithms.
    Importance mean: `mean over y ~ trained of [right(y) p_base(y) / p_trained(y)]`.
    `bits`: the Horvitz-Thompson sum `sum over distinct right y of p_base(y) / pi(y)` with
    `pi = 1 - (1 - p_trained(y))^n`, the known chance that y is among n samples (Horvitz & Thompson
    1952, eq. 3.3).  Also unbiased, never below the bound, and of smaller error than the importance
    mean where the trained model repeats itself, since what has surely been seen adds no noise.

    Interval: a gamma distribution with the sum's mean and estimated variance (Horvitz & Thompson
    1952, eq. 4.3), shifted at the upper end by the largest weight that one more completion would
    have had (Fay & Feuer 1997, for weighted Poisson sums), its lower end no lower than the bound.
    It holds only as far as unseen completions weigh like seen ones.  Simulated coverage of
    unmarked tasks, by the spread of the worlds' log weights (`bench/coverage/elicitation.py`):
    0.5 nats 0.97-0.99; 1 nat 0.94-0.98 with 128 samples or more and 0.91-0.96 with 32; 1.5 nats
    0.88; 2 nats 0.73, whence the mark.  A percentile bootstrap inside the task, often wider,
    covers 0.92-0.95, 0.85-0.95, 0.84 and 0.71.  The misses are on the side of fewer bits.

    Marked are tasks with fewer than MIN_EFFECTIVE effective samples or a spread beyond MAX_SPREAD.
    Both estimates are conditioned on tasks that were solved: where one sample in many is right,
    they run high in p (low in bits), which the first mark catches.

    Raises ValueError for another temperature than 1, a top-p below 1, log-probabilities that are
    missing, positive or at odds with each other, and tasks out of range.
    """
    if temperature != 1.0 or top_p != 1.0:
        raise ValueError(
            f"an elicitation ledger needs samples at temperature 1 and top-p 1, not {temperature} "
            f"and {top_p}: elsewhere log-probabilities are not those of the model; sample again"
        )
    if samples.task_A.size and not 0 <= samples.task_A.min() <= samples.task_A.max() < num_tasks:
        raise ValueError(f"tasks of samples must lie in 0 … {num_tasks - 1}")
    cells = [_cell(samples, task) for task in range(num_tasks)]
    columns = np.array([cell.row for cell in cells], np.float64).reshape(num_tasks, -1)
    counts = np.array([cell.counts for cell in cells], np.int64).reshape(num_tasks, 3)
    return Ledger(
        num_samples_T=counts[:, 0],
        num_passed_T=counts[:, 1],
        num_distinct_T=counts[:, 2],
        bits_at_most_T=columns[:, 0],
        bits_at_least_T=_bits_at_least(num_tasks, base_samples_T, base_passed_T),
        bits_T=columns[:, 1],
        lows_T=columns[:, 2],
        highs_T=columns[:, 3],
        importance_bits_T=columns[:, 4],
        effective_T=columns[:, 5],
        spread_T=columns[:, 6],
        marks_T=tuple(cell.mark for cell in cells),
    )


def histogram(ledger: Ledger, *, width: float = 1.0) -> Histogram:
    """Bins of `width` bits from 0 to the largest figure; every task is counted once."""
    if width <= 0:
        raise ValueError(f"a bin needs a width above 0, got {width}")
    estimated = ledger.bits_T[~np.isnan(ledger.bits_T)]
    marked = np.isnan(ledger.bits_T) & np.isfinite(ledger.bits_at_most_T)
    bounded = ledger.bits_at_most_T[marked]
    largest = max((float(a.max()) for a in (estimated, bounded) if a.size), default=0.0)
    edges = width * np.arange(math.floor(largest / width) + 2)
    return Histogram(
        edges=edges.astype(np.float64),
        num_estimated=np.histogram(estimated, edges)[0].astype(np.int64),
        num_bounded=np.histogram(bounded, edges)[0].astype(np.int64),
        num_unsolved=len(ledger.bits_T) - estimated.size - bounded.size,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """One task: (samples, passed, distinct) and the float columns in the ledger's order."""

    counts: tuple[int, int, int]
    row: tuple[float, ...]
    mark: Mark | None


def _cell(samples: RightSamples, task: int) -> _Cell:
    mine_A = samples.task_A == task
    right_A = mine_A & samples.passed_A
    n, num_passed = int(mine_A.sum()), int(right_A.sum())
    if num_passed == 0:
        return _Cell(counts=(n, 0, 0), row=(math.nan,) * 7, mark=Mark.UNSOLVED)
    base_D, trained_D, place = _distinct(samples, right_A, task)
    if np.isneginf(base_D).all():
        # The base gives all of them probability 0: a bound of infinitely many bits, no estimate.
        row = (math.inf, math.nan, math.nan, math.nan, math.inf, 0.0, math.nan)
        return _Cell(counts=(n, num_passed, len(base_D)), row=row, mark=Mark.FEW_EFFECTIVE)
    # Shares of the largest weight, so that probabilities of e^-2000 do not vanish.
    log_weights = (base_D - trained_D)[place]
    top = float(log_weights.max())
    weights = np.exp(log_weights - top)
    effective = float(weights.sum() ** 2 / np.square(weights).sum())
    spread = float(np.std(log_weights)) if np.isfinite(log_weights).all() else math.inf
    importance = -(math.log(weights.sum() / n) + top) / math.log(2)
    bound = float(np.logaddexp.reduce(base_D))
    mark = None
    if effective < MIN_EFFECTIVE:
        mark = Mark.FEW_EFFECTIVE
    elif spread > MAX_SPREAD:
        mark = Mark.UNEVEN
    logs = (math.nan,) * 3 if mark else _horvitz_thompson(base_D, trained_D, n, bound)
    # log p of (value, low, high) is bits of (value, high, low).
    bits, high, low = (-log / math.log(2) + 0.0 for log in logs)
    row = (-bound / math.log(2) + 0.0, bits, low, high, importance, effective, spread)
    return _Cell(counts=(n, num_passed, len(base_D)), row=row, mark=mark)


def _distinct(
    samples: RightSamples, right_A: NDArray[np.bool_], task: int
) -> tuple[Floats, Floats, Ints]:
    """Log-probabilities base_D, trained_D of the distinct right completions, and each right
    sample's place among them.  Of slightly different values the base's smallest is taken."""
    _, inverse = np.unique(samples.completion_A[right_A], return_inverse=True)
    place = inverse.astype(np.int64)
    ends: list[tuple[Floats, Floats]] = []
    for logprobs in (samples.base_logprob_A[right_A], samples.trained_logprob_A[right_A]):
        low_D, high_D = np.full(place.max() + 1, np.inf), np.full(place.max() + 1, -np.inf)
        np.minimum.at(low_D, place, logprobs)
        np.maximum.at(high_D, place, logprobs)
        if np.any(high_D > low_D + _DISAGREEMENT):
            raise ValueError(
                f"task {task}: one completion has log-probabilities more than {_DISAGREEMENT} nats "
                "apart: not one model, or completions that differ share a number"
            )
        if np.logaddexp.reduce(low_D) > _ROUNDING:
            raise ValueError(f"task {task}: probabilities of distinct completions sum above 1")
        ends.append((low_D, high_D))
    return np.minimum(ends[0][0], 0.0), np.minimum(ends[1][1], 0.0), place


def _horvitz_thompson(
    base_D: Floats, trained_D: Floats, n: int, bound: float
) -> tuple[float, float, float]:
    """Log of the sum and of its interval's ends."""
    p_D = np.minimum(np.exp(trained_D), 1 - 1e-15)
    # For p_D that vanish, pi = n p.
    seen_D = -np.expm1(n * np.log1p(-p_D))
    log_seen_D = np.where(trained_D < -600, math.log(n) + trained_D, np.log(seen_D + 1e-300))
    log_terms_D = base_D - log_seen_D
    top = float(log_terms_D.max())
    terms_D = np.exp(log_terms_D - top)
    total = float(terms_D.sum())
    variance = float(np.square(terms_D) @ (1 - seen_D)) + _covariance(terms_D, p_D, seen_D, n)
    low = high = total
    # The largest weight of one more completion, p_base / (n p_trained), on the terms' scale.
    largest = float(np.exp((base_D - trained_D).max() - math.log(n) - top))
    if variance > 0:
        low = _gamma_quantile((1 - LEVEL) / 2, total, variance)
    high = _gamma_quantile((1 + LEVEL) / 2, total + largest, max(variance, 0.0) + largest**2)
    log_low = math.log(low) + top if low > 0 else -math.inf
    return (
        min(math.log(total) + top, 0.0),
        min(max(log_low, bound), 0.0),
        min(math.log(high) + top, 0.0),
    )


def _covariance(terms_D: Floats, p_D: Floats, seen_D: Floats, n: int) -> float:
    """Sum over pairs of t_i t_j (pi_ij - pi_i pi_j) / pi_ij, without cancellation: with
    u = p_i p_j / ((1 - p_i)(1 - p_j)),  pi_ij - pi_i pi_j = (1-pi_i)(1-pi_j) ((1-u)^n - 1)."""
    if n < 2:
        return 0.0
    odds_D = p_D / (1 - p_D)
    odds_DD = np.minimum(np.outer(odds_D, odds_D), 1 - 1e-15)
    excess_DD = np.outer(1 - seen_D, 1 - seen_D) * np.expm1(n * np.log1p(-odds_DD))
    joint_DD = np.outer(seen_D, seen_D) + excess_DD
    share_DD = np.where(joint_DD > 1e-280, excess_DD / np.maximum(joint_DD, 1e-280), -1 / (n - 1))
    np.fill_diagonal(share_DD, 0.0)
    return float(terms_D @ share_DD @ terms_D)


def _gamma_quantile(level: float, mean: float, variance: float) -> float:
    return float(stats.gamma.ppf(level, mean**2 / variance, scale=variance / mean))


def _bits_at_least(
    num_tasks: int, samples_T: ArrayLike | None, passed_T: ArrayLike | None
) -> Floats:
    """-log2 of the upper end of the base's share, Clopper & Pearson 1934."""
    if samples_T is None or passed_T is None:
        return np.full(num_tasks, np.nan)
    n, c = np.asarray(samples_T, np.float64), np.asarray(passed_T, np.float64)
    if n.shape != (num_tasks,) or c.shape != n.shape or np.any((c < 0) | (c > n)):
        raise ValueError("the base's counts need 0 <= passed <= samples for every task")
    with np.errstate(invalid="ignore"):
        upper = np.where(c < n, stats.beta.ppf((1 + LEVEL) / 2, c + 1, np.maximum(n - c, 1)), 1.0)
    return np.where(n > 0, -np.log2(upper) + 0.0, np.nan)


def _mean(values_T: Floats) -> Interval | None:
    finite_T = values_T[np.isfinite(values_T)]
    return bootstrap_mean(finite_T[:, None], bounds=(-math.inf, math.inf)).at(0)
