"""Variations that must not move a verdict: the answer's local names, the order of the tests, what
stands around a final answer.

Another worker, tier or load needs no text of its own: the same trial is judged once more.
"""

import ast
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from proofloop.core.task import CallTests, CheckProgram, Problem, ProgramTests, Tests


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """The same question and answer, put differently."""

    name: str
    problem: Problem
    answer: str


def variations(problem: Problem, answer: str) -> Iterator[Variation]:
    tests = problem.key.tests
    match tests:
        case CallTests():
            other: Tests | None = msgspec.structs.replace(tests, calls=tests.calls[::-1])
        case CheckProgram():
            other = _reordered(tests)
        case ProgramTests():
            other = msgspec.structs.replace(tests, tests=tests.tests[::-1])
        case _:
            yield Variation(name="reworded", problem=problem, answer=f"Let us see.\n\n{answer}\n")
            return
    with suppress(SyntaxError):  # another language, or no program at all
        yield Variation(name="renamed", problem=problem, answer=renamed(answer))
    if other is not None:
        key = msgspec.structs.replace(problem.key, tests=other)
        changed = msgspec.structs.replace(problem, key=key)
        yield Variation(name="reordered", problem=changed, answer=answer)


def renamed(source: str) -> str:
    """Parameters and variables of every function under other names."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            _rename_locals(node)
    return ast.unparse(tree) + "\n"


def _rename_locals(function: ast.FunctionDef) -> None:
    """Names that are also keywords of some call, or global, or of inner functions, are left."""
    nodes = list(ast.walk(function))
    bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    bound -= {node.arg for node in nodes if isinstance(node, ast.keyword) and node.arg}
    for node in nodes:
        if isinstance(node, ast.Global | ast.Nonlocal):
            bound -= set(node.names)
        elif isinstance(node, ast.ExceptHandler | ast.FunctionDef | ast.ClassDef | ast.alias):
            bound.discard(node.name or "")
    for node in nodes:
        if isinstance(node, ast.Name) and node.id in bound:
            node.id = f"{node.id}_renamed"
        elif isinstance(node, ast.arg) and node.arg in bound:
            node.arg = f"{node.arg}_renamed"


def _reordered(tests: CheckProgram) -> CheckProgram | None:
    """The assertions of `check` from last to first; None where it holds anything else, whose
    order may matter."""
    try:
        tree = ast.parse(tests.check)
    except SyntaxError:
        return None
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "check":
            if not all(isinstance(statement, ast.Assert) for statement in node.body):
                return None
            node.body.reverse()
            return msgspec.structs.replace(tests, check=ast.unparse(tree))
    return None
