"""Mutants: small errors put into a right solution, one at a time.  Hidden tests that do not notice
one are weak there, or the mutant does the same as the original.

Mutants with equal text are one; that two texts behave alike is not found out here, so a mutation
score is a lower bound.  Works on syntax trees of an environment's own oracle, executes nothing.
"""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    operator: str
    """What kind of error, for example "comparison"."""
    line: int
    """Of the original."""
    source: str


class Change(NamedTuple):
    """What could stand in the place of a node."""

    operator: str
    node: ast.AST


def mutants(
    source: str, names: Collection[str] | None, *, at_most: int | None = None, seed: str = ""
) -> tuple[Mutant, ...]:
    """Mutants of the functions `names` and of those that they call (None: of the whole text), in
    the order of the text; with `at_most`, a random sample of that size, the same for the same
    seed."""
    tree = ast.parse(source)
    seen = {ast.unparse(tree)}
    found: list[Mutant] = []
    for function in [tree] if names is None else _called_from(tree, names):
        for parent, field, node in places(function):
            for change in changes_at(node):
                text = _unparsed_with(tree, parent, field, node, change.node)
                if text not in seen:
                    seen.add(text)
                    line = getattr(node, "lineno", 0)
                    found.append(Mutant(operator=change.operator, line=line, source=text))
    if at_most is not None and len(found) > at_most:
        chosen = sorted(Random(seed).sample(range(len(found)), at_most))
        found = [found[place] for place in chosen]
    return tuple(found)


def is_python(source: str) -> bool:
    """Whether it parses."""
    try:
        ast.parse(source)
    except (SyntaxError, ValueError):
        return False
    return True


def _called_from(tree: ast.Module, names: Collection[str]) -> list[ast.FunctionDef]:
    """The module's functions that `names` reach, by name; others cannot change a result."""
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    waiting, reached = [name for name in names if name in functions], set[str]()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        used = {n.id for n in ast.walk(functions[name]) if isinstance(n, ast.Name)}
        waiting += [other for other in used if other in functions]
    return [node for name, node in functions.items() if name in reached]


_Field = tuple[str, int | None]
_SKIPPED = {"annotation", "returns", "decorator_list", "type_params", "args", "ctx", "targets"}
"""Fields that hold no behaviour of a body; `args` of a function only (see `places`)."""


def places(function: ast.AST) -> Iterator[tuple[ast.AST, _Field, ast.AST]]:
    """Every node below, with where it hangs; parents before children."""
    waiting: list[ast.AST] = [function]
    while waiting:
        parent = waiting.pop(0)
        for name, value in ast.iter_fields(parent):
            if name in _SKIPPED and not (name == "args" and isinstance(parent, ast.Call)):
                continue
            items: list[Any] = value if isinstance(value, list) else [value]
            for index, item in enumerate(items):
                if isinstance(item, ast.AST) and not _is_docstring(item):
                    yield parent, (name, index if isinstance(value, list) else None), item
                    waiting.append(item)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _put(parent: ast.AST, field: _Field, node: ast.AST) -> None:
    name, index = field
    if index is None:
        setattr(parent, name, node)
    else:
        getattr(parent, name)[index] = node


def _unparsed_with(
    tree: ast.Module, parent: ast.AST, field: _Field, node: ast.AST, other: ast.AST
) -> str:
    """The module's text with `other` in the place of `node`; the tree is left as it was."""
    _put(parent, field, other)
    try:
        return ast.unparse(ast.fix_missing_locations(tree)) + "\n"
    finally:
        _put(parent, field, node)


# --- the errors ---

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
_ARITHMETIC: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Add, ast.FloorDiv),
    ast.Div: (ast.FloorDiv, ast.Mult),
    ast.FloorDiv: (ast.Mult, ast.Mod),
    ast.Mod: (ast.FloorDiv, ast.Mult),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.BitXor: (ast.BitAnd,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
}
_TWINS = {"min": "max", "max": "min", "any": "all", "all": "any", "upper": "lower",
          "lower": "upper", "floor": "ceil", "ceil": "floor"}  # fmt: skip


def changes_at(node: ast.AST) -> Iterator[Change]:
    """What could have been written there by mistake."""
    match node:
        case ast.Compare():
            yield from _compare(node)
        case ast.BinOp():
            for other in _ARITHMETIC.get(type(node.op), ()):
                changed = ast.BinOp(left=node.left, op=other(), right=node.right)
                yield Change("arithmetic", changed)
            yield Change("operand", node.left)
            yield Change("operand", node.right)
        case ast.AugAssign():
            for other in _ARITHMETIC.get(type(node.op), ()):
                yield Change(
                    "arithmetic", ast.AugAssign(target=node.target, op=other(), value=node.value)
                )
            yield Change("removed statement", ast.Pass())
        case ast.UnaryOp():
            yield Change("sign or negation", node.operand)
        case ast.BoolOp():
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield Change("boolean", ast.BoolOp(op=other, values=node.values))
        case ast.Constant():
            yield from _constant(node)
        case ast.Slice():
            yield from _slice(node)
        case ast.Call():
            yield from _call(node)
        case ast.IfExp():
            yield Change("branch", node.body)
            yield Change("branch", node.orelse)
        case ast.If() | ast.While():
            negated = ast.UnaryOp(op=ast.Not(), operand=node.test)
            kind = ast.If if isinstance(node, ast.If) else ast.While
            yield Change("condition", kind(test=negated, body=node.body, orelse=node.orelse))
            yield Change("removed statement", ast.Pass())
        case ast.comprehension() if node.ifs:
            bare = ast.comprehension(
                target=node.target, iter=node.iter, ifs=[], is_async=node.is_async
            )
            yield Change("filter", bare)
        case ast.Return() if node.value is not None:
            yield Change("return", ast.Return(value=ast.Constant(value=None)))
        case ast.Assign() | ast.AnnAssign() | ast.Expr() | ast.For():
            yield Change("removed statement", ast.Pass())
        case ast.Break():
            yield Change("loop control", ast.Continue())
        case ast.Continue():
            yield Change("loop control", ast.Break())
        case _:
            pass


def _compare(node: ast.Compare) -> Iterator[Change]:
    for place, op in enumerate(node.ops):
        for other in _COMPARISONS[type(op)]:
            ops = [*node.ops[:place], other(), *node.ops[place + 1 :]]
            changed = ast.Compare(left=node.left, ops=ops, comparators=node.comparators)
            yield Change("comparison", changed)


def _constant(node: ast.Constant) -> Iterator[Change]:
    match node.value:
        case bool(value):
            yield Change("constant", ast.Constant(value=not value))
        case int(value) | float(value):
            yield Change("off by one", ast.Constant(value=value + 1))
            yield Change("off by one", ast.Constant(value=value - 1))
        case str(value):
            yield Change("constant", ast.Constant(value=value + "x" if not value else ""))
        case _:
            pass


def _slice(node: ast.Slice) -> Iterator[Change]:
    one, minus_one = ast.Constant(value=1), ast.Constant(value=-1)
    lower, upper, step = node.lower, node.upper, node.step
    yield Change("slice", ast.Slice(lower=None if lower else one, upper=upper, step=step))
    yield Change("slice", ast.Slice(lower=lower, upper=None if upper else minus_one, step=step))
    if step is not None:
        yield Change("slice", ast.Slice(lower=lower, upper=upper, step=None))


def _call(node: ast.Call) -> Iterator[Change]:
    match node.func:
        case ast.Name(id=name) if name in _TWINS:
            func: ast.expr = ast.Name(id=_TWINS[name], ctx=ast.Load())
            yield Change("function", ast.Call(func=func, args=node.args, keywords=node.keywords))
        case ast.Attribute(value=owner, attr=name):
            if name in _TWINS:
                func = ast.Attribute(value=owner, attr=_TWINS[name], ctx=ast.Load())
                changed = ast.Call(func=func, args=node.args, keywords=node.keywords)
                yield Change("function", changed)
            yield Change("removed call", owner)
        case _:
            pass
    if len(node.args) == 1 and not isinstance(node.args[0], ast.Starred | ast.GeneratorExp):
        yield Change("removed call", node.args[0])
    for place in range(len(node.keywords)):
        keywords = [*node.keywords[:place], *node.keywords[place + 1 :]]
        changed = ast.Call(func=node.func, args=node.args, keywords=keywords)
        yield Change("removed argument", changed)
