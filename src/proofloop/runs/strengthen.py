"""`audit --strengthen`: further hidden tests for the tasks of a data file, in a new file.

For each task: wrong programs (mutants of its oracle, attacks that game tests) that its tests pass;
inputs that tell them from the oracle; those inputs as further tests, in the row's own format.  A
row is changed only where the oracle passes the changed task; all else in the file stays as it is.
"""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from proofloop.core import value
from proofloop.core.codec import to_json
from proofloop.core.errors import UserError
from proofloop.core.sandbox import Limits
from proofloop.core.task import AnswerKey, CheckProgram, Environment, Problem, Split
from proofloop.core.verdict import Scored, Tier, Verdict
from proofloop.envs.data_file import Case, DataFileEnvironment, DataRow
from proofloop.envs.rows import read_lines
from proofloop.runs.benches import Bench, at_benches
from proofloop.runs.strengthening import StrengthenedTask, Strengthening, report
from proofloop.verify.audit import ATTACKS, Family, mutants
from proofloop.verify.audit.growth import NewTest, grow_tests
from proofloop.verify.audit.inputs import grow
from proofloop.verify.audit.target import oracle_of, target_of
from proofloop.verify.check_program import verdict_and_asked
from proofloop.verify.extract import assemble

NUM_INPUTS = 200
"""Tried for a task."""
_GAMING = (Family.GAMING, Family.LENIENT)

OWN_WAY = "its tests hold results against something else than a value"
NO_ORACLE = "it has no solution"
NO_FORMAT = "it does not ask for a function"
ORACLE_FAILS = "its oracle does not pass its tests"
NO_INPUTS = "no other inputs of the kind that its tests use"
NOT_RIGHT = "its oracle does not pass the further tests"


class _Wrong(NamedTuple):
    """A wrong program that the old tests pass."""

    what: str
    source: str
    is_mutant: bool


class _Work(NamedTuple):
    problem: Problem
    row: DataRow
    columns: dict[str, Any]


class _Done(NamedTuple):
    task: StrengthenedTask
    tier: Tier
    changed: dict[str, Any] | None = None
    """Columns to write."""


class Strengthener:
    """One task at a time, at a bench."""

    def __init__(self, num_mutants: int, *, beyond: bool) -> None:
        self.num_mutants = num_mutants
        self.beyond = beyond

    def __call__(self, bench: Bench, work: _Work) -> _Done:
        """Raises SandboxLost."""
        task, changed = self._strengthened(bench, work)
        return _Done(task, bench.sandbox.tier, changed)

    def _strengthened(
        self, bench: Bench, work: _Work
    ) -> tuple[StrengthenedTask, dict[str, Any] | None]:
        problem = work.problem
        tests, tolerance = problem.key.tests, work.row.tolerance()
        if not isinstance(tests, CheckProgram):
            return _left(problem, NO_FORMAT), None
        oracle = problem.oracle
        if oracle is None:
            return _left(problem, NO_ORACLE), None
        verdict, asked = verdict_and_asked(
            bench.sandbox, tests, oracle, problem.task.answer_prefix, Limits()
        )
        if not _passed(verdict):
            return _left(problem, ORACLE_FAILS), None
        num_mutants, wrong = self._wrong(bench, problem, tests.entry_point)
        if tolerance is None:
            return _left(problem, OWN_WAY, num_mutants, wrong), None
        old = _distinct(asked)
        inputs = list(grow(old, at_most=NUM_INPUTS, beyond=self.beyond, seed=problem.task.id))
        if not inputs:
            return _left(problem, NO_INPUTS, num_mutants, wrong), None

        def takes(test: NewTest) -> bool:
            return work.row.takes(Case(test.args, test.wanted))

        sources = [w.source for w in wrong]
        growth = grow_tests(
            bench.sandbox, tests.entry_point, oracle, sources, inputs, tolerance, takes
        )
        alike = [wrong[at] for at in range(len(wrong)) if at not in growth.told_apart]
        if not growth.tests:
            return _task(problem, 0, "", num_mutants, wrong, wrong, alike), None
        changed = work.row.with_cases([Case(test.args, test.wanted) for test in growth.tests])
        stronger = _changed(work, changed)
        if not _passes(bench, stronger, oracle):
            return _left(problem, NOT_RIGHT, num_mutants, wrong), None
        left = [w for w in wrong if _passes(bench, stronger, w.source)]
        task = _task(problem, len(growth.tests), "", num_mutants, wrong, left, alike)
        return task, changed

    def _wrong(self, bench: Bench, problem: Problem, function: str) -> tuple[int, list[_Wrong]]:
        """How many mutants were judged; the wrong programs that pass."""
        found = mutants(
            oracle_of(problem), {function}, at_most=self.num_mutants, seed=problem.task.id
        )
        wrong: list[_Wrong] = []
        num_judged = 0
        for mutant in found:
            verdict = bench.verifier.verify(problem.task, problem.key, mutant.source)
            if isinstance(verdict, Scored):
                num_judged += 1
                if verdict.passed:
                    what = f"{mutant.operator}, line {mutant.line}"
                    wrong.append(_Wrong(what, mutant.source, True))
        target = target_of(problem)
        for attack in ATTACKS:
            if attack.family in _GAMING and not (attack.costly or attack.strict_only):
                answer = attack.answer(target)
                source = assemble(answer, problem.task.answer_prefix, [function])
                if source is not None and _passes(bench, problem, answer):
                    wrong.append(_Wrong(attack.name, source, False))
        return num_judged, wrong


def strengthen(
    environment: Environment,
    source: Path | None,
    out: Path | None,
    *,
    num_tasks: int | None,
    num_mutants: int,
    beyond: bool,
    overwrite: bool,
    tier: Tier | None,
    workers: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> Strengthening:
    """Writes `out` (None: beside `source`).  Raises UserError where there is no file whose rows
    take further tests, or where `out` cannot be written; IsolationError."""
    if source is None or not isinstance(environment, DataFileEnvironment):
        raise UserError(
            f"{environment.name} has no task file that could be rewritten; "
            "--strengthen is for humaneval and mbpp, with --data"
        )
    target = out or beside(source)
    if target.exists() and not overwrite:
        raise UserError(f"{target} exists; name another file by --out, or say --overwrite")
    rows: list[dict[str, Any]] = [
        msgspec.json.decode(line.data, type=dict[str, Any]) for line in read_lines(source)
    ]
    works = _works(environment, rows)[:num_tasks]
    if not any(isinstance(work.problem.key.tests, CheckProgram) for work in works):
        raise UserError(
            f"{environment.name} does not ask for functions: --strengthen is for humaneval and mbpp"
        )
    done: list[_Done] = []
    work_on = Strengthener(num_mutants, beyond=beyond)
    for result in at_benches(work_on, works, tier=tier, workers=workers):
        done.append(result)
        if len(done) % 20 == 0:
            progress(f"{len(done)} of {len(works)} tasks")
    for row, result in zip(rows, done, strict=False):
        row.update(result.changed or {})
    _write(target, rows)
    tier = done[0].tier if done else None
    return report(environment.name, str(source), str(target), tier, [r.task for r in done])


def beside(source: Path) -> Path:
    """`HumanEval.jsonl.gz` -> `HumanEval.stronger.jsonl.gz`."""
    stem, _, suffixes = source.name.partition(".")
    return source.with_name(f"{stem}.stronger.{suffixes or 'jsonl'}")


def _works(environment: DataFileEnvironment[Any], columns: Sequence[dict[str, Any]]) -> list[_Work]:
    return [
        _Work(environment.problem(Split.HELDOUT, environment.stratum, place), row, columns[place])
        for place, row in enumerate(environment.rows)
    ]


def _changed(work: _Work, columns: dict[str, Any]) -> Problem:
    """The problem of the changed row, under the old id."""
    row = msgspec.convert({**work.columns, **columns}, type(work.row))
    assert row.fault() is None, row.fault()
    key = AnswerKey(task_id=work.problem.task.id, tests=row.content().tests)
    return msgspec.structs.replace(work.problem, key=key)


def _distinct(asked: Sequence[bytes]) -> list[tuple[Any, ...]]:
    return [value.decode(data) for data in dict.fromkeys(asked)]


def _passes(bench: Bench, problem: Problem, answer: str) -> bool:
    return _passed(bench.verifier.verify(problem.task, problem.key, answer))


def _passed(verdict: Verdict) -> bool:
    return isinstance(verdict, Scored) and verdict.passed


def _left(
    problem: Problem, why: str, num_mutants: int = 0, wrong: Sequence[_Wrong] = ()
) -> StrengthenedTask:
    return _task(problem, 0, why, num_mutants, wrong, wrong, ())


def _task(
    problem: Problem,
    num_added: int,
    unchanged: str,
    num_mutants: int,
    before: Sequence[_Wrong],
    after: Sequence[_Wrong],
    alike: Sequence[_Wrong],
) -> StrengthenedTask:
    def names(some: Sequence[_Wrong], *, mutants: bool) -> tuple[str, ...]:
        return tuple(w.what for w in some if w.is_mutant is mutants)

    return StrengthenedTask(
        task_id=problem.task.id,
        num_added=num_added,
        unchanged=unchanged,
        num_mutants=num_mutants,
        survivors=names(before, mutants=True),
        survivors_after=names(after, mutants=True),
        alike=names(alike, mutants=True),
        attacks=names(before, mutants=False),
        attacks_after=names(after, mutants=False),
    )


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """All of it or nothing.  Raises UserError."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        with gzip.open(temporary, "wb") if path.suffix == ".gz" else temporary.open("wb") as file:
            for row in rows:
                file.write(to_json(row) + b"\n")
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
