"""The client's end of a fork-server: starts it, has it fork children, hears how they ended.

Knows nothing of programs or verdicts.  A child's data channel and output pipe never pass through
the fork-server's memory.  Whatever breaks here is our side's fault: SandboxLost, or IsolationError
where the machine refuses a step of the confinement.
"""

import os
import select
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from proofloop.core.errors import IsolationError, SandboxLost
from proofloop.core.sandbox import Limits
from proofloop.core.verdict import Tier
from proofloop.sandbox import wire

START_DEADLINE_S = 20.0
ANSWER_DEADLINE_S = 20.0
"""How long the fork-server may take over its own work before it is given up."""
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
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control = ours
        # PYTHONHASHSEED needs -E and -I absent; the environment is ours alone instead.
        # Symbols bound at start are not bound again, page by page, in every child.
        env = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "LD_BIND_NOW": "1"}
        if "LD_LIBRARY_PATH" in os.environ:  # some interpreters need it to find libpython
            env["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        flags = ["-S", "-s", "-B", "-P", "-X", "utf8"]
        arguments = [str(_BOOT), str(theirs.fileno()), str(os.getpid()), tier.value]
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, *flags, *arguments],
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._await_start()

    def _await_start(self) -> None:
        try:
            report = self._report(time.monotonic() + START_DEADLINE_S)
        except SandboxLost as e:
            noise = self.close()
            raise SandboxLost(f"the fork-server did not start ({e}); it wrote: {noise}") from None
        if report[:1] == wire.FAILED:
            self.close()
            raise IsolationError(
                f"isolation tier {self.tier} cannot be had on this machine: "
                f"{report[1:].decode(errors='replace')}; `proofloop doctor` shows what can"
            )

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

    def reap_strays(self) -> None:
        self._order("R", 0)

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

    def close(self) -> str:
        """End it and all its children; returns what it last wrote to standard error."""
        self.control.close()
        self.process.kill()
        self.process.wait()
        noise = b""
        if self.process.stderr is not None:
            os.set_blocking(self.process.stderr.fileno(), False)
            noise = self.process.stderr.read() or b""
            self.process.stderr.close()
        return noise.decode(errors="replace").strip()[-300:]

    def disown(self) -> None:
        """In a forked copy of the owner: let go without touching the owner's server."""
        self.control.close()
        if self.process.stderr is not None:
            self.process.stderr.close()
        self.process.returncode = 0
