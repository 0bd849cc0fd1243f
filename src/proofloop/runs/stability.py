"""Whether verdicts stay what they are: put differently, judged elsewhere, on a busy machine."""

from collections.abc import Iterable, Sequence

from proofloop.core.record import Record
from proofloop.core.task import Problem, TaskId
from proofloop.core.verdict import Tier, Verdict, reward_of
from proofloop.runs.load import busy
from proofloop.runs.manifest import num_workers
from proofloop.runs.verification import Attempt, judge
from proofloop.verify.audit import variations
from proofloop.verify.audit.target import oracle_of

LOAD = 10
"""Busy candidates for each worker."""
MAX_UNDER_LOAD = 40
"""Attempts that are judged under load: each takes ten times as long."""


class Flip(Record):
    """A verdict that moved."""

    task_id: TaskId
    answer: str
    """"oracle" or "wrong"."""
    variation: str
    before: Verdict
    after: Verdict


class Column(Record):
    """One variation of everything."""

    name: str
    num_same: int
    num_total: int
    flips: tuple[Flip, ...]


def stability(
    problems: Sequence[Problem],
    wrong: Sequence[Sequence[str]],
    tiers: Sequence[Tier],
    workers: int,
) -> Iterable[Column]:
    """Of right answers and of `wrong` ones to each problem; every call of `judge` has sandboxes of
    its own.  `tiers`: the first is what the others, and all variations, are held against.

    Raises IsolationError.
    """
    tier, *others = tiers
    originals = [
        Attempt(problem, answer)
        for problem, some in zip(problems, wrong, strict=True)
        for answer in (oracle_of(problem), *some)
    ]
    before = list(judge(originals, tier=tier, workers=workers))
    varied: dict[str, list[tuple[int, Attempt]]] = {}
    for place, (problem, answer) in enumerate(originals):
        for variation in variations(problem, answer):
            attempt = Attempt(variation.problem, variation.answer)
            varied.setdefault(variation.name, []).append((place, attempt))
    everything = list(enumerate(originals))
    for name, some in varied.items():
        yield _column(name, originals, before, some, _judged(some, tier, workers))
    yield _column("other worker", originals, before, everything, _judged(everything, tier, workers))
    for other in others:
        name = f"on {other} instead of {tier}"
        yield _column(name, originals, before, everything, _judged(everything, other, workers))
    some = everything[:: max(1, len(everything) // MAX_UNDER_LOAD)]
    with busy(LOAD * num_workers(workers), tier):
        after = _judged(some, tier, workers)
    yield _column("under load", originals, before, some, after)


def _judged(some: Sequence[tuple[int, Attempt]], tier: Tier, workers: int) -> list[Verdict]:
    return list(judge([attempt for _, attempt in some], tier=tier, workers=workers))


def _column(
    name: str,
    originals: Sequence[Attempt],
    before: Sequence[Verdict],
    some: Sequence[tuple[int, Attempt]],
    after: Sequence[Verdict],
) -> Column:
    """The same reward is the same verdict.  The cause may differ: with its tests in another order,
    a wrong program fails another one first."""
    flips = tuple(
        Flip(
            task_id=attempt.problem.task.id,
            answer="oracle" if _is_oracle(originals[place]) else "wrong",
            variation=name,
            before=before[place],
            after=verdict,
        )
        for (place, attempt), verdict in zip(some, after, strict=True)
        if reward_of(before[place]) != reward_of(verdict)
    )
    return Column(name=name, num_same=len(some) - len(flips), num_total=len(some), flips=flips)


def _is_oracle(attempt: Attempt) -> bool:
    return attempt.answer == attempt.problem.oracle
