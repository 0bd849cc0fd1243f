"""Judging answers that came from outside: files of completions, and an environment's own oracles.

The invariant: a file is read and every task looked up before anything is executed, and results
come back in the order of the file, one a row.
"""

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from proofloop.core.codec import to_json
from proofloop.core.errors import DataError, UserError
from proofloop.core.record import Record
from proofloop.core.task import Environment, Problem, Split
from proofloop.core.verdict import Integrity, Scored, Tier, Verdict
from proofloop.envs.rows import decode_row, read_lines
from proofloop.runs.benches import Bench, at_benches
from proofloop.runs.environments import iter_problems


class CompletionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row in.  Other columns are let pass: files of completions carry all sorts of notes."""

    task_id: str
    completion: str


class VerdictRow(Record):
    """A row out."""

    task_id: str
    """As the row in said it."""
    index: int
    """The row's number in the file, from 0."""
    verdict: Literal["scored", "unscored"]
    reward: float | None
    passed: bool | None
    cause: str
    detail: str
    tier: Tier
    integrity: Integrity | None
    """None where there is no score."""


class Attempt(NamedTuple):
    """An answer and the problem that it answers."""

    problem: Problem
    answer: str


class Tally(Record):
    """What became of a file of completions."""

    num_rows: int
    num_passed: int
    num_unscored: int
    causes: dict[str, int]
    tier: Tier | None


class OracleFailure(Record):
    """A task whose oracle does not earn 1, or whose empty answer does not earn 0."""

    task_id: str
    answer: Literal["oracle", "empty"]
    verdict: Verdict


class Validation(Record):
    """Whether an environment's own answers are judged as they must be."""

    env: str
    num_tasks: int
    num_without_oracle: int
    """Of these, an empty answer is all that was tried."""
    num_oracles_passed: int
    num_empty_rejected: int
    failures: tuple[OracleFailure, ...]
    tier: Tier | None
    """None where nothing was judged."""


def read_completions(path: Path, environment: Environment) -> list[tuple[CompletionRow, Problem]]:
    """Raises DataError (file, line, what is wrong) for a malformed row or an unknown task."""
    rows: list[tuple[CompletionRow, Problem]] = []
    problems: dict[str, Problem] = {}
    for line in read_lines(path):
        row = decode_row(path, line, CompletionRow)
        if row.task_id not in problems:
            try:
                problems[row.task_id] = environment.find(row.task_id)
            except UserError as error:
                raise DataError(path, line.number, str(error)) from error
        rows.append((row, problems[row.task_id]))
    return rows


def verify_rows(
    rows: Sequence[tuple[CompletionRow, Problem]], *, tier: Tier | None, workers: int = 0
) -> Iterator[VerdictRow]:
    """One row out per row in, in order, judged by `workers` at once (0: the cores).

    Raises IsolationError, before the first row, when this machine cannot give `tier`.
    """
    attempts = [Attempt(problem, row.completion) for row, problem in rows]
    verdicts = judge(attempts, tier=tier, workers=workers)
    for index, ((row, _), verdict) in enumerate(zip(rows, verdicts, strict=True)):
        yield verdict_row(row.task_id, index, verdict)


def judge(
    attempts: Sequence[Attempt],
    *,
    tier: Tier | None,
    workers: int = 0,
) -> Iterator[Verdict]:
    """Verdicts in the order of the attempts.

    Raises IsolationError or MissingProgram before the first one.
    """
    problems = [attempt.problem for attempt in attempts]
    return at_benches(_verify, attempts, tier=tier, workers=workers, problems=problems)


def _verify(bench: Bench, attempt: Attempt) -> Verdict:
    problem = attempt.problem
    return bench.verifier.verify(problem.task, problem.key, attempt.answer)


def verdict_row(task_id: str, index: int, verdict: Verdict) -> VerdictRow:
    scored = verdict if isinstance(verdict, Scored) else None
    return VerdictRow(
        task_id=task_id,
        index=index,
        verdict="unscored" if scored is None else "scored",
        reward=None if scored is None else scored.reward,
        passed=None if scored is None else scored.passed,
        cause=verdict.cause.value,
        detail=verdict.detail,
        tier=verdict.tier,
        integrity=None if scored is None else scored.integrity,
    )


def write_rows(path: Path, rows: Iterable[VerdictRow]) -> Iterator[VerdictRow]:
    """Passes the rows on as they are written; `path` appears whole, after the last one.

    Raises UserError before the first row where `path` cannot be written.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with gzip.open(temporary, "wb") if path.suffix == ".gz" else temporary.open("wb") as file:
            for row in rows:
                file.write(to_json(row) + b"\n")
                yield row
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def tally(rows: Iterable[VerdictRow]) -> Tally:
    num_rows = num_passed = num_unscored = 0
    causes: Counter[str] = Counter()
    tier: Tier | None = None
    for row in rows:
        num_rows += 1
        num_passed += row.passed is True
        num_unscored += row.verdict == "unscored"
        causes[row.cause] += 1
        tier = row.tier
    return Tally(
        num_rows=num_rows,
        num_passed=num_passed,
        num_unscored=num_unscored,
        causes=dict(causes.most_common()),
        tier=tier,
    )


def validate(
    environment: Environment, split: Split, num_tasks: int, *, tier: Tier | None, workers: int = 0
) -> Validation:
    """Every oracle must earn 1 and every empty answer 0.  Raises IsolationError."""
    problems = list(iter_problems(environment, split, num_tasks))
    known = [(problem, problem.oracle) for problem in problems if problem.oracle is not None]
    answers = [Attempt(problem, oracle) for problem, oracle in known]
    answers += [Attempt(problem, "") for problem in problems]
    verdicts = list(judge(answers, tier=tier, workers=workers))
    oracles, empties = verdicts[: len(known)], verdicts[len(known) :]
    failures: list[OracleFailure] = []
    for (problem, _), oracle in zip(known, oracles, strict=True):
        task_id = problem.task.id
        if not _earned(oracle, 1.0):
            failures.append(OracleFailure(task_id=task_id, answer="oracle", verdict=oracle))
    for problem, empty in zip(problems, empties, strict=True):
        task_id = problem.task.id
        if not _earned(empty, 0.0):
            failures.append(OracleFailure(task_id=task_id, answer="empty", verdict=empty))
    return Validation(
        env=environment.name,
        num_tasks=len(problems),
        num_without_oracle=len(problems) - len(known),
        num_oracles_passed=sum(_earned(verdict, 1.0) for verdict in oracles),
        num_empty_rejected=sum(_earned(verdict, 0.0) for verdict in empties),
        failures=tuple(failures),
        tier=verdicts[0].tier if verdicts else None,
    )


def _earned(verdict: Verdict, reward: float) -> bool:
    return (
        isinstance(verdict, Scored)
        and verdict.reward == reward
        and verdict.passed is (reward == 1.0)
    )
