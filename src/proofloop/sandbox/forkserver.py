"""The client's end of a fork-server: starts it, has it fork children, hears how they ended.

Knows nothing of programs or verdicts.  A child's data channel and output pipe never pass through
the fork-server's memory.  Whatever breaks here is our side's fault: SandboxLost, or IsolationError
where the machine refuses a step of the confinement.
"""

import contextlib
import os
import select
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from proofloop.core.errors import SandboxLost
from proofloop.core.sandbox import Limits
from proofloop.core.verdict import Tier
from proofloop.sandbox import shells, wire
from proofloop.sandbox.descendants import descendants
from proofloop.sandbox.start import START_DEADLINE_S, start_server

ANSWER_DEADLINE_S = 20.0
"""How long the fork-server may take over its own work before it is given up."""
CLEARING_DEADLINE_S = 10.0
_BOOT = Path(__file__).with_name("boot.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a child ended, from the kernel."""

    status: int
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A forked child, as the client holds it; its descriptors are non-blocking."""

    number: int
    channel: socket.socket
    output_fd: int
    stdin_fd: int | None
    """The end to write to, where it is to run a script."""


class ForkServer:
    """One fork-server process and the children it has now."""

    def __init__(self, tier: Tier) -> None:
        """Raises IsolationError when the tier cannot be had, SandboxLost when it will not start."""
        self.tier = tier
        self.num_spawned = 0
        self.is_lost = False
        """Whether it has failed us in any way; it must then be replaced."""
        self._ended: dict[int, Ended] = {}
        self.server = start_server(tier, _BOOT)
        self.control = self.server.control
        self.measures = self._await_start()

    @property
    def pid(self) -> int:
        """Of the process that was started: the server, or what is around it."""
        return self.server.process.pid

    def _await_start(self) -> str:
        """What it says that it confined itself by: T0's or T1's measures."""
        try:
            report = self._report(time.monotonic() + START_DEADLINE_S)
        except SandboxLost as e:
            noise = self.close()
            if self.tier.rank > 1 and noise:  # the shell's words, for the server itself has none
                raise shells.refusal(self.tier, noise.splitlines()[-1]) from None
            raise SandboxLost(f"the fork-server did not start ({e}); it wrote: {noise}") from None
        if report[:1] == wire.FAILED:
            self.close()
            raise shells.refusal(self.tier, report[1:].decode(errors="replace"))
        return report[1:].decode()

    def spawn(self, limits: Limits, *, is_script: bool = False) -> Child:
        """Order a child.  Confinement is complete once its READY frame comes."""
        self.num_spawned += 1
        number = self.num_spawned
        ours, theirs = socket.socketpair()
        output_fd, output_end = os.pipe()
        stdin_end, stdin_fd = os.pipe() if is_script else (None, None)
        given = [theirs.fileno(), output_end, *([] if stdin_end is None else [stdin_end])]
        order = wire.SPAWN.pack(
            ord("S"),
            number,
            limits.memory_bytes,
            limits.cpu_s,
            limits.num_processes,
            limits.num_open_files,
            limits.result_bytes,
            0,
        )
        try:
            socket.send_fds(self.control, [order], given)
        except OSError as e:
            ours.close()
            for fd in (output_fd, stdin_fd):
                if fd is not None:
                    os.close(fd)
            raise self._lost(f"takes no orders: {e}") from None
        finally:
            theirs.close()
            for fd in given[1:]:
                os.close(fd)
        ours.setblocking(False)
        for fd in (output_fd, stdin_fd):
            if fd is not None:
                os.set_blocking(fd, False)
        return Child(number=number, channel=ours, output_fd=output_fd, stdin_fd=stdin_fd)

    def kill(self, child: Child) -> None:
        self._order("K", child.number)

    def _order(self, kind: str, number: int) -> None:
        try:
            self.control.send(wire.ORDER.pack(ord(kind), number))
        except OSError as e:
            raise self._lost(f"takes no orders: {e}") from None

    def ended(self, child: Child, *, deadline: float) -> Ended | None:
        """How `child` ended, or None at `deadline` (monotonic).  Raises SandboxLost."""
        while child.number not in self._ended:
            if not self._readable(deadline):
                return None
            self._take(self._report(deadline))
        return self._ended.pop(child.number)

    def _take(self, report: bytes) -> None:
        if len(report) == wire.ENDED.size and report[:1] == b"E":
            _, number, status, cpu_s, peak = wire.ENDED.unpack(report)
            self._ended[number] = Ended(status=status, cpu_s=cpu_s, peak_bytes=peak)
        else:
            reason = report[wire.REFUSED.size :].decode(errors="replace")
            raise self._lost(f"could not start a child: {reason}")

    def _readable(self, deadline: float) -> bool:
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))

    def _report(self, deadline: float) -> bytes:
        if not self._readable(deadline):
            raise self._lost("gave no answer in time")
        try:
            report = self.control.recv(4096)
        except OSError as e:
            raise self._lost(f"is gone: {e}") from None
        if not report:
            raise self._lost("is gone")
        return report

    def _lost(self, what: str) -> SandboxLost:
        self.is_lost = True
        return SandboxLost(f"the fork-server {what}")

    def clear_descendants(self) -> None:
        """Kill what a program left running where no pid namespace of its own did; raises
        SandboxLost if some of it will not die.  The caller has no other child running."""
        if self.measures == "T1":
            return
        if self.tier is not Tier.T0:  # in a container, out of our sight
            self._order("C", 0)
            return
        deadline = time.monotonic() + CLEARING_DEADLINE_S
        while living := descendants(self.pid):
            if time.monotonic() > deadline:
                raise self._lost(f"has {len(living)} processes that outlived their program")
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._order("R", 0)
            time.sleep(0.001)

    def close(self) -> str:
        """End it and all its children; returns what it last wrote to standard error."""
        return self.server.end()

    def disown(self) -> None:
        """In a forked copy of the owner: let go without touching the owner's server."""
        self.server.disown()
