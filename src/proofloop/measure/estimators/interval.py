"""What an estimator returns: a value with its interval."""

from proofloop.core.record import Record

LEVEL = 0.95
FEW_TASKS = 30
"""Below this many tasks an interval hangs on a few of them; tables say so."""


class Interval(Record):
    """A mean over tasks with its 95% interval; no interval from fewer than two tasks."""

    value: float
    low: float | None
    high: float | None
    num_tasks: int

    @property
    def is_thin(self) -> bool:
        return self.num_tasks < FEW_TASKS

    @property
    def includes_zero(self) -> bool:
        return self.low is None or self.high is None or self.low <= 0.0 <= self.high
