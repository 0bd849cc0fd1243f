"""A choice among given options: by label, by label and text, or by text alone.

The whole final answer must be read: a label, the text that belongs to it, or a list of such.  A
label beside another option's text, and more choices than one where one is asked for, conflict
(reward-hacks A6, J11); other words make it unreadable.
"""

import re

from proofloop.core.task import ChoiceAnswer
from proofloop.core.verdict import ScoredCause, Tier, UnscoredCause, Verdict
from proofloop.verify.math.extract import MAX_ANSWER_CHARS, NoFinalAnswer
from proofloop.verify.math.read import read_text, untexted, unwrapped
from proofloop.verify.outcome import judged, unscored
from proofloop.verify.place import text_at

_SEPARATOR = re.compile(r"\s*(?:[,;&]|\band\b)\s*", re.IGNORECASE)


class _Unreadable(Exception):
    """It names no option, or not in a way that is known."""


def verify_choice(key: ChoiceAnswer, answer: str, tier: Tier) -> Verdict:
    """No program runs: `tier` is what the verifier had at hand."""
    if problem := problem_of_key(key):
        return unscored(UnscoredCause.INVALID_KEY, problem, tier)
    try:
        chosen = _chosen(text_at(key.place, answer), key)
    except NoFinalAnswer as e:
        return judged(e.cause, e.detail, tier)
    except _Unreadable as e:
        return judged(ScoredCause.INVALID_RESULT, str(e), tier)
    if chosen == set(key.gold):
        return judged(ScoredCause.PASSED, "the same choice", tier)
    if len(key.gold) == 1 and len(chosen) > 1:
        return judged(ScoredCause.CONFLICTING_ANSWERS, f"{len(chosen)} choices", tier)
    return judged(ScoredCause.WRONG_ANSWER, "another choice", tier)


def problem_of_key(key: ChoiceAnswer) -> str | None:
    """Why the key cannot judge anything, if so."""
    labels = [option.label.casefold() for option in key.options]
    if not labels or len(labels) != len(set(labels)) or not all(map(str.isalnum, labels)):
        return "the options need labels of letters or digits, each once"
    if not key.gold or not set(key.gold) <= {option.label for option in key.options}:
        return "the gold labels are not among the options"
    return "a gold label twice" if len(key.gold) != len(set(key.gold)) else None


def _chosen(answer: str, key: ChoiceAnswer) -> set[str]:
    """Labels.  The whole text as one choice comes first: an option's text may hold commas."""
    if len(answer) > MAX_ANSWER_CHARS:
        raise _Unreadable(f"{len(answer)} characters, more than {MAX_ANSWER_CHARS}")
    text = untexted(unwrapped(answer)).strip()
    try:
        return _one(text, key)
    except _Unreadable:
        parts = [part for part in _SEPARATOR.split(text) if part]
        if len(parts) < 2 or len(parts) > len(key.options):
            raise
        return set[str]().union(*(_one(part, key) for part in parts))


def _one(text: str, key: ChoiceAnswer) -> set[str]:
    """The option named; two where label and text disagree."""
    by_text = {o.label for o in key.options if _text(o.text) == _text(text) and _text(text)}
    for option in key.options:
        rest = _after_label(text, option.label)
        if rest is None:
            continue
        if not rest or _text(rest) == _text(option.text):
            return {option.label} | (by_text if len(by_text) == 1 else set[str]())
        if others := {o.label for o in key.options if _text(o.text) == _text(rest)}:
            return {option.label} | others
    if len(by_text) == 1:
        return by_text
    raise _Unreadable("two options of this text" if by_text else "it names no option, or more")


def _after_label(text: str, label: str) -> str | None:
    """What follows the label where `text` begins with it: `B`, `(B)`, `[B]`, `B)`, `B.`, `B: …`."""
    name = re.escape(label)
    pattern = rf"(?:(?:\({name}\)|\[{name}\])[.:]?|{name}(?:$|[).:]|\s+[-–—]\s))(.*)"
    match = re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL)
    return None if match is None else match[1].strip()


def _text(text: str) -> str:
    """Case, spacing, quotes and LaTeX's wrapping aside."""
    return read_text(unwrapped(text)).text
