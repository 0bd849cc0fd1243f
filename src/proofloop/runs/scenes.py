"""Where episodes take place: what an environment supplies to the loop of `runs.episodes`.

A setting is a worker's, for life; a scene is one rollout's.  Another kind of task for agents is one
more `Setting`, named in `runs.settings`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from proofloop.agent.asks import Asks
from proofloop.agent.dialects import Dialect
from proofloop.agent.limits import Memory
from proofloop.agent.site import Site
from proofloop.agent.tools import Tool
from proofloop.core.task import Message, Problem
from proofloop.core.verdict import Unscored
from proofloop.train.crew import Assignment


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What one rollout works on, and with."""

    messages: tuple[Message, ...]
    """The task, as the policy is told of it."""
    tools: tuple[Tool, ...]
    max_turns: int
    """Unless the recipe says otherwise."""
    play: Callable[[Callable[[Site], Asks]], Asks]
    """The episode that is begun on the scene's site, which is there for as long; the rollout's
    answer is then what the verifier takes.  May be played again, from the beginning."""
    lost: Callable[[], Unscored | None] = _nothing
    """Why there can be no score: something that the policy should have been told broke on our
    side."""


class Setting(Protocol):
    """What the episodes of an environment have in common."""

    @property
    def dialect(self) -> Dialect: ...

    @property
    def memory(self) -> Memory | None: ...

    @property
    def max_faults(self) -> int:
        """Turns in a row without a call that can be read."""
        ...

    @property
    def at_once(self) -> int | None:
        """Most scenes that are open side by side; None: all that there are."""
        ...

    @property
    def may_cut(self) -> bool:
        """Whether a statement that is too long for the context is told in part, rather than being
        an error."""
        ...

    def scenes(self, assignment: Assignment, problem: Problem) -> tuple[Scene, ...]:
        """One for each of its samples."""
        ...

    def close(self) -> None: ...
