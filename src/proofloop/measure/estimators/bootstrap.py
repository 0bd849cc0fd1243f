"""Means over tasks and paired differences, with intervals from resampled tasks and seeds.

Axes: T tasks, K columns, B bootstrap resamples, S training seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from proofloop.measure.estimators.bounded import bounded_mean
from proofloop.measure.estimators.interval import LEVEL, Interval

Floats = NDArray[np.float64]

NUM_RESAMPLES = 2000
FAR_OUT = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Means over tasks for several columns at once; NaN where there is nothing to average."""

    means: Floats
    lows: Floats
    highs: Floats
    num_tasks: NDArray[np.int64]

    def at(self, column: int) -> Interval | None:
        """One column as a record, or None where no task contributes."""
        num_tasks = int(self.num_tasks[column])
        if num_tasks == 0:
            return None
        low, high = float(self.lows[column]), float(self.highs[column])
        return Interval(
            value=float(self.means[column]),
            low=None if math.isnan(low) else low,
            high=None if math.isnan(high) else high,
            num_tasks=num_tasks,
        )


def bootstrap_mean(
    values_TK: Floats,
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Curve:
    """Mean over tasks of every column, with 95% intervals from resampled tasks.

    The interval inverts a studentised statistic whose variance follows the mean towards `bounds`:
        z(mu) = (mean - mu) / sqrt(d (mu - lo)(hi - mu) / T),   d = s² / ((mean - lo)(hi - mean)),
    with T-1 in s² and d at most 1: Wilson's score interval with the tasks' own spread in place of a
    coin's (values of 0 and 1 have d = 1).  Its quantiles come from resampled tasks, each with a d
    of its own (the bootstrap-t of Efron & Tibshirani 1993, chapter 12, on the score scale), and are
    never closer than Student's t with T-1 degrees of freedom.  Percentile intervals are narrower
    and cover less: docs/reference/coverage.md has both, and the worlds in which this one falls
    short, which are those where nearly all tasks sit at one bound: pass@1 of Beta(0.1, 1.5) on 30
    tasks 91%, its pass^8 (0.004) 62 to 89%.  `bounded.bounded_mean` holds there too.

    Where one or two tasks carry all the spread, resamples without them have next to none and the
    quantiles run away.  A column whose quantiles lie beyond `FAR_OUT` Student quantiles is cut to
    what `bounded_mean` says, which holds whatever the distribution.

    All columns share the resamples, so a band belongs together.  NaN marks a task that a column
    lacks; it is left out there and `num_tasks` says how many remain.  To compare two models on
    the same tasks, pass the differences per task and `bounds=(-1, 1)`: that is the paired
    bootstrap (Miller 2024, arXiv:2411.00640, section 4: pairing removes between-task variance).
    Without two finite bounds (infinite or NaN) the scale is the plain one: (mu - lo)(hi - mu) = 1.

    Where all tasks agree (for example none is ever solved) resampling shows no spread, which is
    not certainty.  If a share q of tasks differed, T draws would all agree with probability
    (1-q)^T, so q <= 1 - ((1-level)/2)^(1/T): the interval then reaches that far into `bounds`.
    No interval (NaN) from fewer than two tasks, nor where all agree and a bound is infinite.
    Raises ValueError where a value lies outside of `bounds`.
    """
    present_TK = ~np.isnan(values_TK)
    num_tasks_K = present_TK.sum(axis=0)
    num_tasks = len(values_TK)
    if num_tasks == 0:
        nothing_K = np.full(values_TK.shape[1], np.nan)
        return Curve(means=nothing_K, lows=nothing_K, highs=nothing_K, num_tasks=num_tasks_K)
    low, high = bounds = _ends(bounds)
    if np.any((values_TK < low - 1e-9) | (values_TK > high + 1e-9)):
        raise ValueError(f"a task's value lies outside of the bounds {low:g} to {high:g}")
    with np.errstate(invalid="ignore", divide="ignore"):
        value_K = np.where(present_TK, values_TK, 0.0).sum(axis=0) / num_tasks_K
    off_TK = np.where(present_TK, values_TK - value_K, 0.0)
    weights_BT = _task_weights(np.random.default_rng(seed), num_tasks, num_resamples)
    score = _Score.of(off_TK, value_K, num_tasks_K, bounds)
    quantiles = score.quantiles(weights_BT, off_TK, present_TK)
    low_K, high_K = score.interval(*quantiles)
    for k in score.far_out(*quantiles):
        least, most = bounded_mean((values_TK[present_TK[:, k], k] - low) / (high - low), seed=seed)
        low_K[k] = max(low_K[k], low + (high - low) * least)
        high_K[k] = min(high_K[k], low + (high - low) * most)
    alike_K = (num_tasks_K >= 2) & (np.abs(off_TK).max(axis=0) < 1e-12)
    share_K = 1 - ((1 - LEVEL) / 2) ** (1 / np.maximum(num_tasks_K, 1))
    with np.errstate(invalid="ignore"):
        low_K[alike_K] = (value_K - share_K * (value_K - low))[alike_K]
        high_K[alike_K] = (value_K + share_K * (high - value_K))[alike_K]
    known_K = (num_tasks_K >= 2) & np.isfinite(low_K) & np.isfinite(high_K)
    return Curve(
        means=value_K,
        lows=np.where(known_K, low_K, np.nan),
        highs=np.where(known_K, high_K, np.nan),
        num_tasks=num_tasks_K,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Score:
    """Means on the score scale of `bootstrap_mean`; columns without spread carry d = 0."""

    mean_K: Floats
    num_tasks_K: NDArray[np.int64]
    scale_K: Floats
    """(mean - lo)(hi - mean), or 1 where a bound is infinite."""
    effect_K: Floats
    """d."""
    bounds: tuple[float, float]

    @classmethod
    def of(
        cls,
        off_TK: Floats,
        mean_K: Floats,
        num_tasks_K: NDArray[np.int64],
        bounds: tuple[float, float],
    ) -> "_Score":
        variance_K = (off_TK**2).sum(axis=0) / np.maximum(num_tasks_K - 1, 1)
        scale_K = _scale(mean_K, bounds)
        effect_K = _ratio(variance_K, scale_K, np.zeros_like(scale_K))
        return cls(
            mean_K=mean_K,
            num_tasks_K=num_tasks_K,
            scale_K=scale_K,
            effect_K=_capped(effect_K, bounds),
            bounds=bounds,
        )

    def quantiles(
        self, weights_BT: Floats, off_TK: Floats, present_TK: NDArray[np.bool_]
    ) -> tuple[Floats, Floats]:
        """Lower and upper quantile of the statistic over resamples, at least Student's."""
        count_BK = weights_BT @ present_TK.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            shift_BK = (weights_BT @ off_TK) / count_BK
            square_BK = (weights_BT @ off_TK**2) / count_BK
            variance_BK = (square_BK - shift_BK**2) * count_BK / (count_BK - 1)
        # A resample without any spread (but rounding) says nothing of d: it keeps the sample's own.
        variance_BK[~(variance_BK > 1e-9 * self.effect_K * self.scale_K)] = 0.0
        scale_BK = _scale(self.mean_K + shift_BK, self.bounds)
        own_BK = np.broadcast_to(self.effect_K, scale_BK.shape)
        effect_BK = _capped(_ratio(variance_BK, scale_BK, own_BK), self.bounds)
        error_BK = np.sqrt(effect_BK * self.scale_K / np.maximum(count_BK, 1))
        drawn_BK = _ratio(shift_BK, error_BK, np.zeros_like(error_BK))
        low_K, high_K = np.quantile(drawn_BK, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
        student_K = stdtrit(np.maximum(self.num_tasks_K - 1, 1), (1 + LEVEL) / 2)
        return np.minimum(low_K, -student_K), np.maximum(high_K, student_K)

    def far_out(self, low_K: Floats, high_K: Floats) -> NDArray[np.intp]:
        """Columns whose quantiles a few tasks have driven far from Student's."""
        if not math.isfinite(self.bounds[1] - self.bounds[0]):
            return np.empty(0, np.intp)
        most_K = FAR_OUT * stdtrit(np.maximum(self.num_tasks_K - 1, 1), (1 + LEVEL) / 2)
        return np.flatnonzero((self.num_tasks_K >= 2) & (np.maximum(-low_K, high_K) > most_K))

    def interval(self, low_K: Floats, high_K: Floats) -> tuple[Floats, Floats]:
        """The means mu whose statistic z(mu) lies between the quantiles."""
        return self._solve(high_K), self._solve(low_K)

    def _solve(self, z_K: Floats) -> Floats:
        """The mu with z(mu) = z: a quadratic, as Wilson's is."""
        low, high = self.bounds
        reach_K = z_K**2 * self.effect_K / np.maximum(self.num_tasks_K, 1)
        if not math.isfinite(high - low):
            return np.clip(self.mean_K - np.sign(z_K) * np.sqrt(reach_K), low, high)
        share_K = (self.mean_K - low) / (high - low)
        root_K = np.sqrt(np.maximum(reach_K * share_K * (1 - share_K) + reach_K**2 / 4, 0.0))
        solved_K = (share_K + reach_K / 2 - np.sign(z_K) * root_K) / (1 + reach_K)
        return low + (high - low) * np.clip(solved_K, 0.0, 1.0)


def _ends(bounds: tuple[float, float]) -> tuple[float, float]:
    """NaN, as one may write for a quantity without bounds, is infinite."""
    low, high = bounds
    return (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)


def _scale(mean: Floats, bounds: tuple[float, float]) -> Floats:
    low, high = bounds
    if not math.isfinite(high - low):
        return np.ones_like(mean)
    return np.maximum(mean - low, 0.0) * np.maximum(high - mean, 0.0)


def _ratio(top: Floats, below: Floats, otherwise: Floats) -> Floats:
    """top / below where both say something, else `otherwise`."""
    sound = np.isfinite(top) & (top != 0.0) & (below > 1e-18)
    return np.divide(top, below, out=otherwise.copy(), where=sound)


def _capped(effect: Floats, bounds: tuple[float, float]) -> Floats:
    """Nothing within finite bounds spreads more than a coin between them, for which d = 1."""
    return np.minimum(effect, 1.0) if math.isfinite(bounds[1] - bounds[0]) else effect


def paired_difference(
    per_seed: Sequence[tuple[ArrayLike, ArrayLike]], *, same_tasks: bool = True, seed: int = 0
) -> Interval:
    """Mean of trained minus base over training seeds and tasks, from (base_T, trained_T) pairs.

    With the same tasks in every seed the design is crossed: a resample draws tasks once for all
    seeds, then seeds.  With tasks of their own (`same_tasks=False`) it is nested: seeds, then the
    tasks of each.  Deviations of a seed from the mean are widened by sqrt(S / (S-1)), without
    which resampling S seeds understates their variance by (S-1)/S.  With two or three seeds the
    seed part is still only a guess: the interval speaks for these seeds' recipe only where the
    seeds agree.  One seed: the paired task bootstrap; likewise where every task of every seed moved
    alike, for example none at all, in which resampling would see certainty.
    Raises ValueError where pairs differ in length or a crossed design is not rectangular.
    """
    deltas = [np.asarray(t, np.float64) - np.asarray(b, np.float64) for b, t in per_seed]
    if not deltas or any(d.ndim != 1 or d.size == 0 or np.isnan(d).any() for d in deltas):
        raise ValueError("each seed needs base and trained values of the same tasks, none missing")
    if same_tasks and len({d.size for d in deltas}) > 1:
        raise ValueError(f"seeds with the same tasks differ in number: {[d.size for d in deltas]}")
    num_tasks = deltas[0].size if same_tasks else sum(d.size for d in deltas)
    if len(deltas) == 1 or np.ptp(np.concatenate(deltas)) < 1e-12:
        one_T = deltas[0] if same_tasks else np.concatenate(deltas)
        interval = bootstrap_mean(one_T[:, None], bounds=(-1.0, 1.0), seed=seed).at(0)
        assert interval is not None
        return interval
    rng = np.random.default_rng(seed)
    mean = float(np.mean([d.mean() for d in deltas]))
    widening = math.sqrt(len(deltas) / (len(deltas) - 1)) - 1
    widened = [d + (d.mean() - mean) * widening for d in deltas]
    means_B = _crossed_means(rng, widened) if same_tasks else _nested_means(rng, widened)
    low, high = np.quantile(means_B, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value=mean, low=float(low), high=float(high), num_tasks=num_tasks)


def _task_weights(rng: np.random.Generator, num_tasks: int, num_rows: int) -> Floats:
    """How often each resample draws each task: a row sums to the number of tasks."""
    drawn_BT = rng.integers(num_tasks, size=(num_rows, num_tasks))
    slots = drawn_BT + num_tasks * np.arange(num_rows)[:, None]
    counts = np.bincount(slots.ravel(), minlength=num_rows * num_tasks)
    return counts.reshape(num_rows, num_tasks).astype(np.float64)


def _crossed_means(rng: np.random.Generator, deltas: list[Floats]) -> Floats:
    deltas_ST = np.stack(deltas)
    num_seeds, num_tasks = deltas_ST.shape
    means_BS = _task_weights(rng, num_tasks, NUM_RESAMPLES) @ deltas_ST.T / num_tasks
    return (_task_weights(rng, num_seeds, NUM_RESAMPLES) * means_BS).sum(axis=1) / num_seeds


def _nested_means(rng: np.random.Generator, deltas: list[Floats]) -> Floats:
    drawn_BS = rng.integers(len(deltas), size=(NUM_RESAMPLES, len(deltas)))
    means_BS = np.empty(drawn_BS.shape)
    for number, delta_T in enumerate(deltas):
        rows_BS = drawn_BS == number
        weights = _task_weights(rng, delta_T.size, int(rows_BS.sum()))
        means_BS[rows_BS] = weights @ delta_T / delta_T.size
    return means_BS.mean(axis=1)
