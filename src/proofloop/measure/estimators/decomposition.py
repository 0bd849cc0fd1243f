"""Splits a gain into what stopped being cut off, what became readable, and what became right.

An attempt passes if it is complete (not cut off by the token limit), readable (an answer of the
form asked for) and right: `p = complete x readable x right`, each given the ones before.

Axes: T tasks, F the three factors in that order.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from proofloop.core.completion import StopReason
from proofloop.core.verdict import ScoredCause
from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.interval import Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_UNKNOWN = 0.1
"""Share of tasks with an unknown factor beyond which the split hangs on a convention."""


class Kind(StrEnum):
    """What became of an attempt, as far as the split is concerned."""

    PASSED = "passed"
    WRONG = "wrong"
    """Readable and not right, whatever the cause."""
    UNREADABLE = "unreadable"
    """Complete, and no answer of the form asked for."""
    CUT_OFF = "cut off"
    """Ran into the token limit and did not pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseCounts:
    """Attempts of every task by kind."""

    num_passed_T: Ints
    num_wrong_T: Ints
    num_unreadable_T: Ints
    num_cut_off_T: Ints

    def __post_init__(self) -> None:
        columns = (self.num_passed_T, self.num_wrong_T, self.num_unreadable_T, self.num_cut_off_T)
        if len({c.shape for c in columns}) > 1 or columns[0].ndim != 1:
            raise ValueError(f"counts differ in length: {[c.shape for c in columns]}")
        if any(np.any(c < 0) for c in columns) or np.any(sum(columns) < 1):
            raise ValueError("every task needs an attempt, and no count may be negative")

    @classmethod
    def from_attempts(cls, attempts: Iterable[tuple[int, Kind]], num_tasks: int) -> "CauseCounts":
        """From (task, kind) pairs; tasks are 0 … num_tasks - 1."""
        table = np.zeros((num_tasks, len(Kind)), np.int64)
        kinds = list(Kind)
        for task, kind in attempts:
            table[task, kinds.index(kind)] += 1
        return cls(
            num_passed_T=table[:, 0],
            num_wrong_T=table[:, 1],
            num_unreadable_T=table[:, 2],
            num_cut_off_T=table[:, 3],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One factor's part of the gain."""

    ordered: Interval
    """Changed in the order complete, readable, right: as a text comes to be."""
    averaged: Interval
    """Averaged over all six orders (Shapley 1953)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GainSplit:
    gain: Interval
    """The parts of either kind sum to its value."""
    length_cap: Part
    format: Part
    answer: Part
    unknown_share: float
    """Tasks with a factor that one side alone shows: see `split_gain`."""
    leans_on_convention: bool
    """`unknown_share` is above MAX_UNKNOWN."""


def kind_of(cause: ScoredCause, stop: StopReason) -> Kind:
    """A cut-off attempt that passes was not hurt by the limit; one that fails is laid to it."""
    if cause is ScoredCause.PASSED:
        return Kind.PASSED
    if stop is StopReason.LENGTH:
        return Kind.CUT_OFF
    match cause:
        case (
            ScoredCause.NO_ANSWER
            | ScoredCause.CONFLICTING_ANSWERS
            | ScoredCause.INVALID_PROGRAM
            | ScoredCause.INVALID_RESULT
        ):
            return Kind.UNREADABLE
        case (
            ScoredCause.WRONG_ANSWER
            | ScoredCause.EXCEPTION
            | ScoredCause.TIME_LIMIT
            | ScoredCause.MEMORY_LIMIT
            | ScoredCause.OUTPUT_LIMIT
            | ScoredCause.DECOY
            | ScoredCause.CRASH
            | ScoredCause.FORBIDDEN_FILE
            | ScoredCause.TAMPERING
        ):
            return Kind.WRONG
        case _:
            assert_never(cause)


def split_gain(base: CauseCounts, trained: CauseCounts) -> GainSplit | None:
    """Trained minus base, split task by task and averaged over tasks; intervals resample tasks.

    In order: `dC R A`, `C' dR A`, `C' R' dA` (primes: trained).  Averaged over orders, the part of
    a factor x among x, y, z is `dx ((y z + y' z') / 3 + (y z' + y' z) / 6)`.

    A factor that a side never shows (how many are right, where none was readable) is unknown
    there; it is taken from the other side, so that no change is laid to it, and as 1 where
    neither shows it.  The more such tasks, the more the parts lean on this convention:
    `unknown_share`.  Else the parts are unbiased, since the sides are independent and a
    conditional share is unbiased given its denominator.
    None for fewer than two tasks; raises ValueError where the tasks do not line up.
    """
    if base.num_passed_T.shape != trained.num_passed_T.shape:
        raise ValueError(
            f"{base.num_passed_T.size} tasks of the base, {trained.num_passed_T.size} of the "
            "trained model"
        )
    if base.num_passed_T.size < 2:
        return None
    before_FT, after_FT = _factors(base), _factors(trained)
    unknown_T = (np.isnan(before_FT) | np.isnan(after_FT)).any(axis=0)
    before_FT, after_FT = (
        np.nan_to_num(np.where(np.isnan(mine), other, mine), nan=1.0)
        for mine, other in ((before_FT, after_FT), (after_FT, before_FT))
    )
    ordered_FT, averaged_FT = _parts(before_FT, after_FT)
    gain_T = after_FT.prod(axis=0) - before_FT.prod(axis=0)
    columns = np.concatenate([gain_T[None], ordered_FT, averaged_FT]).T
    curve = bootstrap_mean(columns, bounds=(-1.0, 1.0))
    cells = [cell for cell in (curve.at(i) for i in range(7)) if cell is not None]
    parts = [Part(ordered=cells[1 + f], averaged=cells[4 + f]) for f in range(3)]
    return GainSplit(
        gain=cells[0],
        length_cap=parts[0],
        format=parts[1],
        answer=parts[2],
        unknown_share=float(unknown_T.mean()),
        leans_on_convention=float(unknown_T.mean()) > MAX_UNKNOWN,
    )


def _factors(counts: CauseCounts) -> Floats:
    """complete, readable, right of every task: values_FT, NaN where a side cannot know."""
    readable = counts.num_passed_T + counts.num_wrong_T
    complete = readable + counts.num_unreadable_T
    total = complete + counts.num_cut_off_T
    with np.errstate(invalid="ignore"):
        return np.stack([complete / total, readable / complete, counts.num_passed_T / readable])


def _parts(before_FT: Floats, after_FT: Floats) -> tuple[Floats, Floats]:
    """Each factor's part with the factors changed in order, and averaged over all orders."""
    by_order: list[Floats] = []
    for order in permutations(range(3)):
        parts_FT, now_FT = np.empty_like(before_FT), before_FT.copy()
        for factor in order:
            held = now_FT.prod(axis=0)
            now_FT[factor] = after_FT[factor]
            parts_FT[factor] = now_FT.prod(axis=0) - held
        by_order.append(parts_FT)
    return by_order[0], np.stack(by_order).sum(axis=0) / math.factorial(3)
