"""One final answer against one key: read both, compare, under the key's tolerance.

The same function runs in the trusted process, with exact arithmetic alone, and in the worker's
children, with everything.
"""

from collections.abc import Callable

from proofloop.core.task import MathAnswer
from proofloop.verify.math.compare import Decide, compare
from proofloop.verify.math.read import read_answer, read_gold
from proofloop.verify.math.tree import Expr, Unreadable

Within = Callable[[Expr, Expr, float], bool]


class InvalidKey(ValueError):
    """The gold answer cannot be read as the kind that the key declares."""


def matched(key: MathAnswer, text: str, decide: Decide, within: Within) -> None:
    """Returns where `text` is the gold answer.  Raises Wrong, Unreadable or InvalidKey, and
    whatever `decide` and `within` raise."""
    try:
        gold = read_gold(key)
    except Unreadable as e:
        raise InvalidKey(str(e)) from e
    answer = read_answer(text, gold, key.unknown)
    tolerance = key.tolerance
    if tolerance is None:
        compare(gold, answer, decide)
    else:
        compare(gold, answer, lambda wanted, claimed: within(wanted, claimed, tolerance))
