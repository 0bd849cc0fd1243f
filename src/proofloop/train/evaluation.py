"""Attempts at held-out tasks, in portions, each recorded when whole; a killed one goes on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from proofloop.core.task import Environment, Split
from proofloop.store import Draw, PassCount, Phase, RunStore
from proofloop.train.crew import Assignment, Crew

ROLLOUTS_PER_PORTION = 8192
ALL_TASKS = "all tasks"

StopRule = Callable[[Sequence[PassCount]], str | None]
"""Asked after every portion, with all tasks so far: why to stop here, or None to go on."""


def never(counts: Sequence[PassCount]) -> str | None:
    """All tasks are attempted."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """Held-out tasks attempted so far at this step."""

    step: int
    num_tasks_done: int
    num_tasks: int
    """That there are to be; fewer where a rule stopped the evaluation."""
    passed_share: float
    num_attempts: int


def attempt_all(
    crew: Crew,
    store: RunStore,
    environment: Environment,
    assignments: Sequence[Assignment],
    *,
    stop: StopRule = never,
    rollouts_per_portion: int = ROLLOUTS_PER_PORTION,
) -> Iterator[EvalReport]:
    """An evaluation that can be watched, stopped and taken up again after any portion."""
    step, num_samples = assignments[0].step, assignments[0].num_samples
    store.begin_evaluation(step, _draws(environment, assignments), num_samples=num_samples)
    known = store.recorded_slots(Phase.EVAL, step)
    left = [a for a in assignments if a.slot not in known]
    size = max(1, rollouts_per_portion // num_samples)
    why = stop(store.pass_counts(Phase.EVAL, step)) if known and left else None
    while left and not why:
        portion, left = left[:size], left[size:]
        store.record_rollouts(Phase.EVAL, step, crew.attempt(portion).groups)
        why = stop(store.pass_counts(Phase.EVAL, step)) if left else None
        if left and not why:  # the last report comes when the evaluation has ended
            yield _report(store, step, num_tasks=len(assignments))
    store.end_evaluation(step, why or ALL_TASKS)
    num_tasks = len(assignments) - len(left)
    yield _report(store, step, num_tasks=num_tasks)


def _report(store: RunStore, step: int, *, num_tasks: int) -> EvalReport:
    counts = store.pass_counts(Phase.EVAL, step)
    num_scored = sum(c.num_scored for c in counts)
    return EvalReport(
        step=step,
        num_tasks_done=len(counts),
        num_tasks=num_tasks,
        passed_share=sum(c.num_passed for c in counts) / num_scored if num_scored else float("nan"),
        num_attempts=num_scored,
    )


def _draws(environment: Environment, assignments: Sequence[Assignment]) -> list[Draw]:
    return [
        Draw(
            slot=a.slot,
            task_id=environment.problem(a.split, a.stratum, a.index).task.id,
            stratum=a.stratum,
            index=a.index,
        )
        for a in assignments
    ]


def heldout_assignments(
    environment: Environment,
    num_tasks: int,
    num_samples: int,
    *,
    step: int,
    num_attempts: int = 1,
    chances: int = 0,
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
            num_attempts=num_attempts,
            chances=chances,
        )
        for slot, (stratum, index) in enumerate(places[:num_tasks])
    ]
