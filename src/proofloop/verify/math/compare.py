"""Whether a final answer is the gold answer: by type, then member by member, then as numbers.

Structure decides first and exactly: a tuple is no set, a closed end no open one, kilograms no
centimetres, a percentage no plain number.  What is left are pairs of expressions, and those go to
`equal_exactly` here or, where it does not know, to the `decide` of the worker.

Asymmetries, on purpose: an answer may leave out the gold answer's unit, which the question names,
and may add one where the gold answer has none; a unit that both state must agree.  A percent sign
is no such unit: it is part of the numeral.  An answer may not hold operators that the gold answer
lacks (`forms`).
"""

from collections.abc import Callable
from fractions import Fraction

from proofloop.verify.math.build import in_radians
from proofloop.verify.math.forms import admissible, admissible_relation
from proofloop.verify.math.poly import UNITY, Ratio, Undefined
from proofloop.verify.math.ring import QUICK, Caps, OverLimit, Ring
from proofloop.verify.math.tree import (
    Answer,
    BaseNumeral,
    Choice,
    Expr,
    Interval,
    Listing,
    Matrix,
    Mul,
    Notation,
    Num,
    Quantity,
    Relation,
    SetOf,
    Text,
    Tuple,
    Union,
)
from proofloop.verify.math.units import DEGREE

Decide = Callable[[Expr, Expr], bool]
"""Whether two expressions are equal: (gold, answer)."""


class Undecided(Exception):
    """Exact arithmetic does not tell; the worker must."""


class Wrong(Exception):
    """The answer is not the gold answer; the message says why without saying what is."""


def compare(gold: Answer, answer: Answer, decide: Decide) -> None:
    """Returns where they are equal.  Raises Wrong, or what `decide` raises."""
    match gold:
        case Relation():
            _compare_relations(gold, answer, decide)
        case Tuple():
            _compare_tuples(gold, answer, decide)
        case Interval():
            _compare_intervals(gold, answer, decide)
        case SetOf() | Listing():
            _compare_collections(gold, answer, decide)
        case Union(parts):
            if not isinstance(answer, Union):
                raise Wrong("not a union")
            _match_all(parts, answer.parts, decide)
        case Matrix():
            _compare_matrices(gold, answer, decide)
        case BaseNumeral() | Choice() | Text():
            if type(answer) is not type(gold):
                raise Wrong(f"a {_kind(answer)}, not a {_kind(gold)}")
            if answer != gold:
                raise Wrong("another one")
        case _:
            _compare_amounts(gold, answer, decide)


def equal_exactly(gold: Expr, answer: Expr, caps: Caps = QUICK) -> bool:
    """Raises Undecided where functions, or too large numbers, leave it open."""
    if isinstance(gold, Num) and isinstance(answer, Num):
        return gold.value == answer.value
    if gold == answer:
        return True
    ring = Ring(caps)
    try:
        wanted = ring.ratio(gold)
        claimed = ring.ratio(answer)
        if ring.same(wanted, claimed):
            return True
    except Undefined:
        return False
    except OverLimit as e:
        raise Undecided from e
    if wanted.is_opaque or claimed.is_opaque:
        raise Undecided
    return False


def within(gold: Expr, answer: Expr, tolerance: float) -> bool:
    """Whether two rational numbers differ by at most `tolerance`.  Raises Undecided."""
    ring = Ring(QUICK)
    try:
        wanted, claimed = ring.ratio(gold).rational, ring.ratio(answer).rational
    except Undefined:
        return False
    except OverLimit as e:
        raise Undecided from e
    if wanted is None or claimed is None:
        raise Undecided
    return abs(wanted - claimed) <= Fraction(tolerance)


def _compare_amounts(gold: Answer, answer: Answer, decide: Decide) -> None:
    gold_unit = gold.unit if isinstance(gold, Quantity) else None
    unit = answer.unit if isinstance(answer, Quantity) else None
    wanted, claimed = _amount(gold), _amount(answer)
    if wanted is None or claimed is None:
        raise Wrong(f"a {_kind(answer)}, not a {_kind(gold)}")
    if not admissible(claimed, wanted):
        raise Wrong("an operator that is left to be carried out")
    if gold_unit is not None and unit is not None and gold_unit != unit:
        if gold_unit.dimensions != unit.dimensions:
            raise Wrong("another unit")
        factor = Num(unit.factor / gold_unit.factor, Notation.FRACTION)
        claimed = Mul((factor, claimed))
    if unit is not None and gold_unit is None and _is_percent(wanted):
        raise Wrong("a unit where a percentage is asked for")
    if (unit == DEGREE) != (gold_unit == DEGREE):
        left = in_radians(gold) if isinstance(gold, Quantity) else wanted
        right = in_radians(answer) if isinstance(answer, Quantity) else claimed
        if decide(left, right):
            return
    if not decide(wanted, claimed):
        raise Wrong("another value")


def _compare_relations(gold: Relation, answer: Answer, decide: Decide) -> None:
    """Equal sides, or sides whose difference is the same up to a rational factor."""
    if not isinstance(answer, Relation) or answer.op != gold.op:
        raise Wrong(f"a {_kind(answer)}, not a {_kind(gold)}")
    if not admissible_relation(answer, gold):
        raise Wrong("an operator that is left to be carried out")
    pairs = ((gold.left, answer.left), (gold.right, answer.right))
    if all(wanted == claimed for wanted, claimed in pairs):
        return
    ring = Ring(QUICK)
    try:
        wanted = ring.difference(ring.ratio(gold.left), ring.ratio(gold.right))
        claimed = ring.difference(ring.ratio(answer.left), ring.ratio(answer.right))
        factor = _factor(ring, wanted, claimed)
    except (OverLimit, Undefined):
        factor = None
    if factor is not None and (factor > 0 or gold.op in ("=", "!=")):
        return
    if all(admissible(claimed, wanted) for wanted, claimed in pairs) and all(
        decide(wanted, claimed) for wanted, claimed in pairs
    ):
        return
    raise Wrong("another relation")


def _factor(ring: Ring, wanted: Ratio, claimed: Ratio) -> Fraction | None:
    """The rational c, not zero, with claimed = c * wanted; None where there is none.  Relations
    that hold always, or never, have no such c: `0 = 0` is not `y = y`."""
    if not any(term for part in wanted for term in part) or not wanted.top:
        return None
    left = ring.product(claimed, Ratio(wanted.bottom, UNITY))
    right = ring.product(wanted, Ratio(claimed.bottom, UNITY))
    if left.top.keys() != right.top.keys():
        return None
    factors = {left.top[term] / right.top[term] for term in right.top}
    return factors.pop() if len(factors) == 1 else None


def _compare_tuples(gold: Tuple, answer: Answer, decide: Decide) -> None:
    if isinstance(answer, Interval) and gold.brackets == "(":
        _compare_intervals(answer, gold, lambda a, b: decide(b, a))
        return
    if not isinstance(answer, Tuple) or answer.brackets != gold.brackets:
        raise Wrong(f"a {_kind(answer)}, not a {_kind(gold)}")
    if len(answer.items) != len(gold.items):
        raise Wrong("another number of members")
    for wanted, claimed in zip(gold.items, answer.items, strict=True):
        compare(wanted, claimed, decide)


def _compare_intervals(gold: Interval, answer: Answer, decide: Decide) -> None:
    if isinstance(answer, Tuple) and answer.brackets == "(" and len(answer.items) == 2:
        low, high, ends = answer.items[0], answer.items[1], (False, False)
    elif isinstance(answer, Interval):
        low, high, ends = answer.low, answer.high, (answer.low_closed, answer.high_closed)
    else:
        raise Wrong(f"a {_kind(answer)}, not a {_kind(gold)}")
    if ends != (gold.low_closed, gold.high_closed):
        raise Wrong("an end that is open or closed otherwise")
    compare(gold.low, low, decide)
    compare(gold.high, high, decide)


def _compare_collections(gold: SetOf | Listing, answer: Answer, decide: Decide) -> None:
    """Without order.  A set may be listed without its braces, and a list be put into them."""
    if not isinstance(answer, SetOf | Listing):
        if len(gold.items) == 1 and isinstance(gold, SetOf):
            compare(gold.items[0], answer, decide)
            return
        raise Wrong(f"a {_kind(answer)}, not a {_kind(gold)}")
    _match_all(gold.items, answer.items, decide)


def _match_all(gold: tuple[Answer, ...], answer: tuple[Answer, ...], decide: Decide) -> None:
    """Each member of one with one of the other.  Equality is transitive, so the first match will
    do.  A pair that is left undecided counts only where no other one matches."""
    if len(gold) != len(answer):
        raise Wrong("another number of members")
    left = list(answer)
    for wanted in gold:
        undecided: Undecided | None = None
        for place, claimed in enumerate(left):
            try:
                compare(wanted, claimed, decide)
            except Wrong:
                continue
            except Undecided as e:
                undecided = e
                continue
            del left[place]
            break
        else:
            if undecided is not None:
                raise undecided
            raise Wrong("another member")


def _compare_matrices(gold: Matrix, answer: Answer, decide: Decide) -> None:
    """A column may be written as a tuple or a vector in angle brackets, and the other way."""
    rows = gold.rows
    if isinstance(answer, Tuple) and len(rows[0]) == 1 and answer.brackets != ":":
        claims = tuple((item,) for item in answer.items)
    elif isinstance(answer, Matrix):
        claims = answer.rows
    else:
        raise Wrong(f"a {_kind(answer)}, not a {_kind(gold)}")
    if [len(row) for row in claims] != [len(row) for row in rows]:
        raise Wrong("another shape")
    for row, claimed_row in zip(rows, claims, strict=True):
        for wanted, claimed in zip(row, claimed_row, strict=True):
            compare(wanted, claimed, decide)


def _amount(answer: Answer) -> Expr | None:
    if isinstance(answer, Quantity):
        return answer.amount
    return answer if isinstance(answer, Expr) else None


def _is_percent(expr: Expr) -> bool:
    return isinstance(expr, Num) and expr.notation is Notation.PERCENT


def _kind(answer: Answer) -> str:
    """For a person."""
    if _amount(answer) is not None:
        return "number or formula"
    return {"SetOf": "set", "BaseNumeral": "numeral with a base"}.get(
        type(answer).__name__, type(answer).__name__.lower()
    )
