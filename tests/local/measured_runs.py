"""Runs whose evaluations passed as often as a test wants, in a real store."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from proofloop.core.completion import Completion, PolicyVersion, SamplingParams, StopReason
from proofloop.core.rollout import Group, Judged, Rollout, Turn
from proofloop.core.task import Message, Split, Stratum, Task, TaskId
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause
from proofloop.store import Draw, Phase, RecordedGroup, RunStore, rollout_id

Dials = tuple[int, int]
"""Complexity and horizon."""


def task(number: int, dials: Dials = (1, 1)) -> Task:
    return Task(
        id=TaskId(f"functions/heldout/{number:04d}@ab"),
        env="functions",
        split=Split.HELDOUT,
        stratum=Stratum(family="int", complexity=dials[0], horizon=dials[1]),
        messages=(Message(role="user", content=f"assert f({number}) == {number + 1}"),),
    )


def measured(
    run: Path,
    steps: Mapping[int, Sequence[int]],
    *,
    num_samples: int,
    dials: Sequence[Dials] | None = None,
    env: str = "functions",
    control: str = "none",
    sampling: SamplingParams | None = None,
    num_unscored: int = 0,
    first_task: int = 0,
    ended: bool = True,
) -> Path:
    """A run of which step s passed `steps[s][t]` of `num_samples` attempts at task t."""
    planned = max(steps)
    with RunStore.create(run) as store:
        (run / "config.toml").write_text(
            f'[env]\nname = "{env}"\n[train]\nnum_steps = {planned}\n'
            f'[reward]\ncontrol = "{control}"\n'
        )
        for step, passed in steps.items():
            places = dials or [(1, 1)] * len(passed)
            groups = [
                _group(
                    step, slot, task(first_task + slot, places[slot]), c, num_samples,
                    sampling or SamplingParams(), num_unscored,
                )
                for slot, c in enumerate(passed)
            ]  # fmt: skip
            draws = [
                Draw(slot=g.slot, task_id=g.task.id, stratum=g.task.stratum, index=g.slot)
                for g in groups
            ]
            store.begin_evaluation(step, draws, num_samples=num_samples)
            store.record_rollouts(Phase.EVAL, step, groups)
            if ended:
                store.end_evaluation(step, "all tasks")
    return run


def _group(
    step: int,
    slot: int,
    asked: Task,
    num_passed: int,
    num_samples: int,
    sampling: SamplingParams,
    num_unscored: int,
) -> RecordedGroup:
    """Of the passing attempts two in three are one and the same completion."""
    attempts: list[Judged] = []
    for sample in range(num_samples):
        kind = sample % 3 if sample < num_passed else 10 + sample
        completion = Completion(
            tokens=(3 + kind, 0),
            logprobs=(-1.5 - 0.1 * (kind % 7), -0.1),
            entropies=(0.4, 0.2),
            stop_reason=StopReason.STOP,
            seed=sample,
            sampling=sampling,
            policy=PolicyVersion(step=step, sha256=f"{step:064x}"),
        )
        rollout = Rollout(
            id=rollout_id(Phase.EVAL, step, slot, sample),
            task_id=asked.id,
            turns=(Turn(context=(1, 2), completion=completion),),
            answer=f"def f(x):\n    return x + {kind}\n",
        )
        passed = sample < num_passed
        verdict = Scored(
            reward=float(passed),
            passed=passed,
            cause=ScoredCause.PASSED if passed else ScoredCause.WRONG_ANSWER,
            parts={},
            detail="",
            tier=Tier.T1,
        )
        lost = Unscored(cause=UnscoredCause.SANDBOX_LOST, detail="", tier=Tier.T1)
        is_lost = sample >= num_samples - num_unscored
        attempts.append(Judged(rollout=rollout, verdict=lost if is_lost else verdict))
    return RecordedGroup(
        slot=slot,
        task=asked,
        group=Group(task_id=asked.id, attempts=tuple(attempts)),
        verifier="call_tests 0.1.0",
    )


def draw_passed(rates: Sequence[float], num_samples: int, seed: int) -> list[int]:
    rng = np.random.default_rng(seed)
    return [int(c) for c in rng.binomial(num_samples, rates)]
