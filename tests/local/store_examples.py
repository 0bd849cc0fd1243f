"""Rollouts that are a pure function of (step, slot), and a writer to be killed.

python store_examples.py RUN     record step after step until killed
"""

import hashlib
import random
import sys
from pathlib import Path

from proofloop.core.completion import Completion, PolicyVersion, SamplingParams, StopReason
from proofloop.core.rollout import Group, Judged, Rollout, Turn
from proofloop.core.task import Message, Split, Stratum, Task, TaskId
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause, Verdict
from proofloop.store import Draw, Phase, RecordedGroup, RunStore, checkpoints, rollout_id

STRATUM = Stratum(family="int", complexity=2, horizon=1)


def task(step: int, slot: int) -> Task:
    return Task(
        id=TaskId(f"functions/train/int-c2-h1/{step * 100 + slot}@00ff"),
        env="functions",
        split=Split.TRAIN,
        stratum=STRATUM,
        messages=(Message(role="user", content=f"assert f({slot}) == {step}"),),
    )


def group(
    phase: Phase,
    step: int,
    slot: int,
    *,
    num_samples: int = 4,
    num_tokens: int = 30,
    num_context: int = 100,
) -> RecordedGroup:
    """Sample 0 passes, sample 1 is unscored, all others fail."""
    source = random.Random(f"{phase} {step} {slot}")
    asked = task(step, slot)
    context = tuple(source.randrange(512) for _ in range(num_context))
    attempts = []
    for sample in range(num_samples):
        completion = Completion(
            tokens=tuple(source.randrange(512) for _ in range(num_tokens)),
            logprobs=tuple(-source.expovariate(1.0) for _ in range(num_tokens)),
            entropies=tuple(source.expovariate(1.0) for _ in range(num_tokens)),
            stop_reason=StopReason.STOP,
            seed=source.getrandbits(62),
            sampling=SamplingParams(max_tokens=64),
            policy=PolicyVersion(step=step - 1, sha256=weights(step - 1)),
        )
        rollout = Rollout(
            id=rollout_id(phase, step, slot, sample),
            task_id=asked.id,
            turns=(Turn(context=context, completion=completion),),
            answer=f"def f(x):\n    return x + {source.randrange(100)}\n",
        )
        attempts.append(Judged(rollout=rollout, verdict=verdict(sample)))
    return RecordedGroup(
        slot=slot, task=asked, group=Group(task_id=asked.id, attempts=tuple(attempts))
    )


def verdict(sample: int) -> Verdict:
    if sample == 1:
        return Unscored(cause=UnscoredCause.SANDBOX_LOST, detail="worker died", tier=Tier.T1)
    passed = sample == 0
    return Scored(
        reward=float(passed),
        passed=passed,
        cause=ScoredCause.PASSED if passed else ScoredCause.WRONG_ANSWER,
        parts={"tests_passed": 12.0 if passed else 3.0, "tests_planned": 12.0},
        detail="",
        tier=Tier.T1,
    )


def groups(phase: Phase, step: int, num_slots: int = 3) -> list[RecordedGroup]:
    return [group(phase, step, slot) for slot in range(num_slots)]


def draws(step: int, num_slots: int = 3) -> list[Draw]:
    return [
        Draw(slot=s, task_id=task(step, s).id, stratum=STRATUM, index=step * 100 + s)
        for s in range(num_slots)
    ]


def weights(step: int) -> str:
    return hashlib.sha256(str(step).encode()).hexdigest()


def checkpoint_files(step: int) -> dict[str, bytes]:
    return {"model.safetensors": random.Random(step).randbytes(20_000), "state.json": b"{}"}


def record_whole_step(store: RunStore, step: int) -> None:
    store.record_draws(Phase.TRAIN, step, draws(step))
    if not store.rollouts_recorded(Phase.TRAIN, step):
        store.record_rollouts(Phase.TRAIN, step, groups(Phase.TRAIN, step))
    store.record_step(step, metrics={"loss": 0.5}, weights_sha256=weights(step), wall_s=1.0)


def write_until_killed(directory: Path) -> None:
    with RunStore.open(directory) as store:
        print("writing", flush=True)
        found = checkpoints.latest(directory / "checkpoints").checkpoint
        step = found.step + 1 if found else 1
        while True:
            record_whole_step(store, step)
            checkpoints.save(directory / "checkpoints", step, checkpoint_files(step), keep=2)
            step += 1


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]))
