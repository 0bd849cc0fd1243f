"""Whether a chat template shows earlier turns as they were: what a policy saw and said, unchanged.

A rollout of several turns keeps the sampled tokens and adds to them (`ChatTokenizer.next_turn`).
A template that, once a reply follows, trims an answer or drops its think block makes another text
of the same conversation: the model would be trained on one and later run on the other.
"""

from proofloop.core.errors import ModelError
from proofloop.core.task import Message
from proofloop.render.tokenizer import ChatTokenizer

_QUESTION = Message(role="user", content="How many?")
_REPLY = Message(role="user", content="Are you sure?")
_PLAIN = "Seven of them."
_PROBES = (
    ("shows an earlier answer otherwise than after its own generation prompt", _PLAIN),
    ("trims the blanks around an earlier answer", "\n  Seven of them.\n\n"),
    ("drops or rewrites an earlier answer's think block", f"<think>\n5 + 2\n</think>\n\n{_PLAIN}"),
)


def prefix_faults(tokenizer: ChatTokenizer) -> tuple[str, ...]:
    """What the template does to earlier turns; empty where every context extends the one before.

    Probed by conversations of two and three questions, not read from the template.
    """
    faults: list[str] = []
    for fault, answer in _PROBES:
        if faults and answer != _PLAIN and "generation prompt" in faults[0]:
            break  # nothing more can be told
        try:
            if not _extends(tokenizer, answer):
                faults.append(fault)
        except ModelError as error:
            return (f"refuses a second question ({error})",)
    if not faults and not _tokens_extend(tokenizer):
        faults.append("joins the end of an answer with the text after it into one token")
    return tuple(faults)


def _extends(tokenizer: ChatTokenizer, answer: str) -> bool:
    messages: tuple[Message, ...] = (_QUESTION,)
    for _ in range(2):
        seen = tokenizer.text(messages) + answer
        messages = (*messages, Message(role="assistant", content=answer), _REPLY)
        if not tokenizer.text(messages).startswith(seen):
            return False
    return True


def _tokens_extend(tokenizer: ChatTokenizer) -> bool:
    seen = tokenizer.encode(tokenizer.text((_QUESTION,)) + _PLAIN)
    answer = Message(role="assistant", content=_PLAIN)
    return tokenizer.context((_QUESTION, answer, _REPLY))[: len(seen)] == seen


def check_prefix_preserving(tokenizer: ChatTokenizer, where: object) -> None:
    """Raises ModelError, with what to do, for a template that changes earlier turns."""
    faults = prefix_faults(tokenizer)
    if faults:
        raise ModelError(
            f"{where}: the chat template {' and '.join(faults)}, so a rollout of several turns is "
            "not the text that it would make of it. Put one that keeps every turn into "
            "chat_template.jinja there; or train single turns (feedback.arm = none); or go on with "
            "the tokens as sampled (feedback.any_template = true)"
        )
