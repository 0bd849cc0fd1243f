"""Exact text: the same characters, after Unicode's canonical composition and nothing else.

No trimming inside, no synonyms, no punctuation dropped, no containment (reward-hacks I2, I6): what
is not the gold text is another text.  Look-alikes of other scripts and invisible signs differ.
"""

import unicodedata

from proofloop.core.task import TextAnswer
from proofloop.core.verdict import ScoredCause, Tier, UnscoredCause, Verdict
from proofloop.verify.math.extract import NoFinalAnswer
from proofloop.verify.outcome import judged, unscored
from proofloop.verify.place import text_at

MAX_COMBINING = 30
"""In a row, as in Unicode's Stream-Safe Text Format (UAX #15, section 13)."""


def verify_text(key: TextAnswer, answer: str, tier: Tier) -> Verdict:
    """No program runs: `tier` is what the verifier had at hand."""
    gold = _normal(key.gold.strip(), key)
    if not gold:
        return unscored(UnscoredCause.INVALID_KEY, "an empty gold text", tier)
    try:
        text = text_at(key.place, answer)
    except NoFinalAnswer as e:
        return judged(e.cause, e.detail, tier)
    if _could_be(text, gold) and _normal(text, key) == gold:
        return judged(ScoredCause.PASSED, "the same text", tier)
    return judged(ScoredCause.WRONG_ANSWER, "another text", tier)


def _could_be(text: str, gold: str) -> bool:
    """What is not refused here is normalised, which sorts each run of combining marks, slowly.  No
    text shrinks to less than a quarter by it, and no language writes longer runs."""
    if len(text) > 4 * len(gold):
        return False
    run = 0
    for char in text if not text.isascii() else "":
        run = run + 1 if unicodedata.combining(char) else 0
        if run > MAX_COMBINING:
            return False
    return True


def _normal(text: str, key: TextAnswer) -> str:
    composed = unicodedata.normalize("NFC", text)
    if not key.ignore_case:
        return composed
    return unicodedata.normalize("NFC", composed.casefold())
