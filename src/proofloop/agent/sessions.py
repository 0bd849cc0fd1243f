"""What an outside agent's calls amount to, token for token.

Such an agent sends its whole conversation each time.  Where it begins with a conversation that is
known here up to an answer that was sampled here, the answer stays the tokens that were sampled and
only what follows it is rendered.  Everything else (an edited history, another agent under the same
name, a retry) is a context of its own.  So the turns are a `Rollout`, as if the agent were ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from proofloop.agent.dialects import Chat, NativeCalls
from proofloop.core.completion import Completion, StopReason
from proofloop.core.record import Record
from proofloop.core.rollout import Rollout, RolloutId, Turn
from proofloop.core.task import TaskId
from proofloop.render.tokenizer import ChatTokenizer


class SessionTurn(Record):
    """One call, as it is stored."""

    chain: int
    """Which of the session's conversations; their turns extend each other."""
    turn: Turn
    messages: tuple[dict[str, Any], ...]
    """New in the call; of a chain's first turn, all."""
    said: dict[str, Any]
    """The answer, as a message."""
    tools: tuple[dict[str, Any], ...] | None


class Asked(NamedTuple):
    """What a call amounts to."""

    chain: int
    """A new one where it is the number of chains."""
    context: tuple[int, ...]
    """All of it, for the engine."""
    fresh: tuple[int, ...]
    """What of it is new in its chain."""
    messages: tuple[Chat, ...]
    tools: tuple[Chat, ...] | None


@dataclass(slots=True)
class _Chain:
    first: tuple[Chat, ...]
    messages: list[Chat]
    tools: tuple[Chat, ...] | None
    tokens: tuple[int, ...] = ()
    turns: list[Turn] = field(default_factory=list[Turn])


@dataclass(slots=True)
class Session:
    """Of one thread at a time."""

    tokenizer: ChatTokenizer
    chains: list[_Chain] = field(default_factory=list[_Chain])

    def asked(self, messages: Sequence[Chat], tools: Sequence[Chat] | None) -> Asked:
        """Raises ModelError where the template refuses the messages."""
        told = None if tools is None else tuple(tools)
        known = [c for c in self.chains if c.tools == told and _extends(messages, c.messages)]
        if not known:
            context = self.tokenizer.opening(list(map(_for_template, messages)), tools=told)
            return Asked(len(self.chains), context, context, tuple(messages), told)
        chain = max(known, key=lambda c: len(c.messages))
        new = tuple(messages[len(chain.messages) :])
        stopped = chain.turns[-1].completion.stop_reason is StopReason.STOP
        fresh = self.tokenizer.extend(
            list(map(_for_template, chain.first)), new, stopped=stopped, tools=told
        )
        place = next(i for i, c in enumerate(self.chains) if c is chain)
        return Asked(place, (*chain.tokens, *fresh), fresh, new, told)

    def said(self, asked: Asked, completion: Completion) -> SessionTurn:
        """Takes down an answer; `said` of what is returned is what the agent is told."""
        text = self.text_of(completion)
        is_first = asked.chain == len(self.chains)
        turn = SessionTurn(
            chain=asked.chain,
            turn=Turn(
                context=asked.fresh, completion=completion, restarts=is_first and asked.chain > 0
            ),
            messages=tuple(dict(m) for m in asked.messages),
            said=message_of(text, with_tools=bool(asked.tools), number=self.num_turns),
            tools=None if asked.tools is None else tuple(dict(t) for t in asked.tools),
        )
        self.take(turn)
        return turn

    def take(self, stored: SessionTurn) -> None:
        """A turn that was taken down, now or in another process."""
        if stored.chain == len(self.chains):
            self.chains.append(_Chain(stored.messages, [], stored.tools))
        chain = self.chains[stored.chain]
        chain.messages += [*stored.messages, stored.said]
        chain.turns.append(stored.turn)
        chain.tokens = (*chain.tokens, *stored.turn.context, *stored.turn.completion.tokens)

    def text_of(self, completion: Completion) -> str:
        tokens = completion.tokens
        if completion.stop_reason is StopReason.STOP:
            tokens = tokens[:-1]
        return self.tokenizer.decode(tokens, keep_special=True)

    @property
    def num_turns(self) -> int:
        return sum(len(chain.turns) for chain in self.chains)

    def rollout(self, id: str, *, task_id: str = "", answer: str = "") -> Rollout:
        """All turns, chain by chain: each sampled token once."""
        turns = tuple(turn for chain in self.chains for turn in chain.turns)
        return Rollout(id=RolloutId(id), task_id=TaskId(task_id), turns=turns, answer=answer)


def message_of(text: str, *, with_tools: bool, number: int) -> dict[str, Any]:
    """An answer as OpenAI's API has it; a text without readable calls stays a text."""
    reading = NativeCalls().read(text) if with_tools else None
    if reading is None or not reading.calls:
        return {"role": "assistant", "content": text}
    return {
        "role": "assistant",
        "content": text.partition("<tool_call>")[0].strip() or None,
        "tool_calls": [
            {
                "id": f"{call.id}_{number}",
                "type": "function",
                "function": {"name": call.tool, "arguments": call.arguments},
            }
            for call in reading.calls
        ],
    }


def _extends(messages: Sequence[Chat], known: Sequence[Chat]) -> bool:
    """Whether it goes on from there, with at least one word that is not the assistant's own."""
    new = messages[len(known) :]
    return (
        bool(new)
        and all(message["role"] != "assistant" for message in new)
        and all(_same(a, b) for a, b in zip(messages, known, strict=False))
    )


def _same(a: Chat, b: Chat) -> bool:
    return _essence(a) == _essence(b)


def _essence(message: Chat) -> tuple[str, str, tuple[tuple[str, bytes], ...]]:
    """Without what clients add and drop: blanks around a text, unknown fields, order in JSON."""
    calls = tuple(
        (str(call["function"]["name"]), _plain_json(call["function"]["arguments"]))
        for call in message.get("tool_calls") or ()
    )
    return str(message["role"]), (message.get("content") or "").strip(), calls


def _plain_json(text: object) -> bytes:
    try:
        found = msgspec.json.decode(text) if isinstance(text, str) else text
    except (msgspec.DecodeError, UnicodeError):
        return str(text).encode(errors="replace")
    return msgspec.json.encode(found, order="deterministic")


def _for_template(message: Chat) -> Mapping[str, Any]:
    """Templates want the arguments of calls as objects, and a text where there is none."""
    plain = {**message, "content": message.get("content") or ""}
    if message.get("tool_calls"):
        plain["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _object(call["function"])}}
            for call in message["tool_calls"]
        ]
    return plain


def _object(function: Mapping[str, Any]) -> Any:
    try:
        return msgspec.json.decode(function["arguments"])
    except (msgspec.DecodeError, UnicodeError, TypeError):
        return function["arguments"]
