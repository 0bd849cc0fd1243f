"""Variations that must not move a verdict: the answer's local names, the order of the tests, what
stands around a final answer.

Another worker, tier or load needs no text of its own: the same trial is judged once more.
"""

import ast
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from proofloop.core.file_tree import FileTree
from proofloop.core.language import PYTHON
from proofloop.core.project import ProjectTests, file_block
from proofloop.core.task import (
    CallTests,
    CheckProgram,
    MathAnswer,
    Problem,
    ProgramTests,
    Tests,
)
from proofloop.verify.projects.submission import Refusal, submission_of, written


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """The same question and answer, put differently."""

    name: str
    problem: Problem
    answer: str


def variations(problem: Problem, answer: str) -> Iterator[Variation]:
    tests = problem.key.tests
    match tests:
        case CallTests() | CheckProgram():
            yield from _of_program(problem, answer)
        case ProgramTests() | FileTree() if tests.language.name == PYTHON.name:
            yield from _of_program(problem, answer)
        case ProgramTests() | FileTree():
            yield from _reordered(problem, answer)
            if "```" not in answer:
                tag = tests.language.fences[0] if tests.language.fences else ""
                block = f"Let us see.\n\n```{tag}\n{answer.rstrip()}\n```\n"
                yield Variation(name="reworded", problem=problem, answer=block)
        case ProjectTests():
            yield from _of_suite(problem, tests, answer)
        case _:
            thought = f"<think>\nLet us see.\n</think>\n{answer}\n"
            yield Variation(name="after a thought", problem=problem, answer=thought)
            if isinstance(tests, MathAnswer):
                said = f"Let us see.\n\n{answer}\n"
                yield Variation(name="reworded", problem=problem, answer=said)


def _of_program(problem: Problem, answer: str) -> Iterator[Variation]:
    with suppress(SyntaxError):  # no program at all
        yield Variation(name="renamed", problem=problem, answer=renamed(answer))
    yield from _reordered(problem, answer)


def _of_suite(problem: Problem, tests: ProjectTests, answer: str) -> Iterator[Variation]:
    """Tests may call by keyword, so parameters keep their names; pytest's order is part of the key.
    Which twins a verification makes depends on the answer's text, so a comment draws others."""
    files = submission_of(answer, tests)
    if isinstance(files, Refusal):
        return
    texts = {path: content.decode(errors="replace") for path, content in files.items()}

    def rewritten(name: str, rewrite: Callable[[str], str]) -> Variation:
        changed = {p: rewrite(t) if p.endswith(".py") else t for p, t in texts.items()}
        answer = written({path: text.encode() for path, text in changed.items()}, tests)
        return Variation(name=name, problem=problem, answer=answer)

    with suppress(SyntaxError):
        yield rewritten("renamed", lambda text: renamed(text, parameters=False))
    yield rewritten("other twins", lambda text: f"{text}\n# again\n")
    blocks = "\n".join(file_block(path, text) for path, text in texts.items())
    yield Variation(name="reworded", problem=problem, answer=f"Let us see.\n\n{blocks}\nDone.\n")


def _reordered(problem: Problem, answer: str) -> Iterator[Variation]:
    """The tests from last to first."""
    match problem.key.tests:
        case CallTests() as tests:
            other: Tests | None = msgspec.structs.replace(tests, calls=tests.calls[::-1])
        case CheckProgram() as tests:
            other = _reordered_check(tests)
        case ProgramTests() as tests:
            other = msgspec.structs.replace(tests, tests=tests.tests[::-1])
        case FileTree() as tests:
            other = msgspec.structs.replace(
                tests, given=tests.given[::-1], wanted=tests.wanted[::-1], absent=tests.absent[::-1]
            )
        case _:
            other = None
    if other is not None:
        key = msgspec.structs.replace(problem.key, tests=other)
        changed = msgspec.structs.replace(problem, key=key)
        yield Variation(name="reordered", problem=changed, answer=answer)


def renamed(source: str, *, parameters: bool = True) -> str:
    """Variables of every function, and unless a caller may name them its parameters, under other
    names."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            _rename_locals(node, parameters=parameters)
    return ast.unparse(tree) + "\n"


def _rename_locals(function: ast.FunctionDef, *, parameters: bool) -> None:
    """Names that are also keywords of some call, or global, or of inner functions, are left."""
    nodes = list(ast.walk(function))
    given = {node.arg for node in nodes if isinstance(node, ast.arg)}
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    bound = stored | given if parameters else stored - given
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


def _reordered_check(tests: CheckProgram) -> CheckProgram | None:
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
