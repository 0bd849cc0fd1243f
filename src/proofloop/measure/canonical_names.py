"""Renaming of a program's locals, so that programs which differ in names only become equal.

Locals become ·0, ·1, … by first appearance within their top-level statement, each its own, so that
shadowing neither splits nor merges programs.  The scopes are Python's: functions, lambdas and
comprehensions; a class's names are attributes and stay, and its methods see past it.
"""

import ast
from collections.abc import Iterator, Sequence

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def rename_locals(tree: ast.Module) -> None:
    """In place.  What someone else may know keeps its name: names of the module, keywords of
    calls anywhere in the program, names bound in class bodies."""
    fixed = _fixed_names(tree)
    for statement in tree.body:
        _Renaming(fixed).walk(statement, None)


def _fixed_names(tree: ast.AST) -> frozenset[str]:
    keywords = {n.arg for n in ast.walk(tree) if isinstance(n, ast.keyword) and n.arg}
    classes = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    return frozenset(keywords.union(*(_own_names(None, c.body)[0] for c in classes)))


class _Scope:
    """One function, lambda or comprehension: which names are its own, and what they become."""

    def __init__(
        self, own: frozenset[str], outer: "_Scope | None", of_module: frozenset[str] = frozenset()
    ) -> None:
        self.own = own
        self.outer = outer
        self.of_module = of_module
        self.renamed: dict[str, str] = {}

    def find(self, name: str) -> "_Scope | None":
        """The scope that owns `name` as seen from here; None where the module does."""
        scope: _Scope | None = self
        while scope is not None and name not in scope.own:
            scope = None if name in scope.of_module else scope.outer
        return scope


class _Renaming:
    def __init__(self, fixed: frozenset[str]) -> None:
        self._fixed = fixed
        self._num_names = 0

    def walk(self, node: ast.AST, scope: _Scope | None) -> None:
        """Renames within `node`, whose names belong to `scope` (None: to the module)."""
        if isinstance(node, _FUNCTIONS):
            self._function(node, scope)
        elif isinstance(node, _COMPREHENSIONS):
            self._comprehension(node, scope)
        elif isinstance(node, ast.ClassDef):
            self._class(node, scope)
        else:
            self._names_of(node, scope)
            for child in ast.iter_child_nodes(node):
                self.walk(child, scope)

    def _function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: _Scope | None
    ) -> None:
        if not isinstance(node, ast.Lambda):
            node.name = self._new(node.name, scope)
            for decorator in node.decorator_list:
                self.walk(decorator, scope)
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.walk(default, scope)
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        own, of_module = _own_names(node.args, body)
        inner = _Scope(own, scope, of_module)
        for arg in _args(node.args):
            arg.arg = self._new(arg.arg, inner)
        for statement in body:
            self.walk(statement, inner)

    def _comprehension(self, node: ast.AST, scope: _Scope | None) -> None:
        generators: list[ast.comprehension] = getattr(node, "generators")  # noqa: B009
        targets = frozenset(n.id for g in generators for n in _stores(g.target))
        inner = _Scope(targets, scope)
        for number, generator in enumerate(generators):
            # The first iterable belongs to the scope around; the rest to the comprehension.
            self.walk(generator.iter, inner if number else scope)
            self.walk(generator.target, inner)
            for condition in generator.ifs:
                self.walk(condition, inner)
        for name in ("key", "value", "elt"):
            part = getattr(node, name, None)
            if part is not None:
                self.walk(part, inner)

    def _class(self, node: ast.ClassDef, scope: _Scope | None) -> None:
        """A class's own names are attributes and stay; its methods see the scope around it."""
        node.name = self._new(node.name, scope)
        for part in (*node.decorator_list, *node.bases, *node.keywords):
            self.walk(part, scope)
        for statement in node.body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                name = statement.name
                self._function(statement, scope)
                statement.name = name
            else:
                self.walk(statement, scope)

    def _names_of(self, node: ast.AST, scope: _Scope | None) -> None:
        """Names that a node itself carries, as a Name or as plain text."""
        match node:
            case ast.Name():
                node.id = self._new(node.id, scope)
            case ast.Global() | ast.Nonlocal():
                node.names = sorted(self._new(name, scope) for name in node.names)
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar() if node.name:
                node.name = self._new(node.name, scope)
            case ast.MatchMapping() if node.rest:
                node.rest = self._new(node.rest, scope)
            case ast.Import() | ast.ImportFrom() if scope is not None:
                for alias in node.names:
                    bound = alias.asname or alias.name
                    if "." not in bound and bound != "*":
                        alias.asname = self._new(bound, scope)
            case _:
                pass

    def _new(self, name: str, scope: _Scope | None) -> str:
        home = scope.find(name) if scope is not None and name not in self._fixed else None
        if home is None:
            return name
        if name not in home.renamed:
            home.renamed[name] = f"·{self._num_names}"
            self._num_names += 1
        return home.renamed[name]


def _args(args: ast.arguments) -> Iterator[ast.arg]:
    yield from (*args.posonlyargs, *args.args)
    yield from (a for a in (args.vararg,) if a is not None)
    yield from args.kwonlyargs
    yield from (a for a in (args.kwarg,) if a is not None)


def _stores(node: ast.AST) -> Iterator[ast.Name]:
    return (n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _own_names(
    args: ast.arguments | None, body: Sequence[ast.AST]
) -> tuple[frozenset[str], frozenset[str]]:
    """Names bound in a function's own scope, not in scopes within it; and names it takes from the
    module by `global`."""
    own = {arg.arg for arg in _args(args)} if args else set[str]()
    of_module: set[str] = set()
    of_outer: set[str] = set()
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        match node:
            case ast.Name() if isinstance(node.ctx, (ast.Store, ast.Del)):
                own.add(node.id)
            case ast.Global():
                of_module.update(node.names)
            case ast.Nonlocal():
                of_outer.update(node.names)
            case ast.Import() | ast.ImportFrom():
                own.update((a.asname or a.name) for a in node.names)
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar() if node.name:
                own.add(node.name)
            case ast.MatchMapping() if node.rest:
                own.add(node.rest)
            case _:
                pass
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            own.add(node.name)
            waiting.extend(node.decorator_list)
        elif isinstance(node, _COMPREHENSIONS):
            waiting.extend(_walrus_targets(node))
        elif not isinstance(node, ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))
    return frozenset(own - of_module - of_outer), frozenset(of_module)


def _walrus_targets(comprehension: ast.AST) -> Iterator[ast.AST]:
    """A comprehension's targets are its own, but `:=` in it binds in the function around."""
    for child in ast.iter_child_nodes(comprehension):
        if isinstance(child, ast.NamedExpr):
            yield child.target
        if not isinstance(child, ast.Lambda):
            yield from _walrus_targets(child)
