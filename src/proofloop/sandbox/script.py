"""A script's process: fed with standard input while its standard output is read, until it ends."""

import contextlib
import select

from proofloop.core.sandbox import Claim, ClaimKind, Ending, Execution, Script
from proofloop.sandbox import wire
from proofloop.sandbox.forkserver import ForkServer
from proofloop.sandbox.session import Session
from proofloop.sandbox.streams import Fed


class ScriptSession(Session):
    """Owns the child of one script; `close` always ends it.  Use as a context manager."""

    def __init__(self, server: ForkServer, script: Script) -> None:
        """Raises SandboxLost when the child cannot be confined and started."""
        super().__init__(server, script.limits, is_script=True)
        self._script = script
        assert self._child.stdin_fd is not None
        self._stdin = Fed(self._child.stdin_fd, script.stdin)

    def run(self) -> Execution:
        """Runs it to its end.  Raises SandboxLost."""
        self._handlers[self._stdin.fd] = self._feed
        self._feed()
        if self._script.decoys:
            self.queue(wire.DECOYS, self._script.decoys)
        self.queue(wire.SCRIPT, self._script.source.encode("utf-8", "surrogatepass"))
        raised: list[Claim] = []
        while (frame := self.receive((wire.RAISED,), 0)) is not None:
            if raised:
                self._end(Ending.PROTOCOL, "a second exception")
            raised.append(Claim(kind=ClaimKind.RAISED, data=frame[2]))
        self.close()
        return self.execution(tuple(raised))

    def close(self) -> None:
        super().close()
        self._stdin.close()

    def _feed(self) -> None:
        self._stdin.feed()
        if self._stdin.is_open:
            self._listening().register(self._stdin.fd, select.POLLOUT)
        else:
            with contextlib.suppress(KeyError):
                self._listening().unregister(self._stdin.fd)
