"""The policies that are compared, on the same tasks under the same settings, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proofloop.core.errors import UserError
from proofloop.measure.attempts import Attempts
from proofloop.measure.outcomes import Outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The base and, after it, the policies that are to be told from it; on common tasks."""

    base: Attempts
    trained: tuple[Attempts, ...]
    num_tasks: int
    num_dropped: int
    """Tasks that not every side attempted, or that could not be judged."""
    notes: tuple[str, ...]
    """What a reader must know: fewer tasks, another judge."""

    @property
    def subject(self) -> Attempts:
        """The run that the sections speak of: the first."""
        return self.trained[0]


def bring_together(
    base: Attempts, trained: Sequence[Attempts], *, allow_mixed: bool = False
) -> Sides:
    """Raises UserError where a difference would not be the policy's alone: other environments,
    token limits, temperatures or verifiers (`allow_mixed`: a note instead), or no task in common.
    """
    sides = (base, *trained)
    notes: list[str] = []
    for other in trained:
        if other.env != base.env:
            raise UserError(f"{other.name} is of {other.env}, {base.name} of {base.env}")
        if other.setting != base.setting:
            mixed = f"{other.name} ({other.setting.says}) and {base.name} ({base.setting.says})"
            if not allow_mixed:
                raise UserError(
                    f"{mixed} were measured in different ways: a difference would not be the "
                    "policy's alone. Measure both alike with `proofloop eval`, or give "
                    "--allow-mixed to see it marked"
                )
            notes.append(f"Mixed settings: {mixed}. Differences are not the policy's alone.")
    judged = [_judged(side) for side in sides]
    common = set[str].intersection(*judged)
    if not common:
        raise UserError(
            f"{base.name} and {' and '.join(t.name for t in trained)} have no judged task in common"
        )
    num_dropped = len(set[str].union(*(set(side.task_ids) for side in sides)) - common)
    if num_dropped:
        notes.append(f"{num_dropped} tasks that not every side attempted are left out.")
    unscored = sum(int(np.sum(~side.scored_N)) for side in sides)
    if unscored:
        notes.append(f"{unscored} attempts could not be judged and are left out.")
    return Sides(
        base=base.of_tasks(common),
        trained=tuple(side.of_tasks(common) for side in trained),
        num_tasks=len(common),
        num_dropped=num_dropped,
        notes=tuple(notes),
    )


def _judged(side: Attempts) -> set[str]:
    return {t for t, scored in zip(side.task_ids, side.scored_N, strict=True) if scored}


def known_k(*sides: Outcomes) -> int:
    """Half of the fewest samples that a task has: up to here pass@k is more than an indicator."""
    return min(int(side.num_samples.min()) for side in sides) // 2
