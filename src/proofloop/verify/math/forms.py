"""Which operators an answer leaves to be carried out, and whether the gold answer has them too.

`2+2` is no answer where 4 is asked for, nor is the question itself: an answer may hold only
operators that the gold answer holds (reward-hacks J2, J12), besides what writes a number or a
formula down: numerals, signs, products, quotients, powers of symbols.  Checked before anything is
computed, so most bombs end here.
"""

from proofloop.verify.math.tree import (
    Add,
    Call,
    Const,
    Div,
    Expr,
    Mul,
    Neg,
    Num,
    Pow,
    Relation,
    Root,
    Sym,
)


def operators(expr: Expr) -> frozenset[str]:
    """Names of what the expression leaves to be carried out; `numeric` where it is on numerals
    alone, so that it could have been."""
    found: set[str] = set()
    _collect(expr, found)
    return frozenset(found)


def admissible(answer: Expr, gold: Expr) -> bool:
    """Whether the answer has no operator that the gold answer lacks."""
    if isinstance(answer, Num | Const | Sym):
        return True
    allowed = operators(gold)
    surplus = operators(answer) - allowed
    if isinstance(gold, Num):
        return not surplus  # a number is asked for: one numeral
    surplus -= {"product", "quotient", "sign", "power"}
    if allowed & {"root", "root power"}:
        surplus -= {"root", "root power"}
    return not surplus


def admissible_relation(answer: Relation, gold: Relation) -> bool:
    """The same of both sides together.  Terms may change sides, so sums are no surplus; what is on
    numerals alone could have been carried out."""
    allowed = operators(gold.left) | operators(gold.right)
    surplus = (operators(answer.left) | operators(answer.right)) - allowed
    return surplus <= {"sum", "product", "quotient", "sign", "power", "root", "root power"}


def _collect(expr: Expr, found: set[str]) -> None:
    match expr:
        case Num() | Const() | Sym():
            return
        case Add(parts):
            found.add("sum")
            if sum(isinstance(_unsigned(part), Num) for part in parts) > 1:
                found.add("numeric sum")
        case Mul(parts):
            found.add("product")
            if sum(isinstance(part, Num) for part in parts) > 1:
                found.add("numeric product")
        case Neg(body):
            parts = (body,)
            found.add("sign")
            if isinstance(body, Num):
                found.add("numeric sign")
        case Div(numerator, denominator):
            parts = (numerator, denominator)
            found.add("quotient")
            if isinstance(numerator, Num) and isinstance(denominator, Num):
                found.add("numeric quotient")
        case Pow(base, exponent):
            parts = (base, exponent)
            if not isinstance(exponent, Num):
                found.add("exponential")
            elif isinstance(base, Num):
                whole = exponent.value.denominator == 1
                found.add("numeric power" if whole else "root power")
            else:
                found.add("power" if _has_symbol(base) else "numeric power")
        case Root(body, _):
            parts = (body,)
            found.add("root")
        case Call(name, parts):
            found.add(name)
    for part in parts:
        _collect(part, found)


def _has_symbol(expr: Expr) -> bool:
    """Whether a power of it cannot be carried out: (x+1)^2 and pi^2, not (1+sqrt 2)^2."""
    match expr:
        case Const() | Sym():
            return True
        case Num():
            return False
        case Add(parts) | Mul(parts):
            return any(map(_has_symbol, parts))
        case Neg(body) | Root(body, _):
            return _has_symbol(body)
        case Div(left, right) | Pow(left, right):
            return _has_symbol(left) or _has_symbol(right)
        case Call(_, args):
            return any(map(_has_symbol, args))


def _unsigned(expr: Expr) -> Expr:
    return expr.body if isinstance(expr, Neg) else expr
