"""Which tasks training gained and lost, beside what two identical models would show.

Solved by one and not by the other also happens to two identical models: a task solved once in
twenty tries is found by one set of samples and missed by the next, however many are drawn.  So a
raw share is never given without its null.

Axes: T tasks.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from msgspec.structs import replace
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaln
from scipy.stats import hypergeom

from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.fdr import benjamini_hochberg
from proofloop.measure.estimators.interval import LEVEL, Interval
from proofloop.measure.estimators.pass_at_k import pass_at_k

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FALSE_DISCOVERIES = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Turnover:
    """Expected shares of tasks at `num_samples` samples a side, and their excess over the null."""

    num_samples: int
    gained: Interval
    lost: Interval
    null: Interval
    gained_over_null: Interval
    lost_over_null: Interval


def turnover(
    base_samples_T: ArrayLike,
    base_passed_T: ArrayLike,
    trained_samples_T: ArrayLike,
    trained_passed_T: ArrayLike,
) -> Turnover | None:
    """Gained and lost shares at m = half of the base's samples, against the base itself.

    With independent samples of a task, unbiased from the counts of either side (pass@m = s):
        gained = (1 - s_base) s_trained,   lost = s_base (1 - s_trained),
        null   = E[(1-p)^m (1 - (1-p)^m)] = pass@2m - pass@m of the base,
    the share that a second, identical base would both gain and lose: the mean over all ways of
    splitting the base's samples in two halves A and B of "B solves what A does not".  None where
    some task has fewer than two base samples or no trained one, or there is no task.

    Intervals: `bootstrap_mean` over tasks, the excess paired within a task.  Where fewer than one
    task is expected to turn over, the excess is kept open by what T agreeing tasks leave open
    (1 - 0.025^(1/T) either way): their spread says nothing.  Where a few are, and all tasks are
    alike, the interval of `gained_over_null` may lie below 0 by chance (30 tasks of p = 0.3 in 8
    samples: in one world of six), never above: docs/reference/coverage.md.
    Raises ValueError where counts are impossible or the sides differ in length.
    """
    n_base_T, n_trained_T = np.asarray(base_samples_T), np.asarray(trained_samples_T)
    if n_base_T.shape != n_trained_T.shape:
        raise ValueError(f"{n_base_T.size} tasks of the base, {n_trained_T.size} of the trained")
    if n_base_T.size == 0:
        return None
    m = min(int(n_base_T.min()) // 2, int(n_trained_T.min()))
    if m < 1:
        return None
    base_m_T, base_2m_T = pass_at_k(n_base_T, base_passed_T, (m, 2 * m)).T
    trained_m_T = pass_at_k(n_trained_T, trained_passed_T, (m,))[:, 0]
    return _turnover(
        m, (1 - base_m_T) * trained_m_T, base_m_T * (1 - trained_m_T), base_2m_T - base_m_T
    )


def turnover_by_halves(
    base_samples_HT: ArrayLike,
    base_passed_HT: ArrayLike,
    trained_samples_HT: ArrayLike,
    trained_passed_HT: ArrayLike,
) -> Turnover | None:
    """The same where sample i of either side was drawn with the same random numbers.

    Two halves H of the samples (even and odd ones, say): the base's one half is set against the
    trained model's other one, both ways, so that what is multiplied is independent.  With all
    samples of both, a model that has hardly changed would repeat the base's luck, gain next to
    nothing and seem to be surely below its own null.  None where a half lacks a sample.
    Raises ValueError where counts are impossible or the sides differ in length.
    """
    n_base_HT, n_trained_HT = np.asarray(base_samples_HT), np.asarray(trained_samples_HT)
    c_base_HT, c_trained_HT = np.asarray(base_passed_HT), np.asarray(trained_passed_HT)
    if n_base_HT.shape != n_trained_HT.shape or len(n_base_HT) != 2:
        raise ValueError(f"two halves each: {n_base_HT.shape} of the base, {n_trained_HT.shape}")
    if n_base_HT.size == 0:
        return None
    m = int(min(n_base_HT.min(), n_trained_HT.min()))
    if m < 1:
        return None
    base_HT, trained_HT = (
        np.stack([pass_at_k(n_T, c_T, (m,))[:, 0] for n_T, c_T in zip(n_HT, c_HT, strict=True)])
        for n_HT, c_HT in ((n_base_HT, c_base_HT), (n_trained_HT, c_trained_HT))
    )
    other_HT = trained_HT[::-1]
    whole_T = pass_at_k(n_base_HT.sum(axis=0), c_base_HT.sum(axis=0), (m, 2 * m))
    return _turnover(
        m,
        ((1 - base_HT) * other_HT).mean(axis=0),
        (base_HT * (1 - other_HT)).mean(axis=0),
        whole_T[:, 1] - whole_T[:, 0],
    )


def _turnover(m: int, gained_T: Floats, lost_T: Floats, null_T: Floats) -> Turnover:
    shares = bootstrap_mean(np.stack([gained_T, lost_T, null_T], axis=1))
    excess = bootstrap_mean(np.stack([gained_T - null_T, lost_T - null_T], axis=1), bounds=(-1, 1))
    cells = [*(shares.at(i) for i in range(3)), *(excess.at(i) for i in range(2))]
    gained, lost, null, gained_over, lost_over = (cell for cell in cells if cell is not None)
    if null_T.size * max(gained.value, lost.value, null.value) < 1:
        gained_over, lost_over = _open(gained_over), _open(lost_over)
    return Turnover(
        num_samples=m,
        gained=gained,
        lost=lost,
        null=null,
        gained_over_null=gained_over,
        lost_over_null=lost_over,
    )


def _open(excess: Interval) -> Interval:
    """At least as wide as the interval of tasks that all agree on no excess."""
    if excess.low is None or excess.high is None:
        return excess
    share = 1 - ((1 - LEVEL) / 2) ** (1 / excess.num_tasks)
    return replace(excess, low=min(excess.low, -share), high=max(excess.high, share))


def beta_null(a: float, ratio: float = 1.0) -> float:
    """Share of the tasks that the base never solved which an identical model then "newly solves".

    `1 - (1 + r)^-a` where the density of success rates behaves like p^(a-1) near 0 and the second
    model has r times the samples: the same for any number of samples, so sampling more does not
    remove it.  The limit of `beta_null_at` for many samples.
    Raises ValueError unless a > 0 and r > 0.
    """
    if a <= 0 or ratio <= 0:
        raise ValueError(f"the null needs a > 0 and a ratio > 0, got {a} and {ratio}")
    return 1 - (1 + ratio) ** -a


def beta_null_at(a: float, b: float, *, base_samples: int, trained_samples: int) -> float:
    """The same for Beta(a, b) at given numbers of samples: `1 - B(a, b+n+m) / B(a, b+n)`.

    Raises ValueError unless a, b > 0 and both sides have samples.
    """
    if a <= 0 or b <= 0 or base_samples < 1 or trained_samples < 1:
        raise ValueError("the null needs a, b > 0 and samples on both sides")
    both, first = b + base_samples + trained_samples, b + base_samples
    return float(1 - np.exp(betaln(a, both) - betaln(a, first)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChanges:
    """Tasks (by place) whose rate surely changed; at most `false_discoveries` of a set by chance.

    q values are NaN for tasks that could not be called whatever the split of their passes.
    """

    false_discoveries: float
    num_testable: int
    gain_q_T: Floats
    loss_q_T: Floats
    gained: tuple[int, ...]
    """Pass more often after training."""
    newly_solved: tuple[int, ...]
    """Those of `gained` that the base never solved."""
    lost: tuple[int, ...]
    """Pass less often after training."""
    no_longer_solved: tuple[int, ...]
    """Those of `lost` that the trained model never solved."""
    kept: tuple[int, ...]
    """Solved by both at least once, neither gained nor lost."""


def task_changes(
    base_samples_T: ArrayLike,
    base_passed_T: ArrayLike,
    trained_samples_T: ArrayLike,
    trained_passed_T: ArrayLike,
    *,
    false_discoveries: float = FALSE_DISCOVERIES,
) -> TaskChanges:
    """Fisher's exact test of every task, one-sided either way, with Benjamini-Hochberg q values.

    Given all passes of a task, those of the trained model are hypergeometric if both have one
    rate (Fisher 1935).  Tasks whose passes could not reach p <= `false_discoveries` under any
    split (all or none passed, few samples) are left out of the family: that depends on the
    margins only, so the rate still holds (Gilbert 2005, Appl. Statist. 54).  Each direction is a
    family of its own.  Exact tests of few samples are cautious: the false discovery rate is then
    well below the level, and a task left out of `gained` may have gained.
    Raises ValueError where counts are impossible or the sides differ in length.
    """
    columns = [
        np.asarray(column, np.int64)
        for column in (base_samples_T, base_passed_T, trained_samples_T, trained_passed_T)
    ]
    if any(left.shape != right.shape for left, right in pairwise(columns)):
        raise ValueError(f"columns differ in length: {[column.size for column in columns]}")
    n_base_T, c_base_T, n_trained_T, c_trained_T = columns
    if np.any((c_base_T < 0) | (c_base_T > n_base_T) | (c_trained_T < 0)) or np.any(
        c_trained_T > n_trained_T
    ):
        raise ValueError("each task needs 0 <= num_passed <= num_samples")
    gain_q_T = _fisher_q(n_base_T, c_base_T, n_trained_T, c_trained_T, false_discoveries)
    loss_q_T = _fisher_q(n_trained_T, c_trained_T, n_base_T, c_base_T, false_discoveries)
    rose_T, fell_T = gain_q_T <= false_discoveries, loss_q_T <= false_discoveries
    both_T = (c_base_T > 0) & (c_trained_T > 0) & ~rose_T & ~fell_T
    return TaskChanges(
        false_discoveries=false_discoveries,
        num_testable=int((~np.isnan(gain_q_T) | ~np.isnan(loss_q_T)).sum()),
        gain_q_T=gain_q_T,
        loss_q_T=loss_q_T,
        gained=_places(rose_T),
        newly_solved=_places(rose_T & (c_base_T == 0)),
        lost=_places(fell_T),
        no_longer_solved=_places(fell_T & (c_trained_T == 0)),
        kept=_places(both_T),
    )


def _fisher_q(n_from_T: Ints, c_from_T: Ints, n_to_T: Ints, c_to_T: Ints, level: float) -> Floats:
    """q values of "passes more often in `to` than in `from`"."""
    total_T, passed_T = n_from_T + n_to_T, c_from_T + c_to_T
    p_T = np.asarray(hypergeom.sf(c_to_T - 1, total_T, passed_T, n_to_T), np.float64)
    most_T = np.minimum(passed_T, n_to_T)
    least_p_T = hypergeom.sf(most_T - 1, total_T, passed_T, n_to_T)
    testable_T = least_p_T <= level
    q_T = np.full(p_T.size, np.nan)
    q_T[testable_T] = benjamini_hochberg(p_T[testable_T])
    return q_T


def _places(chosen_T: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.flatnonzero(chosen_T))
