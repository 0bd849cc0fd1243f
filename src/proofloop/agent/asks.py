"""What passes between an episode and whoever answers it."""

from collections.abc import Generator
from dataclasses import dataclass

from proofloop.agent.dialects import Chat
from proofloop.core.completion import Completion, Request
from proofloop.core.episode import Episode, EpisodeEnding, ToolCall
from proofloop.core.errors import SandboxLost


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a policy is asked for: one completion."""

    request: Request
    """For engines; its context is empty where the episode has no tokenizer."""
    messages: tuple[Chat, ...]
    """The same as messages, for who speaks OpenAI's API, and for people."""
    tools: tuple[Chat, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer without tokens: of a person, a script, or a server that tells none."""

    text: str
    calls: tuple[ToolCall, ...] = ()
    """Native ones; otherwise the dialect reads them from the text."""
    num_context_tokens: int = 0
    num_sampled_tokens: int = 0
    cost: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A completion, and how long the policy took."""

    completion: Completion
    seconds: float


class EpisodeLost(SandboxLost):
    """The workspace was lost after the policy had said something."""

    def __init__(self, why: SandboxLost, episode: Episode) -> None:
        super().__init__(str(why))
        self.episode = episode
        """As far as it came."""


Answer = Completion | Timed | Said | EpisodeEnding
"""An ending is the word of who drives: the episode ends so."""
Asks = Generator[Ask, Answer, Episode]
