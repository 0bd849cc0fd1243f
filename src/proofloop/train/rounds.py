"""A step's groups: drawn, sampled and judged, in one round or, where groups that say nothing are
replaced (`train.refill`), in a few.

A round's draws are in the ledger before it samples, its rollouts before the next round draws.  What
a later round draws follows from the record of those before it, so that a killed step goes on where
it was.
"""

from collections.abc import Sequence

from proofloop.core.task import Split
from proofloop.store import Draw, Phase, RecordedGroup
from proofloop.train.advantages import teaches
from proofloop.train.config import FeedbackArm
from proofloop.train.crew import Assignment, Attempted
from proofloop.train.curriculum import CurriculumState, DrawnTask, Result, draw_tasks, observe
from proofloop.train.parts import Parts
from proofloop.train.tripwires import draw_tripwires, training, tripwire_problem


def sample_and_judge(
    parts: Parts, step: int, curriculum: CurriculumState
) -> tuple[Attempted, CurriculumState]:
    """All groups of the step, and the curriculum after its draws.

    Dynamic sampling (DAPO, Yu et al. 2025, section 3.2) with a bound: as many tasks are drawn anew
    as groups did not teach, by the rewards that verdicts gave, for at most `train.refill` rounds.
    All that was sampled is recorded and counted.
    """
    config = parts.config
    attempted, missing = Attempted(groups=(), sample_s=0.0, verify_s=0.0, num_rounds=0), 0
    for number in range(1 + config.refill):
        drawn, curriculum = draw_tasks(
            curriculum,
            parts.environment,
            num_tasks=missing or config.tasks_per_step,
            seed=config.seed,
            step=step,
            only=parts.only,
            round_=number,
            max_pass_rate=config.max_pass_rate,
            rule=config.draw,
        )
        attempted += _round(parts, step, drawn, first_slot=len(attempted.groups))
        taught = [g for g in training(attempted.groups) if teaches(g.group, config.advantages)]
        missing = config.tasks_per_step - len(taught)
        if not missing:
            break
    return attempted, curriculum


def seen(
    parts: Parts, step: int, curriculum: CurriculumState, groups: Sequence[RecordedGroup]
) -> CurriculumState:
    """The curriculum after the step's results."""
    places = {draw.slot: draw for draw in parts.store.load_draws(Phase.TRAIN, step)}
    return observe(
        curriculum,
        [Result(stratum=g.task.stratum, index=places[g.slot].index, group=g.group) for g in groups],
        by_task=parts.config.max_pass_rate < 1,
        solved_above=parts.config.draw.solved_above,
    )


def _round(parts: Parts, step: int, drawn: Sequence[DrawnTask], *, first_slot: int) -> Attempted:
    """From the record where a killed run left it there."""
    store, refills = parts.store, parts.config.refill > 0
    draws = ledger(parts, step, drawn, first_slot=first_slot)
    store.record_draws(Phase.TRAIN, step, draws, in_rounds=refills)
    slots = {draw.slot for draw in draws}
    if slots & store.recorded_slots(Phase.TRAIN, step):
        recorded = [g for g in store.load_groups(Phase.TRAIN, step) if g.slot in slots]
        return Attempted(groups=tuple(recorded), sample_s=float("nan"), verify_s=float("nan"))
    attempted = parts.crew.attempt([_assignment(parts, step, draw) for draw in draws])
    store.record_rollouts(Phase.TRAIN, step, attempted.groups)
    return attempted


def _assignment(parts: Parts, step: int, draw: Draw) -> Assignment:
    feedback = parts.config.feedback
    retries = feedback.arm is FeedbackArm.RETRY
    return Assignment(
        phase=Phase.TRAIN,
        step=step,
        slot=draw.slot,
        split=Split.TRAIN,
        stratum=draw.stratum,
        index=draw.index,
        num_samples=parts.config.samples_per_task,
        tripwire=draw.tripwire,
        num_attempts=feedback.attempts if retries and not draw.tripwire else 1,
        with_feedback=feedback.arm is FeedbackArm.DISTIL and not draw.tripwire,
    )


def ledger(
    parts: Parts, step: int, drawn: Sequence[DrawnTask], *, first_slot: int = 0
) -> list[Draw]:
    """A round's entries in the ledger: what trains, then, in the first round, the impossible tasks
    beside it."""
    environment, seed = parts.environment, parts.config.seed
    share = 0.0 if first_slot else parts.config.tripwire_share
    wires = draw_tripwires(drawn, environment, share=share, seed=seed, step=step)
    asked = [environment.problem(Split.TRAIN, d.stratum, d.index) for d in drawn]
    for d in wires:
        problem = tripwire_problem(environment, Split.TRAIN, d.stratum, d.index, seed=seed)
        assert problem is not None, "drawn because there is one"
        asked.append(problem)
    return [
        Draw(
            slot=first_slot + place,
            task_id=problem.task.id,
            stratum=d.stratum,
            index=d.index,
            tripwire=place >= len(drawn),
        )
        for place, (d, problem) in enumerate(zip((*drawn, *wires), asked, strict=True))
    ]
