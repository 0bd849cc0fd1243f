"""One attempt at a task, token for token, and the attempts at one task together."""

from typing import NewType

from proofloop.core.completion import Completion
from proofloop.core.feedback import Feedback
from proofloop.core.record import Record
from proofloop.core.task import TaskId
from proofloop.core.trajectory import Trajectory
from proofloop.core.verdict import Scored, Verdict

RolloutId = NewType("RolloutId", str)


class Turn(Record, omit_defaults=True):
    """What was put before the policy since its last completion, and what it then sampled."""

    context: tuple[int, ...]
    """New context tokens only; the turns' tokens joined are exactly what the policy saw, back to
    the last turn that `restarts`."""
    completion: Completion
    restarts: bool = False
    """The context is whole: the policy saw nothing of the turns before it (memory, `agent`)."""


class Rollout(Record):
    """The token-exact record of one attempt."""

    id: RolloutId
    task_id: TaskId
    turns: tuple[Turn, ...]
    answer: str
    """The text handed to the verifier: what the last completion says, without special tokens."""

    @property
    def num_sampled_tokens(self) -> int:
        return sum(len(turn.completion.tokens) for turn in self.turns)

    @property
    def contexts(self) -> "tuple[tuple[Turn, ...], ...]":
        """The turns, cut where a new context begins: within a part each context extends the tokens
        before it.  Every sampled token stands in one part, as the policy sampled it; so a part is
        what one training sample is made of."""
        starts = [i for i, turn in enumerate(self.turns) if turn.restarts or not i]
        return tuple(
            self.turns[start:end]
            for start, end in zip(starts, [*starts[1:], len(self.turns)], strict=False)
        )


class Failure(Record):
    """What came of a turn that was followed by another, and what the policy was told of it."""

    verdict: Scored
    feedback: Feedback


class Judged(Record, omit_defaults=True):
    """A rollout and its verdict, which is that of its last turn."""

    rollout: Rollout
    verdict: Verdict
    failures: tuple[Failure, ...] = ()
    """Of the turns before the last, one each."""
    feedback: Feedback | None = None
    """What the policy may be told of the last turn; None: it passed, or nobody asked."""
    trajectory: Trajectory | None = None
    """Of an agent's rollout: what its tokens say and did, a step for each turn."""

    def __post_init__(self) -> None:
        if self.failures and len(self.failures) != len(self.rollout.turns) - 1:
            raise ValueError(
                f"rollout {self.rollout.id}: {len(self.failures)} failures before the last of "
                f"{len(self.rollout.turns)} turns"
            )


class Group(Record):
    """The attempts at one task under one policy and one sampling setting."""

    task_id: TaskId
    attempts: tuple[Judged, ...]

    def __post_init__(self) -> None:
        strangers = {a.rollout.task_id for a in self.attempts} - {self.task_id}
        if strangers:
            raise ValueError(f"group of {self.task_id} holds rollouts of {sorted(strangers)}")

    @property
    def scored(self) -> tuple[tuple[Rollout, Scored], ...]:
        return tuple((a.rollout, a.verdict) for a in self.attempts if isinstance(a.verdict, Scored))

    @property
    def num_unscored(self) -> int:
        return len(self.attempts) - len(self.scored)
