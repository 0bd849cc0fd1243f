"""Who descends from a process, from /proc.  Standard library only."""

import os
import signal
import time
from collections.abc import Callable, Collection

_HAS_LISTS = os.path.exists(f"/proc/self/task/{os.getpid()}/children")
"""Whether the kernel keeps lists of children; without them, all processes are looked at."""


def descendants(root: int, *, without: Collection[int] = ()) -> list[int]:
    """Every process below `root`, zombies included; `without` some and what is below those."""
    children_of = _listed_children if _HAS_LISTS else _all_parents()
    found: list[int] = []
    waiting = [root]
    while waiting:
        children = [pid for pid in children_of(waiting.pop()) if pid not in without]
        found += children
        waiting += children
    return found


def _listed_children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as f:
                found += map(int, f.read().split())
    except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
        pass
    return found


def _all_parents() -> Callable[[int], list[int]]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as f:
                    parent = int(f.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(name))
    return lambda pid: children.get(pid, [])


def end_all_below(kept: Collection[int] = (), *, patience_s: float) -> bool:
    """Kill and collect what is below this process, but `kept` and what is below them; False where
    some of it is still there after `patience_s`."""
    deadline = time.monotonic() + patience_s
    while living := descendants(os.getpid(), without=kept):
        if time.monotonic() > deadline:
            return False
        for pid in living:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for pid in living:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:  # not yet come to us
                continue
        time.sleep(0.0005)
    return True
