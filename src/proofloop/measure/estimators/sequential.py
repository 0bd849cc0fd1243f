"""A confidence sequence: an interval that holds at every look, however often one peeks.

An ordinary 95% interval, looked at after every task and acted upon, misses far more often than
once in twenty.  This one holds the truth at all times at once with 95%, so an evaluation may stop
when it is narrow enough.  The unit is the task: a value is a task's mean over its samples.
"""

import math
from collections.abc import Iterable

import numpy as np

from proofloop.measure.estimators.interval import LEVEL, Interval

GRID = 2001
"""Means in [0, 1] that are tested: ends are exact to 0.0005, rounded outwards."""
LARGEST_BET = 0.75
"""Share of the capital that the worst outcome may cost (c of the paper, which suggests 1/2 or
3/4)."""


class ConfidenceSequence:
    """Hedged capital over task means in [0, 1] (Waudby-Smith & Ramdas 2024, arXiv:2010.09686,
    theorem 3 with the predictable plug-in bets of eq. 26).

    For every candidate mean m two gamblers bet on values above and below m,
        K+ *= 1 + min(l, c/m) (x - m),   K- *= 1 - min(l, c/(1-m)) (x - m),
        l_t = sqrt(2 log(2/alpha) / (v_(t-1) t log(1+t))),  v the variance seen before t.
    If m is the mean, max(K+, K-)/2 is bounded by a martingale that starts at 1, so by Ville's
    inequality it ever reaches 1/alpha with probability at most alpha.  m stays while it has not;
    one that has left never returns.

    Tasks must come in random order: sorted tasks (easy ones first) break the guarantee.  For an
    evaluation whose number of tasks is fixed beforehand `bootstrap_mean` is narrower.  The same
    values in the same order give the same state, which is how a resumed evaluation restores it.
    """

    def __init__(self, *, level: float = LEVEL) -> None:
        if not 0 < level < 1:
            raise ValueError(f"a level lies between 0 and 1, got {level}")
        self._alpha = 1 - level
        self._means = np.linspace(0.0, 1.0, GRID)
        self._log_up, self._log_down = np.zeros(GRID), np.zeros(GRID)
        self._kept = np.ones(GRID, dtype=bool)
        self._num_tasks, self._sum, self._squares = 0, 0.0, 0.0

    def update(self, task_means: Iterable[float]) -> None:
        """Take the means of further tasks, in the order they came.

        Raises ValueError where one is missing or outside of [0, 1]; those before it are taken.
        """
        for value in task_means:
            if not 0 <= value <= 1:
                raise ValueError(f"a task's mean lies between 0 and 1, got {value}")
            self._bet(float(value))

    def _bet(self, x: float) -> None:
        t = self._num_tasks + 1
        # The paper's estimates, with a prior guess of mean 1/2 and variance 1/4 worth one value.
        variance = (0.25 + self._squares) / t
        bet = math.sqrt(2 * math.log(2 / self._alpha) / (variance * t * math.log(1 + t)))
        with np.errstate(divide="ignore"):
            up = np.minimum(bet, LARGEST_BET / self._means)
            down = np.minimum(bet, LARGEST_BET / (1 - self._means))
        self._log_up += np.log1p(up * (x - self._means))
        self._log_down += np.log1p(-down * (x - self._means))
        self._kept &= np.maximum(self._log_up, self._log_down) < math.log(2 / self._alpha)
        self._num_tasks, self._sum = t, self._sum + x
        self._squares += (x - (0.5 + self._sum) / (t + 1)) ** 2

    @property
    def num_tasks(self) -> int:
        return self._num_tasks

    @property
    def interval(self) -> Interval | None:
        """The interval now; None before the first task.  It never widens.

        `value` is the mean seen, which may lie outside once tasks come that are unlike the former.
        Should no mean be left (that happens at most as often as the interval misses, for example
        with sorted tasks), ValueError says so.
        """
        if self._num_tasks == 0:
            return None
        kept = np.flatnonzero(self._kept)
        if kept.size == 0:
            raise ValueError(
                "no mean fits all tasks so far: likely they did not come in random order"
            )
        # A mean between the last one that left and the first one kept may still be held.
        low, high = max(int(kept[0]) - 1, 0), min(int(kept[-1]) + 1, GRID - 1)
        return Interval(
            value=self._sum / self._num_tasks,
            low=float(self._means[low]),
            high=float(self._means[high]),
            num_tasks=self._num_tasks,
        )

    @property
    def width(self) -> float:
        interval = self.interval
        if interval is None or interval.low is None or interval.high is None:
            return 1.0
        return interval.high - interval.low

    def is_narrow(self, width: float) -> bool:
        """Whether to stop: the interval is at most this wide."""
        return self.width <= width
