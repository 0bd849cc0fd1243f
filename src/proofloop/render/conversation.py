"""Turns as the policy sees them: what is put before its next completion."""

from proofloop.core.completion import StopReason
from proofloop.core.rollout import Turn
from proofloop.core.task import Message
from proofloop.render.tokenizer import ChatTokenizer


def next_context(
    tokenizer: ChatTokenizer, messages: tuple[Message, ...], turns: tuple[Turn, ...], reply: Message
) -> tuple[int, ...]:
    """The new context tokens of a turn after `turns`, which began with the task's `messages`."""
    stopped = turns[-1].completion.stop_reason is StopReason.STOP
    return tokenizer.next_turn(messages, reply, stopped=stopped)
