"""Which tasks training gained and lost, beside what chance alone would show.

Solved by one and not by the other also happens to two identical models: a task solved once in
twenty tries is found by one set of samples and missed by the next, however many are drawn.  So a
raw set is never shown without its null.
"""

from dataclasses import dataclass

import numpy as np

from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.outcomes import Outcomes, in_common


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvedSets:
    """Task ids by who solved them at least once, over all samples of both sides."""

    both: tuple[str, ...]
    base_only: tuple[str, ...]
    trained_only: tuple[str, ...]
    neither: tuple[str, ...]
    base_samples: int
    trained_samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turnover:
    """Expected shares of tasks at `num_samples` samples a side, and their excess over the null."""

    num_samples: int
    gained: Interval
    lost: Interval
    null: Interval
    gained_over_null: Interval
    lost_over_null: Interval


def solved_sets(base: Outcomes, trained: Outcomes) -> SolvedSets:
    base, trained = in_common(base, trained)
    sets: dict[tuple[bool, bool], list[str]] = {}
    for task_id, b, t in zip(base.task_ids, base.num_passed, trained.num_passed, strict=True):
        sets.setdefault((bool(b), bool(t)), []).append(task_id)
    return SolvedSets(
        both=tuple(sets.get((True, True), ())),
        base_only=tuple(sets.get((True, False), ())),
        trained_only=tuple(sets.get((False, True), ())),
        neither=tuple(sets.get((False, False), ())),
        base_samples=base.max_samples,
        trained_samples=trained.max_samples,
    )


def turnover(base: Outcomes, trained: Outcomes) -> Turnover | None:
    """Gained and lost shares at m = half of the base's samples, against the base itself.

    With independent samples of a task, unbiased from the counts of either side (pass@m = s):
        gained = (1 - s_base) s_trained,   lost = s_base (1 - s_trained),
        null   = E[(1-p)^m (1 - (1-p)^m)] = pass@2m - pass@m of the base,
    the share that a second, identical base would both gain and lose.  None where the tasks in
    common have fewer than two samples.
    """
    base, trained = in_common(base, trained)
    if base.num_tasks == 0:
        return None
    m = min(int(base.num_samples.min()) // 2, int(trained.num_samples.min()))
    if m < 1:
        return None
    base_m_T, base_2m_T = base.values((m, 2 * m)).T
    trained_m_T = trained.values((m,))[:, 0]
    gained_T, lost_T = (1 - base_m_T) * trained_m_T, base_m_T * (1 - trained_m_T)
    null_T = base_2m_T - base_m_T
    shares = bootstrap_mean(np.stack([gained_T, lost_T, null_T], axis=1))
    excess = bootstrap_mean(np.stack([gained_T - null_T, lost_T - null_T], axis=1), bounds=(-1, 1))
    cells = [*(shares.at(i) for i in range(3)), *(excess.at(i) for i in range(2))]
    gained, lost, null, gained_over, lost_over = (cell for cell in cells if cell is not None)
    return Turnover(
        num_samples=m,
        gained=gained,
        lost=lost,
        null=null,
        gained_over_null=gained_over,
        lost_over_null=lost_over,
    )
