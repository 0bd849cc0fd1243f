"""The outcome table: what became of every attempt of one evaluation, by task.

Unscored attempts say nothing of an answer: they are left out of `num_samples` and counted apart.
Axes: T tasks, K values of k.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proofloop.core.task import Stratum
from proofloop.measure.estimators.bootstrap import Curve, Floats, bootstrap_mean
from proofloop.measure.estimators.pass_at_k import pass_at_k

Ints = NDArray[np.int64]

MAX_K = 64
TABLE_KS = (1, 8, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One judged attempt; `passed` is None where there is no verdict on the answer."""

    task_id: str
    stratum: Stratum
    passed: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """Counts by task, sorted by task id, so that two tables of the same tasks line up."""

    task_ids: tuple[str, ...]
    strata: tuple[Stratum, ...]
    num_samples: Ints
    """Scored attempts."""
    num_passed: Ints
    num_unscored: Ints
    samples_by_half_HT: Ints | None = None
    """Scored attempts among the even and among the odd ones of a task; None where only totals are
    known.  Evaluations of one run draw their i-th attempts with the same random numbers."""
    passed_by_half_HT: Ints | None = None

    def __post_init__(self) -> None:
        lengths = {
            len(self.task_ids),
            len(self.strata),
            len(self.num_samples),
            len(self.num_passed),
            len(self.num_unscored),
        }
        if len(lengths) > 1:
            raise ValueError(f"an outcome table's columns differ in length: {sorted(lengths)}")

    @classmethod
    def from_attempts(cls, attempts: Iterable[Attempt]) -> "Outcomes":
        """From attempts that come in the order of their samples within each task."""
        counts: dict[str, list[int]] = {}
        strata: dict[str, Stratum] = {}
        for attempt in attempts:
            row = counts.setdefault(attempt.task_id, [0, 0, 0, 0, 0])
            strata[attempt.task_id] = attempt.stratum
            half = (row[0] + row[1] + row[4]) % 2
            if attempt.passed is None:
                row[4] += 1
            else:
                row[half] += 1
                row[2 + half] += attempt.passed
        task_ids = tuple(sorted(counts))
        table = np.array([counts[task_id] for task_id in task_ids], np.int64).reshape(-1, 5)
        return cls(
            task_ids=task_ids,
            strata=tuple(strata[task_id] for task_id in task_ids),
            num_samples=table[:, 0] + table[:, 1],
            num_passed=table[:, 2] + table[:, 3],
            num_unscored=table[:, 4],
            samples_by_half_HT=table[:, :2].T,
            passed_by_half_HT=table[:, 2:4].T,
        )

    @property
    def num_tasks(self) -> int:
        return len(self.task_ids)

    @property
    def max_samples(self) -> int:
        """The largest k that pass@k is known for."""
        return int(self.num_samples.max(initial=0))

    @property
    def total_unscored(self) -> int:
        return int(self.num_unscored.sum())

    def take(self, index: Sequence[int] | Ints) -> "Outcomes":
        """The tasks at these places, in this order."""
        places = [int(i) for i in index]
        return Outcomes(
            task_ids=tuple(self.task_ids[i] for i in places),
            strata=tuple(self.strata[i] for i in places),
            num_samples=self.num_samples[places],
            num_passed=self.num_passed[places],
            num_unscored=self.num_unscored[places],
            samples_by_half_HT=_columns(self.samples_by_half_HT, places),
            passed_by_half_HT=_columns(self.passed_by_half_HT, places),
        )

    def by_complexity(self) -> dict[int, "Outcomes"]:
        levels = sorted({stratum.complexity for stratum in self.strata})
        return {
            level: self.take([i for i, s in enumerate(self.strata) if s.complexity == level])
            for level in levels
        }

    def by_family(self) -> dict[str, "Outcomes"]:
        families = sorted({stratum.family for stratum in self.strata})
        return {
            family: self.take([i for i, s in enumerate(self.strata) if s.family == family])
            for family in families
        }

    def values(self, ks: Sequence[int]) -> Floats:
        """pass@k of every task: values_TK."""
        return pass_at_k(self.num_samples, self.num_passed, ks)

    def curve(self, ks: Sequence[int]) -> Curve:
        return bootstrap_mean(self.values(ks))


def _columns(table_HT: Ints | None, places: Sequence[int]) -> Ints | None:
    return None if table_HT is None else table_HT[:, list(places)]


def known_ks(outcomes: Outcomes) -> tuple[int, ...]:
    """k = 1…64 as far as samples reach."""
    return tuple(range(1, min(MAX_K, outcomes.max_samples) + 1))


def in_common(base: Outcomes, trained: Outcomes) -> tuple[Outcomes, Outcomes]:
    """Both tables on the tasks that both tried, in one order."""
    shared = set(base.task_ids) & set(trained.task_ids)
    return (
        base.take([i for i, t in enumerate(base.task_ids) if t in shared]),
        trained.take([i for i, t in enumerate(trained.task_ids) if t in shared]),
    )


def difference_curve(base: Outcomes, trained: Outcomes, ks: Sequence[int]) -> Curve:
    """Trained minus base, paired on tasks: only tasks with k samples on both sides count."""
    base, trained = in_common(base, trained)
    return bootstrap_mean(trained.values(ks) - base.values(ks), bounds=(-1.0, 1.0))
