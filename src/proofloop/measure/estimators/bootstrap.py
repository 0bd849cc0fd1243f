"""Means over tasks and paired differences, with intervals from resampled tasks and seeds.

Axes: T tasks, K columns, B bootstrap resamples, S training seeds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proofloop.measure.estimators.interval import LEVEL, Interval

Floats = NDArray[np.float64]

NUM_RESAMPLES = 2000


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
    """Mean over tasks of every column, with percentile intervals from resampled tasks.

    All columns share the resamples, so a band belongs together.  NaN marks a task that a column
    lacks; it is left out there and `num_tasks` says how many remain.  To compare two models on
    the same tasks, pass the differences per task and `bounds=(-1, 1)`: that is the paired
    bootstrap (Miller 2024, arXiv:2411.00640, section 4: pairing removes between-task variance).

    Where all tasks agree (for example none is ever solved) resampling shows no spread, which is
    not certainty.  If a share q of tasks differed, T draws would all agree with probability
    (1-q)^T, so q <= 1 - (1-level)^(1/T): the interval then reaches that far into `bounds`.
    """
    present_TK = ~np.isnan(values_TK)
    filled_TK = np.where(present_TK, values_TK, 0.0)
    num_tasks_K = present_TK.sum(axis=0)
    num_tasks = len(values_TK)
    if num_tasks == 0:
        nothing_K = np.full(values_TK.shape[1], np.nan)
        return Curve(means=nothing_K, lows=nothing_K, highs=nothing_K, num_tasks=num_tasks_K)
    weights_BT = _task_weights(np.random.default_rng(seed), num_tasks, num_resamples)
    with np.errstate(invalid="ignore", divide="ignore"):
        value_K = filled_TK.sum(axis=0) / num_tasks_K
        means_BK = (weights_BT @ filled_TK) / (weights_BT @ present_TK.astype(np.float64))
    low_K, high_K = np.full_like(value_K, np.nan), np.full_like(value_K, np.nan)
    wide_K = num_tasks_K >= 2
    if wide_K.any():
        tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
        low_K[wide_K], high_K[wide_K] = np.nanquantile(means_BK[:, wide_K], tails, axis=0)
    spread_K = np.where(present_TK, np.abs(values_TK - value_K), 0.0).max(axis=0)
    alike_K = wide_K & (spread_K < 1e-12)
    share_K = 1 - (1 - LEVEL) ** (1 / np.maximum(num_tasks_K, 1))
    low_K[alike_K] = (value_K - share_K * (value_K - bounds[0]))[alike_K]
    high_K[alike_K] = (value_K + share_K * (bounds[1] - value_K))[alike_K]
    return Curve(means=value_K, lows=low_K, highs=high_K, num_tasks=num_tasks_K)


def paired_difference(
    per_seed: Sequence[tuple[ArrayLike, ArrayLike]], *, same_tasks: bool = True, seed: int = 0
) -> Interval:
    """Mean of trained minus base over training seeds and tasks, from (base_T, trained_T) pairs.

    With the same tasks in every seed the design is crossed: a resample draws tasks once for all
    seeds, then seeds.  With tasks of their own (`same_tasks=False`) it is nested: seeds, then the
    tasks of each.  Deviations of a seed from the mean are widened by sqrt(S / (S-1)), without
    which resampling S seeds understates their variance by (S-1)/S.  With two or three seeds the
    seed part is still only a guess: the interval speaks for these seeds' recipe only where the
    seeds agree.  One seed: the paired task bootstrap.
    Raises ValueError where pairs differ in length or a crossed design is not rectangular.
    """
    deltas = [np.asarray(t, np.float64) - np.asarray(b, np.float64) for b, t in per_seed]
    if not deltas or any(d.ndim != 1 or d.size == 0 or np.isnan(d).any() for d in deltas):
        raise ValueError("each seed needs base and trained values of the same tasks, none missing")
    if same_tasks and len({d.size for d in deltas}) > 1:
        raise ValueError(f"seeds with the same tasks differ in number: {[d.size for d in deltas]}")
    num_tasks = deltas[0].size if same_tasks else sum(d.size for d in deltas)
    if len(deltas) == 1:
        interval = bootstrap_mean(deltas[0][:, None], bounds=(-1.0, 1.0), seed=seed).at(0)
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
