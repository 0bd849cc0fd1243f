"""Ending what a program left running where no pid namespace does it (T0, several processes).

The fork-server is a subreaper, so every orphan below it, however often it forked or changed its
session, stays below it; this walks that tree from outside, through /proc.
"""

import os
import signal
import time
from pathlib import Path

from proofloop.core.errors import SandboxLost
from proofloop.sandbox.forkserver import ForkServer

_DEADLINE_S = 10.0


def kill_descendants(server: ForkServer) -> None:
    """Kill all that lives below the fork-server; raises SandboxLost if some of it will not die.

    The caller has no other child running."""
    deadline = time.monotonic() + _DEADLINE_S
    while living := descendants(server.process.pid):
        if time.monotonic() > deadline:
            server.is_lost = True
            raise SandboxLost(f"{len(living)} processes outlived their program")
        for pid in living:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        server.reap_strays()
        time.sleep(0.001)


def descendants(root: int) -> list[int]:
    """Every process below `root`, zombies included."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found: list[int] = []
    queue = [root]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found
