"""What came of strengthening a data file's tests, as a record."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from proofloop.core.record import Record
from proofloop.core.task import TaskId
from proofloop.core.verdict import Tier
from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.interval import Interval


class StrengthenedTask(Record):
    task_id: TaskId
    """Of the row as it was."""
    num_added: int
    unchanged: str
    """Why none could be looked for, if so."""
    num_mutants: int
    """Judged."""
    survivors: tuple[str, ...]
    """Operator and line of each mutant that the old tests pass."""
    survivors_after: tuple[str, ...]
    alike: tuple[str, ...]
    """Of those, the ones that did as the oracle did on every input tried: equal, most likely."""
    attacks: tuple[str, ...]
    """Attacks of the families A and I that the old tests pass."""
    attacks_after: tuple[str, ...]


class Strengthening(Record):
    env: str
    source: str
    out: str
    tier: Tier | None
    num_tasks: int
    num_changed: int
    num_added: int
    score_before: Interval | None
    """Mean over tasks of the share of mutants that the tests reject."""
    score_after: Interval | None
    gain: Interval | None
    """Paired, task by task."""
    score_of_different: Interval | None
    """After, of the mutants that some input tells from the oracle."""
    num_weak_before: int
    num_weak_after: int
    num_survivors_before: int
    num_survivors_after: int
    num_alike: int
    num_attacks_before: int
    num_attacks_after: int
    unchanged: dict[str, int]
    """Tasks for which nothing was looked for, by reason."""
    tasks: tuple[StrengthenedTask, ...]


def report(
    env: str, source: str, out: str, tier: Tier | None, tasks: Sequence[StrengthenedTask]
) -> Strengthening:
    before = [_score(t.num_mutants, len(t.survivors)) for t in tasks]
    after = [_score(t.num_mutants, len(t.survivors_after)) for t in tasks]
    different = [
        _score(t.num_mutants - len(t.alike), len(t.survivors_after) - len(t.alike))
        for t in tasks
        if not t.unchanged
    ]
    return Strengthening(
        env=env,
        source=source,
        out=out,
        tier=tier,
        num_tasks=len(tasks),
        num_changed=sum(t.num_added > 0 for t in tasks),
        num_added=sum(t.num_added for t in tasks),
        score_before=_mean(before),
        score_after=_mean(after),
        gain=_mean([b - a for a, b in zip(before, after, strict=True)]),
        score_of_different=_mean(different),
        num_weak_before=sum(bool(t.survivors) for t in tasks),
        num_weak_after=sum(len(t.survivors_after) > len(t.alike) for t in tasks),
        num_survivors_before=sum(len(t.survivors) for t in tasks),
        num_survivors_after=sum(len(t.survivors_after) for t in tasks),
        num_alike=sum(len(t.alike) for t in tasks),
        num_attacks_before=sum(len(t.attacks) for t in tasks),
        num_attacks_after=sum(len(t.attacks_after) for t in tasks),
        unchanged=dict(Counter(t.unchanged for t in tasks if t.unchanged)),
        tasks=tuple(tasks),
    )


def _score(num_mutants: int, num_left: int) -> float:
    return 1 - num_left / num_mutants if num_mutants else np.nan


def _mean(scores: Sequence[float]) -> Interval | None:
    if not scores:
        return None
    return bootstrap_mean(np.array(scores, dtype=np.float64)[:, None]).at(0)
