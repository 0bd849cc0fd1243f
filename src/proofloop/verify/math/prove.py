"""The unbounded comparison, for the worker's children: exact, then numbers, then symbols."""

from fractions import Fraction

from proofloop.verify.math import numeric, symbolic
from proofloop.verify.math.compare import Undecided, equal_exactly
from proofloop.verify.math.ring import FULL
from proofloop.verify.math.tree import Expr


def equal(gold: Expr, answer: Expr) -> bool:
    """False also where nobody knows: what is not shown equal earns nothing."""
    try:
        return equal_exactly(gold, answer, FULL)
    except Undecided:
        pass
    try:
        return not numeric.shown_different(gold, answer) and symbolic.shown_equal(gold, answer)
    except MemoryError:
        raise
    except Exception:  # mpmath and SymPy raise a dozen kinds for what they cannot do: no proof
        return False


def within(gold: Expr, answer: Expr, tolerance: float) -> bool:
    gap = numeric.apart(gold, answer)
    bound = Fraction(tolerance)
    return gap is not None and bool(gap * bound.denominator <= bound.numerator)
