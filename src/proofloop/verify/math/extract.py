"""From a completion to exactly one final answer, as text.

A final answer stands in a container: `\\boxed{…}` or a line `#### …`; failing both, a line `A: …`;
failing that, a sentence "the answer is …"; failing that, the completion itself where it is one
short line.  The first kind that occurs counts alone, and all its occurrences must say the same:
the last of several different ones would reward an answer that hedges (reward-hacks J7, J11, J15).
What a model thinks is never searched (J13): the answer stands after the last closing tag, and
before the first opening tag after that.

Linear in the completion: plain searches, and at most `MAX_CONTAINERS` containers of at most
`MAX_ANSWER_CHARS` characters are looked at.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from proofloop.core.verdict import ScoredCause

MAX_ANSWER_CHARS = 1000
MAX_CONTAINERS = 32
_OPENING = re.compile(r"<(?:think|thinking|reasoning)>", re.IGNORECASE)
_CLOSING = re.compile(r"</(?:think|thinking|reasoning)>", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox) {0,4}(\{?)")
_HASHES = re.compile(r"^[ \t]{0,8}####(?!#)(.*)$", re.MULTILINE)
_A_LINE = re.compile(r"^[ \t]{0,8}(?:\*\*)?A:(.*)$", re.MULTILINE)
_SENTENCE = re.compile(
    r"\b(?:the (?:final |correct )?answer is|final answer)(?:\*\*)?:?(?:\*\*)?(.*)$",
    re.MULTILINE | re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\\phantom\{[^{}]*\}")


class NoFinalAnswer(Exception):
    """There is no final answer, or more than one; `cause` says which."""

    def __init__(self, cause: ScoredCause, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail


class _Found(NamedTuple):
    container: str
    texts: list[str]


def final_answer(completion: str, same: Callable[[str], str] | None = None) -> str:
    """The text of the one final answer, without its container.  `same`: what two statements of it
    must have in common; by default all but spaces and wrapping.  Raises NoFinalAnswer."""
    same = same or _squeezed
    text = after_reasoning(completion)
    found = _find(text)
    if found is None:
        line = text.strip()
        if not line:
            raise NoFinalAnswer(ScoredCause.NO_ANSWER, "empty answer")
        if "\n" in line or len(line) > MAX_ANSWER_CHARS:
            raise NoFinalAnswer(ScoredCause.NO_ANSWER, "no final answer is marked as such")
        return line
    answers = dict.fromkeys(same(t) for t in found.texts)
    answers.pop("", None)
    if not answers:
        raise NoFinalAnswer(ScoredCause.NO_ANSWER, f"an empty final answer ({found.container})")
    if len(answers) > 1:
        problem = f"{len(answers)} different final answers ({found.container})"
        raise NoFinalAnswer(ScoredCause.CONFLICTING_ANSWERS, problem)
    answer = next(t for t in found.texts if same(t))
    if len(answer) > MAX_ANSWER_CHARS:
        problem = f"a final answer of {len(answer)} characters, more than {MAX_ANSWER_CHARS}"
        raise NoFinalAnswer(ScoredCause.INVALID_RESULT, problem)
    return answer.strip()


def after_reasoning(text: str) -> str:
    """The part after the last closing tag, cut where reasoning opens again.  A template may have
    written the first opening tag into the prompt, so a closing tag needs none before it."""
    start = 0
    for closing in _CLOSING.finditer(text):
        start = closing.end()
    opening = _OPENING.search(text, start)
    return text[start : opening.start() if opening else len(text)]


def _find(text: str) -> _Found | None:
    marked = _boxes(text) + [m.group(1) for m in _HASHES.finditer(text)]
    if marked:
        return _Found(r"\boxed or ####", marked)
    lines = [m.group(1) for m in _A_LINE.finditer(text)]
    if lines:
        return _Found("A:", lines)
    sentences = [m.group(1).rstrip(" .") for m in _SENTENCE.finditer(text)]
    return _Found("the answer is", sentences) if sentences else None


def _boxes(text: str) -> list[str]:
    """Contents of the outermost boxes; those that only hold a blank for layout are none."""
    boxes: list[str] = []
    at = 0
    while match := _BOX.search(text, at):
        if len(boxes) == MAX_CONTAINERS:
            problem = f"more than {MAX_CONTAINERS} boxes"
            raise NoFinalAnswer(ScoredCause.CONFLICTING_ANSWERS, problem)
        if match.group(1):
            content, at = _braced(text, match.end())
        else:  # TeX boxes the next token: \boxed 5
            content, at = text[match.end() : match.end() + 1], match.end() + 1
        if not _PLACEHOLDER.fullmatch(content.strip()):
            boxes.append(content)
    return boxes


def _braced(text: str, start: int) -> tuple[str, int]:
    """What stands before the brace that closes the one before `start`, and the place after it."""
    depth = 1
    for at in range(start, min(len(text), start + MAX_ANSWER_CHARS + 1)):
        char = text[at]
        if char == "{" or char == "}":
            if text[at - 1] == "\\":
                continue
            depth += 1 if char == "{" else -1
            if not depth:
                return text[start:at], at + 1
    raise NoFinalAnswer(ScoredCause.INVALID_RESULT, "a box that does not close, or too long a one")


def _squeezed(text: str) -> str:
    """What two statements of one answer have in common: all but spaces and wrapping."""
    return re.sub(r"[\s$*]+", "", text).rstrip(".")
