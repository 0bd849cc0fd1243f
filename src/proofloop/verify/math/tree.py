"""What a final answer can be: a closed set of immutable nodes, made by the parser alone.

Expressions (a number with its operators unevaluated) and the answers built from them.  Nothing
here computes: `forms` says which operators a tree holds, `ring` computes exactly, `numeric` in
intervals, `symbolic` with SymPy.
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


class Unreadable(ValueError):
    """The text is no answer of the grammar, or over a size cap."""


class Notation(StrEnum):
    """How a numeral was written."""

    INTEGER = "integer"
    FRACTION = "fraction"
    MIXED = "mixed"
    DECIMAL = "decimal"
    SCIENTIFIC = "scientific"
    PERCENT = "percent"


@dataclass(frozen=True, slots=True)
class Num:
    """A numeral: a value and no operator."""

    value: Fraction
    notation: Notation


@dataclass(frozen=True, slots=True)
class Const:
    """`pi`, `e`, `i`, `infinity`, or a number set such as `R`."""

    name: str


@dataclass(frozen=True, slots=True)
class Sym:
    name: str


@dataclass(frozen=True, slots=True)
class Add:
    terms: tuple["Expr", ...]


@dataclass(frozen=True, slots=True)
class Mul:
    factors: tuple["Expr", ...]


@dataclass(frozen=True, slots=True)
class Neg:
    body: "Expr"


@dataclass(frozen=True, slots=True)
class Div:
    numerator: "Expr"
    denominator: "Expr"


@dataclass(frozen=True, slots=True)
class Pow:
    base: "Expr"
    exponent: "Expr"


@dataclass(frozen=True, slots=True)
class Root:
    body: "Expr"
    degree: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function of `FUNCTIONS`; a logarithm's base is its second argument."""

    name: str
    args: tuple["Expr", ...]


FUNCTIONS = frozenset(
    ("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh",
     "tanh", "ln", "log", "exp", "abs", "factorial", "binomial", "floor", "ceil")
)  # fmt: skip

Expr = Num | Const | Sym | Add | Mul | Neg | Div | Pow | Root | Call


@dataclass(frozen=True, slots=True)
class BaseNumeral:
    """Digits with a base as subscript: 101_2.  Its notation is what is asked for."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True)
class Unit:
    """A product of powers of dimensions, and how many of the base unit one is."""

    dimensions: tuple[tuple[str, int], ...]
    factor: Fraction


@dataclass(frozen=True, slots=True)
class Quantity:
    amount: Expr
    unit: Unit


@dataclass(frozen=True, slots=True)
class Relation:
    """`left op right` with op one of `=`, `!=`, `<`, `<=`; greater-than is turned round."""

    op: str
    left: Expr
    right: Expr


@dataclass(frozen=True, slots=True)
class Tuple:
    """Ordered, in round brackets (also an open interval where it has two members), in angle
    brackets (a vector), or a ratio a:b."""

    items: tuple["Answer", ...]
    brackets: str


@dataclass(frozen=True, slots=True)
class Interval:
    low: Expr
    high: Expr
    low_closed: bool
    high_closed: bool


@dataclass(frozen=True, slots=True)
class Union:
    parts: tuple["Answer", ...]


@dataclass(frozen=True, slots=True)
class SetOf:
    """In braces; order does not count, repetition is a mistake."""

    items: tuple["Answer", ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Several answers beside each other, with commas, `and` or `or`; order does not count."""

    items: tuple["Answer", ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    rows: tuple[tuple[Expr, ...], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    letter: str


@dataclass(frozen=True, slots=True)
class Text:
    """Words, compared whole."""

    text: str


Answer = (
    Expr | BaseNumeral | Quantity | Relation | Tuple | Interval | Union | SetOf | Listing | Matrix
    | Choice | Text
)  # fmt: skip
