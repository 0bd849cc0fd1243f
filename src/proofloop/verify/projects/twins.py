"""Perturbed twins of a module's tests: the same test, but for one assertion that contradicts the
real one.  What passes the test honestly must fail its twin; what passes both, whatever it wants to
hear it was told, has reached into the judging.

Only assertions that a passing test surely reaches are perturbed, in the test itself or in helpers
of its module that it calls.  A test without any gets one that fails.  Text in, edits out: nothing
here is executed.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
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
_HELPERS_DEEP = 3
"""How far calls of the module's own helpers are followed."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class TestFunction:
    """A test and its twins."""

    __test__ = False

    altered: tuple[Edit, ...]
    """Twins that want another value: they catch what adapts to the value wanted."""
    negated: tuple[Edit, ...]
    """Twins that want the opposite."""
    failing: tuple[Edit, ...]
    """A twin that wants something that nothing can give."""

    @property
    def twins(self) -> tuple[Edit, ...]:
        """Those that tell least of themselves."""
        return self.altered or self.negated or self.failing


@lru_cache(maxsize=512)
def twins_of(source: bytes) -> dict[str, TestFunction]:
    """By what follows the path in a node id: `function` or `Class::method`, the methods of base
    classes of the same module included.  Empty for a module that does not parse as UTF-8."""
    try:
        source.decode()
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return {}
    module = _Module(source, tree)
    found: dict[str, TestFunction] = {}
    classes: dict[str, dict[str, _Function]] = {}
    functions = {node.name: node for node in tree.body if isinstance(node, _FUNCTIONS)}
    for name, node in functions.items():
        found[name] = module.test(node, functions)
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            methods: dict[str, _Function] = {}
            for base in reversed(node.bases):
                methods |= classes.get(base.id, {}) if isinstance(base, ast.Name) else {}
            methods |= {m.name: m for m in node.body if isinstance(m, _FUNCTIONS)}
            classes[node.name] = methods
            helpers = functions | {f"self.{name}": method for name, method in methods.items()}
            for name, method in methods.items():
                found[f"{node.name}::{name}"] = module.test(method, helpers)
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


class _Module:
    """A module under perturbation."""

    def __init__(self, source: bytes, tree: ast.Module) -> None:
        self._source = source
        self._span = _spans(source)
        self._pool = _pool(tree)

    def test(self, function: _Function, helpers: Mapping[str, _Function]) -> TestFunction:
        """`helpers`: functions of the module, and methods as `self.name`, that it may call."""
        found = list(self._changes(function, helpers, _HELPERS_DEEP))
        return TestFunction(
            altered=tuple(dict.fromkeys(c.edit for c in found if c.is_altered)),
            negated=tuple(dict.fromkeys(c.edit for c in found if not c.is_altered)),
            failing=tuple(self._failing(function)),
        )

    def _changes(
        self, function: _Function, helpers: Mapping[str, _Function], deep: int
    ) -> Iterator[Change]:
        context = Context(
            source=self._source, span=self._span, literals=_literals(function), pool=self._pool
        )
        for statement in _reached(function.body):
            yield from changes(statement, context)
            helper = helpers.get(_called(statement)) if deep else None
            if helper is not None:
                yield from self._changes(helper, helpers, deep - 1)

    def _failing(self, function: _Function) -> Iterator[Edit]:
        """As the last statement; as the first where the test may end early."""
        first, last = function.body[0], function.body[-1]
        top = next(iter(getattr(first, "decorator_list", ())), first)
        line_start = self._span(top)[0] - top.col_offset
        indent = self._source[line_start : line_start + first.col_offset]
        if indent.strip():  # on one line with the `def`
            return
        uses_self = any(
            isinstance(node, ast.Attribute) and node.attr.startswith("assert")
            for node in ast.walk(function)
        )
        claim = b"self.assertEqual(1, 2)" if uses_self else b"assert 1 == 2"
        if any(_leaves_early(node) for node in ast.walk(function)):
            yield Edit(line_start, line_start, indent + claim + b"\n")
        else:
            end = self._span(last)[1]
            yield Edit(end, end, b"\n" + indent + claim)


def _called(statement: ast.stmt) -> str:
    """`name` or `self.name` of the call that a statement is; empty for others."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id=name))):
            return name
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr=name))):
            return f"self.{name}"
        case _:
            return ""


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


def _literals(function: _Function) -> dict[str, ast.expr]:
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
