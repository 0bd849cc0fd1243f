"""Disproof by numbers: two expressions that differ at a point are not equal.

Constants, and formulas at seeded points for their symbols, are enclosed in intervals (mpmath's
`iv`, outward rounding); where the enclosure of the difference excludes zero, that is a proof.
Where intervals have no function (arctan, complex values) the same is computed in plain
high-precision arithmetic and only a difference far above its error counts.  Numbers never show
that two expressions are equal: two that agree to sixty digits may still differ (J4, J8).
"""

import random
from collections.abc import Callable
from typing import Any

import mpmath

from proofloop.verify.math.tree import Add, Call, Const, Div, Expr, Mul, Neg, Num, Pow, Root, Sym

DIGITS = 60
NUM_POINTS = 4
_FAR = 30
"""Digits after which two plain results, of DIGITS digits, are said to differ."""


def shown_different(gold: Expr, answer: Expr) -> bool:
    names = sorted(_names(gold) | _names(answer))
    draw = random.Random(repr(names))
    mpmath.mp.dps = DIGITS
    mpmath.iv.dps = DIGITS
    for _ in range(NUM_POINTS if names else 1):
        point = {name: (draw.randrange(1, 400), 131) for name in names}
        verdict = _differ_in_intervals(gold, answer, point)
        if verdict is None:
            verdict = _differ_plainly(gold, answer, point)
        if verdict:
            return True
    return False


def apart(gold: Expr, answer: Expr) -> Any:
    """An upper bound of the distance of two real constants, as mpmath number; None where intervals
    have no value."""
    mpmath.iv.dps = DIGITS
    try:
        return mpmath.mpf(abs(_value(mpmath.iv, gold, {}) - _value(mpmath.iv, answer, {})).b)
    except _NO_VALUE:
        return None


Point = dict[str, tuple[int, int]]
_NO_VALUE = (ValueError, ArithmeticError, NotImplementedError, TypeError, AttributeError)


def _differ_in_intervals(gold: Expr, answer: Expr, point: Point) -> bool | None:
    try:
        gap = _value(mpmath.iv, gold, point) - _value(mpmath.iv, answer, point)
        return not bool(0 in gap)
    except _NO_VALUE:
        return None


def _differ_plainly(gold: Expr, answer: Expr, point: Point) -> bool | None:
    try:
        a, b = _value(mpmath.mp, gold, point), _value(mpmath.mp, answer, point)
        return bool(abs(a - b) > (abs(a) + abs(b)) * mpmath.mpf(10) ** -_FAR)
    except _NO_VALUE:
        return None


def _value(context: Any, expr: Expr, point: Point) -> Any:
    def value(part: Expr) -> Any:
        return _value(context, part, point)

    match expr:
        case Num(number):
            return context.mpf(number.numerator) / number.denominator
        case Const("pi"):
            return +context.pi
        case Const("e"):
            return context.exp(context.mpf(1))
        case Const("i") if context is mpmath.mp:
            return mpmath.mpc(0, 1)
        case Const():
            raise NotImplementedError
        case Sym(name):
            top, bottom = point[name]
            return context.mpf(top) / bottom
        case Add(terms):
            return sum(map(value, terms), context.mpf(0))
        case Mul(factors):
            result = context.mpf(1)
            for factor in factors:
                result *= value(factor)
            return result
        case Neg(body):
            return -value(body)
        case Div(numerator, denominator):
            return value(numerator) / value(denominator)
        case Pow(base, exponent):
            if isinstance(exponent, Num) and exponent.value.denominator == 1:
                return value(base) ** int(exponent.value)
            return value(base) ** value(exponent)
        case Root(body, degree):
            inner = value(body)
            if degree % 2 and context is mpmath.mp and mpmath.im(inner) == 0 and inner < 0:
                return -((-inner) ** (mpmath.mpf(1) / degree))
            return context.sqrt(inner) if degree == 2 else inner ** (context.mpf(1) / degree)
        case Call(name, args):
            return _function(context, name)(*map(value, args))


def _function(context: Any, name: str) -> Callable[..., Any]:
    match name:
        case "ln":
            return context.log
        case "log":
            return _logarithm(context)
        case "sin" | "cos":
            return getattr(context, name)
        case "tan" | "cot" | "sec" | "csc":
            return _quotient(context, name)
        case "abs":
            return abs
        case _ if context is mpmath.mp:
            known = {"arcsin": "asin", "arccos": "acos", "arctan": "atan"}
            return getattr(mpmath.mp, known.get(name, name))
        case _:
            raise NotImplementedError


def _logarithm(context: Any) -> Callable[..., Any]:
    def log(x: Any, base: Any = 10) -> Any:
        return context.log(x) / context.log(context.mpf(base))

    return log


def _quotient(context: Any, name: str) -> Callable[..., Any]:
    """Of sine and cosine, the only ones that intervals have."""

    def quotient(x: Any) -> Any:
        top = {"tan": context.sin, "cot": context.cos}.get(name)
        bottom = context.sin if name in ("cot", "csc") else context.cos
        return (context.mpf(1) if top is None else top(x)) / bottom(x)

    return quotient


def _names(expr: Expr) -> set[str]:
    match expr:
        case Sym(name):
            return {name}
        case Num() | Const():
            return set()
        case Add(parts) | Mul(parts) | Call(_, parts):
            return set[str]().union(*map(_names, parts))
        case Neg(body) | Root(body, _):
            return _names(body)
        case Div(left, right) | Pow(left, right):
            return _names(left) | _names(right)
