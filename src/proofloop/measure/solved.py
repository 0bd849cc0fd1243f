"""Which tasks training gained and lost, of two outcome tables.

A raw set is never shown without its null: `estimators/new_solved.py` says why.
"""

from dataclasses import dataclass

from proofloop.measure.estimators import new_solved
from proofloop.measure.estimators.new_solved import Turnover
from proofloop.measure.outcomes import Outcomes, in_common


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvedSets:
    """Task ids by who solved them at least once, over all samples of both sides."""

    both: tuple[str, ...]
    base_only: tuple[str, ...]
    trained_only: tuple[str, ...]
    neither: tuple[str, ...]
    base_samples: int
    trained_samples: int


def solved_sets(base: Outcomes, trained: Outcomes) -> SolvedSets:
    base, trained = in_common(base, trained)
    sets: dict[tuple[bool, bool], list[str]] = {}
    for task_id, b, t in zip(base.task_ids, base.num_passed, trained.num_passed, strict=True):
        sets.setdefault((bool(b), bool(t)), []).append(task_id)
    return SolvedSets(
        both=tuple(sets.get((True, True), ())),
        base_only=tuple(sets.get((True, False), ())),
        trained_only=tuple(sets.get((False, True), ())),
        neither=tuple(sets.get((False, False), ())),
        base_samples=base.max_samples,
        trained_samples=trained.max_samples,
    )


def turnover(base: Outcomes, trained: Outcomes) -> Turnover | None:
    """`new_solved.turnover_by_halves` on the tasks in common, since evaluations of one run meet the
    same random numbers; None where they have too few samples."""
    base, trained = in_common(base, trained)
    halves = [
        (side.samples_by_half_HT, side.passed_by_half_HT)
        for side in (base, trained)
        if side.samples_by_half_HT is not None and side.passed_by_half_HT is not None
    ]
    if len(halves) < 2:
        return new_solved.turnover(
            base.num_samples, base.num_passed, trained.num_samples, trained.num_passed
        )
    return new_solved.turnover_by_halves(*halves[0], *halves[1])
