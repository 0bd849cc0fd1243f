"""Which text of an answer is judged: exactly one, outside of the reasoning part.

Several statements of it must be the same text, to the character: taking the last or any of them
would reward an answer that hedges (reward-hacks J11).  Linear in the answer.
"""

import re

from proofloop.core.task import Place
from proofloop.core.verdict import ScoredCause
from proofloop.verify.extract import fenced_blocks
from proofloop.verify.math.extract import NoFinalAnswer, after_reasoning, final_answer


def text_at(place: Place, answer: str, *, tags: tuple[str, ...] = ()) -> str:
    """Never blank.  `tags`: what a fence may name its language, beside nothing.  Raises
    NoFinalAnswer."""
    match place:
        case Place.FINAL:
            return final_answer(answer, same=str.strip)
        case Place.BLOCK:
            return _block(after_reasoning(answer), tags)
        case Place.WHOLE:
            return _not_blank(after_reasoning(answer).strip())


def section_of(answer: str, name: str) -> str:
    """What stands between `<name>` and `</name>`, each of which must occur once outside of the
    reasoning part.  Raises NoFinalAnswer."""
    text = after_reasoning(answer)
    opening, closing = f"<{name}>", f"</{name}>"
    if text.count(opening) > 1 or text.count(closing) > 1:
        raise NoFinalAnswer(ScoredCause.CONFLICTING_ANSWERS, f"more than one {opening}")
    start, end = text.find(opening), text.find(closing)
    if start < 0 or end < start:
        raise NoFinalAnswer(ScoredCause.NO_ANSWER, f"no {opening}…{closing}")
    return text[start + len(opening) : end]


def _block(text: str, tags: tuple[str, ...]) -> str:
    blocks = fenced_blocks(text)
    texts = dict.fromkeys(b.text.strip() for b in blocks if b.tag in ("", *tags))
    if len(texts) > 1:
        problem = f"{len(texts)} different fenced blocks"
        raise NoFinalAnswer(ScoredCause.CONFLICTING_ANSWERS, problem)
    return _not_blank(next(iter(texts)) if texts else text.strip())


def _not_blank(text: str) -> str:
    if not re.search(r"\S", text):
        raise NoFinalAnswer(ScoredCause.NO_ANSWER, "empty answer")
    return text
