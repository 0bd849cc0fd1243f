"""One attempt of an agent: its tokens, and how they are to be read."""

from proofloop.core.record import Record
from proofloop.core.rollout import Rollout
from proofloop.core.trajectory import (
    Denial,
    EpisodeEnding,
    Step,
    ToolCall,
    ToolResult,
    Trajectory,
)

__all__ = ["Denial", "Episode", "EpisodeEnding", "Step", "ToolCall", "ToolResult", "Trajectory"]


class Episode(Record):
    """One attempt of an agent at a task.

    Where the policy told its tokens, `rollout.turns` has one turn for each step; where it gave
    texts only (a person, a server without token ids), it has none and nothing of it can train.
    """

    rollout: Rollout
    trajectory: Trajectory
