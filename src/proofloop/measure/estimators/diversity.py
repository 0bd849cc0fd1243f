"""Diversity of right answers: how many kinds of them, whatever their number.

Only right answers count, or a model that errs in many ways would look rich.  Raw numbers of kinds
grow with the number of answers, so nothing here compares raw numbers: kinds among k answers
(rarefaction), and Hill numbers at equal coverage.

Hill number of order q: `(sum p_i^q)^(1/(1-q))`, the number of equally common kinds that would be as
diverse; q = 0 counts kinds, q = 1 is exp of Shannon's entropy, q = 2 weighs common kinds.

Axes: T tasks, A right answers of all tasks, flat, C kinds (classes) of a task, K values of k.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.pass_at_k import pass_at_k

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_RIGHT = 30
"""Right answers a side needs for a Hill number at equal coverage.  With 16 a third of broad tasks
never reach a coverage of 0.8, and those that do look a sixth less diverse than they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiversityChange:
    """Means over the tasks that both sides answer often enough, and their paired difference."""

    base: Interval
    trained: Interval
    difference: Interval
    num_left_out: int
    """Tasks with too few right answers, or too little coverage, on either side.  What remains
    are the easier tasks; a figure for them says nothing of the others."""


def class_counts(task_A: ArrayLike, class_A: ArrayLike, num_tasks: int) -> list[Ints]:
    """Of right answers: how many fall into each class, task by task (an empty array for none)."""
    task, labels = np.asarray(task_A), np.asarray(class_A)
    if task.shape != labels.shape or task.ndim != 1:
        raise ValueError(f"{task.size} tasks for {labels.size} classes")
    if task.size and not 0 <= task.min() <= task.max() < num_tasks:
        raise ValueError(f"tasks of answers must lie in 0 … {num_tasks - 1}")
    return [
        np.unique(labels[task == t], return_counts=True)[1].astype(np.int64)
        for t in range(num_tasks)
    ]


def distinct_k(counts_C: ArrayLike, ks: Sequence[int]) -> Floats:
    """Expected number of kinds among k of a task's n right answers: values_K, NaN for k > n.

    `sum over kinds of 1 - C(n - c_i, k) / C(n, k)` (Hurlbert 1971, Ecology 52, eq. 4): unbiased for
    k fresh right answers, since a kind is seen among k exactly as a task is solved within k.
    """
    counts = _counts(counts_C)
    return pass_at_k(np.full(counts.size, counts.sum()), counts, ks).sum(axis=0)


def coverage_curve(counts_C: ArrayLike) -> Floats:
    """Estimated share of right answers whose kind is among m = 1 … n of them (Chao & Jost 2012,
    Ecology 93): below n `1 - sum c_i/n C(n-c_i, m) / C(n-1, m)` (eq. 10), unbiased; at n Chao's
    `1 - f1/n (n-1) f1 / ((n-1) f1 + 2 f2)` (eq. 4a), f1 and f2 the kinds seen once and twice.
    """
    counts = _counts(counts_C)
    n = int(counts.sum())
    m = np.arange(1, n)
    logs = _log_choose(n - counts[:, None], m) - _log_choose(np.array(n - 1), m)
    below = 1 - (counts[:, None] / n * np.exp(logs)).sum(axis=0)
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    if twice:
        missing = once / n * (n - 1) * once / ((n - 1) * once + 2 * twice)
    elif once:
        missing = once / n * (n - 1) * (once - 1) / ((n - 1) * (once - 1) + 2)
    else:
        missing = 0.0
    return np.append(below, 1 - missing)


def hill_at(counts_C: ArrayLike, size: int, order: float) -> float:
    """Hill number of `size` of the n answers, by rarefaction (Chao et al. 2014, Ecological
    Monographs 84, eq. 8): from `f_k(m) = sum_i C(c_i, k) C(n-c_i, m-k) / C(n, m)`, the expected
    number of kinds seen k times among m, `(sum_k (k/m)^q f_k(m))^(1/(1-q))`.
    Raises ValueError for a size outside 1 … n.
    """
    counts = _counts(counts_C)
    n = int(counts.sum())
    if not 1 <= size <= n:
        raise ValueError(f"rarefaction goes down: 1 <= size <= {n}, got {size}")
    k = np.arange(1, size + 1)
    logs_CK = _log_choose(counts[:, None], k) + _log_choose(n - counts[:, None], size - k)
    expected = np.exp(logs_CK - _log_choose(np.array(n), np.array(size))).sum(axis=0)
    shares = k / size
    if order == 1:
        return float(np.exp(special.entr(shares) @ expected))
    return float(np.power(np.power(shares, order) @ expected, 1 / (1 - order)))


def hill_at_coverage(counts_C: ArrayLike, coverage: float, order: float) -> float | None:
    """Hill number at the size whose coverage is `coverage`, interpolated between sizes; equal
    coverage, not equal size, is a fair comparison of unequal communities (Chao & Jost 2012).

    None where the answers do not reach that coverage.  Below the coverage of a single answer it is
    1, the least there is.
    """
    counts = _counts(counts_C)
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must lie in (0, 1], got {coverage}")
    curve = coverage_curve(counts)
    if coverage > curve[-1] + 1e-12:
        return None
    above = int(np.searchsorted(curve, coverage - 1e-12))
    if above == 0:
        return 1.0
    low, high = hill_at(counts, above, order), hill_at(counts, above + 1, order)
    step = curve[above] - curve[above - 1]
    share = (coverage - curve[above - 1]) / step if step > 0 else 0.0
    return float(low + share * (high - low))


def hill(counts_C: ArrayLike, order: int) -> float | None:
    """Estimated Hill number of all right answers there could be, order 0, 1 or 2.

    0: Chao1, `S + (n-1)/n f1^2 / (2 f2)`, a lower bound (Chao 1984).  1: exp of the entropy of
    Chao, Wang & Jost 2013 (Methods Ecol. Evol. 4, eq. 7).  2: `1 / sum c(c-1)/(n(n-1))`, unbiased
    below the line; None where no kind came twice.  None for fewer than two answers.
    """
    counts = _counts(counts_C)
    n, num_seen = int(counts.sum()), counts.size
    if n < 2:
        return None
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    match order:
        case 0:
            unseen = once**2 / (2 * twice) if twice else once * (once - 1) / 2
            return num_seen + (n - 1) / n * unseen
        case 1:
            return math.exp(_entropy(counts, n, once, twice))
        case 2:
            alike = float((counts * (counts - 1)).sum()) / (n * (n - 1))
            return 1 / alike if alike > 0 else None
        case _:
            raise ValueError(f"Hill numbers of order 0, 1 and 2 are estimated, not {order}")


def distinct_change(
    base: Sequence[ArrayLike], trained: Sequence[ArrayLike], k: int
) -> DiversityChange | None:
    """`distinct_k` of trained minus base, paired on tasks with k right answers on both sides.

    Intervals resample tasks.  None where fewer than two tasks remain.
    """
    values = [
        np.array([_or_nan(c, lambda counts: float(distinct_k(counts, [k])[0])) for c in side])
        for side in (base, trained)
    ]
    return paired_change(values[0], values[1], span=k - 1.0)


def hill_change(
    base: Sequence[ArrayLike],
    trained: Sequence[ArrayLike],
    order: float,
    *,
    coverage: float = 0.8,
    min_right: int = MIN_RIGHT,
) -> DiversityChange | None:
    """Hill numbers at equal coverage, trained minus base, paired on tasks where both sides have
    `min_right` right answers and reach `coverage`.

    Intervals resample tasks.  None where fewer than two tasks remain.  The size that has the
    coverage is itself estimated, which makes the numbers a little large: at a coverage of 0.8 by
    1-3% from 32 answers, 0.5-1% from 128, much the same on either side.
    """

    def at(counts: Ints) -> float:
        value = hill_at_coverage(counts, coverage, order) if counts.sum() >= min_right else None
        return math.nan if value is None else value

    values = [np.array([_or_nan(c, at) for c in side]) for side in (base, trained)]
    return paired_change(values[0], values[1], span=math.inf)


def paired_change(base_T: Floats, trained_T: Floats, span: float) -> DiversityChange | None:
    """Of any figure a task, NaN where a task has none; `span` is the widest range of the figure
    (infinite where it has none).  None where fewer than two tasks have both sides."""
    if base_T.shape != trained_T.shape:
        raise ValueError(f"{base_T.size} tasks of the base, {trained_T.size} of the trained model")
    kept_T = ~np.isnan(base_T) & ~np.isnan(trained_T)
    if kept_T.sum() < 2:
        return None
    base_T, trained_T = base_T[kept_T], trained_T[kept_T]
    sides = bootstrap_mean(np.stack([base_T, trained_T], axis=1), bounds=(1.0, 1.0 + span))
    difference = bootstrap_mean((trained_T - base_T)[:, None], bounds=(-span, span)).at(0)
    cells = (sides.at(0), sides.at(1), difference)
    first, second, third = (cell for cell in cells if cell is not None)
    return DiversityChange(
        base=first,
        trained=second,
        difference=third,
        num_left_out=int((~kept_T).sum()),
    )


def _or_nan(counts: ArrayLike, figure: Callable[[Ints], float]) -> float:
    return figure(_counts(counts)) if np.size(counts) else math.nan


def _counts(counts_C: ArrayLike) -> Ints:
    counts = np.asarray(counts_C, dtype=np.int64)
    if counts.ndim != 1 or counts.size == 0 or counts.min() < 1:
        raise ValueError("needs the number of right answers of each kind seen, at least one each")
    return counts


def _log_choose(n: NDArray[np.int64], k: NDArray[np.int64]) -> Floats:
    """log C(n, k), minus infinity where k > n."""
    logs = np.append(0.0, np.cumsum(np.log(np.arange(1, max(int(np.max(n)), int(np.max(k))) + 1))))
    return np.where(k <= n, logs[n] - logs[k] - logs[np.maximum(n - k, 0)], -np.inf)


def _entropy(counts: Ints, n: int, once: int, twice: int) -> float:
    seen = float((counts / n) @ (special.digamma(n) - special.digamma(counts)))
    if not once:
        return seen
    if twice:
        rare = 2 * twice / ((n - 1) * once + 2 * twice)
    elif once > 1:
        rare = 2 / ((n - 1) * (once - 1) + 2)
    else:
        return seen
    r = np.arange(1, n)
    rest = -math.log(rare) - float(((1 - rare) ** r / r).sum())
    return seen + once / n * (1 - rare) ** (1 - n) * rest
