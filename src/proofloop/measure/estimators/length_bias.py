"""Whether a score of answers is a liking for long ones, and what it is without.

A reward model learns from choices, and where the chosen answers are longer, length will do for
being right (Singhal et al. 2024, arXiv:2310.03716).  A score may know of length what correctness
knows; a bias is what it makes of length **at equal correctness**, so slopes are taken within
answers that are all right, or all wrong.

Axes: A answers, P pairs, T tasks, B resamples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proofloop.core.record import Record
from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.clusters import percentile
from proofloop.measure.estimators.interval import Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

UNIT = 100
"""Slopes are per hundred tokens."""
MATCHED = 0.1
"""Answers of a pair are of like length where they differ by at most this share of their mean."""
NUM_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredAnswers:
    """Answers with a score each, whether they are right, and how long they are."""

    task_A: Ints
    right_A: NDArray[np.bool_]
    num_tokens_A: Floats
    score_A: Floats

    @classmethod
    def of(
        cls, tasks: ArrayLike, right: ArrayLike, num_tokens: ArrayLike, scores: ArrayLike
    ) -> "ScoredAnswers":
        """Raises ValueError where columns differ in length or a number is not finite."""
        made = cls(
            task_A=np.unique(np.asarray(tasks), return_inverse=True)[1].reshape(-1),
            right_A=np.asarray(right, np.bool_),
            num_tokens_A=np.asarray(num_tokens, np.float64),
            score_A=np.asarray(scores, np.float64),
        )
        columns = (made.task_A, made.right_A, made.num_tokens_A, made.score_A)
        if len({column.shape for column in columns}) > 1 or made.score_A.ndim != 1:
            raise ValueError(f"columns of answers differ: {[len(column) for column in columns]}")
        if not (np.isfinite(made.num_tokens_A).all() and np.isfinite(made.score_A).all()):
            raise ValueError("lengths and scores of answers must be finite")
        return made

    @property
    def num_tasks(self) -> int:
        return len(np.unique(self.task_A))


class LengthSlope(Record):
    """How scores go with length among answers that are equally right."""

    slope: Interval
    """Of the least-squares line, score per hundred tokens."""
    correlation: Interval
    within_tasks: bool
    """Whether answers are compared with others of their own task alone."""
    num_answers: int


def length_slope(
    answers: ScoredAnswers, *, within_tasks: bool, seed: int = 0
) -> LengthSlope | None:
    """Slope sum(l s) / sum(l²) and correlation of scores s and lengths l, less their cells' means.

    A cell is all right answers, or all wrong ones, of one task (`within_tasks`, a fixed effect of
    task and correctness) or of all tasks, which also compares easy tasks with hard ones.  Intervals
    from resampled tasks (percentiles, with the tails of Student's t).  None where fewer than two
    tasks have a spread of lengths, or scores have none: nothing can be said.
    """
    cell_A = 2 * answers.task_A * within_tasks + answers.right_A
    x_A, y_A = answers.num_tokens_A / UNIT, answers.score_A
    # Across tasks too, where only resamples move the means of cells: sums then lose no digits.
    x_A, y_A = _centred(x_A, cell_A), _centred(y_A, cell_A)
    if not _spread(x_A, answers.num_tokens_A / UNIT) or not _spread(y_A, answers.score_A):
        return None
    sums_KT = _sums(answers.task_A, x_A, y_A, None if within_tasks else answers.right_A)
    # Within tasks, those whose answers differ in nothing weigh nothing.
    xx_T, yy_T = sums_KT[3::6].sum(axis=0), sums_KT[5::6].sum(axis=0)
    informative = (xx_T + yy_T > 1e-12) if within_tasks else sums_KT[0::6].any(axis=0)
    num_units = int(informative.sum())
    num_tasks = int((xx_T > 1e-12).sum()) if within_tasks else num_units
    if num_tasks < 2:
        return None
    rng = np.random.default_rng(seed)
    drawn_BT = rng.multinomial(num_units, np.full(num_units, 1 / num_units), size=NUM_RESAMPLES)
    weights_BT = np.vstack([np.ones((1, num_units)), drawn_BT]).astype(np.float64)
    xx_B, xy_B, yy_B = _moments(weights_BT, sums_KT[:, informative], centre=not within_tasks)
    with np.errstate(invalid="ignore", divide="ignore"):
        slope_B = np.where(xx_B > 1e-12, xy_B / xx_B, np.nan)
        correlation_B = np.where(xx_B * yy_B > 0, xy_B / np.sqrt(xx_B * yy_B), np.nan)
    slope, correlation = (
        percentile(values_B, num_tasks=num_tasks, num_units=num_units)
        for values_B in (slope_B, correlation_B)
    )
    assert slope is not None, "the data themselves have a spread"
    assert correlation is not None, "of both"
    return LengthSlope(
        slope=slope,
        correlation=correlation,
        within_tasks=within_tasks,
        num_answers=len(y_A),
    )


def without_length(scores: ArrayLike, num_tokens: ArrayLike, slope: float) -> Floats:
    """Scores less what a slope (per hundred tokens) makes of length."""
    lengths = np.asarray(num_tokens, np.float64)
    return np.asarray(scores, np.float64) - slope * lengths / UNIT


class PairAccuracy(Record):
    """How often the better answer of a pair has the higher score; None where there is no such pair.
    Means of tasks' means; equal scores count a half."""

    all: Interval | None
    matched: Interval | None
    """Where both are of like length: what is left when length can say nothing."""
    longer: Interval | None
    """Where the better one is the longer one."""
    shorter: Interval | None
    longer_share: float
    """Pairs whose better answer is longer, of those of unlike length; NaN without any.  What a
    score that is nothing but length would get right among them."""


def pair_accuracy(
    tasks: ArrayLike,
    margins: ArrayLike,
    num_tokens_better: ArrayLike,
    num_tokens_worse: ArrayLike,
    *,
    matched: float = MATCHED,
    seed: int = 0,
) -> PairAccuracy:
    """`margins`: score of the better answer less that of the worse.  Raises ValueError where the
    columns differ in length, or a margin is not finite."""
    margin_P = np.asarray(margins, np.float64)
    better_P, worse_P = (
        np.asarray(lengths, np.float64) for lengths in (num_tokens_better, num_tokens_worse)
    )
    task_P = np.unique(np.asarray(tasks), return_inverse=True)[1].reshape(-1)
    if len({column.shape for column in (margin_P, better_P, worse_P, task_P)}) > 1:
        raise ValueError("columns of pairs differ in length")
    if not np.isfinite(margin_P).all():
        raise ValueError("margins of pairs must be finite")
    ahead_P = better_P - worse_P
    like_P = np.abs(ahead_P) <= matched * (better_P + worse_P) / 2
    kinds = (np.ones_like(like_P), like_P, ~like_P & (ahead_P > 0), ~like_P & (ahead_P < 0))
    right_P = (margin_P > 0) + 0.5 * (margin_P == 0)
    num_tasks = int(task_P.max()) + 1 if len(task_P) else 0
    values_TK = np.full((num_tasks, len(kinds)), np.nan)
    for k, kind_P in enumerate(kinds):
        counts_T = np.bincount(task_P[kind_P], minlength=num_tasks)
        totals_T = np.bincount(task_P[kind_P], right_P[kind_P], minlength=num_tasks)
        values_TK[counts_T > 0, k] = totals_T[counts_T > 0] / counts_T[counts_T > 0]
    curve = bootstrap_mean(values_TK, seed=seed)
    unlike = int((~like_P).sum())
    return PairAccuracy(
        all=curve.at(0),
        matched=curve.at(1),
        longer=curve.at(2),
        shorter=curve.at(3),
        longer_share=float(kinds[2].sum()) / unlike if unlike else float("nan"),
    )


def _spread(off_A: Floats, values_A: Floats) -> bool:
    """Whether what is left about the means is more than their rounding."""
    return float(np.abs(off_A).max(initial=0.0)) > 1e-9 * float(np.abs(values_A).max(initial=1e-9))


def _centred(values_A: Floats, cell_A: Ints) -> Floats:
    _, place_A, counts = np.unique(cell_A, return_inverse=True, return_counts=True)
    place_A = place_A.reshape(-1)
    return values_A - (np.bincount(place_A, values_A) / counts)[place_A]


def _sums(task_A: Ints, x_A: Floats, y_A: Floats, right_A: NDArray[np.bool_] | None) -> Floats:
    """Of 1, x, y, xx, xy, yy by task, for all answers, or for the wrong and then the right ones."""
    num_tasks = int(task_A.max()) + 1 if len(task_A) else 0
    every = np.ones(len(task_A), np.bool_)
    parts = (every,) if right_A is None else (~right_A, right_A)
    columns = (np.ones_like(x_A), x_A, y_A, x_A * x_A, x_A * y_A, y_A * y_A)
    return np.stack(
        [
            np.bincount(task_A[part], column[part], minlength=num_tasks).astype(np.float64)
            for part in parts
            for column in columns
        ]
    )


def _moments(weights_BT: Floats, sums_KT: Floats, *, centre: bool) -> tuple[Floats, ...]:
    """xx, xy and yy of every resample, about the means of its cells where these are not 0."""
    totals = np.zeros((3, len(weights_BT)))
    for start in range(0, len(sums_KT), 6):
        n_B, x_B, y_B, *squares = (weights_BT @ sums_KT[start : start + 6].T).T
        products = (x_B * x_B, x_B * y_B, y_B * y_B)
        for total_B, square_B, product_B in zip(totals, squares, products, strict=True):
            total_B += square_B - (product_B / np.maximum(n_B, 1) if centre else 0.0)
    return tuple(totals)
