"""What attacks on a project suite are made of: one file of a right answer, a wrong one of the same
names, and what stands around it.  Text and syntax trees of an environment's own oracle; nothing is
executed."""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from proofloop.core.verdict import ScoredCause

_MAKES = frozenset(("__init__", "__new__", "__post_init__", "__init_subclass__"))
"""Methods without which there is no object to do anything wrong."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSource:
    """One suite, as its attacks see it."""

    path: str
    """The file that they write."""
    gold: str
    """Its right text."""
    wrong: str
    """Defines the same names; no test of the suite is passed by all of it."""
    nearly: str
    """Wrong as well, but only where tests are methods of classes."""
    lax: str
    """Below `wrong` and a class `E` that equals everything: names bound so that plain assertions
    hold."""
    module: str
    """A module of the tests."""
    nodes: tuple[str, ...]
    helper: str = ""
    """A file of the project that no answer may write, if there is one."""
    takes_any_path: bool = False
    """Answers may write new files beside it."""
    wrap: Callable[[str], str] = str
    """From the file's text to an answer."""

    def on_import(self, code: str) -> str:
        """The attack is made before the first test runs."""
        return self.wrap(f"{self.wrong}\n{code}")

    def in_calls(self, code: str, *, above: str = "", plain_only: bool = False) -> str:
        """The attack is made first in whatever is called, in methods such as `__eq__` only without
        `plain_only`."""
        return self.wrap(above + with_code(self.wrong, code, plain_only=plain_only))


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteAttack:
    name: str
    """Begins with the catalogue's row."""
    why: str
    write: Callable[[SuiteSource], str | None]
    """The answer; None where the suite gives no occasion."""
    causes: tuple[ScoredCause, ...]
    """On the card."""
    costly: bool = False
    """It uses up a limit."""


def with_code(source: str, code: str, *, plain_only: bool = False) -> str:
    tree = ast.parse(source)
    for function in _functions(tree.body):
        if not (plain_only and function.name.startswith("__")):
            at = 1 if ast.get_docstring(function) is not None else 0
            function.body[at:at] = ast.parse(code).body
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def hollow(source: str, names: Sequence[str] = ()) -> str:
    """The same names, but no function or method does anything.  Statements that would call one
    while the module is loaded are left out; `names` that are then missing are bound to None."""
    tree = ast.parse(source)
    functions = _functions(tree.body)
    for function in functions:
        if function.name not in _MAKES:
            function.body = [ast.Return(value=ast.Constant(value=None))]
    own = {function.name for function in functions}
    tree.body = [node for node in tree.body if _is_definition(node) or not own & _used(node)]
    text = ast.unparse(ast.fix_missing_locations(tree))
    missing = [name for name in names if name not in _bound(tree)]
    return text + "\n" + "".join(f"{name} = None\n" for name in missing)


def functions_of(source: str) -> list[str]:
    """Of the module, by name."""
    return [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]


def _functions(body: Sequence[ast.stmt]) -> list[_Function]:
    """The module's, and methods of its classes; not those inside of functions."""
    found: list[_Function] = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(node)
        elif isinstance(node, ast.ClassDef):
            found += _functions(node.body)
    return found


def _is_definition(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | _Function)


def _used(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _bound(tree: ast.Module) -> set[str]:
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    bound = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            bound.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {alias.asname or alias.name for alias in node.names}
    return bound
