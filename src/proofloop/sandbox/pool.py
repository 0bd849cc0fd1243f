"""The sandbox that the rest of Proofloop uses: one fork-server at a time, recycled and restarted.

Each process of ours needs its own; a forked copy notices and starts afresh.  A lost fork-server
fails the run at hand (SandboxLost) and the next run gets a new one.
"""

import contextlib
import os
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from proofloop.core.errors import IsolationError, SandboxLost
from proofloop.core.sandbox import Claim, Execution, Limits, Program, Script
from proofloop.core.verdict import Tier
from proofloop.sandbox import wire
from proofloop.sandbox.forkserver import ForkServer
from proofloop.sandbox.script import ScriptSession
from proofloop.sandbox.server import Server
from proofloop.sandbox.session import Session
from proofloop.sandbox.workspace import KeeperServer, KeptWorkspace

MAX_FORKS = 20_000
"""Children of one fork-server before it is replaced."""


SessionT = TypeVar("SessionT", bound=Session)
ServerT = TypeVar("ServerT", bound=Server)


class ForkServerSandbox:
    """Runs candidate programs, each in a confined process of its own (`core.sandbox.Sandbox`).

    For one thread of one process."""

    def __init__(self, tier: Tier) -> None:
        """Raises IsolationError when this machine cannot give `tier`."""
        self._tier = tier
        self._owner = os.getpid()
        self._server: ForkServer | None = None
        with contextlib.suppress(SandboxLost):  # what is lost for now is tried again with a run
            self._server = ForkServer(tier)
        self._keepers: KeeperServer | None = None

    @property
    def tier(self) -> Tier:
        return self._tier

    @property
    def measures(self) -> Tier:
        """What confines a program inside the tier's shell: T0's or T1's measures.  Raises
        SandboxLost."""
        return self._current().measures

    def __enter__(self) -> "ForkServerSandbox":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, program: Program) -> Execution:
        """All calls in one batch, then those to come after.  Raises SandboxLost when our side
        broke."""
        claims: list[Claim] = []
        _check_supported(program.limits)
        with Session(self._current(), program.limits) as session:
            if program.decoys:
                session.queue(wire.DECOYS, program.decoys)
            session.load(program.source)
            session.queue_calls(program.calls)
            if not program.after:
                session.leave()
                session.rest()
            if session.await_loaded():
                claims = session.receive_claims(len(program.calls))
                if program.after and session.ending is None:
                    session.queue_calls(program.after)
                    claims += session.receive_claims(len(program.after))
        return session.execution(tuple(claims))

    def run_script(self, script: Script) -> Execution:
        """Raises SandboxLost when our side broke."""
        _check_supported(script.limits)
        with _ready(ScriptSession(self._current(), script)) as session:
            return session.run()

    def open_session(self, limits: Limits) -> Session:
        """A confined process that waits for its source.  Raises SandboxLost."""
        _check_supported(limits)
        return _ready(Session(self._current(), limits))

    def open_workspace(
        self, base: Path | None = None, *, disk_bytes: int = 256 * 1024 * 1024
    ) -> KeptWorkspace:
        """Raises SandboxLost."""
        self._disown_inherited()
        try:
            if self._keepers is None:
                self._keepers = KeeperServer(self._tier)
            elif self._keepers.is_lost:
                self._keepers.close()
                self._keepers = _replaced(KeeperServer, self._tier)
        except SandboxLost:
            self._keepers = None
            raise
        return self._keepers.open(base, disk_bytes)

    def _disown_inherited(self) -> None:
        if self._owner != os.getpid():
            for server in (self._server, self._keepers):
                if server is not None:
                    server.disown()
            self._server = self._keepers = None
            self._owner = os.getpid()

    def _current(self) -> ForkServer:
        self._disown_inherited()
        if self._server is not None and (
            self._server.is_lost or self._server.num_spawned >= MAX_FORKS
        ):
            self._drop()
        if self._server is None:
            self._server = _replaced(ForkServer, self._tier)
        return self._server

    def _drop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        if self._owner == os.getpid():
            self._drop()
            if self._keepers is not None:
                self._keepers.close()
                self._keepers = None


def _replaced(kind: type[ServerT], tier: Tier) -> ServerT:
    """Raises SandboxLost where the tier is refused: it could be had before, and may be again."""
    try:
        return kind(tier)
    except IsolationError as e:
        raise SandboxLost(f"a server cannot be replaced for now: {e}") from None


def _check_supported(limits: Limits) -> None:
    if limits.file_bytes:
        raise IsolationError("this sandbox has no writable files: `file_bytes` must be 0")


def _ready(session: SessionT) -> SessionT:
    """Once its process is confined.  Raises SandboxLost, and then it is closed."""
    try:
        session.await_ready()
    except BaseException:
        session.close()
        raise
    return session
