"""What a gain is worth at equal length, and how long right and wrong answers are.

A model that writes longer may pass more for that alone.  Matching by length tells how much of a
gain remains between attempts of like length.  It is a description, not a cause: length is itself
an outcome of training, and thinking longer may be the very thing that was learnt.

Axes: T tasks, A attempts of all tasks, flat.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.interval import Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MAX_BINS = 12
"""Strata of a task's lengths, as far as the smaller side has two attempts for each.  What length
explains within a stratum stays in the gain: a tenth with five strata (Cochran 1968, Biometrics
24), a fiftieth with twelve."""
MIN_OVERLAP = 2.0
"""Effective pairs of attempts of like length that a task needs: sum of n_b n_t / (n_b + n_t)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLengths:
    """Scored attempts of one model."""

    task_A: Ints
    num_tokens_A: Ints
    passed_A: Bools
    truncated_A: Bools
    """Ran into the token limit: the length is a limit's, not the model's."""

    def __post_init__(self) -> None:
        shapes = {
            a.shape for a in (self.task_A, self.num_tokens_A, self.passed_A, self.truncated_A)
        }
        if len(shapes) > 1 or self.task_A.ndim != 1:
            raise ValueError(f"columns of attempts must be flat and of one length, got {shapes}")
        if self.task_A.size and (self.task_A.min() < 0 or self.num_tokens_A.min() < 0):
            raise ValueError("tasks and lengths are not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthMatchedGain:
    """Gains of trained over base; means over tasks, paired."""

    raw: Interval
    """On all tasks."""
    raw_where_matched: Interval
    """On the tasks that `matched` is from, so that the two compare."""
    matched: Interval
    explained: Interval
    """`raw_where_matched` less `matched`: what goes with length."""
    truncated_base: Interval
    truncated_trained: Interval
    truncation_change: Interval
    overlap: float
    """Mean share of attempts (of those tasks) that have a like of the other side."""
    num_left_out: int
    """Tasks whose lengths overlap too little to say anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthsAtStep:
    """Mean tokens of right and of wrong attempts at one step: means of tasks' means."""

    step: int
    right: Interval | None
    wrong: Interval | None
    difference: Interval | None
    """Right minus wrong within the tasks that have both; None where there is no such task.  It is
    not `right` minus `wrong`, which also compares easy tasks with hard ones."""
    truncated: Interval


def length_matched_gain(
    base: AttemptLengths,
    trained: AttemptLengths,
    num_tasks: int,
    *,
    num_bins: int | None = None,
    seed: int = 0,
) -> LengthMatchedGain | None:
    """Gain between attempts at one task of like length.

    Within a task the lengths of both sides are cut at their quantiles (each side weighing the
    same) into `num_bins` strata, by default MAX_BINS or fewer; cut-off attempts are a stratum of
    their own.  The task's gain is `sum_s h_s (p_trained,s - p_base,s) / sum_s h_s` with
    `h_s = n_b n_t / (n_b + n_t)`: the Mantel-Haenszel risk difference (Greenland & Robins 1985,
    Biometrics 41, eq. 1), which is overlap weighting (Li, Morgan & Zaslavsky 2018, JASA 113) with
    a propensity by stratum.  So lengths that one side alone has weigh nothing and nothing is
    extrapolated, unlike a regression on length.  Then the mean over tasks, each the same.

    Unbiased where a gain is the same at all lengths of a task; else it is the gain where lengths
    overlap.  Within a stratum lengths may still differ: of what length explains, 2% (64 attempts
    a side) to 10% (8 attempts) is left in `matched`.  Intervals resample tasks and do not know of
    this rest.  Simulated coverage (`bench/coverage/lengths.py`), 30-100 tasks with a raw gain of
    0.07-0.15 that is length's alone: 0.94-0.96 with 32 or 64 attempts, 0.93 with 8; less with
    hundreds of tasks and few attempts.

    None where fewer than two tasks overlap.  Raises ValueError where a task has no attempt on a
    side.
    """
    counts = [np.bincount(side.task_A, minlength=num_tasks) for side in (base, trained)]
    if any(c.size > num_tasks or np.any(c == 0) for c in counts):
        raise ValueError(f"each of the {num_tasks} tasks needs an attempt on either side")
    if num_bins is not None and num_bins < 1:
        raise ValueError(f"needs a stratum or more, got {num_bins}")
    base_by, trained_by = _by_task(base, num_tasks), _by_task(trained, num_tasks)
    cells_TX = np.array(
        [
            _matched_task(base, trained, b, t, num_bins)
            for b, t in zip(base_by, trained_by, strict=True)
        ]
    )
    raw_T = _shares(trained.passed_A, trained_by) - _shares(base.passed_A, base_by)
    cut_T = [_shares(s.truncated_A, by) for s, by in ((base, base_by), (trained, trained_by))]
    kept_T = cells_TX[:, 1] >= MIN_OVERLAP
    if kept_T.sum() < 2:
        return None
    matched_T = np.where(kept_T, cells_TX[:, 0], np.nan)
    raw_kept_T = np.where(kept_T, raw_T, np.nan)
    signed = np.stack([raw_T, raw_kept_T, matched_T, raw_kept_T - matched_T, cut_T[1] - cut_T[0]])
    changes = bootstrap_mean(signed.T, bounds=(-1.0, 1.0), seed=seed)
    shares = bootstrap_mean(np.stack(cut_T, axis=1), seed=seed)
    cells = [*(changes.at(i) for i in range(5)), shares.at(0), shares.at(1)]
    raw, raw_kept, matched, explained, cut, cut_base, cut_trained = (c for c in cells if c)
    return LengthMatchedGain(
        raw=raw,
        raw_where_matched=raw_kept,
        matched=matched,
        explained=explained,
        truncated_base=cut_base,
        truncated_trained=cut_trained,
        truncation_change=cut,
        overlap=float(cells_TX[kept_T, 2].mean()),
        num_left_out=int((~kept_T).sum()),
    )


def lengths_over_steps(step_A: Ints, attempts: AttemptLengths) -> list[LengthsAtStep]:
    """Lengths of right and of wrong attempts at every step, in order of steps.

    Truncated attempts count with the length they got, a lower bound: read `truncated` beside it.
    """
    if step_A.shape != attempts.task_A.shape:
        raise ValueError(f"{step_A.size} steps for {attempts.task_A.size} attempts")
    return [_at_step(int(step), attempts, step_A == step) for step in np.unique(step_A)]


def _by_task(side: AttemptLengths, num_tasks: int) -> list[Ints]:
    """The places of every task's attempts."""
    order = np.argsort(side.task_A, kind="stable")
    return np.split(order, np.searchsorted(side.task_A[order], np.arange(1, num_tasks)))


def _shares(flags_A: Bools, by_task: list[Ints]) -> Floats:
    return np.array([flags_A[places].mean() for places in by_task])


def _matched_task(
    base: AttemptLengths,
    trained: AttemptLengths,
    base_places: Ints,
    trained_places: Ints,
    num_bins: int | None,
) -> tuple[float, float, float]:
    """(gain at like length, effective pairs, share of attempts with a like) of one task."""
    sides = ((base, base_places), (trained, trained_places))
    whole = [s.num_tokens_A[p][~s.truncated_A[p]].astype(np.float64) for s, p in sides]
    fitting = min(MAX_BINS, max(1, min(w.size for w in whole) // 2))
    edges = _edges(whole[0], whole[1], fitting if num_bins is None else num_bins)
    counts, passed = [], []
    for side, places in sides:
        stratum = np.searchsorted(edges, side.num_tokens_A[places], side="left")
        stratum[side.truncated_A[places]] = len(edges) + 1
        counts.append(np.bincount(stratum, minlength=len(edges) + 2).astype(np.float64))
        passed.append(np.bincount(stratum, side.passed_A[places], minlength=len(edges) + 2))
    shared = (counts[0] > 0) & (counts[1] > 0)
    if not shared.any():
        return math.nan, 0.0, 0.0
    (n_b, n_t), (c_b, c_t) = ((x[0][shared], x[1][shared]) for x in (counts, passed))
    weights = n_b * n_t / (n_b + n_t)
    gain = float(weights @ (c_t / n_t - c_b / n_b) / weights.sum())
    return gain, float(weights.sum()), float((n_b.sum() + n_t.sum()) / sum(c.sum() for c in counts))


def _edges(base: Floats, trained: Floats, num_bins: int) -> Floats:
    """Cuts at the quantiles of both sides' lengths, each side weighing the same."""
    lengths = np.concatenate([base, trained])
    if lengths.size == 0 or num_bins == 1:
        return np.empty(0)
    weights = np.concatenate([np.full(s.size, 1 / s.size) for s in (base, trained) if s.size])
    order = np.argsort(lengths, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    wanted = np.arange(1, num_bins) / num_bins
    return np.unique(lengths[order][np.searchsorted(reached, wanted - 1e-12)])


def _at_step(step: int, attempts: AttemptLengths, here_A: Bools) -> LengthsAtStep:
    tasks, task_A = np.unique(attempts.task_A[here_A], return_inverse=True)
    lengths_A, passed_A = attempts.num_tokens_A[here_A], attempts.passed_A[here_A]

    def means(chosen_A: Bools) -> Floats:
        totals = np.bincount(task_A[chosen_A], lengths_A[chosen_A], minlength=tasks.size)
        with np.errstate(invalid="ignore"):
            return totals / np.bincount(task_A[chosen_A], minlength=tasks.size)

    right_T, wrong_T = means(passed_A), means(~passed_A)
    columns = np.stack([right_T, wrong_T, right_T - wrong_T], axis=1)
    lengths = bootstrap_mean(columns, bounds=(-math.inf, math.inf))
    cut_A = attempts.truncated_A[here_A].astype(np.float64)
    cut_T = np.bincount(task_A, cut_A) / np.bincount(task_A)
    truncated = bootstrap_mean(cut_T[:, None]).at(0)
    assert truncated is not None
    return LengthsAtStep(
        step=step,
        right=lengths.at(0),
        wrong=lengths.at(1),
        difference=lengths.at(2),
        truncated=truncated,
    )
