"""The audit of an environment: attacks, honest oddities, mutants, stability, and one record of it.

An attack or oddity is the unit of its interval: it counts as escaped (or refused) when it is so on
any task, because trials on several tasks are no independent evidence.  Mutants share tasks, so the
interval of their score resamples tasks.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from proofloop.core.errors import IsolationError, UserError
from proofloop.core.record import Record
from proofloop.core.task import Environment, Problem, Split, TaskId
from proofloop.core.verdict import Scored, Tier
from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.shares import wilson
from proofloop.runs.environments import iter_problems
from proofloop.runs.stability import Flip, stability
from proofloop.runs.verification import Attempt, judge
from proofloop.sandbox import probe
from proofloop.verify.audit import Family, Kind, TrialRow, row_of, trials
from proofloop.verify.audit.kinds import wrong_answers

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
    tiers: tuple[Tier, ...]
    """Attacks and answers were tried on all; the rest on the first."""
    attacks: tuple[AttackLine, ...]
    answers: tuple[ShareLine, ...]
    """Oracle, honest oddities, blank answers, random text."""
    stability: tuple[ShareLine, ...]
    """Verdicts that stayed the same: renamed, reordered, by another worker, on another tier, under
    load."""
    flips: tuple[Flip, ...]
    """The ones that did not."""
    mutation: Mutation
    findings: tuple[TrialRow, ...]
    """Every trial that was not judged as it must be."""

    @property
    def is_clean(self) -> bool:
        """Weak tasks are no fault of the verifier, and are not in this."""
        return not self.findings and not self.flips


def audit(
    environment: Environment,
    split: Split,
    num_tasks: int,
    *,
    num_mutants: int,
    tiers: Sequence[Tier] = (),
    workers: int = 0,
    progress: Progress = lambda _: None,
) -> Audit:
    """Attacks each of `tiers` (none: the best that this machine gives).  Raises IsolationError when
    it cannot give one of them, UserError where there is nothing to audit with."""
    given = available_tiers()
    chosen = tuple(tiers) or given[:1]
    if not chosen:
        raise IsolationError("no isolation tier can be had here; see `proofloop doctor`")
    drawn = list(iter_problems(environment, split, num_tasks))
    problems = [problem for problem in drawn if problem.oracle is not None]
    if not problems:
        raise UserError(
            f"none of {len(drawn)} tasks of {environment.name} has a solution, which attacks and "
            "mutants are made from"
        )
    tried = list(trials(problems))
    attempts = [Attempt(trial.problem, trial.answer) for trial in tried]
    rows: list[TrialRow] = []
    for tier in chosen:
        progress(f"{len(tried)} trials on {len(problems)} tasks, isolation {tier}")
        verdicts = judge(attempts, tier=tier, workers=workers)
        rows += [row_of(trial, verdict) for trial, verdict in zip(tried, verdicts, strict=True)]
    wrong = [wrong_answers(problem, num_mutants) for problem in problems]
    progress(f"{sum(map(len, wrong))} mutants")
    mutation = _mutation(problems, wrong, chosen[0], workers)
    progress("variations")
    sources = [[source for source, _ in some[:1]] for some in wrong]
    others = [tier for tier in given if tier != chosen[0]]
    columns = list(stability(problems, sources, [chosen[0], *others], workers))
    return Audit(
        env=environment.name,
        num_tasks=len(problems),
        num_without_oracle=len(drawn) - len(problems),
        tiers=chosen,
        attacks=tuple(_attack_lines(rows)),
        answers=tuple(_answer_lines(rows)),
        stability=tuple(_share(c.name, c.num_same, c.num_total) for c in columns),
        flips=tuple(flip for column in columns for flip in column.flips),
        mutation=mutation,
        findings=tuple(row for row in rows if row.escaped or row.evaded or row.refused),
    )


def available_tiers() -> tuple[Tier, ...]:
    """What this machine gives, strongest first."""
    return tuple(report.tier for report in reversed(probe()) if report.available)


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
