"""Proof by symbols: SymPy on expressions built from our own tree, never from text.

The last step, and the only one without a bound: it runs in the worker's children alone.  Symbols
are real.  What SymPy cannot bring to zero is not shown equal, and earns nothing.
"""

from collections.abc import Callable
from typing import Any

import sympy

from proofloop.verify.math.tree import Add, Call, Const, Div, Expr, Mul, Neg, Num, Pow, Root, Sym


def _logarithm(x: Any, base: Any = 10) -> Any:
    return sympy.log(x) / sympy.log(base)


def _expanded(gap: Any) -> Any:
    return sympy.expand_log(sympy.expand(gap))


def _undecided(gap: Any) -> int:
    """0 where SymPy says that it is zero."""
    return 0 if gap.equals(0) is True else 1


_CONSTANTS: dict[str, Any] = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "arcsin": sympy.asin,
    "arccos": sympy.acos,
    "arctan": sympy.atan,
    "ln": sympy.log,
    "log": _logarithm,
    "abs": sympy.Abs,
    "ceil": sympy.ceiling,
}


def shown_equal(gold: Expr, answer: Expr) -> bool:
    """Raises whatever SymPy raises; NotImplementedError for what it has no counterpart of."""
    gap = to_sympy(gold) - to_sympy(answer)
    return any(step(gap) == 0 for step in _STEPS)


_STEPS: tuple[Callable[[Any], Any], ...] = (
    sympy.expand,
    _expanded,
    sympy.radsimp,
    sympy.sqrtdenest,
    sympy.simplify,
    _undecided,
)


def warm_up() -> None:
    """Load what SymPy loads on first use, so that children need not."""
    x = Sym("x")
    two = Call("factorial", (Sym("n"),))
    root = Root(Add((x, Call("sin", (x,)))), 2)
    shown_equal(Mul((root, two)), Pow(Call("cos", (x,)), Call("ln", (x,))))


def to_sympy(expr: Expr) -> Any:
    match expr:
        case Num(value):
            return sympy.Rational(value.numerator, value.denominator)
        case Const(name):
            if name not in _CONSTANTS:
                raise NotImplementedError(name)
            return _CONSTANTS[name]
        case Sym(name):
            return sympy.Symbol(name, real=True)
        case Add(terms):
            return sympy.Add(*map(to_sympy, terms))
        case Mul(factors):
            return sympy.Mul(*map(to_sympy, factors))
        case Neg(body):
            return -to_sympy(body)
        case Div(numerator, denominator):
            return to_sympy(numerator) / to_sympy(denominator)
        case Pow(base, exponent):
            return sympy.Pow(to_sympy(base), to_sympy(exponent))
        case Root(body, degree):
            inner = to_sympy(body)
            if degree % 2 and inner.is_negative:
                return -sympy.root(-inner, degree)
            return sympy.root(inner, degree)
        case Call(name, args):
            function = _FUNCTIONS.get(name) or getattr(sympy, name)
            return function(*map(to_sympy, args))
