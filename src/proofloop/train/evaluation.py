"""Attempts at held-out tasks, in portions, recorded when whole."""

from collections.abc import Iterator
from dataclasses import dataclass

from proofloop.core.task import Environment, Split
from proofloop.store import Phase, RecordedGroup, RunStore
from proofloop.train.crew import Assignment, Crew
from proofloop.train.metrics import mean


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """Held-out tasks attempted so far at this step."""

    step: int
    num_tasks_done: int
    num_tasks: int
    passed_share: float
    num_attempts: int


def attempt_all(crew: Crew, store: RunStore, assignments: list[Assignment]) -> Iterator[EvalReport]:
    """An evaluation in portions, so that it can be watched and stopped; recorded when whole."""
    groups: list[RecordedGroup] = []
    size = max(1, 8192 // assignments[0].num_samples)
    for start in range(0, len(assignments), size):
        groups += crew.attempt(assignments[start : start + size]).groups
        if len(groups) == len(assignments):  # before the yield: a run may be stopped there
            store.record_rollouts(Phase.EVAL, assignments[0].step, groups)
        passed = [v.passed for g in groups for _, v in g.group.scored]
        yield EvalReport(
            step=assignments[0].step,
            num_tasks_done=len(groups),
            num_tasks=len(assignments),
            passed_share=mean(passed),
            num_attempts=len(passed),
        )


def heldout_assignments(
    environment: Environment, num_tasks: int, num_samples: int, *, step: int
) -> list[Assignment]:
    """The first tasks of every held-out stratum in turn; fewer where the strata run out."""
    strata = environment.strata(Split.HELDOUT)
    sizes = [environment.num_tasks(Split.HELDOUT, s) for s in strata]
    places = [
        (stratum, i)
        for i in range(num_tasks)
        for stratum, size in zip(strata, sizes, strict=True)
        if size is None or i < size
    ]
    return [
        Assignment(
            phase=Phase.EVAL,
            step=step,
            slot=slot,
            split=Split.HELDOUT,
            stratum=stratum,
            index=index,
            num_samples=num_samples,
        )
        for slot, (stratum, index) in enumerate(places[:num_tasks])
    ]
