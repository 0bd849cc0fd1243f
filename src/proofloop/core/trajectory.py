"""What an agent did at a task, turn by turn: what it said, which tools it called, how it ended.

The tokens of it are a `core.rollout.Rollout`, one `Turn` a step; this is how they are to be read.
"""

from enum import StrEnum

import msgspec

from proofloop.core.record import Record
from proofloop.core.task import Message


class EpisodeEnding(StrEnum):
    """Why an episode is over.  All of them are the policy's doing or its limits; what is lost
    through a fault of ours is an exception, never an ending."""

    SUBMITTED = "submitted"
    TURN_LIMIT = "turn_limit"
    TOKEN_LIMIT = "token_limit"
    """It sampled as many tokens as it may in all."""
    TIME_LIMIT = "time_limit"
    COST_LIMIT = "cost_limit"
    CONTEXT_OVERFLOW = "context_overflow"
    """There is no room for another turn, and memory is off or does not make any."""
    NO_CALLS = "no_calls"
    """So many turns in a row held no call that could be read."""
    INTERRUPTED = "interrupted"
    """Whoever watches it ended it."""


class ToolCall(Record):
    """What the policy asks a tool for."""

    tool: str
    arguments: str
    """A JSON object, as text."""
    id: str = ""
    """As the policy's server names it, if it does."""


class Denial(Record):
    """An action that the permissions do not allow, and which was not done."""

    step: int
    """From 0."""
    tool: str
    action: str
    """What was asked for: `write tests/test_a.py`, `run curl x`."""
    rule: str
    """The rule that says no: `no_write: tests/**`."""


class ToolResult(Record):
    """What came of a call."""

    text: str
    """As the policy sees it: cut, with a mark of how much, and without secrets."""
    is_fault: bool = False
    """The call could not be done: no such tool or file, wrong arguments, or denied."""
    is_denied: bool = False
    num_cut: int = 0
    """Characters that were left out."""
    seconds: float = 0.0


class Step(Record, omit_defaults=True):
    """One think–act turn."""

    text: str
    """What the policy said, without its stop token."""
    calls: tuple[ToolCall, ...] = ()
    results: tuple[ToolResult, ...] = ()
    """One for each call that was made; calls after a submission are not."""
    fault: str = ""
    """Why the text holds no call that can be made; the policy is told."""
    is_memory: bool = False
    """It was asked for notes, and what it says are its notes; the context after it is a new one."""
    num_context_tokens: int = 0
    """All that it saw, not only what is new."""
    num_sampled_tokens: int = 0
    seconds: float = 0.0
    """Until the policy had answered."""
    cost: float = 0.0
    """US dollars, where prices are known."""


class Trajectory(Record, omit_defaults=True):
    """An episode but for its tokens."""

    ending: EpisodeEnding
    steps: tuple[Step, ...]
    denied: tuple[Denial, ...] = ()
    notes: str = ""
    """What the agent noted for itself, as it is at the end."""
    model: str = ""
    dialect: str = ""
    opening: tuple[Message, ...] = ()
    """What it began with, as messages."""

    @property
    def num_calls(self) -> int:
        return sum(len(step.results) for step in self.steps)

    @property
    def seconds(self) -> float:
        return sum(s.seconds + sum(r.seconds for r in s.results) for s in self.steps)

    @property
    def cost(self) -> float:
        return sum(step.cost for step in self.steps)

    def without_times(self) -> "Trajectory":
        """As a run records it that must come out the same a second time."""
        steps = tuple(
            msgspec.structs.replace(
                step,
                seconds=0.0,
                results=tuple(msgspec.structs.replace(r, seconds=0.0) for r in step.results),
            )
            for step in self.steps
        )
        return msgspec.structs.replace(self, steps=steps)
