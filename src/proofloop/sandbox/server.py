"""A server process of the sandbox, as the client holds it: started, heard and ended from here.

Whatever breaks is our side's fault: SandboxLost, or IsolationError where the machine refuses a
step of the confinement.
"""

import select
import time
from pathlib import Path

from proofloop.core.errors import SandboxLost
from proofloop.core.verdict import Tier
from proofloop.sandbox import shells, wire
from proofloop.sandbox.start import START_DEADLINE_S, start_server

ANSWER_DEADLINE_S = 20.0
"""How long a server may take over its own work before it is given up."""
_BOOT = Path(__file__).with_name("boot.py")


class Server:
    """One server process: `boot.py` running the module `role`."""

    role = ""
    """`zygote` (candidate programs) or `keeper` (workspaces)."""
    shown: tuple[str, ...] = ()
    """What it needs to see beyond system, interpreter and our source, where a shell hides it."""
    patience_s = 0.0
    """How long it may take to clean up behind itself before it is killed."""

    def __init__(self, tier: Tier) -> None:
        """Raises IsolationError when the tier cannot be had, SandboxLost when it will not start."""
        self.tier = tier
        self.num_spawned = 0
        self.is_lost = False
        """Whether it has failed us in any way; it must then be replaced."""
        self._process = start_server(tier, _BOOT, [self.role], shown=self.shown)
        self.control = self._process.control
        self._poll = select.poll()
        self._poll.register(self.control, select.POLLIN)
        self.measures = self._await_start()

    @property
    def pid(self) -> int:
        """Of the process that was started: the server, or what is around it."""
        return self._process.process.pid

    def _await_start(self) -> Tier:
        """By whose measures it confined itself: T0's or T1's."""
        try:
            report = self._report(time.monotonic() + START_DEADLINE_S)
        except SandboxLost as e:
            noise = self.close()
            if self.tier.rank > 1 and noise:  # the shell's words, for the server itself has none
                raise shells.TierRefused(self.tier, noise.splitlines()[-1]) from None
            raise SandboxLost(f"the {self.role} did not start ({e}); it wrote: {noise}") from None
        if report[:1] == wire.FAILED:
            self.close()
            raise shells.TierRefused(self.tier, report[1:].decode(errors="replace"))
        return Tier(report[1:].decode())

    def _readable(self, deadline: float) -> bool:
        return bool(self._poll.poll(max(0.0, deadline - time.monotonic()) * 1000))

    def _report(self, deadline: float) -> bytes:
        if not self._readable(deadline):
            raise self._lost("gave no answer in time")
        return self._next_report()

    def _next_report(self) -> bytes:
        """Of a readable channel."""
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
        return self._process.end(self.patience_s)

    def disown(self) -> None:
        """In a forked copy of the owner: let go without touching the owner's server."""
        self._process.disown()
