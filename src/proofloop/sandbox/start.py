"""Starting a server process of the sandbox, through the shell that its tier has around it.

The process gets a control socket (SEQPACKET), and over it, as the first message, a pidfd of its
owner: inside a pid namespace a number would name no one.  Where descriptors are inherited (T0 to
T2) the socket is; a container finds it in a folder that only we can enter.
"""

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from proofloop.core.errors import SandboxLost
from proofloop.core.verdict import Tier
from proofloop.sandbox import shells, wire
from proofloop.sandbox.descendants import descendants

START_DEADLINE_S = 20.0
_END_DEADLINE_S = 5.0
_ENGINE_DEADLINE_S = 20.0
_NO_IMAGE = ("no such image", "no such object", "image not known")
"""What docker and podman say of an image that they do not have."""
# -P and -S: nothing of the user's is imported.  PYTHONHASHSEED needs -E and -I absent; the
# environment is ours alone instead.
_FLAGS = ("-S", "-s", "-P", "-X", "utf8", *(["-B"] if sys.dont_write_bytecode else []))
# Compiling its own modules would leave a server 1 MB larger, which each of its forks pays for.


@dataclass(slots=True, kw_only=True)
class ServerProcess:
    """A started process, or the shell around it, and our end of its control socket."""

    tier: Tier
    control: socket.socket
    process: subprocess.Popen[bytes]
    container: tuple[str, str] | None = None
    """Engine and name, at T3."""
    _noise: bytes = field(default=b"", init=False)

    def end(self, patience_s: float = 0.0) -> str:
        """End it and all below it, once it had `patience_s` to end by itself; returns what it last
        wrote to standard error."""
        self.control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience_s)
        if self.container is not None:
            self._end_container(*self.container)
        elif self.tier is Tier.T2:  # killing bubblewrap would not kill what is inside
            for pid in descendants(self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        return self._last_words()

    def _end_container(self, engine: str, name: str) -> None:
        """It ends by itself when its control socket does, unless it is stopped or hangs."""
        try:
            self.process.wait(_END_DEADLINE_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    [engine, "rm", "--force", name],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=_ENGINE_DEADLINE_S,
                    check=False,
                )

    def _last_words(self) -> str:
        noise = b""
        if self.process.stderr is not None and not self.process.stderr.closed:
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


def start_server(
    tier: Tier, script: Path, arguments: Sequence[str] = (), *, shown: Sequence[str] = ()
) -> ServerProcess:
    """`script CONTROL TIER *arguments` in a process of its own, within the shell of `tier`.

    CONTROL is a descriptor's number or a socket's path.  `shown`: more paths to show, read-only.
    Raises IsolationError when the shell cannot be had, SandboxLost when a process cannot be
    started for now."""
    env = {"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "LD_BIND_NOW": "1"}
    # Symbols bound at start are not bound again, page by page, in every child.
    # Some interpreters need the first to find libpython; folders at T0 lie in the second.
    kept = ("LD_LIBRARY_PATH", "TMPDIR")
    env.update((name, os.environ[name]) for name in kept if name in os.environ)
    executable = sys.executable if tier.rank < 2 else shells.interpreter()
    python = [executable, *_FLAGS, str(script)]
    after = [tier.value, *arguments]
    try:
        owner = os.pidfd_open(os.getpid())
        try:
            if tier is Tier.T3:
                server = _start_container(env, shells.shown_paths(shown), python, after)
            else:
                shell = [] if tier.rank < 2 else shells.bubblewrap(env, shells.shown_paths(shown))
                server = _start_inheriting(tier, [*shell, *python], env, after)
            with contextlib.suppress(OSError):  # it is gone already, which its silence will tell
                socket.send_fds(server.control, [wire.OWNER], [owner])
        finally:
            os.close(owner)
    except OSError as e:
        raise SandboxLost(f"no server process can be started for now: {e}") from None
    return server


def _start_inheriting(
    tier: Tier, command: list[str], env: dict[str, str], after: list[str]
) -> ServerProcess:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            process = _popen([*command, str(theirs.fileno()), *after], env, theirs.fileno())
        except OSError:
            ours.close()
            raise
    return ServerProcess(tier=tier, control=ours, process=process)


def _start_container(
    env: dict[str, str], shown: list[str], python: list[str], after: list[str]
) -> ServerProcess:
    engine = shells.container_engine()[0]
    name = f"proofloop-{secrets.token_hex(6)}"
    folder = tempfile.mkdtemp(prefix="proofloop-")  # only we may enter it
    try:
        meeting = os.path.join(folder, "meeting")
        os.mkdir(meeting)
        os.chmod(meeting, 0o711)
        path = os.path.join(meeting, "socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(path)
            os.chmod(path, 0o666)
            listener.listen(1)
            listener.settimeout(0.05)
            shell = shells.container(env, shown, name=name, meeting_folder=meeting)
            inside = f"{shells.MEETING_POINT}/socket"
            process = _popen([*shell, *python, inside, *after], dict(os.environ))
            control = _await_caller(listener, process, engine, name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return ServerProcess(tier=Tier.T3, control=control, process=process, container=(engine, name))


def _await_caller(
    listener: socket.socket, process: subprocess.Popen[bytes], engine: str, name: str
) -> socket.socket:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(TimeoutError):
            caller, _ = listener.accept()
            caller.setblocking(True)
            return caller
    ours, theirs = socket.socketpair()
    theirs.close()
    unheard = ServerProcess(tier=Tier.T3, control=ours, process=process, container=(engine, name))
    has_ended = process.poll() is not None
    noise = unheard.end()
    raise shells.TierRefused(Tier.T3, _why_no_container(engine, noise, has_ended=has_ended))


def _why_no_container(engine: str, noise: str, *, has_ended: bool) -> str:
    last = noise.splitlines()[-1] if noise else "no message"
    if not has_ended:
        return f"the container did not call back in {START_DEADLINE_S:g} s ({last})"
    try:
        found = subprocess.run(
            [engine, "image", "inspect", shells.image()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ENGINE_DEADLINE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return f"{engine} does not answer ({last})"
    if found.returncode == 0:
        return f"{engine} could not start a container: {last}"
    complaint = found.stderr.decode(errors="replace").strip()
    if any(words in complaint.lower() for words in _NO_IMAGE):
        return shells.image_advice(engine)
    return f"{engine} cannot be used: {complaint.splitlines()[-1] if complaint else last}"


def _popen(command: list[str], env: dict[str, str], *fds: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=env,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=fds,
        start_new_session=True,
    )
