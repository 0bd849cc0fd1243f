"""Supervised fine-tuning on the successes of a run that learned by reward: the same answers, the
same number of trained tokens, the same optimiser, and no reward.

A second loop over the hops of `loop_sync`: nothing is drawn, sampled or judged, since the other
run did it, and what is left is learn, publish, record.  The ledger holds whose answers a step
learned; the answers themselves stay in the other run's record.
"""

import time
from collections.abc import Iterator
from dataclasses import replace

from proofloop.store import Phase
from proofloop.train.loop_sync import (
    Report,
    StepReport,
    evaluate,
    learn,
    publish,
    save_checkpoint,
)
from proofloop.train.metrics import learning_metrics
from proofloop.train.parts import LoopState, Parts
from proofloop.train.successes import Lessons, SolvedGroup, credits_of


def loop_sft(parts: Parts, state: LoopState, lessons: Lessons) -> Iterator[Report]:
    """Trains from `state` to the last step.  Between two yields the run may be stopped.

    Raises RunError where the ledger has a step with other tasks: the other run has changed.
    """
    config = parts.config
    parts.store.event_once("successes", lessons.says)
    yield from evaluate(parts, state.step)
    while state.step < config.num_steps:
        began = time.perf_counter()
        step = state.step + 1
        groups = lessons.steps[step - 1]
        record_ledger(parts, step, groups)
        learned = learn(parts, credits_of(lessons.source, groups), own=False)
        version = publish(parts, step)
        wall_s = time.perf_counter() - began
        metrics = learning_metrics(learned) | {
            "num_groups_trained": float(len(groups)),
            "step_s": wall_s,
        }
        parts.store.record_step(step, metrics=metrics, weights_sha256=version.sha256, wall_s=wall_s)
        state = LoopState(step=step, curriculum=state.curriculum)
        if step % config.checkpoint_every == 0 or step == config.num_steps:
            save_checkpoint(parts, state)
        yield StepReport(step=step, num_steps=config.num_steps, metrics=metrics, alarms=())
        yield from evaluate(parts, step)


def record_ledger(parts: Parts, step: int, groups: tuple[SolvedGroup, ...]) -> None:
    """The groups' tasks in the order in which they are learned."""
    draws = [replace(group.draw, slot=slot) for slot, group in enumerate(groups)]
    parts.store.record_draws(Phase.TRAIN, step, draws)
