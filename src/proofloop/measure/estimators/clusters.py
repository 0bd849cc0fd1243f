"""Resampled counts of passed and failed attempts, for fits that are repeated on each resample.

What is drawn is the **outermost** unit given (family, else task) and all that lies within it comes
along whole.  Drawing families, then tasks, then runs, as METR does, counts the noise of the runs
again at each level: the spread of task means already holds it (Davison & Hinkley 1997,
section 3.8).  `nested=True` does it all the same, for comparison; `bench/coverage/horizon.py`
shows what it costs: 99% intervals that call themselves 95%.

Axes: T tasks, U rows (tasks that share a setting are added up), B resamples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, special

from proofloop.measure.estimators.interval import LEVEL, Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts of T tasks, checked."""

    passed_T: Floats
    failed_T: Floats
    family_T: Ints
    """Numbers from 0 up; without families each task is its own."""

    @property
    def num_tasks(self) -> int:
        return len(self.passed_T)

    @property
    def num_families(self) -> int:
        return int(self.family_T.max()) + 1


def counts(
    num_samples_T: ArrayLike, num_passed_T: ArrayLike, families_T: ArrayLike | None = None
) -> Counts:
    """Checked counts.  Raises ValueError where they are impossible or differ in number."""
    total_T = np.asarray(num_samples_T, np.float64)
    passed_T = np.asarray(num_passed_T, np.float64)
    if total_T.ndim != 1 or total_T.shape != passed_T.shape or not total_T.size:
        raise ValueError("samples and passes need one number a task, at least one task")
    if not ((passed_T >= 0) & (passed_T <= total_T) & (total_T > 0)).all():
        raise ValueError("each task needs 0 <= num_passed <= num_samples and a sample")
    family_T = np.arange(total_T.size)
    if families_T is not None:
        names_T = np.asarray(families_T)
        if names_T.shape != total_T.shape:
            raise ValueError(f"{names_T.size} families for {total_T.size} tasks")
        family_T = np.unique(names_T, return_inverse=True)[1]
    return Counts(passed_T=passed_T, failed_T=total_T - passed_T, family_T=family_T)


def rows_of(*settings_T: Floats) -> tuple[Floats, Ints]:
    """The distinct settings, settings_US, and each task's row among them."""
    settings_US, row_T = np.unique(np.column_stack(settings_T), axis=0, return_inverse=True)
    return settings_US, row_T.reshape(-1)


def drawn_weights(data: Counts, num_resamples: int, rng: np.random.Generator) -> Floats:
    """How often each resample holds each task, weights_BT; the first row is the data themselves."""
    num = data.num_families
    drawn_BF = rng.multinomial(num, np.full(num, 1 / num), size=num_resamples)
    drawn_BF = np.vstack([np.ones((1, num), np.int64), drawn_BF])
    return drawn_BF[:, data.family_T].astype(np.float64)


def nested_counts(
    data: Counts, num_resamples: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """passed_BT and failed_BT with families, tasks and runs all drawn, as METR's bootstrap does."""
    family_BT = drawn_weights(data, num_resamples, rng)
    weights_BT = family_BT.copy()
    for number in range(data.num_families):
        (members,) = np.nonzero(data.family_T == number)
        if members.size > 1:
            times_B = family_BT[1:, members[0]].astype(np.int64) * members.size
            share = np.full(members.size, 1 / members.size)
            weights_BT[1:, members] = rng.multinomial(times_B, share)
    total_T = data.passed_T + data.failed_T
    total_BT = weights_BT * total_T
    passed_BT = weights_BT * data.passed_T
    drawn = rng.binomial(total_BT[1:].astype(np.int64), data.passed_T / total_T)
    passed_BT[1:] = drawn
    return passed_BT, total_BT - passed_BT


def summed(values_BT: Floats, row_T: Ints) -> Floats:
    """Tasks of one setting added up: values_BU."""
    if len(row_T) == int(row_T.max()) + 1:  # each task alone: an order, no sum
        return values_BT[:, np.argsort(row_T)]
    adds = sparse.csr_matrix((np.ones(len(row_T)), (row_T, np.arange(len(row_T)))))
    return np.ascontiguousarray((adds @ values_BT.T).T)


def percentile(
    values_B: Floats, *, num_tasks: int, num_units: int | None = None
) -> Interval | None:
    """The first entry with the 95% percentile interval of the others; None where it is missing.

    The tails are those of Student's t for the number of resampled units (tasks unless given), since
    resampling n of them understates their spread (the expanded percentile interval, Hesterberg
    2015, arXiv:1411.5279, section 4.3).  A resample without a value (NaN) could lie anywhere, so it
    counts beyond both ends; an end among those is open (None).
    """
    if not np.isfinite(values_B[0]):
        return None
    n = max(num_units or num_tasks, 2)
    tail = float(special.ndtr(special.stdtrit(n - 1, (1 - LEVEL) / 2) * np.sqrt(n / (n - 1))))
    drawn = values_B[1:]
    low = np.quantile(np.where(np.isnan(drawn), -np.inf, drawn), tail, method="lower")
    high = np.quantile(np.where(np.isnan(drawn), np.inf, drawn), 1 - tail, method="higher")
    return Interval(
        value=float(values_B[0]),
        low=float(low) if np.isfinite(low) else None,
        high=float(high) if np.isfinite(high) else None,
        num_tasks=num_tasks,
    )
