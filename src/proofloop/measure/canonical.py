"""Which Python programs are the same but for names and looks: a class for each, never run.

Programs of one class do the same.  The converse is not claimed: what is not surely alike stays
apart, so counts of classes are upper bounds of counts of ideas.

Taken as the same: layout, comments, docstrings and other constants that stand alone, `pass`,
quotes and digits of constants, annotations of functions and variables outside classes, names of
locals and parameters, unused imports of `typing` and `__future__`, the order of imports and of
functions at the top, `a > b` and `b < a`, the sides of `==` and `!=`, the order of keyword
arguments, of constants in a set.  (The last four only where the sides are names or constants.)

Not renamed: anything at module level, attributes, names used as a keyword anywhere in the program
(a call by keyword tells parameters apart), and nothing at all in a program that can look at its
own names (`locals`, `eval`, …).
"""

import ast
import hashlib
import warnings
from itertools import groupby

from proofloop.measure.canonical_names import rename_locals

MAX_CHARS = 50_000
"""Longer texts are their own class unparsed: parsing costs far more memory than text."""
MAX_DEPTH = 150
"""Of brackets.  A parser's and a walk's recursion stay far below the interpreter's own limits."""

_LOOKS_AT_NAMES = frozenset(
    {"locals", "globals", "vars", "dir", "eval", "exec", "compile", "inspect", "__import__"}
    | {"__name__", "__qualname__", "__code__", "__annotations__", "__doc__", "_getframe"}
)
_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}


def program_class(source: str) -> str:
    """A short name of the program's class; text that does not parse is its own, `text:…`.

    Only parses: nothing of `source` is compiled or run.  Never raises for any text.
    """
    text = source.strip()
    canonical = _canonical(text)
    kind, body = ("text", text) if canonical is None else ("python", canonical)
    return f"{kind}:{hashlib.sha256(body.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def parses(program: str) -> bool:
    """Whether `program_class` gave the class of a program, not of a text."""
    return program.startswith("python:")


def _canonical(text: str) -> str | None:
    if len(text) > MAX_CHARS or _depth(text) > MAX_DEPTH:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
        if _looks_at_names(tree):
            return ast.dump(tree)
        _Plain().visit(tree)
        rename_locals(tree)
        _Ordered().visit(tree)
        return "\n".join(_in_order(tree.body))
    # ValueError: null bytes, integers of too many digits.  The others: text nested too deep.
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _depth(text: str) -> int:
    """The deepest nesting of brackets or of blocks that the text could have, strings included."""
    depth = deepest = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth -= 1
    indents = [len(line) - len(line.lstrip()) for line in text.splitlines() if line.strip()]
    return max(deepest, len(set(indents)))


class _Plain(ast.NodeTransformer):
    """Drops what has no effect."""

    def __init__(self) -> None:
        self.in_class = False

    def visit(self, node: ast.AST) -> ast.AST:
        node = super().visit(node)
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                kept = [s for s in block if not _is_idle(s)]
                required = name == "body" and not isinstance(node, ast.Module)
                setattr(node, name, kept or ([ast.Pass()] if required else []))
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        outer, self.in_class = self.in_class, False
        node.returns, node.type_comment = None, None
        self.generic_visit(node)
        self.in_class = outer
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation, node.type_comment = None, None
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        outer, self.in_class = self.in_class, True
        self.generic_visit(node)
        self.in_class = outer
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        # In a class annotations make fields; elsewhere without a value they only make a local.
        self.generic_visit(node)
        if self.in_class or node.value is None or not isinstance(node.target, ast.Name):
            return node
        return ast.Assign(targets=[node.target], value=node.value)

    def visit_Return(self, node: ast.Return) -> ast.AST:
        self.generic_visit(node)
        return ast.Return(value=node.value or ast.Constant(value=None))

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(value=node.value)


def _is_idle(statement: object) -> bool:
    if isinstance(statement, ast.Pass):
        return True
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _looks_at_names(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        match node:
            # As a bare name it is the module's, in `if __name__ == "__main__"`.
            case ast.Name(id="__name__"):
                continue
            case ast.Name(id=name) | ast.Attribute(attr=name):
                names = {name}
            case ast.Import() | ast.ImportFrom():
                names = {part for alias in node.names for part in alias.name.split(".")}
            case _:
                continue
        if names & _LOOKS_AT_NAMES:
            return True
    return False


class _Ordered(ast.NodeTransformer):
    """Puts into one order what has none."""

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        self.generic_visit(node)
        if len(node.ops) > 1 or not (_is_simple(node.left) and _is_simple(node.comparators[0])):
            return node
        left, operator, right = node.left, node.ops[0], node.comparators[0]
        if type(operator) in _MIRRORED:
            left, right, operator = right, left, _MIRRORED[type(operator)]()
        elif isinstance(operator, (ast.Eq, ast.NotEq)):
            left, right = sorted((left, right), key=ast.dump)
        return ast.Compare(left=left, ops=[operator], comparators=[right])

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if all(k.arg and _is_simple(k.value) for k in node.keywords):
            node.keywords.sort(key=ast.dump)
        return node

    def visit_Set(self, node: ast.Set) -> ast.AST:
        self.generic_visit(node)
        constants = [e for e in node.elts if isinstance(e, ast.Constant)]
        # Of one type: {1, True} and {True, 1} keep different elements.
        if len(constants) == len(node.elts) and len({type(c.value) for c in constants}) == 1:
            node.elts.sort(key=ast.dump)
        return node


def _is_simple(node: ast.expr) -> bool:
    return isinstance(node, (ast.Name, ast.Constant))


def _in_order(body: list[ast.stmt]) -> list[str]:
    """Each statement's dump, neighbours of a movable kind sorted; without unused imports that
    serve annotations."""
    used = {n.id for s in body for n in ast.walk(s) if isinstance(n, ast.Name)}
    kept = [s for s in body if not _is_unused_typing(s, used)]
    ordered: list[str] = []
    for kind, group in groupby(kept, key=_kind):
        statements = list(group)
        names = [name for s in statements for name in _bound_names(s)]
        dumps = [ast.dump(s) for s in statements]
        # Of two bindings of one name the last counts.
        movable = kind != "other" and len(set(names)) == len(names)
        ordered.extend(sorted(dumps) if movable else dumps)
    return ordered


def _is_unused_typing(statement: ast.stmt, used: set[str]) -> bool:
    """Drops the unused names of the import on the way; true where none is left."""
    if not isinstance(statement, ast.ImportFrom) or statement.module not in (
        "typing",
        "__future__",
    ):
        return False
    statement.names = [a for a in statement.names if (a.asname or a.name) in used or a.name == "*"]
    return not statement.names


def _kind(statement: ast.stmt) -> str:
    match statement:
        case ast.Import() | ast.ImportFrom() if all(a.name != "*" for a in statement.names):
            return "import"
        case ast.FunctionDef() if not (
            statement.decorator_list or statement.args.defaults or any(statement.args.kw_defaults)
        ):
            return "function"
        case _:
            return "other"


def _bound_names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.Import() | ast.ImportFrom():
            return [a.asname or a.name for a in statement.names]
        case ast.FunctionDef():
            return [statement.name]
        case _:
            return []
