"""Nodes made from nodes: where a sign belongs to a numeral, and where a quotient is one."""

from collections.abc import Sequence
from fractions import Fraction

from proofloop.verify.math.numerals import integer_of, scaled
from proofloop.verify.math.tree import (
    Answer,
    Const,
    Div,
    Expr,
    Mul,
    Neg,
    Notation,
    Num,
    Pow,
    Quantity,
    Unreadable,
)
from proofloop.verify.math.units import DEGREE


def as_expr(node: Answer) -> Expr:
    """Raises Unreadable for an answer that is no expression."""
    if not isinstance(node, Expr):
        raise Unreadable("an operator on something that is no number")
    return node


def as_argument(node: Answer) -> Expr:
    """Of a function: 45° is an angle there."""
    if isinstance(node, Quantity) and node.unit == DEGREE:
        return in_radians(node)
    return as_expr(node)


def in_radians(angle: Quantity) -> Expr:
    share = Num(Fraction(1, 180), Notation.FRACTION)
    return Mul((angle.amount, share, Const("pi")))


def negated(node: Expr) -> Expr:
    """A sign before a numeral belongs to it."""
    if isinstance(node, Num) and node.value > 0:
        return Num(-node.value, node.notation)
    return Neg(node)


def times(factors: Sequence[Expr], right: Expr) -> list[Expr]:
    """6.29 \\times 10^6 is a numeral."""
    if len(factors) == 1 and isinstance(right, Pow):
        mantissa, exponent = factors[0], integer_of(right.exponent)
        plain = isinstance(mantissa, Num) and mantissa.notation in (
            Notation.INTEGER,
            Notation.DECIMAL,
        )
        if plain and integer_of(right.base) == 10 and exponent is not None:
            assert isinstance(mantissa, Num)
            return [Num(scaled(mantissa.value, exponent), Notation.SCIENTIFIC)]
    return [*factors, right]


def product(factors: Sequence[Expr]) -> Expr:
    return factors[0] if len(factors) == 1 else Mul(tuple(factors))


def quotient(numerator: Expr, denominator: Expr) -> Expr:
    """Of two integer numerals it is a numeral itself."""
    top, bottom = integer_of(numerator), integer_of(denominator)
    if top is None or bottom is None:
        return Div(numerator, denominator)
    if not bottom:
        raise Unreadable("a division by zero")
    return Num(Fraction(top, bottom), Notation.FRACTION)
