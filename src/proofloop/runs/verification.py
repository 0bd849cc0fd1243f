"""Judging answers that came from outside: files of completions, and an environment's own oracles.

The invariant: a file is read and every task looked up before anything is executed, and results
come back in the order of the file, one a row.
"""

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from proofloop.core.codec import to_json
from proofloop.core.errors import DataError, UserError
from proofloop.core.project import ProjectTests
from proofloop.core.record import Record
from proofloop.core.task import Environment, Problem, Split
from proofloop.core.verdict import Integrity, Scored, Tier, Verdict, reward_of
from proofloop.envs.rows import decode_row, read_lines
from proofloop.runs.benches import Bench, at_benches
from proofloop.runs.environments import iter_problems, size_of
from proofloop.verify.projects.submission import unchanged


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


class AnswerOfOurs(StrEnum):
    ORACLE = "oracle"
    EMPTY = "empty"
    UNCHANGED = "unchanged"
    """A project as the task hands it out."""


class Misjudged(Record):
    """An oracle that does not earn 1, or an answer without work that does not earn 0."""

    task_id: str
    answer: AnswerOfOurs
    verdict: Verdict


class Validation(Record):
    """Whether an environment's own answers are judged as they must be."""

    env: str
    num_tasks: int
    num_without_oracle: int
    """Of these, an empty answer is all that was tried."""
    num_oracles_passed: int
    num_empty_rejected: int
    num_unchanged: int
    """Tasks that hand out a project."""
    num_unchanged_rejected: int
    """Of these, those whose project as it stands earns 0; another one is no task for training."""
    failures: tuple[Misjudged, ...]
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
    """Every oracle must earn 1, every empty answer and every project as it stands 0.  Raises
    IsolationError."""
    problems = list(iter_problems(environment, split, num_tasks))
    known = [Attempt(p, p.oracle) for p in problems if p.oracle is not None]
    answers: dict[AnswerOfOurs, list[Attempt]] = {
        AnswerOfOurs.ORACLE: known,
        AnswerOfOurs.EMPTY: [Attempt(problem, "") for problem in problems],
        AnswerOfOurs.UNCHANGED: list(unchanged_answers(problems)),
    }
    tried = [(kind, attempt) for kind, attempts in answers.items() for attempt in attempts]
    verdicts = list(judge([attempt for _, attempt in tried], tier=tier, workers=workers))
    num_right: Counter[AnswerOfOurs] = Counter()
    failures: list[Misjudged] = []
    for (answer, attempt), verdict in zip(tried, verdicts, strict=True):
        if _earned(verdict, 1.0 if answer is AnswerOfOurs.ORACLE else 0.0):
            num_right[answer] += 1
        else:
            task_id = attempt.problem.task.id
            failures.append(Misjudged(task_id=task_id, answer=answer, verdict=verdict))
    return Validation(
        env=environment.name,
        num_tasks=len(problems),
        num_without_oracle=len(problems) - len(known),
        num_oracles_passed=num_right[AnswerOfOurs.ORACLE],
        num_empty_rejected=num_right[AnswerOfOurs.EMPTY],
        num_unchanged=len(answers[AnswerOfOurs.UNCHANGED]),
        num_unchanged_rejected=num_right[AnswerOfOurs.UNCHANGED],
        failures=tuple(failures),
        tier=verdicts[0].tier if verdicts else None,
    )


def unchanged_answers(problems: Iterable[Problem]) -> Iterator[Attempt]:
    """Of problems that hand out a project: that project as it stands, as an answer."""
    for problem in problems:
        tests = problem.key.tests
        answer = unchanged(tests) if isinstance(tests, ProjectTests) else None
        if answer is not None:
            yield Attempt(problem, answer)


def check_tasks(environment: Environment, tier: Tier | None, workers: int = 0) -> None:
    """Raises UserError where training would reward an answer that changes nothing."""
    size = size_of(environment, Split.TRAIN)
    if size is None:
        return
    attempts = list(unchanged_answers(iter_problems(environment, Split.TRAIN, size)))
    verdicts = judge(attempts, tier=tier, workers=workers) if attempts else iter(())
    free = [a.problem.task.id for a, v in zip(attempts, verdicts, strict=True) if reward_of(v)]
    if free:
        raise UserError(
            f"{environment.name}: {len(free)} of {size} tasks reward an answer that changes "
            f"nothing ({free[0]}); leave them out: {leaving_out(free)}"
        )


def leaving_out(task_ids: Iterable[str]) -> str:
    """The option that does it."""
    ids = ", ".join(f'"{task_id.partition("@")[0]}"' for task_id in task_ids)
    return f"--set 'env.leave_out=[{ids}]'"


def _earned(verdict: Verdict, reward: float) -> bool:
    return (
        isinstance(verdict, Scored)
        and verdict.reward == reward
        and verdict.passed is (reward == 1.0)
    )
