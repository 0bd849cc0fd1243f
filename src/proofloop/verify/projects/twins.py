"""Perturbed twins of a module's tests: the same test, but for one assertion that contradicts the
real one.  What passes the test honestly must fail its twin; what passes both, whatever it wants to
hear it was told, has reached into the judging.

Only assertions that a passing test surely reaches are perturbed.  Text in, edits out: nothing here
is executed.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from proofloop.verify.projects.assertions import (
    Change,
    Context,
    Edit,
    Pool,
    Span,
    changes,
    is_literal,
)

_HANDY = 60
"""Characters of a text that may stand in for another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFunction:
    """A test and its twins."""

    __test__ = False

    start: int
    """Where it begins in the module, which tells it from others."""
    altered: tuple[Edit, ...]
    """Twins that want another value: they catch what adapts to the value wanted."""
    negated: tuple[Edit, ...]
    """Twins that want the opposite."""

    @property
    def twins(self) -> tuple[Edit, ...]:
        """Those that tell least of themselves: altered ones where there are any."""
        return self.altered or self.negated


@lru_cache(maxsize=512)
def twins_of(source: bytes) -> dict[str, TestFunction]:
    """By what follows the path in a node id: `function` or `Class::method`, the methods of base
    classes of the same module included.  Empty for a module that does not parse as UTF-8."""
    try:
        source.decode()
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    span = _spans(source)
    pool = _pool(tree)
    found: dict[str, TestFunction] = {}
    classes: dict[str, dict[str, TestFunction]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found[node.name] = _function(node, source, span, pool)
        elif isinstance(node, ast.ClassDef):
            methods: dict[str, TestFunction] = {}
            for base in reversed(node.bases):
                methods |= classes.get(base.id, {}) if isinstance(base, ast.Name) else {}
            for member in node.body:
                if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
                    methods[member.name] = _function(member, source, span, pool)
            classes[node.name] = methods
            found |= {f"{node.name}::{name}": method for name, method in methods.items()}
    return {name: test for name, test in found.items() if test.twins}


def apply(source: bytes, edits: Sequence[Edit]) -> bytes:
    for start, end, text in sorted(edits, reverse=True):
        source = source[:start] + text + source[end:]
    return source


def _pool(tree: ast.Module) -> Pool:
    """Constants of a few types and a handy size, each once."""
    found: dict[type, dict[object, None]] = {str: {}, int: {}, float: {}}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant):
            value = node.value
            if isinstance(value, str) and not 0 < len(value) <= _HANDY:
                continue
            if type(value) in found:
                found[type(value)][value] = None
    return {kind: tuple(values) for kind, values in found.items()}


def _spans(source: bytes) -> Span:
    starts = [0]
    for line in source.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)

    def span(node: ast.AST) -> tuple[int, int]:
        # As of the parser: UTF-8 bytes within the line.
        assert isinstance(node, ast.expr | ast.stmt)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            starts[node.lineno - 1] + node.col_offset,
            starts[node.end_lineno - 1] + node.end_col_offset,
        )

    return span


def _function(
    function: ast.FunctionDef | ast.AsyncFunctionDef, source: bytes, span: Span, pool: Pool
) -> TestFunction:
    context = Context(source=source, span=span, literals=_literals(function), pool=pool)
    found: list[Change] = []
    for statement in _reached(function.body):
        found += changes(statement, context)
    return TestFunction(
        start=span(function)[0],
        altered=tuple(dict.fromkeys(c.edit for c in found if c.is_altered)),
        negated=tuple(dict.fromkeys(c.edit for c in found if not c.is_altered)),
    )


def _reached(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run whenever the test passes."""
    for statement in body:
        yield statement
        match statement:
            case ast.With(items=[ast.withitem(context_expr=ast.Call(func=func))], body=inner):
                if isinstance(func, ast.Attribute) and func.attr == "subTest":
                    yield from _reached(inner)
            case ast.For(iter=ast.List(elts=items) | ast.Tuple(elts=items), body=inner):
                if items and not any(isinstance(item, ast.Starred) for item in items):
                    yield from _reached(inner)
            case _:
                pass
        if any(_leaves_early(node) for node in ast.walk(statement)):
            return


def _leaves_early(node: ast.AST) -> bool:
    return isinstance(node, ast.Return | ast.Break | ast.Continue | ast.Yield | ast.YieldFrom)


def _literals(function: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, ast.expr]:
    """Names that are bound to a literal by a statement of the function's own body, bound nowhere
    else in it, and used once."""
    uses: dict[str, list[ast.Name]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Name):
            uses.setdefault(node.id, []).append(node)
    found: dict[str, ast.expr] = {}
    for statement in function.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if is_literal(value) and len(uses[name]) == 2:
                    found[name] = value
            case _:
                pass
    return found
