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


def verify_text(key: TextAnswer, answer: str, tier: Tier) -> Verdict:
    """No program runs: `tier` is what the verifier had at hand."""
    gold = _normal(key.gold.strip(), key)
    if not gold:
        return unscored(UnscoredCause.INVALID_KEY, "an empty gold text", tier)
    try:
        text = text_at(key.place, answer)
    except NoFinalAnswer as e:
        return judged(e.cause, e.detail, tier)
    if _normal(text, key) == gold:
        return judged(ScoredCause.PASSED, "the same text", tier)
    return judged(ScoredCause.WRONG_ANSWER, "another text", tier)


def _normal(text: str, key: TextAnswer) -> str:
    composed = unicodedata.normalize("NFC", text)
    if not key.ignore_case:
        return composed
    return unicodedata.normalize("NFC", composed.casefold())
