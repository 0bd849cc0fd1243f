"""Perturbed copies of one assertion, as edits of its source.

Each contradicts the assertion: on one and the same behaviour of the code under test, not both can
hold.  `altered`: another value, or another exception, is wanted.  `negated`: the opposite is.
Where that is not certain from the text alone, there is no copy.
"""

import ast
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Span = Callable[[ast.AST], tuple[int, int]]
"""From a node to its place in the source, as byte offsets."""
Pool = Mapping[type, Sequence[object]]
"""The module's own constants, by type: what a twin wants shall look like what a test wants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What is known of the test in which an assertion stands."""

    source: bytes
    span: Span
    literals: Mapping[str, ast.expr]
    """Names that stand for one literal, are bound once and used once."""
    pool: Pool


class Edit(NamedTuple):
    """Replace `source[start:end]`."""

    start: int
    end: int
    text: bytes


class Change(NamedTuple):
    is_altered: bool
    """Wants another value, rather than the opposite."""
    edit: Edit


_EQUALITIES = (
    "assertEqual",
    "assertMultiLineEqual",
    "assertSequenceEqual",
    "assertListEqual",
    "assertTupleEqual",
    "assertSetEqual",
    "assertDictEqual",
)
_ALTERABLE = (*_EQUALITIES, "assertCountEqual", "assertAlmostEqual", "assertIs")
_OPPOSITES = {
    a: b
    for pair in (
        ("assertTrue", "assertFalse"),
        ("assertIn", "assertNotIn"),
        ("assertIs", "assertIsNot"),
        ("assertIsNone", "assertIsNotNone"),
        ("assertIsInstance", "assertNotIsInstance"),
        ("assertGreater", "assertLessEqual"),
        ("assertLess", "assertGreaterEqual"),
        ("assertRegex", "assertNotRegex"),
        ("assertAlmostEqual", "assertNotAlmostEqual"),
    )
    for a, b in (pair, pair[::-1])
}
_OTHER_EXCEPTION = {
    "ValueError": "TypeError",
    "TypeError": "ValueError",
    "KeyError": "ValueError",
    "IndexError": "ValueError",
    "AttributeError": "TypeError",
    "ZeroDivisionError": "ValueError",
    "NotImplementedError": "ValueError",
    "RuntimeError": "ValueError",
    "StopIteration": "ValueError",
}
_UNLIKELY_EXCEPTION = "ReferenceError"
"""For exceptions that may be the answer's own: no base class that anybody would choose."""


def changes(statement: ast.stmt, context: Context) -> Iterator[Change]:
    """Of an assertion; none of other statements."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="self"))) as call):
            yield from _of_call(call, context)
        case ast.Expr(value=ast.Call() as call):
            yield from _of_raises(call, context.span)
        case ast.Assert(test=test):
            yield from _of_assert(test, context)
        case ast.With(items=[ast.withitem(context_expr=ast.Call() as call)]):
            yield from _of_raises(call, context.span)
        case _:
            return


def _of_call(call: ast.Call, context: Context) -> Iterator[Change]:
    source, span = context.source, context.span
    assert isinstance(call.func, ast.Attribute)
    name, args = call.func.attr, call.args
    if any(isinstance(arg, ast.Starred) for arg in args):
        return
    yield from _of_raises(call, context.span)
    pair = args[:2] if len(args) >= 2 else None
    if pair and name in _ALTERABLE and not (name == "assertAlmostEqual" and _is_loose(call)):
        yield from _altered(pair, context)
    method = span(call.func)[1] - len(name.encode())
    if name in _OPPOSITES and args:
        edit = Edit(method, span(call.func)[1], _OPPOSITES[name].encode())
        yield Change(is_altered=False, edit=edit)
    elif pair and (name in _EQUALITIES or name == "assertNotEqual"):
        # By the operator that the assertion itself uses: `!=` need not be the opposite of `==`.
        sign = b"!=" if name == "assertNotEqual" else b"=="
        a, b = (source[slice(*span(arg))] for arg in pair)
        text = b"self.assertFalse((" + a + b") " + sign + b" (" + b + b"))"
        yield Change(is_altered=False, edit=Edit(*span(call), text))


def _is_loose(call: ast.Call) -> bool:
    """Whether an `assertAlmostEqual` may forgive more than a half."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    places = given.pop("places", None) if len(call.args) == 2 else call.args[2]
    given.pop("msg", None)
    match places:
        case None:
            return bool(given)
        case ast.Constant(value=int(value)):
            return bool(given) or value < 0
        case _:
            return True


def _of_raises(call: ast.Call, span: Span) -> Iterator[Change]:
    func = call.func
    name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
    if not (name == "raises" or name.startswith("assertRaises")) or not call.args:
        return
    wanted = call.args[0]
    given = wanted.id if isinstance(wanted, ast.Name) else ""
    other = _OTHER_EXCEPTION.get(given, _UNLIKELY_EXCEPTION)
    yield Change(is_altered=True, edit=Edit(*span(wanted), other.encode()))


def _of_assert(test: ast.expr, context: Context) -> Iterator[Change]:
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Eq) and len(test.ops) == 1:
        yield from _altered([test.left, test.comparators[0]], context)
    start, end = context.span(test)
    text = b"not (" + context.source[start:end] + b")"
    yield Change(is_altered=False, edit=Edit(start, end, text))


def _altered(pair: Sequence[ast.expr], context: Context) -> Iterator[Change]:
    """Where exactly one of the two sides is a literal: with each of its leaves altered."""
    given = [context.literals.get(n.id, n) if isinstance(n, ast.Name) else n for n in pair]
    wanted = [node for node in given if is_literal(node)]
    if len(wanted) == 1:
        for edit in _leaves(wanted[0], context):
            yield Change(is_altered=True, edit=edit)


def is_literal(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=value):
            return value is not ...
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=ast.Constant(value=value)):
            return isinstance(value, int | float | complex)
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return all(is_literal(item) for item in items)
        case ast.Dict(keys=keys, values=values):
            return all(key is not None and is_literal(key) for key in keys) and all(
                is_literal(value) for value in values
            )
        case _:
            return False


def _leaves(node: ast.expr, context: Context) -> Iterator[Edit]:
    span = context.span
    match node:
        case ast.Constant(value=value):
            other = _other(value, context.pool, span(node)[0])
            if other is not None:
                yield Edit(*span(node), repr(other).encode())
        case ast.UnaryOp(operand=operand):
            yield from _leaves(operand, context)
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            if not items:
                yield Edit(*span(node), b"[0]" if isinstance(node, ast.List) else b"(0,)")
            for item in items:
                yield from _leaves(item, context)
        case ast.Dict(keys=keys, values=values):
            if not keys:
                yield Edit(*span(node), b"{0: 0}")
            for item in values:
                yield from _leaves(item, context)
        case _:
            return


def _other(value: object, pool: Pool, place: int) -> object:
    """Another value of the same type, one of the module's own if it has any; None where there is
    none.  Numbers differ by a half at least: comparisons may forgive less."""
    others = [other for other in pool.get(type(value), ()) if _far(value, other)]
    if others:
        return random.Random(place).choice(others)
    match value:
        case None:
            return False
        case bool():
            return not value
        case int():
            return value + 1
        case float() | complex():
            return value + 1 if value + 1 != value and value == value else None
        case str():
            return _other_text(value)
        case bytes():
            return _other_text(value.decode("latin-1")).encode("latin-1")
        case _:
            return None


def _far(value: object, other: object) -> bool:
    if isinstance(value, int | float) and isinstance(other, int | float):
        return abs(value - other) >= 0.5
    return value != other


def _other_text(text: str) -> str:
    for at in range(len(text) - 1, -1, -1):
        if text[at].isascii() and text[at].isalnum():
            near = chr(ord(text[at]) + 1)
            other = near if near.isalnum() else chr(ord(text[at]) - 1)
            return text[:at] + other + text[at + 1 :]
    return text + "x"
