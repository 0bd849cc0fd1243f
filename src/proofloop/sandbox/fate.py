"""How a program's process ended, from the kernel's words alone: whose doing it was.

A program can neither kill nor stop itself by SIGKILL or SIGSTOP, nor lower its processor time
(`seccomp` refuses all three).  So where such a signal hits it, someone else sent it: we, the
kernel for a limit, the kernel out of memory, or someone outside, and that is no fault of the
program's.
"""

import os
import signal
from typing import NamedTuple

from proofloop.core.errors import SandboxLost
from proofloop.core.sandbox import Ending, Limits
from proofloop.sandbox.forkserver import Ended


class Fate(NamedTuple):
    ending: Ending
    detail: str
    exit_status: int | None = None


def fate_of(ended: Ended, limits: Limits) -> Fate:
    """Of a process that was not ended by us.  Raises SandboxLost if it was killed from outside."""
    code = os.waitstatus_to_exitcode(ended.status)
    if code >= 0:
        return Fate(Ending.EXITED, f"exit status {code}", code)
    number = -code
    name = signal.Signals(number).name if number in set(signal.Signals) else str(number)
    # The kernel counts processor time in ticks and kills by that count; where other machines
    # steal time it runs well ahead of the exact time that is reported in the end.
    used_up = number == signal.SIGKILL and ended.cpu_s >= limits.cpu_s / 2
    if number == signal.SIGXCPU or used_up:
        return Fate(Ending.TIME_LIMIT, f"more than {limits.cpu_s} s of processor time")
    if number != signal.SIGKILL:
        return Fate(Ending.SIGNALLED, f"killed by {name}")
    if ended.peak_bytes >= limits.memory_bytes / 2:  # the kernel chose it for its size
        return Fate(Ending.MEMORY_LIMIT, f"killed by {name}")
    raise SandboxLost("a program's process was killed from outside")


def check_not_stopped(ended: Ended) -> None:
    """Before a program is blamed for its silence: raises SandboxLost if it was held still."""
    if ended.was_stopped:
        raise SandboxLost("a program's process was stopped from outside")
