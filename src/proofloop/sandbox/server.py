"""A server process of the sandbox, as the client holds it: started here, heard here, ended here.

Whatever breaks is our side's fault: SandboxLost, or IsolationError where the machine refuses a
step of the confinement.
"""

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path

from proofloop.core.errors import IsolationError, SandboxLost
from proofloop.core.verdict import Tier
from proofloop.sandbox import wire

START_DEADLINE_S = 20.0
ANSWER_DEADLINE_S = 20.0
"""How long a server may take over its own work before it is given up."""
_BOOT = Path(__file__).with_name("boot.py")


class Server:
    """One server process: `boot.py` running the module `role`."""

    role = ""
    """`zygote` (candidate programs) or `keeper` (workspaces)."""

    patience_s = 0.0
    """How long it may take to clean up behind itself before it is killed."""

    def __init__(self, tier: Tier) -> None:
        """Raises IsolationError when the tier cannot be had, SandboxLost when it will not start."""
        self.tier = tier
        self.num_spawned = 0
        self.is_lost = False
        """Whether it has failed us in any way; it must then be replaced."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control = ours
        # PYTHONHASHSEED needs -E and -I absent; the environment is ours alone instead.
        # Symbols bound at start are not bound again, page by page, in every child.
        env = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "LD_BIND_NOW": "1"}
        # Some interpreters need the first to find libpython; folders at T0 lie in the second.
        kept = ("LD_LIBRARY_PATH", "TMPDIR")
        env.update((name, os.environ[name]) for name in kept if name in os.environ)
        flags = ["-S", "-s", "-B", "-P", "-X", "utf8"]
        arguments = [str(_BOOT), str(theirs.fileno()), str(os.getpid()), tier.value, self.role]
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
            raise SandboxLost(f"the {self.role} did not start ({e}); it wrote: {noise}") from None
        if report[:1] == wire.FAILED:
            self.close()
            raise IsolationError(
                f"isolation tier {self.tier} cannot be had on this machine: "
                f"{report[1:].decode(errors='replace')}; `proofloop doctor` shows what can"
            )

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
        return SandboxLost(f"the {self.role} {what}")

    def close(self) -> str:
        """End it and all its children; returns what it last wrote to standard error."""
        self.control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(self.patience_s)
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
