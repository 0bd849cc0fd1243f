"""Runs a suite, once or several times, each run in a process of its own.

This process imports pytest, and nothing of the project: neither the answer's files nor its tests.
It never sees a test: each child takes its own job from standard input.  Only it writes reports,
over a descriptor that a child gives up before anything of the project runs; a child's claims are
bytes to it.  It stops at the first run that did not end by itself with status 0, unless it is told
to go on.  It may compile text of the project, once for all runs; it never executes any.
"""

import contextlib
import gc
import json
import os
import select
import signal
import sys
import time
from typing import Any

from proofloop.sandbox import kernel, seccomp
from proofloop.sandbox.suite import frames, inside, overlay

_LOOK_S = 0.02
"""How often a run is looked at whose descendants may hold its pipe open."""
_BUSY_SHARE = 0.05
"""Of a processor.  What has got this much of one at its deadline has not slept: the machine has
little to give, and the run goes on, to its limit of processor time."""
_PATIENCE = 4
"""But no longer than so many times its deadline."""


def main() -> None:
    settings = json.loads(frames.read(0))
    kernel.hide_from_peers()
    sys.path[:] = [path for path in sys.path if path and "site-packages" not in path]
    standard_library = list(sys.path)
    sys.path += settings["site_paths"]
    _warm_up(settings["plugins"], settings.get("preload", []))
    project = settings["project"] = os.getcwd()
    own_files = [os.path.join(project, path) for path in settings.get("compile", [])]
    settings["codes"] = overlay.compiled(own_files)
    own = [os.path.normpath(os.path.join(project, path)) for path in settings["import_paths"]]
    settings["paths"] = [*standard_library, *own, *settings["site_paths"]]
    may_fork = settings["num_processes"] > 1
    if may_fork:  # programs that tests start may be the project's own
        os.environ["PYTHONPATH"] = os.pathsep.join(own)
    template = b"" if may_fork else seccomp.candidate_filter(kernel.MACHINE, may_fork=False)
    gc.collect()
    gc.freeze()
    _report(frames.READY)
    for number in range(settings["num_runs"]):
        if not _run(number, settings, template) and not settings.get("goes_on"):
            break
    os._exit(0)


def _warm_up(plugins: list[str], preload: list[str]) -> None:
    """Import here, once, what every run needs.  A plugin that is not installed ends us: we are not
    ready.  `preload`: modules of the environment that the project is known to import."""
    import unittest.mock

    import _pytest.config
    import pytest

    assert unittest.mock
    assert pytest
    for name in getattr(_pytest.config, "default_plugins", ()):
        __import__(f"_pytest.{name}")
    for name in plugins:
        __import__(name)
    for name in preload:
        with contextlib.suppress(Exception):
            __import__(name)


def _report(kind: int, number: int = 0, why: int = 0, status: int = 0, cpu_s: float = 0.0,
            claims: bytes = b"") -> None:  # fmt: skip
    header = frames.REPORT.pack(kind, number, why, status, cpu_s, len(claims))
    frames.write(frames.REPORT_FD, header + claims)


def _run(number: int, settings: dict[str, Any], template: bytes) -> bool:
    """Whether the run ended by itself with status 0."""
    theirs, ours = os.pipe()  # read here, written there
    pid = os.fork()
    if pid == 0:
        inside.run(settings, ours, template)
    os.close(ours)
    why, claims = _collect(pid, theirs, settings["wall_s"], settings["claims_bytes"])
    os.close(theirs)
    for kill in (os.killpg, os.kill):  # its session, and itself where it has left none yet
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    _, status, usage = os.wait4(pid, 0)
    _report(frames.RUN, number, why, status, usage.ru_utime + usage.ru_stime, claims)
    return why == frames.ENDED and status == 0


def _collect(pid: int, fd: int, wall_s: float, most: int) -> tuple[int, bytes]:
    """What a run claims, until it is over: it ended, or its time did, or it claims too much."""
    start = time.monotonic()
    os.set_blocking(fd, False)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    claims = bytearray()
    is_open = True
    while True:
        spent = time.monotonic() - start
        if spent > wall_s and (spent > _PATIENCE * wall_s or _cpu_s(pid) < _BUSY_SHARE * spent):
            return frames.TIME_LIMIT, b""
        if is_open:
            poll.poll(1000 * _LOOK_S)
        # In this order: what it wrote before its end is read.
        has_ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        while is_open:
            try:
                part = os.read(fd, 65536)
            except BlockingIOError:
                break
            claims += part
            if not part:
                poll.unregister(fd)
                is_open = False
            elif len(claims) > most:
                return frames.FLOOD, b""
        if has_ended:
            return frames.ENDED, bytes(claims)
        if not is_open:
            time.sleep(0.001)


def _cpu_s(pid: int) -> float:
    """Processor time of a child, all its threads together (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)
