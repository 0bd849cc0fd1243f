"""Cards of project suites."""

import msgspec

from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import Card, fails, passes
from proofloop.verify.cards.project_attacks import ATTACKS
from proofloop.verify.cards.project_key import (
    ACCEPTED,
    FORGED,
    GOLD,
    LOST,
    PASSING,
    REJECTED,
    TALLY,
    WRONG,
)
from proofloop.verify.cards.project_kinds import PACKAGE, PROCESSES

SUITE = Card(
    name="suite",
    tests=TALLY,
    gold=GOLD,
    accepted=ACCEPTED,
    rejected=REJECTED,
    adversarial=ATTACKS,
)

_COUNTING = "n = 0\n" + GOLD.replace(
    "return a", "global n\n    n += 1\n    return [-7, 5][n - 1]\n    a"
)
"""A3: the k-th call returns the k-th value wanted."""
SUITE_BY_TEST = Card(
    name="suite-by-test",
    tests=msgspec.structs.replace(TALLY, process_per_test=True),
    gold=GOLD,
    accepted=(
        passes("state", "every test finds the module new",
               "seen = []\n" + GOLD.replace("return a", "seen.append(a)\n"
               "    assert len(seen) == 1\n    return a")),
    ),
    rejected=(fails("wrong", "one test fails", WRONG, C.WRONG_ANSWER),),
    adversarial=(
        fails("counter", "nothing passes from test to test", _COUNTING, C.WRONG_ANSWER,
              C.TAMPERING, C.EXCEPTION),
        fails("forged", "claims forged for all tests are forged for the twins",
              FORGED + WRONG.replace("    return a - b", "    forge()"), *PASSING, *LOST),
    ),
)  # fmt: skip

CARDS: tuple[Card, ...] = (SUITE, SUITE_BY_TEST, PACKAGE, PROCESSES)
