"""The client's end of a fork-server: has it fork children, hears how they ended.

Knows nothing of programs or verdicts.  A child's data channel and output pipe never pass through
the fork-server's memory.  Whatever breaks here is our side's fault: SandboxLost, or IsolationError
where the machine refuses a step of the confinement.
"""

import contextlib
import os
import signal
import socket
import time
from dataclasses import dataclass

from proofloop.core.errors import SandboxLost
from proofloop.core.sandbox import Limits
from proofloop.core.verdict import Tier
from proofloop.sandbox import wire
from proofloop.sandbox.descendants import descendants
from proofloop.sandbox.server import Server

CLEARING_DEADLINE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a child ended, from the kernel."""

    status: int
    cpu_s: float
    peak_bytes: int
    was_stopped: bool
    """When it was to be killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A forked child, as the client holds it; its descriptors are non-blocking."""

    number: int
    channel: socket.socket
    output_fd: int
    stdin_fd: int | None
    """The end to write to, where it is to run a script."""


class ForkServer(Server):
    """One fork-server process and the children it has now."""

    role = "zygote"

    def __init__(self, tier: Tier) -> None:
        self._ended: dict[int, Ended] = {}
        super().__init__(tier)

    def spawn(self, limits: Limits, *, is_script: bool = False) -> Child:
        """Order a child.  Confinement is complete once its READY frame comes.

        Raises SandboxLost, also where we have no descriptors left; the server is none the worse
        for that."""
        ours: list[int] = []
        theirs: list[int] = []
        try:
            channel = _connection(ours, theirs)
            output_fd = _pipe(reader=ours, writer=theirs)[0]
            stdin_fd = _pipe(reader=theirs, writer=ours)[1] if is_script else None
            number = self._send_order(limits, theirs)
        except BaseException as e:
            _close(ours)
            if isinstance(e, OSError):
                raise SandboxLost(f"no channel to a child can be opened: {e}") from None
            raise
        finally:
            _close(theirs)
        if stdin_fd is not None:
            os.set_blocking(stdin_fd, False)
        return Child(
            number=number,
            channel=socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, channel),
            output_fd=output_fd,
            stdin_fd=stdin_fd,
        )

    def _send_order(self, limits: Limits, given: list[int]) -> int:
        self.num_spawned += 1
        order = wire.SPAWN.pack(
            ord("S"),
            self.num_spawned,
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
            raise self._lost(f"takes no orders: {e}") from None
        return self.num_spawned

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
            self._take(self._next_report())
        return self._ended.pop(child.number)

    def _take(self, report: bytes) -> None:
        if len(report) == wire.ENDED.size and report[:1] == b"E":
            _, number, status, cpu_s, peak, was_stopped = wire.ENDED.unpack(report)
            self._ended[number] = Ended(
                status=status, cpu_s=cpu_s, peak_bytes=peak, was_stopped=bool(was_stopped)
            )
        else:
            reason = report[wire.REFUSED.size :].decode(errors="replace")
            raise self._lost(f"could not start a child: {reason}")

    def clear_behind(self, limits: Limits) -> None:
        """Kill what a program left running, where its limits allowed any and no pid namespace of
        its own did it.  Raises SandboxLost if some of it will not die.  The caller has no other
        child running."""
        if limits.num_processes == 1 or self.measures is Tier.T1:
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


def _connection(ours: list[int], theirs: list[int]) -> int:
    """Our end of a pair of sockets that tells whose process writes into the other one."""
    our_end, their_end = socket.socketpair()
    our_end.setblocking(False)
    our_end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    ours.append(our_end.detach())
    theirs.append(their_end.detach())
    return ours[-1]


def _pipe(*, reader: list[int], writer: list[int]) -> tuple[int, int]:
    read_end, write_end = os.pipe()
    reader.append(read_end)
    writer.append(write_end)
    return read_end, write_end


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
