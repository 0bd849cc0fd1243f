"""What became of failed held-out attempts that were told something and tried again, by task."""

from pathlib import Path
from typing import NamedTuple

from proofloop.core.rollout import Judged
from proofloop.core.verdict import Scored
from proofloop.store import Phase, RunStore


class SecondAttempts(NamedTuple):
    """Of one task, scored attempts alone."""

    num_samples: int
    """First attempts."""
    num_failed: int
    """Of these."""
    num_fixed: int
    """Of the failed ones, those whose second attempt passed."""


def second_attempts(run: Path) -> dict[str, SecondAttempts]:
    """By task id, of an evaluation with `eval.feedback = true`.  Raises RunError."""
    with RunStore.read(run) as store:
        groups = store.load_groups(Phase.EVAL, 0)
    found: dict[str, SecondAttempts] = {}
    for recorded in groups:
        scored = [a for a in recorded.group.attempts if isinstance(a.verdict, Scored)]
        failed = [a for a in scored if not _passed_at(a, 0)]
        found[recorded.task.id] = SecondAttempts(
            num_samples=len(scored),
            num_failed=len(failed),
            num_fixed=sum(_passed_at(a, 1) for a in failed),
        )
    return found


def _passed_at(attempt: Judged, turn: int) -> bool:
    """Whether this turn was the last and passed."""
    assert isinstance(attempt.verdict, Scored)
    return attempt.verdict.passed and len(attempt.rollout.turns) == turn + 1
