"""The client's end of a workspace: its keeper's channel, and the clocks and caps of commands."""

import contextlib
import os
import select
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from proofloop.core.errors import SandboxLost
from proofloop.core.sandbox import Command, Entry, Execution
from proofloop.core.verdict import Tier
from proofloop.sandbox import parcel
from proofloop.sandbox.command import CommandRun
from proofloop.sandbox.descendants import descendants
from proofloop.sandbox.server import ANSWER_DEADLINE_S, Server
from proofloop.sandbox.shells import TierRefused


class KeeperServer(Server):
    """The process that forks a keeper for each workspace."""

    role = "keeper"
    shown = ("/",)  # bases lie anywhere, and no untrusted program runs in a keeper itself
    patience_s = 15.0

    def __init__(self, tier: Tier) -> None:
        """Raises IsolationError, SandboxLost."""
        if tier is Tier.T3:
            raise TierRefused(tier, "workspaces are kept at T0 to T2, not in containers")
        super().__init__(tier)
        if self.measures is not Tier.T0:
            self._let_watchers_go_first()

    def _let_watchers_go_first(self) -> None:
        """Keepers, and the first processes that they fork, run before all ordinary ones.

        Root's processes the kernel does not count, so a fork bomb of root's ends when its watcher
        next looks; among hundreds of others that are ready to run an ordinary process waits a
        second for its turn, and by then they are thousands.  Others than root may not do this."""
        for pid in (self.pid, *descendants(self.pid)):
            with contextlib.suppress(OSError):
                os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(1))

    def open(self, base: Path | None, disk_bytes: int) -> "KeptWorkspace":
        """Raises SandboxLost."""
        self.num_spawned += 1
        try:
            ours, theirs = socket.socketpair()
        except OSError as e:
            raise SandboxLost(f"no channel to a keeper can be opened: {e}") from None
        words = {"base": None if base is None else str(base.resolve()), "disk_bytes": disk_bytes}
        try:
            socket.send_fds(self.control, [parcel.words(words)], [theirs.fileno()])
        except OSError as e:
            ours.close()
            raise self._lost(f"takes no orders: {e}") from None
        finally:
            theirs.close()
        workspace = KeptWorkspace(ours, self.tier)
        try:
            workspace.await_ready()
        except SandboxLost:
            self.is_lost = True
            raise
        return workspace


class KeptWorkspace:
    """A workspace and its keeper (`core.sandbox.Workspace`).  For one thread."""

    def __init__(self, channel: socket.socket, tier: Tier) -> None:
        self._tier = tier
        self._channel = channel
        self._receiver = parcel.Receiver(channel)
        self._is_lost = False
        self._owner = os.getpid()

    def __enter__(self) -> "KeptWorkspace":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def await_ready(self) -> None:
        """Raises SandboxLost unless the workspace stands."""
        try:
            self._answer()
        except SandboxLost:
            self.close()
            raise

    def write(self, path: str, data: bytes, *, executable: bool = False) -> None:
        self._ask({"do": "write", "path": path, "executable": executable}, data)

    def read(self, path: str, *, max_bytes: int) -> bytes | None:
        words, data = self._ask({"do": "read", "path": path, "max_bytes": max_bytes})
        return data if words["found"] else None

    def entries(self, *, max_entries: int) -> tuple[Entry, ...] | None:
        words, _ = self._ask({"do": "entries", "max_entries": max_entries})
        if words["entries"] is None:
            return None
        return tuple(
            Entry(
                path=path,
                kind=kind,
                size_bytes=size,
                is_executable=executable,
                modified_ns=modified_ns,
            )
            for path, kind, size, executable, modified_ns in words["entries"]
        )

    def run(self, command: Command) -> Execution:
        self._check()
        run = CommandRun(command, self._channel, self._receiver, self._tier)
        try:
            return run.run()
        except SandboxLost:
            self._is_lost = True
            raise
        finally:
            run.close()

    def close(self) -> None:
        """Returns when nothing of it is left, or its keeper takes too long over that."""
        self._is_lost = True
        if self._owner != os.getpid():  # in a forked copy, which has no say
            self._channel.close()
            return
        try:
            self._channel.settimeout(ANSWER_DEADLINE_S)
            self._channel.shutdown(socket.SHUT_WR)
            while self._channel.recv(65536):
                pass
        except OSError:  # closed already, or gone
            pass
        self._channel.close()

    def _ask(self, words: dict[str, Any], data: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Raises OSError as the keeper met it, or SandboxLost."""
        self._check()
        try:
            self._channel.settimeout(ANSWER_DEADLINE_S)
            self._channel.sendall(parcel.pack(words, data))
        except OSError as e:
            self._is_lost = True
            raise SandboxLost(f"the keeper takes no orders: {e}") from None
        answer, found = self._answer()
        if "errno" in answer:
            raise OSError(answer["errno"], os.strerror(answer["errno"]), answer["path"])
        return answer, found

    def _answer(self) -> tuple[dict[str, Any], bytes]:
        deadline = time.monotonic() + ANSWER_DEADLINE_S
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        try:
            while (taken := self._receiver.take()) is None:
                if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    raise SandboxLost("the keeper gave no answer in time")
                if not self._receiver.receive():
                    raise SandboxLost("the keeper is gone")
        except (OSError, SandboxLost) as e:
            self._is_lost = True
            raise SandboxLost(str(e)) from None
        if "failed" in taken[0]:
            self._is_lost = True
            raise SandboxLost(f"a workspace could not be made: {taken[0]['failed']}")
        return taken

    def _check(self) -> None:
        if self._is_lost:
            raise SandboxLost("the workspace is closed or lost")
