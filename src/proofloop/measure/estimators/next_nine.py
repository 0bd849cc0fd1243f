"""What showing one more nine of reliability would take, in tasks, trials and runs.

Axes: T tasks.
"""

import math
from collections.abc import Callable

from numpy.typing import ArrayLike

from proofloop.core.record import Record
from proofloop.measure.estimators.bounded import bounded_mean
from proofloop.measure.estimators.interval import LEVEL
from proofloop.measure.estimators.reliability import (
    checked_counts,
    intraclass_correlation,
    nines,
)
from proofloop.measure.estimators.shares import clopper_pearson

MOST = 10**7
"""No plan goes beyond so many tasks, or runs a task."""


class NextNine(Record):
    """From the lower end of `reliability.nines` to the next whole nine."""

    target: float
    """The rate: 0.99 for the second nine."""
    num_tasks: int | None
    """Tasks in all, at today's runs a task, until the lower end of `bounded_mean` is there if
    further tasks are like these; None where the rate seen is not above the target."""
    num_trials: int | None
    """`num_tasks` times today's runs a task."""
    num_runs: int | None
    """Runs a task, at today's tasks, by the design-effect Clopper-Pearson interval: the answer of
    one who trusts the correlation seen.  None where no number of runs shows it."""


def next_nine(num_samples_T: ArrayLike, num_passed_T: ArrayLike, *, seed: int = 0) -> NextNine:
    """What the next nine needs, from counts of at least two tasks.

    Without any failure tasks are what counts: T tasks show `0.025^(1/T)`, 368 of them 0.99 and
    3,688 of them 0.999 (at the one-sided 95% of `trials_without_failure` 299 and 2,995).
    Raises ValueError as `reliability` does.
    """
    n_T, c_T = checked_counts(num_samples_T, num_passed_T)
    rate_T, runs = c_T / n_T, float(n_T.mean())
    rate = float(rate_T.mean())
    shown = nines(bounded_mean(rate_T, seed=seed)[0])
    assert shown is not None, "a lower end is below 1"
    target = 1 - 10.0 ** -(math.floor(shown) + 1)
    if rate == 1:
        tasks = math.ceil(math.log((1 - LEVEL) / 2) / math.log(target))
        return NextNine(
            target=target, num_tasks=tasks, num_trials=math.ceil(tasks * runs), num_runs=None
        )
    if rate <= target:
        return NextNine(target=target, num_tasks=None, num_trials=None, num_runs=None)

    def low_of_tasks(tasks: float) -> float:
        return bounded_mean(rate_T, repeat=tasks / n_T.size, seed=seed)[0]

    icc = max(intraclass_correlation(n_T, c_T) or 0.0, 0.0)

    def low_of_runs(runs: float) -> float:
        trials = n_T.size * runs / (1 + (runs - 1) * icc)
        return clopper_pearson(rate * trials, trials)[0]

    tasks = _least(low_of_tasks, n_T.size, target)
    return NextNine(
        target=target,
        num_tasks=tasks,
        num_trials=None if tasks is None else math.ceil(tasks * runs),
        num_runs=None if n_T.max() < 2 else _least(low_of_runs, math.ceil(runs), target),
    )


def _least(low_of: Callable[[float], float], start: int, target: float) -> int | None:
    """The least number from `start` on whose lower end reaches the target, to three digits."""
    above = start
    while low_of(above) < target:
        if above >= MOST:
            return None
        above = min(2 * above, MOST)
    below = max(above // 2, start)
    while above - below > max(1, above // 1000):
        middle = (above + below) // 2
        above, below = (middle, below) if low_of(middle) >= target else (above, middle)
    return above


def rule_of_three(num_trials: float) -> float:
    """Least rate that zero failures in independent trials show at 95%: `0.05^(1/n)`, about 1 - 3/n.

    Independent: with clustered failures n is the number of tasks (or trials over design effect).
    """
    if num_trials <= 0:
        raise ValueError(f"no rate from {num_trials} trials")
    return 0.05 ** (1 / num_trials)


def trials_without_failure(rate: float) -> int:
    """Independent trials without failure that show `rate` at 95%: 299 for 0.99, 2,995 for 0.999."""
    if not 0 < rate < 1:
        raise ValueError(f"a rate to be shown lies between 0 and 1, got {rate}")
    return math.ceil(math.log(0.05) / math.log(rate) - 1e-9)
