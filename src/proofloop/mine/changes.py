"""Single changes of a repository's sources: small errors, removed bodies.  Text in, edits out.

The errors are those of `verify.audit.mutants`; here they are edits of the text, so that a task is a
small difference and the file keeps its layout.  Only what some test reaches is changed, and nothing
that runs while a module is loaded.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import NamedTuple

from proofloop.core.codec import content_hash
from proofloop.core.record import Record
from proofloop.mine.baseline import Baseline
from proofloop.mine.config import Kind
from proofloop.verify.audit.mutants import Change, changes_at, places

CLASSES: dict[str, int] = {
    "constant": 1, "off by one": 1, "sign or negation": 1,
    "comparison": 2, "arithmetic": 2, "operand": 2, "boolean": 2, "slice": 2, "function": 2,
    "condition": 3, "branch": 3, "filter": 3, "loop control": 3, "return": 3,
    "removed statement": 4, "removed call": 4, "removed argument": 4,
}  # fmt: skip
"""Operator to complexity."""
BODY_CLASS, COMMIT_CLASS = 5, 6
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class Edit(NamedTuple):
    """Replace these bytes."""

    start: int
    end: int
    text: str


class Single(Record):
    """One change, and the tests that may notice it."""

    kind: Kind
    operator: str
    complexity: int
    edits: dict[str, tuple[Edit, ...]]
    """By path, in their order."""
    tests: tuple[int, ...]
    """By their number over all modules."""
    function: str
    """Name of the function that it lies in; of a commit or a row, its id."""
    statement: str = ""
    """In the words of whoever made it; empty: to be written."""

    @property
    def id(self) -> str:
        return content_hash([self.kind, self.edits])


def changed(files: Mapping[str, bytes], edits: Mapping[str, Sequence[Edit]]) -> dict[str, bytes]:
    """The files that the edits touch, after them."""
    after: dict[str, bytes] = {}
    for path, own in edits.items():
        text = files[path]
        for start, end, new in sorted(own, reverse=True):
            text = text[:start] + new.encode("utf-8", "surrogateescape") + text[end:]
        after[path] = text
    return after


def parses(source: bytes) -> bool:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def singles_of(
    path: str, source: bytes, baseline: Baseline, complexity: Sequence[int], kinds: Sequence[Kind]
) -> Iterator[Single]:
    """All of one file, in its order.  None of a file that does not parse."""
    try:
        source.decode()
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    starts = [0]
    for line in source.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    for function in _outermost(tree):
        yield from _of_function(function, path, source, starts, baseline, set(complexity), kinds)


def _of_function(
    function: _Function, path: str, source: bytes, starts: list[int],
    baseline: Baseline, complexity: set[int], kinds: Sequence[Kind],
) -> Iterator[Single]:  # fmt: skip
    tests, is_loaded = _reach(function, path, baseline)
    if not tests or is_loaded:
        return
    edits: list[tuple[str, int, ast.AST, Edit]] = []
    seen: set[Edit] = set()
    if Kind.BODY in kinds and (edit := _without_body(function, source, starts)):
        edits.append(("body", BODY_CLASS, function.body[-1], edit))
    if Kind.BUG in kinds:
        reached = baseline.lines.get(path, frozenset())
        skipped = _skipped(function)
        for _, _, node in places(function):
            if id(node) in skipped or getattr(node, "lineno", 0) not in reached:
                continue
            for change in changes_at(node):
                level = CLASSES[change.operator]
                edit = _edit(node, change, source, starts) if level in complexity else None
                if edit is not None:
                    edits.append((change.operator, level, node, edit))
    for operator, level, node, edit in edits:
        inner = _innermost(function, node)
        own, inner_is_loaded = _reach(inner, path, baseline)
        is_idle = source[edit.start : edit.end] == edit.text.encode()
        if edit in seen or is_idle or not own or inner_is_loaded:
            continue
        seen.add(edit)
        yield Single(
            kind=Kind.BODY if level == BODY_CLASS else Kind.BUG,
            operator=operator,
            complexity=level,
            edits={path: (edit,)},
            tests=own,
            function=inner.name,
        )


def _reach(function: _Function, path: str, baseline: Baseline) -> tuple[tuple[int, ...], bool]:
    """The tests that call it; whether it is called while tests are loaded."""
    line = min([function.lineno, *(d.lineno for d in function.decorator_list)])
    place = f"{path}:{line}"
    return baseline.functions.get(place, ()), place in baseline.loading


def _outermost(tree: ast.AST) -> Iterator[_Function]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, _FUNCTIONS):
            yield node
        else:
            yield from _outermost(node)


def _innermost(function: _Function, node: ast.AST) -> _Function:
    found = function
    for inner in ast.walk(function):
        if (
            isinstance(inner, _FUNCTIONS)
            and inner.end_lineno is not None
            and inner.lineno <= getattr(node, "lineno", 0) <= inner.end_lineno
            and inner.lineno >= found.lineno
        ):
            found = inner
    return found


def _skipped(function: _Function) -> set[int]:
    """Nodes whose place in the text is not known, or whose wording no test should hang on."""
    found: set[int] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.JoinedStr):
            found |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.Raise) and node.exc is not None:
            found |= {id(n) for n in ast.walk(node.exc) if isinstance(n, ast.Constant)}
    return found


def _span(node: ast.AST, starts: list[int]) -> tuple[int, int] | None:
    line, end = getattr(node, "lineno", None), getattr(node, "end_lineno", None)
    if line is None or end is None:
        return None
    return (
        starts[line - 1] + getattr(node, "col_offset", 0),
        starts[end - 1] + getattr(node, "end_col_offset", 0),
    )


def _edit(node: ast.AST, change: Change, source: bytes, starts: list[int]) -> Edit | None:
    if change.operator == "condition":
        assert isinstance(node, ast.If | ast.While)
        span = _span(node.test, starts)
        assert span is not None
        return Edit(*span, f"not ({source[slice(*span)].decode()})")
    span = _span(node, starts)
    if span is None:
        return None
    # A part of the node that takes its place keeps its own wording.
    inner = _span(change.node, starts) if change.node in set(ast.walk(node)) else None
    try:
        text = source[slice(*inner)].decode() if inner else ast.unparse(change.node)
    except (ValueError, RecursionError):
        return None
    if isinstance(change.node, ast.BinOp | ast.BoolOp | ast.IfExp | ast.Compare) and inner:
        text = f"({text})"
    return Edit(*span, text)


def _without_body(function: _Function, source: bytes, starts: list[int]) -> Edit | None:
    """Of functions of three lines and more; the docstring stays."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return None
    first, last = body[0], body[-1]
    span, end = _span(first, starts), _span(last, starts)
    if span is None or end is None or (last.end_lineno or 0) - first.lineno < 2:
        return None
    if isinstance(first, (*_FUNCTIONS, ast.ClassDef)) and first.decorator_list:
        return None  # whose span leaves its decorators out
    return Edit(span[0], end[1], "raise NotImplementedError")


def in_turns(singles: Sequence[Single], seed: int) -> list[Single]:
    """In random order, files in turn and, within a file, complexities in turn: so that a small
    number of tasks is spread over both."""
    dice = Random(f"order {seed}")
    queues: dict[str, dict[int, list[Single]]] = {}
    for single in singles:
        path = next(iter(single.edits))
        queues.setdefault(path, {}).setdefault(single.complexity, []).append(single)
    files: list[list[Single]] = []
    for by_class in queues.values():
        for queue in by_class.values():
            dice.shuffle(queue)
        order = sorted(by_class)
        dice.shuffle(order)
        files.append(list(_dealt([by_class[level] for level in order])))
    dice.shuffle(files)
    return list(_dealt(files))


def _dealt(queues: Sequence[Sequence[Single]]) -> Iterator[Single]:
    """One of each in turn."""
    for at in range(max(map(len, queues), default=0)):
        for queue in queues:
            if at < len(queue):
                yield queue[at]
