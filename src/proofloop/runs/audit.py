"""The audit of an environment: attacks, honest oddities, mutants, stability, and one record of it.

An attack or oddity is the unit of its interval: it counts as escaped (or refused) when it is so on
any task, because trials on several tasks are no independent evidence.  Mutants share tasks, so the
interval of their score resamples tasks.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from proofloop.core.errors import UserError
from proofloop.core.record import Record
from proofloop.core.task import CallTests, Environment, Problem, Split, TaskId
from proofloop.core.verdict import Scored, Tier, Verdict, reward_of
from proofloop.measure.estimators import Interval, bootstrap_mean, wilson
from proofloop.runs.environments import iter_problems
from proofloop.runs.verification import Attempt, judge
from proofloop.verify.audit import Family, Kind, TrialRow, mutants, row_of, trials, variations
from proofloop.verify.audit.target import function_tests, oracle_of
from proofloop.verify.functions import defined_names

Progress = Callable[[str], None]


class AttackLine(Record):
    """One family of attacks."""

    family: Family
    meaning: str
    num_attacks: int
    num_trials: int
    num_escaped: int
    """Attacks that passed on some task."""
    num_evaded: int
    """Attacks that were not scored on some task, and so bought themselves out of a 0."""
    low: float
    """95% interval of the share of such attacks that escape."""
    high: float


class ShareLine(Record):
    """How many of a kind were judged as they must be."""

    name: str
    num_right: int
    num_total: int
    low: float
    high: float


class WeakTask(Record):
    """A task whose hidden tests some mutants passed."""

    task_id: TaskId
    num_mutants: int
    survivors: tuple[str, ...]
    """The operator and the line of each."""


class Mutation(Record):
    num_mutants: int
    """Judged; those that we could not judge are left out."""
    num_killed: int
    score: Interval | None
    """Mean over tasks of the share of mutants that the tests reject."""
    weak: tuple[WeakTask, ...]
    """Weakest first."""


class Audit(Record):
    """All of it."""

    env: str
    num_tasks: int
    num_without_oracle: int
    """Tasks left out, because attacks and mutants are made from a right answer."""
    tier: Tier | None
    attacks: tuple[AttackLine, ...]
    answers: tuple[ShareLine, ...]
    """Oracle, honest oddities, blank answers, random text."""
    stability: tuple[ShareLine, ...]
    """Verdicts that stayed the same: renamed, reordered, by another worker."""
    mutation: Mutation
    findings: tuple[TrialRow, ...]
    """Every trial that was not judged as it must be."""

    @property
    def is_clean(self) -> bool:
        """Weak tasks are no fault of the verifier, and are not in this."""
        return not self.findings and all(
            line.num_right == line.num_total for line in self.stability
        )


def audit(
    environment: Environment,
    split: Split,
    num_tasks: int,
    *,
    num_mutants: int,
    tier: Tier | None,
    workers: int = 0,
    progress: Progress = lambda _: None,
) -> Audit:
    """Raises IsolationError when this machine cannot give `tier`, UserError where there is nothing
    to audit with."""
    drawn = list(iter_problems(environment, split, num_tasks))
    problems = [problem for problem in drawn if problem.oracle is not None]
    if not problems:
        raise UserError(
            f"none of {len(drawn)} tasks of {environment.name} has a solution, which attacks and "
            "mutants are made from"
        )
    tried = list(trials(problems))
    progress(f"{len(tried)} trials on {len(problems)} tasks")
    attempts = [Attempt(trial.problem, trial.answer) for trial in tried]
    verdicts = list(judge(attempts, tier=tier, workers=workers))
    rows = [row_of(trial, verdict) for trial, verdict in zip(tried, verdicts, strict=True)]
    wrong = [_mutants_of(problem, num_mutants) for problem in problems]
    progress(f"{sum(map(len, wrong))} mutants")
    mutation = _mutation(problems, wrong, tier, workers)
    progress("variations")
    sources = [[source for source, _ in some[:1]] for some in wrong]
    return Audit(
        env=environment.name,
        num_tasks=len(problems),
        num_without_oracle=len(drawn) - len(problems),
        tier=verdicts[0].tier if verdicts else None,
        attacks=tuple(_attack_lines(rows)),
        answers=tuple(_answer_lines(rows)),
        stability=tuple(_stability(problems, sources, tier, workers)),
        mutation=mutation,
        findings=tuple(row for row in rows if row.escaped or row.evaded or row.refused),
    )


def _attack_lines(rows: Sequence[TrialRow]) -> Iterable[AttackLine]:
    for family in Family:
        own = [row for row in rows if row.kind is Kind.ATTACK and row.row.startswith(family)]
        names = {row.name for row in own}
        if not names:
            continue
        escaped = {row.name for row in own if row.escaped}
        low, high = wilson(len(escaped), len(names))
        yield AttackLine(
            family=family,
            meaning=family.meaning,
            num_attacks=len(names),
            num_trials=len(own),
            num_escaped=len(escaped),
            num_evaded=len({row.name for row in own if row.evaded}),
            low=low,
            high=high,
        )


def _answer_lines(rows: Sequence[TrialRow]) -> Iterable[ShareLine]:
    for kind in (Kind.ORACLE, Kind.HONEST, Kind.BLANK, Kind.RANDOM):
        own = [row for row in rows if row.kind is kind]
        # The unit: a task for the oracle, else what is written.
        units = {row.task_id if kind is Kind.ORACLE else row.name for row in own}
        failed = {
            row.task_id if kind is Kind.ORACLE else row.name
            for row in own
            if row.refused or row.escaped or row.evaded
        }
        yield _share(kind.value, len(units) - len(failed), len(units))


def _share(name: str, num_right: int, num_total: int) -> ShareLine:
    low, high = wilson(num_right, num_total) if num_total else (0.0, 1.0)
    return ShareLine(name=name, num_right=num_right, num_total=num_total, low=low, high=high)


def _mutants_of(problem: Problem, num_mutants: int) -> list[tuple[str, str]]:
    """Source and description of each."""
    tests = function_tests(problem)
    names = defined_names(tests) if isinstance(tests, CallTests) else {tests.entry_point}
    found = mutants(oracle_of(problem), names, at_most=num_mutants, seed=problem.task.id)
    return [(mutant.source, f"{mutant.operator}, line {mutant.line}") for mutant in found]


def _mutation(
    problems: Sequence[Problem],
    wrong: Sequence[Sequence[tuple[str, str]]],
    tier: Tier | None,
    workers: int,
) -> Mutation:
    attempts = [
        Attempt(problem, source)
        for problem, some in zip(problems, wrong, strict=True)
        for source, _ in some
    ]
    verdicts = judge(attempts, tier=tier, workers=workers) if attempts else iter(())
    weak: list[WeakTask] = []
    scores: list[float] = []
    num_judged = num_killed = 0
    for problem, some in zip(problems, wrong, strict=True):
        judged: list[tuple[str, Scored]] = []
        for _, what in some:
            verdict = next(verdicts)
            if isinstance(verdict, Scored):
                judged.append((what, verdict))
        survivors = tuple(what for what, verdict in judged if verdict.passed)
        num_judged += len(judged)
        num_killed += len(judged) - len(survivors)
        scores.append(1 - len(survivors) / len(judged) if judged else np.nan)
        if survivors:
            weak.append(
                WeakTask(task_id=problem.task.id, num_mutants=len(judged), survivors=survivors)
            )
    weak.sort(key=lambda task: len(task.survivors) / task.num_mutants, reverse=True)
    score = bootstrap_mean(np.array(scores, dtype=np.float64)[:, None]).at(0) if scores else None
    return Mutation(num_mutants=num_judged, num_killed=num_killed, score=score, weak=tuple(weak))


def _stability(
    problems: Sequence[Problem],
    wrong: Sequence[Sequence[str]],
    tier: Tier | None,
    workers: int,
) -> Iterable[ShareLine]:
    """Of right answers and wrong ones; every call of `judge` has sandboxes of its own."""
    originals = [
        Attempt(problem, answer)
        for problem, some in zip(problems, wrong, strict=True)
        for answer in (oracle_of(problem), *some)
    ]
    varied: list[tuple[int, str, Attempt]] = []
    for place, (problem, answer) in enumerate(originals):
        for variation in variations(problem, answer):
            attempt = Attempt(variation.problem, variation.answer)
            varied.append((place, variation.name, attempt))
        varied.append((place, "other worker", Attempt(problem, answer)))
    before = list(judge(originals, tier=tier, workers=workers))
    after = list(judge([attempt for _, _, attempt in varied], tier=tier, workers=workers))
    same: dict[str, list[bool]] = {}
    for (place, name, _), verdict in zip(varied, after, strict=True):
        same.setdefault(name, []).append(_alike(before[place], verdict))
    for name, alike in same.items():
        yield _share(name, sum(alike), len(alike))


def _alike(a: Verdict, b: Verdict) -> bool:
    """The same reward.  The cause may differ: with its tests in another order, a wrong program
    fails another one first."""
    return reward_of(a) == reward_of(b)
