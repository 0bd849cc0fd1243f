"""The panel for project suites: the attacks of their card, made of the task's own solution, and the
solution's text in odd clothes.

An attack writes one file; where a task asks for several, the others are right.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from proofloop.core.project import InlineTree, ProjectTests, file_block
from proofloop.core.task import Problem
from proofloop.verify.audit.fixture import Fixture, Kind
from proofloop.verify.audit.honest import Oddity
from proofloop.verify.audit.mutants import is_python, mutants
from proofloop.verify.audit.target import Target, oracle_of
from proofloop.verify.cards.project_attacks import SUITE_ATTACKS
from proofloop.verify.cards.project_key import EQUAL
from proofloop.verify.cards.suite_source import SuiteSource, functions_of, hollow
from proofloop.verify.projects.submission import Refusal, submission_of, unchanged, written

_NO_ODDITIES = ("fenced-attributes", "second-thoughts", "usage-below")
"""What stands behind a tag is a path here; without names, which block is meant is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """The oracle of a suite, as files, and the one that attacks and mutants are made of."""

    files: dict[str, bytes]
    path: str
    tests: ProjectTests

    @property
    def text(self) -> str:
        return self.files[self.path].decode()

    def with_text(self, text: str) -> str:
        """The answer that writes `text` in place of that file."""
        changed = self.files | {self.path: text.encode("utf-8", "surrogatepass")}
        return written(changed, self.tests)


def solution_of(problem: Problem, tests: ProjectTests) -> Solution | None:
    """None where the oracle has no Python file that parses."""
    files = submission_of(oracle_of(problem), tests)
    if isinstance(files, Refusal):
        return None
    sizes = {
        path: len(content)
        for path, content in files.items()
        if path.endswith(".py") and is_python(content.decode(errors="replace"))
    }
    if not sizes:
        return None
    return Solution(files=files, path=max(sizes, key=sizes.__getitem__), tests=tests)


def suite_fixtures(
    problem: Problem, tests: ProjectTests, oddities: Sequence[Oddity]
) -> Iterator[Fixture]:
    stub = unchanged(tests)
    if stub is not None:
        yield Fixture(kind=Kind.BLANK, name="unchanged", answer=stub)
    solution = solution_of(problem, tests)
    if solution is None:
        return
    source = _source(solution)
    for attack in SUITE_ATTACKS:
        answer = attack.write(source)
        if answer is not None:
            row, _, name = attack.name.partition("-")
            yield Fixture(kind=Kind.ATTACK, row=row, name=name, answer=answer, costly=attack.costly)
    yield from _honest(solution, oddities)


def mutants_of_solution(
    problem: Problem, tests: ProjectTests, at_most: int
) -> Iterator[tuple[str, str]]:
    """Answers, and what each changes."""
    solution = solution_of(problem, tests)
    if solution is not None:
        for mutant in mutants(solution.text, None, at_most=at_most, seed=problem.task.id):
            yield solution.with_text(mutant.source), f"{mutant.operator}, line {mutant.line}"


def _source(solution: Solution) -> SuiteSource:
    tests, text = solution.tests, solution.text
    wrong = hollow(text, tests.names)
    lax = "".join(f"{name} = lambda *a, **k: E()\n" for name in functions_of(text))
    tree = tests.tree.files if isinstance(tests.tree, InlineTree) else ()
    others = [file.path for file in tree if file.path not in solution.files]
    return SuiteSource(
        path=solution.path,
        gold=text,
        wrong=wrong,
        nearly=wrong,
        lax=lax,
        module=tests.modules[0].path,
        nodes=tuple(test.node_id for test in tests.planned),
        helper=others[0] if others else "",
        takes_any_path=any("*" in path for path in tests.allowed),
        wrap=solution.with_text,
    )


def _honest(solution: Solution, oddities: Sequence[Oddity]) -> Iterator[Fixture]:
    tests, text = solution.tests, solution.text
    by_path = "".join(file_block(p, content.decode()) for p, content in solution.files.items())
    yield Fixture(kind=Kind.HONEST, name="by-path", answer=f"I would write:\n\n{by_path}\nDone.\n")
    loud = f"print('FAILED (failures=1)')\n{text}\nimport sys\nsys.stderr.write('0 passed')\n"
    if "__future__" in text:
        return  # which must come first
    yield Fixture(kind=Kind.HONEST, name="loud", answer=solution.with_text(loud))
    unused = f"{EQUAL}\n{text}\n"
    yield Fixture(kind=Kind.HONEST, name="unused-liar", answer=solution.with_text(unused))
    if tests.allowed != (solution.path,) or "```" in text:
        return
    target = Target(functions=(), oracle=text, prefix="")
    for oddity in oddities:
        if oddity.of_text and oddity.name not in _NO_ODDITIES:
            answer = oddity.write(target)
            yield Fixture(kind=Kind.HONEST, name=oddity.name, answer=answer, costly=oddity.costly)
