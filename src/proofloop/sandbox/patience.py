"""How long to wait for a process: its wall time, and the time it stood in line for a processor.

A wall-time limit is there for what sleeps and waits; what computes is ended by its processor time.
On a crowded machine a process may be ready to run and not get to, which is no fault of the
program's; the kernel keeps count of that (`/proc/N/schedstat`, second number, nanoseconds), and
the deadline moves by as much, up to the limit once more.
"""

_LEAST_S = 0.01
"""Less is not worth another look."""


class Patience:
    """For one process."""

    def __init__(self, wall_s: float) -> None:
        self._wall_s = wall_s
        self._granted_s = 0.0
        self.waited_s = 0.0

    @property
    def left_s(self) -> float:
        return self._wall_s + self._granted_s - self.waited_s

    def extend(self, pid: int) -> float:
        """Seconds that are now granted on top; at most `wall_s` over the process's life."""
        queued_s = min(_queued_s(pid), self._wall_s)
        more_s = max(0.0, queued_s - self._granted_s)
        if more_s < _LEAST_S:
            return 0.0
        self._granted_s += more_s
        return more_s


def _queued_s(pid: int) -> float:
    """0 where the kernel does not say, or the process is out of our sight."""
    try:
        with open(f"/proc/{pid}/schedstat") as f:
            return int(f.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
