"""What a data set's own tests hold a function's results against, read from their text.

Needed before tests are added: results that are compared as sets, or by what another function makes
of them, may be right in more ways than the oracle's.  Parses, executes nothing.
"""

import ast
from collections.abc import Collection

EXACT_FLOATS = 1e-6
"""How far floats may be off where tests name no tolerance: a sum in another order is as right."""


def tolerance_of(source: str, names: Collection[str]) -> float | None:
    """The largest tolerance that assertions grant to calls of `names`; `EXACT_FLOATS` where all ask
    for equal values; None where some result is used in any other way."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return None
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            node.msg = None  # which may show the result once more
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    tolerance = EXACT_FLOATS
    found = False
    for node in ast.walk(tree):
        if not isinstance(node, ast.Name) or node.id not in names:
            continue
        call = parents[node]
        if not isinstance(call, ast.Call) or call.func is not node:
            return None
        granted = _granted(call, parents)
        if granted is None:
            return None
        found = True
        tolerance = max(tolerance, granted)
    return tolerance if found else None


def _granted(call: ast.expr, parents: dict[ast.AST, ast.AST]) -> float | None:
    parent = parents[call]
    match parent:
        case ast.Assert() if parent.test is call:
            return 0.0
        case ast.UnaryOp(op=ast.Not()):
            return 0.0
        case ast.Compare(ops=[ast.Eq() | ast.Is()]):
            return 0.0
        case ast.BinOp(op=ast.Sub()):
            return _of_difference(parents[parent], parents)
        case ast.Call(func=ast.Attribute(attr="isclose")):
            return max((_number(k.value) for k in parent.keywords), default=0.0)
        case _:
            return None


def _of_difference(size: ast.AST, parents: dict[ast.AST, ast.AST]) -> float | None:
    """`abs(…) < 1e-6`, or with `math.fabs`."""
    match size:
        case ast.Call(func=ast.Name(id="abs") | ast.Attribute(attr="fabs")):
            comparison = parents[size]
            match comparison:
                case ast.Compare(left=left, ops=[ast.Lt() | ast.LtE()], comparators=[limit]):
                    return _number(limit) if left is size else None
                case _:
                    return None
        case _:
            return None


def _number(node: ast.expr) -> float:
    try:
        return float(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError):
        return 0.0


def holds_floats(x: object) -> bool:
    return type(x) is float or (isinstance(x, list | tuple) and any(map(holds_floats, x)))
