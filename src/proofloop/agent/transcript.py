"""What a policy has seen and said: as tokens, exact, and as messages.

Nothing is tokenized twice: a completion stays the tokens that were sampled, and what is put after
it are the template's tokens around the reply alone (`ChatTokenizer.extend`).  Where memory makes a
new context, that context is whole, and its turn is marked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from proofloop.agent.dialects import Chat
from proofloop.core.completion import Completion, StopReason
from proofloop.core.rollout import Turn
from proofloop.render.tokenizer import ChatTokenizer

CHARACTERS_A_TOKEN = 3
"""Of a policy whose tokens nobody tells; on the careful side."""


@dataclass(slots=True, kw_only=True)
class Transcript:
    """Grows by turns.  Without a tokenizer it has messages alone and guesses at lengths."""

    tokenizer: ChatTokenizer | None
    tools: tuple[Chat, ...] | None
    """As the template shows them."""
    first: tuple[Chat, ...]
    """The messages that the present context begins with."""
    messages: list[Chat] = field(default_factory=list[Chat])
    """All of the present context."""
    turns: list[Turn] = field(default_factory=list[Turn])
    seen: tuple[int, ...] = ()
    """The present context's tokens up to the next completion."""
    fresh: tuple[int, ...] = ()
    """Those since the last completion."""
    restarts: bool = False

    def __post_init__(self) -> None:
        self.begin(self.first)
        self.restarts = False

    def begin(self, messages: Sequence[Chat]) -> None:
        """A new context."""
        self.first, self.messages = tuple(messages), list(messages)
        self.restarts = True
        if self.tokenizer is not None:
            self.fresh = self.seen = self.tokenizer.opening(messages, tools=self.tools)

    def say(self, message: Chat, completion: Completion | None) -> None:
        """The policy's turn: as a message, and as tokens where they are known."""
        self.messages.append(message)
        if completion is not None:
            turn = Turn(context=self.fresh, completion=completion, restarts=self.restarts)
            self.turns.append(turn)
            self.seen, self.fresh = (*self.seen, *completion.tokens), ()
        self.restarts = False

    def reply(self, replies: Sequence[Chat]) -> None:
        """What the policy sees next."""
        self.messages += replies
        tokens = self._after(replies)
        self.fresh, self.seen = (*self.fresh, *tokens), (*self.seen, *tokens)

    def length_with(self, replies: Sequence[Chat]) -> int:
        """Tokens of the context after `replies`."""
        if self.tokenizer is None:
            return sum(map(_guess, (*self.messages, *replies)))
        return len(self.seen) + len(self._after(replies))

    @property
    def length(self) -> int:
        """Tokens of the context."""
        return sum(map(_guess, self.messages)) if self.tokenizer is None else len(self.seen)

    def _after(self, replies: Sequence[Chat]) -> tuple[int, ...]:
        if self.tokenizer is None:
            return ()
        stopped = bool(self.turns) and self.turns[-1].completion.stop_reason is StopReason.STOP
        return self.tokenizer.extend(self.first, replies, stopped=stopped, tools=self.tools)


def _guess(message: Chat) -> int:
    num = len(str(message.get("content") or "")) + len(str(message.get("tool_calls") or ""))
    return num // CHARACTERS_A_TOKEN + 8
