"""What goes into the store and comes out, as types; no SQL here but the names of columns."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, assert_never

from proofloop.core import codec
from proofloop.core.completion import StopReason
from proofloop.core.feedback import feedback_text
from proofloop.core.record import Record
from proofloop.core.rollout import Group, Judged, Rollout, RolloutId
from proofloop.core.task import Split, Stratum, Task, TaskId
from proofloop.core.tripwire import Wire, tripped_wire
from proofloop.core.verdict import Integrity, Scored, Tier, Unscored, Verdict
from proofloop.store.segments import Location


class Phase(StrEnum):
    """What rollouts were sampled for."""

    TRAIN = "train"
    """`step` k: the rollouts that optimiser step k learns from; k counts from 1."""
    EVAL = "eval"
    """`step` k: the policy after k optimiser steps was measured; 0 is the base model."""


def rollout_id(phase: Phase, step: int, slot: int, sample: int) -> RolloutId:
    """The id that names a rollout by its place in the run, for example `train-12-3-0`."""
    return RolloutId(f"{phase}-{step}-{slot}-{sample}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One entry of the ledger: which task a step was given, and its address."""

    slot: int
    """Place in the step's list of tasks, from 0."""
    task_id: TaskId
    stratum: Stratum
    index: int
    """Index within the stratum, as `Environment.problem` takes it."""
    tripwire: bool = False
    """Whether the task is impossible and none of it trains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedGroup:
    """The attempts at the task in one slot of a step, with the task as the policy saw it."""

    slot: int
    task: Task
    group: Group
    tripwire: bool = False
    """Whether the task is impossible and none of it trains."""
    verifier: str = ""
    """What judged it (`proofloop.verify.naming.verifier_name`)."""

    def __post_init__(self) -> None:
        if self.task.id != self.group.task_id:
            raise ValueError(f"task {self.task.id} came with a group of {self.group.task_id}")


class RolloutRow(Record):
    """One row of table `rollouts` without the place of its tokens."""

    id: RolloutId
    phase: Phase
    step: int
    slot: int
    sample: int
    task_id: TaskId
    env: str
    split: Split
    family: str
    complexity: int
    horizon: int
    policy_step: int
    policy_sha256: str
    num_context_tokens: int
    num_sampled_tokens: int
    stop_reason: StopReason
    sum_logprob: float
    mean_entropy: float | None
    verdict: Literal["scored", "unscored"]
    reward: float | None
    passed: bool | None
    cause: str
    parts: dict[str, float]
    detail: str
    tier: Tier
    tripwire: bool
    num_turns: int | None
    """None, as in the fields below, in a row of a version that did not keep it."""
    max_tokens: int | None
    temperature: float | None
    verifier: str | None
    integrity: Integrity | None
    """None also where unscored."""


class Evaluation(Record):
    """One row of table `evaluations`: a checkpoint's measurement, perhaps still under way."""

    step: int
    num_tasks: int
    """At most."""
    num_samples: int
    ended: str | None
    """Why it ended: `all tasks`, or what stopped it; None: it has not."""


class TrippedRow(Record):
    """One row of table `tripped`: a submission kept aside."""

    rollout_id: RolloutId
    step: int
    task_id: TaskId
    wire: Wire
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRollout:
    """One attempt, token for token, as it was recorded."""

    row: RolloutRow
    task: Task
    judged: Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something a person should know of the run: resumed, a damaged checkpoint, an alarm."""

    time: float
    kind: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PassCount:
    """What became of the attempts at the task in one slot."""

    slot: int
    num_scored: int
    num_passed: int


ROW_COLUMNS = RolloutRow.__struct_fields__
LOCATION_COLUMNS = ("segment", "segment_offset", "segment_bytes", "segment_crc32")


def rollout_values(
    phase: Phase, step: int, recorded: RecordedGroup, location: Location
) -> Iterator[tuple[Any, ...]]:
    """One tuple per attempt, in the order of ROW_COLUMNS + LOCATION_COLUMNS.

    Raises ValueError for a rollout in which nothing was sampled: it has no policy to name.
    """
    task = recorded.task
    stratum = task.stratum
    for sample, judged in enumerate(recorded.group.attempts):
        rollout = judged.rollout
        yield (
            *(rollout.id, phase, step, recorded.slot, sample),
            *(task.id, task.env, task.split),
            *(stratum.family, stratum.complexity, stratum.horizon),
            *_token_values(rollout),
            *_verdict_values(judged.verdict),
            recorded.tripwire,
            *_setting_values(rollout),
            recorded.verifier,
            judged.verdict.integrity if isinstance(judged.verdict, Scored) else None,
            *location,
        )


def tripped_values(step: int, recorded: RecordedGroup) -> Iterator[tuple[Any, ...]]:
    """One tuple per attempt that tripped a wire, in the order of the table `tripped`."""
    for judged in recorded.group.attempts:
        wire = tripped_wire(judged.verdict, is_tripwire=recorded.tripwire)
        if wire is not None:
            rollout = judged.rollout
            yield (rollout.id, step, recorded.task.id, wire, rollout.answer)


def failure_values(recorded: RecordedGroup) -> Iterator[tuple[Any, ...]]:
    """One tuple per turn that was followed by another, in the order of the table `failures`."""
    for judged in recorded.group.attempts:
        rollout = judged.rollout
        for turn, failure in enumerate(judged.failures):
            yield (
                *(rollout.id, turn, failure.verdict.cause),
                *(failure.verdict.reward, failure.verdict.detail),
                len(rollout.turns[turn].completion.tokens),
                feedback_text(failure.feedback),
            )


def _token_values(rollout: Rollout) -> tuple[Any, ...]:
    if not rollout.turns:
        raise ValueError(f"rollout {rollout.id} has no turns")
    completions = [turn.completion for turn in rollout.turns]
    last = completions[-1]
    num_sampled = rollout.num_sampled_tokens
    return (
        last.policy.step,
        last.policy.sha256,
        sum(len(turn.context) for turn in rollout.turns),
        num_sampled,
        last.stop_reason,
        sum(sum(completion.logprobs) for completion in completions),
        sum(sum(c.entropies) for c in completions) / num_sampled if num_sampled else None,
    )


def _setting_values(rollout: Rollout) -> tuple[Any, ...]:
    sampling = rollout.turns[-1].completion.sampling
    return (len(rollout.turns), sampling.max_tokens, sampling.temperature)


def _verdict_values(verdict: Verdict) -> tuple[Any, ...]:
    match verdict:
        case Scored():
            outcome = ("scored", verdict.reward, verdict.passed)
            parts = verdict.parts
        case Unscored():
            outcome = ("unscored", None, None)
            parts = dict[str, float]()
        case _:
            assert_never(verdict)
    return (*outcome, verdict.cause, codec.to_json(parts).decode(), verdict.detail, verdict.tier)


def rollout_row(values: tuple[Any, ...]) -> RolloutRow:
    """From the columns ROW_COLUMNS.  Raises ValueError for a word that no enum knows."""
    fields = dict(zip(ROW_COLUMNS, values, strict=True))
    fields["phase"] = Phase(fields["phase"])
    fields["split"] = Split(fields["split"])
    fields["stop_reason"] = StopReason(fields["stop_reason"])
    fields["tier"] = Tier(fields["tier"])
    fields["tripwire"] = bool(fields["tripwire"])
    fields["passed"] = None if fields["passed"] is None else bool(fields["passed"])
    fields["integrity"] = Integrity(fields["integrity"]) if fields["integrity"] else None
    fields["parts"] = codec.from_json(fields["parts"], dict[str, float])
    return RolloutRow(**fields)
