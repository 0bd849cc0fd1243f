"""The gold answer, and a final answer in the light of it.

The data set's declaration decides how the gold text is read; without one, its form does.  A gold
text that is no formula of the grammar is text, compared whole, so that no row is unusable; a
model's text that is none is Unreadable and earns nothing.
"""

import re
from functools import lru_cache

from proofloop.core.task import AnswerKind, MathAnswer
from proofloop.verify.math.parser import parse
from proofloop.verify.math.tree import (
    Answer,
    BaseNumeral,
    Choice,
    Expr,
    Interval,
    Listing,
    Matrix,
    Num,
    Quantity,
    Relation,
    SetOf,
    Sym,
    Text,
    Tuple,
    Union,
    Unreadable,
)

_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\{([^{}]*)\}")
_WORDS = re.compile(r"[^\W\d_]{2,}(?:[\s'-]+[^\W\d_]+)*")
_UNIT_LETTER = re.compile(r"(?<=[0-9}]) ?([mgslh])$")
"""A letter that is a unit only where a quantity is asked for: 5 m."""
_LETTER = re.compile(r"\([A-J]\)|[A-J]\)?")
_CHOICE = re.compile(r"(?:\(([A-Ja-j])\)|([A-J])(?:[).:]|$))(.*)", re.DOTALL)
_ANOTHER_CHOICE = re.compile(r"\([A-Ja-j]\)|\b[A-J][).:]|\b[A-J]\b\s*$|\b(?:or|and)\b")


@lru_cache(maxsize=1024)  # a key is asked for once per rollout of its group
def read_gold(key: MathAnswer) -> Answer:
    """Raises Unreadable where the gold text is not of the kind that the key declares."""
    text = unwrapped(key.gold)
    if not text:
        raise Unreadable("an empty gold answer")
    if key.kind is AnswerKind.TEXT:
        return read_text(text)
    if key.kind is AnswerKind.CHOICE or (key.kind is None and _is_letter(text)):
        return read_choice(text)
    if key.kind is None and _WORDS.fullmatch(untexted(text)):
        return read_text(text)
    try:
        gold = parse(text)
    except Unreadable:
        if key.kind is None:
            return read_text(text)
        raise
    if key.kind is not None and not _is_of(gold, key.kind):
        raise Unreadable(f"the gold answer is not of kind {key.kind}")
    return gold


def read_answer(text: str, gold: Answer, unknown: str = "") -> Answer:
    """Raises Unreadable."""
    text = unwrapped(text)
    if isinstance(gold, Choice):
        return read_choice(text)
    if isinstance(gold, Text):
        return read_text(text)
    if isinstance(gold, Quantity):
        text = _UNIT_LETTER.sub(r"\\text{ \1}", text)
    answer = parse(text)
    if (
        unknown
        and isinstance(answer, Relation)
        and not isinstance(gold, Relation)
        and (answer.op, answer.left) == ("=", Sym(unknown))
    ):
        return answer.right
    return answer


def unwrapped(text: str) -> str:
    """Without what only sets it apart: spaces, `$`, markdown's stars, the sentence's full stop."""
    before = None
    while before != text:
        before = text
        text = text.strip().removesuffix(".").removesuffix("\\").strip()
        for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"),
                                 ("**", "**"), ("`", "`")):  # fmt: skip
            inner = text[len(opening) : len(text) - len(closing)]
            if (
                len(text) > len(opening) + len(closing)
                and text.startswith(opening)
                and text.endswith(closing)
                and opening not in inner
            ):
                text = inner
    return text


def read_text(text: str) -> Text:
    """Case, spacing, quotes and LaTeX's wrapping do not count; every other sign does."""
    plain = untexted(text).replace("\\ ", " ").replace("~", " ").strip("\"'“”. ")
    return Text(" ".join(plain.split()).casefold())


def read_choice(text: str) -> Choice:
    """`B`, `(B)`, `B.`, `\\textbf{(B)} 42`; anything that names another letter is none."""
    match = _CHOICE.fullmatch(untexted(text).strip())
    if match is None:
        raise Unreadable("no letter of a choice")
    if _ANOTHER_CHOICE.search(match[3]):
        raise Unreadable("more than one choice")
    return Choice((match[1] or match[2]).upper())


def _is_letter(text: str) -> bool:
    return _LETTER.fullmatch(untexted(text).strip()) is not None


def untexted(text: str) -> str:
    """Without `\\text{…}` and its like, but for what is in them."""
    return _TEXT.sub(r"\1", text)


def _is_of(gold: Answer, kind: AnswerKind) -> bool:
    match kind:
        case AnswerKind.INTEGER:
            return isinstance(gold, Num) and gold.value.denominator == 1
        case AnswerKind.RATIONAL:
            return isinstance(gold, Num)
        case AnswerKind.REAL | AnswerKind.EXPRESSION:
            return isinstance(gold, Expr)
        case AnswerKind.EQUATION:
            return isinstance(gold, Relation)
        case AnswerKind.SET:
            return isinstance(gold, SetOf | Listing | Expr)
        case AnswerKind.INTERVAL:
            return isinstance(gold, Interval | Union | Tuple)
        case AnswerKind.TUPLE:
            return isinstance(gold, Tuple)
        case AnswerKind.MATRIX:
            return isinstance(gold, Matrix)
        case AnswerKind.QUANTITY:
            return isinstance(gold, Quantity | BaseNumeral)
        case AnswerKind.CHOICE | AnswerKind.TEXT:
            return isinstance(gold, Choice | Text)
