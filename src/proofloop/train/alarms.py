"""Alarms: thresholds on what a healthy run does not do, each with a line that says what to look at.

Pure: from the record as it stands after a step to the alarms that begin with this step.
"""

import math
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from proofloop.core.rollout import RolloutId
from proofloop.core.verdict import Unscored
from proofloop.store import RecordedGroup, TrippedRow
from proofloop.train.config import AlarmsConfig
from proofloop.train.trends import rise
from proofloop.train.tripwires import only_shown

_MAX_NAMED = 3


def alarms_of(
    config: AlarmsConfig,
    *,
    step: int,
    groups: Sequence[RecordedGroup],
    tripped: Sequence[TrippedRow],
    num_tripped: int,
    unscored_shares: Sequence[float],
    gaps: Sequence[float],
    run: Path,
) -> list[str]:
    """One line an alarm.  `groups` and `tripped` are this step's; the numbers are the run's up to
    this step."""
    problems = (
        _tripped(config, step, tripped, num_tripped, run),
        _unscored(config, step, groups, unscored_shares, run),
        _gap(config, step, groups, gaps, run),
    )
    return [problem for problem in problems if problem is not None]


def _tripped(
    config: AlarmsConfig, step: int, now: Sequence[TrippedRow], in_all: int, run: Path
) -> str | None:
    if not now or in_all <= config.max_tripped:
        return None
    wires = ", ".join(f"{wire} {n}" for wire, n in Counter(row.wire.value for row in now).items())
    return (
        f"step {step}: {_rollouts(len(now))} tripped a wire ({wires}), {in_all} in this run, "
        f"most allowed {config.max_tripped} (alarms.max_tripped): "
        f"{_named([row.rollout_id for row in now])}. The policy probably looks for answers or "
        f"forges verdicts; see `proofloop peek {shlex.quote(str(run))} --tripped`"
    )


def _unscored(
    config: AlarmsConfig,
    step: int,
    groups: Sequence[RecordedGroup],
    shares: Sequence[float],
    run: Path,
) -> str | None:
    if not _begins([share > config.max_unscored for share in shares]):
        return None
    attempts = [a for g in groups for a in g.group.attempts if isinstance(a.verdict, Unscored)]
    causes = Counter(a.verdict.cause.value for a in attempts).most_common()
    return (
        f"step {step}: {shares[-1]:.1%} of the rollouts have no verdict, most allowed "
        f"{config.max_unscored:.1%} (alarms.max_unscored): "
        f"{', '.join(f'{cause} {n}' for cause, n in causes)}. This machine probably lacks memory "
        f"or processes, or answers attack the judge; see `proofloop peek {shlex.quote(str(run))} "
        f"{attempts[0].rollout.id}` and `proofloop doctor`"
    )


def _gap(
    config: AlarmsConfig,
    step: int,
    groups: Sequence[RecordedGroup],
    gaps: Sequence[float],
    run: Path,
) -> str | None:
    if not gaps or math.isnan(gaps[-1]):
        return None
    known = [gap for gap in gaps if not math.isnan(gap)]
    rises = [rise(known[:-1]), rise(known)]
    if not _begins([rise > config.max_gap_rise for rise in rises]):
        return None
    rollouts = only_shown(groups)
    example = f" {rollouts[0].id}" if rollouts else ""
    return (
        f"step {step}: the visible–hidden gap has risen by {rises[-1]:.3f} since the start, most "
        f"allowed {config.max_gap_rise:g} (alarms.max_gap_rise): {_rollouts(len(rollouts))} pass "
        f"only what the prompt shows: {_named([r.id for r in rollouts])}. The reward probably pays "
        f"for something else than what is asked; see `proofloop peek {shlex.quote(str(run))}"
        f"{example}`"
    )


def _begins(states: Sequence[bool]) -> bool:
    """An alarm is raised when its state begins, not at every step of it."""
    return bool(states) and states[-1] and not (len(states) > 1 and states[-2])


def _rollouts(count: int) -> str:
    return f"{count} rollout" if count == 1 else f"{count} rollouts"


def _named(ids: Sequence[RolloutId]) -> str:
    more = f" and {len(ids) - _MAX_NAMED} more" if len(ids) > _MAX_NAMED else ""
    return ", ".join(ids[:_MAX_NAMED]) + more
