"""What is tried on each kind of tests: which fixtures, and which small errors of the oracle.

A new kind of tests gets a line in both functions; a test holds that none is forgotten.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from random import Random
from typing import assert_never

import msgspec

from proofloop.core.file_tree import FileTree
from proofloop.core.project import ProjectTests
from proofloop.core.task import (
    PYTHON,
    CallTests,
    CheckProgram,
    ChoiceAnswer,
    Composite,
    JsonAnswer,
    MathAnswer,
    Part,
    Problem,
    ProgramTests,
    SqlQuery,
    SqlState,
    TextAnswer,
)
from proofloop.verify.audit.attack import Attack
from proofloop.verify.audit.fixture import Fixture, Kind
from proofloop.verify.audit.honest import Oddity
from proofloop.verify.audit.json_fixtures import json_fixtures
from proofloop.verify.audit.language_fixtures import language_fixtures
from proofloop.verify.audit.math_fixtures import math_fixtures, wrong_numbers
from proofloop.verify.audit.mutants import is_python, mutants
from proofloop.verify.audit.program_fixtures import program_fixtures
from proofloop.verify.audit.sql_fixtures import query_fixtures, sql_mutants, state_fixtures
from proofloop.verify.audit.suite_fixtures import mutants_of_solution, suite_fixtures
from proofloop.verify.audit.target import oracle_of, target_of
from proofloop.verify.audit.text_fixtures import choice_fixtures, text_fixtures
from proofloop.verify.audit.tree_fixtures import tree_fixtures
from proofloop.verify.functions import defined_names
from proofloop.verify.math.extract import NoFinalAnswer
from proofloop.verify.place import section_of


def fixtures_of(
    problem: Problem, attacks: Sequence[Attack], oddities: Sequence[Oddity]
) -> Iterator[Fixture]:
    """Beside the oracle, blanks and random text.  Raises UserError for a problem without oracle."""
    tests = problem.key.tests
    match tests:
        case CallTests() | CheckProgram():
            yield from _function_fixtures(problem, attacks, oddities)
        case ProgramTests() if tests.language == PYTHON:
            yield from program_fixtures(problem, tests)
        case ProgramTests():
            yield from language_fixtures(tests, oracle_of(problem))
        case ProjectTests():
            yield from suite_fixtures(problem, tests, oddities)
        case FileTree():
            yield from tree_fixtures(tests, oracle_of(problem))
        case MathAnswer():
            yield from math_fixtures(problem, tests)
        case TextAnswer():
            yield from text_fixtures(tests)
        case ChoiceAnswer():
            yield from choice_fixtures(tests)
        case JsonAnswer():
            yield from json_fixtures(tests, oracle_of(problem))
        case SqlQuery():
            yield from query_fixtures(tests, oracle_of(problem))
        case SqlState():
            yield from state_fixtures(tests, oracle_of(problem))
        case Composite():
            yield from _composite_fixtures(problem, tests, attacks, oddities)
        case _:
            assert_never(tests)


def wrong_answers(problem: Problem, num_mutants: int) -> list[tuple[str, str]]:
    """Mutants of the oracle, of a final answer slips of the pen: each, and what it changes.  None
    of what is compared with one gold text, and of programs in other languages than Python."""
    oracle, tests = oracle_of(problem), problem.key.tests
    match tests:
        case CallTests():
            return _python_mutants(problem, defined_names(tests), num_mutants)
        case CheckProgram():
            return _python_mutants(problem, {tests.entry_point}, num_mutants)
        case ProgramTests() | FileTree():
            is_ours = tests.language.name == PYTHON.name
            return _python_mutants(problem, None, num_mutants) if is_ours else []
        case ProjectTests():
            return list(mutants_of_solution(problem, tests, num_mutants))
        case MathAnswer():
            return list(wrong_numbers(problem, tests))[:num_mutants]
        case SqlQuery() | SqlState():
            found = list(sql_mutants(tests, oracle))
            chosen = Random(problem.task.id).sample(found, min(num_mutants, len(found)))
            return sorted(chosen, key=found.index)
        case Composite():
            wrong = (
                (_with_section(oracle, part, answer), f"{part.name}: {what}")
                for part, alone in _parts(problem, tests)
                for answer, what in wrong_answers(alone, num_mutants)
            )
            return list(islice(wrong, num_mutants))
        case TextAnswer() | ChoiceAnswer() | JsonAnswer():
            return []
        case _:
            assert_never(tests)


def _python_mutants(
    problem: Problem, names: set[str] | None, num_mutants: int
) -> list[tuple[str, str]]:
    oracle = oracle_of(problem)
    if not is_python(oracle):
        return []
    found = mutants(oracle, names, at_most=num_mutants, seed=problem.task.id)
    return [(mutant.source, f"{mutant.operator}, line {mutant.line}") for mutant in found]


def _function_fixtures(
    problem: Problem, attacks: Sequence[Attack], oddities: Sequence[Oddity]
) -> Iterator[Fixture]:
    target = target_of(problem)
    rng = Random(problem.task.id)
    constant = "".join(
        f"def {f.name}(*args):\n    return {rng.randint(10**9, 10**10)}\n" for f in target.functions
    )
    yield Fixture(kind=Kind.RANDOM, name="constant", answer=constant)
    for oddity in oddities:
        answer = oddity.write(target)
        yield Fixture(kind=Kind.HONEST, name=oddity.name, answer=answer, costly=oddity.costly)
    is_strict = isinstance(problem.key.tests, CallTests)
    for attack in attacks:
        if is_strict or not attack.strict_only:
            yield Fixture(
                kind=Kind.ATTACK,
                row=attack.row,
                name=attack.name,
                answer=attack.answer(target),
                costly=attack.costly,
            )


# --- composed tests: each part's fixtures in its section, the others right ---


def _composite_fixtures(
    problem: Problem,
    tests: Composite,
    attacks: Sequence[Attack],
    oddities: Sequence[Oddity],
) -> Iterator[Fixture]:
    oracle = oracle_of(problem)
    for part, alone in _parts(problem, tests):
        for fixture in fixtures_of(alone, attacks, oddities):
            is_thinking = "<think" in fixture.answer or f"{part.section}>" in fixture.answer
            if not (fixture.kind.is_right and is_thinking):  # thoughts stand before all sections
                answer = _with_section(oracle, part, fixture.answer)
                name = f"{part.name}-{fixture.name}"
                yield replace(fixture, name=name, answer=answer)
        right = f"<{part.section}>{alone.oracle}</{part.section}>"
        for row, name, answer in (
            ("J6", "missing", oracle.replace(right, "")),
            ("J6", "never-closed", oracle.replace(right, f"<{part.section}>{alone.oracle}")),
            ("J11", "twice", f"{oracle}\n<{part.section}></{part.section}>"),
            ("J11", "within-itself", _with_section(oracle, part, right)),
            ("J13", "in-thoughts-only", f"<think>{right}</think>{oracle.replace(right, '')}"),
        ):
            yield Fixture(kind=Kind.ATTACK, row=row, name=f"{part.name}-{name}", answer=answer)


def _parts(problem: Problem, tests: Composite) -> Iterator[tuple[Part, Problem]]:
    """Parts with a section of their own, each as a problem whose oracle is that section."""
    for part in tests.parts:
        if part.section:
            try:
                own = section_of(oracle_of(problem), part.section)
            except NoFinalAnswer:
                continue  # the oracle fails, which its own trial says
            key = msgspec.structs.replace(problem.key, tests=part.tests)
            yield part, msgspec.structs.replace(problem, key=key, oracle=own)


def _with_section(oracle: str, part: Part, answer: str) -> str:
    before, _, rest = oracle.partition(f"<{part.section}>")
    _, _, after = rest.partition(f"</{part.section}>")
    return f"{before}<{part.section}>\n{answer}\n</{part.section}>{after}"
