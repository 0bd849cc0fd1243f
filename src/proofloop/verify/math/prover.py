"""The trusted side's end of the worker: starts it when first asked, gives it up when it is late.

Each process of ours needs its own; a forked copy notices and starts afresh.  For one thread.
"""

import os
import select
import socket
import subprocess
import sys
import time

import msgspec

from proofloop.core.codec import from_msgpack, to_msgpack
from proofloop.core.errors import WorkerLost
from proofloop.core.record import Record
from proofloop.core.task import MathAnswer
from proofloop.verify.math.worker import MAX_MESSAGE_BYTES, Outcome, Question, Reply

START_DEADLINE_S = 60.0
"""SymPy takes half a second to load, more where everything else is busy."""
ANSWER_GRACE_S = 10.0
"""Beyond a question's own wall time: the worker's own work."""


class ProverLimits(Record):
    """What one question may cost."""

    cpu_s: int = 2
    wall_s: float = 20.0
    """Many times `cpu_s`: a busy machine is no fault of the answer."""
    memory_bytes: int = 1 << 30
    """Address space, libraries included."""


class Prover:
    """Answers questions by one worker process at a time."""

    def __init__(self, limits: ProverLimits | None = None) -> None:
        self._limits = limits or ProverLimits()
        self._owner = os.getpid()
        self._worker: tuple[subprocess.Popen[bytes], socket.socket] | None = None

    def ask(self, key: MathAnswer, text: str) -> Reply:
        """Raises WorkerLost where our side broke: it died, is late, or answers nonsense."""
        limits = self._limits
        question = Question(
            key=key,
            text=text,
            cpu_s=limits.cpu_s,
            wall_s=limits.wall_s,
            memory_bytes=limits.memory_bytes,
        )
        try:
            channel = self._current()
            channel.send(to_msgpack(question))
            reply = _receive(channel, limits.wall_s + ANSWER_GRACE_S)
        except (OSError, msgspec.DecodeError, WorkerLost) as e:
            self.close()
            raise WorkerLost(f"the worker that compares answers: {e}") from e
        if reply.outcome is Outcome.LOST:
            raise WorkerLost(f"a child of the worker that compares answers: {reply.detail}")
        return reply

    def _current(self) -> socket.socket:
        if self._owner != os.getpid():
            if self._worker is not None:
                self._worker[1].close()
                self._worker = None
            self._owner = os.getpid()
        if self._worker is None:
            self._worker = _started()
            if _receive(self._worker[1], START_DEADLINE_S).outcome is not Outcome.READY:
                raise WorkerLost("it did not start")
        return self._worker[1]

    def close(self) -> None:
        """End the worker; its children end with it."""
        if self._worker is None or self._owner != os.getpid():
            return
        process, channel = self._worker
        self._worker = None
        channel.close()
        process.kill()
        process.wait()


def _started() -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        path = os.pathsep.join(os.path.abspath(place) for place in sys.path if place)
        environment = {"PYTHONPATH": path, "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "0"}
        if "LD_LIBRARY_PATH" in os.environ:  # some interpreters need it to find libpython
            environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
        process = subprocess.Popen(
            [sys.executable, "-s", "-B", "-m", "proofloop.verify.math.worker",
             str(theirs.fileno())],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )  # fmt: skip
    return process, ours


def _receive(channel: socket.socket, within_s: float) -> Reply:
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    deadline = time.monotonic() + within_s
    if not poll.poll(max(0, int(1000 * (deadline - time.monotonic())))):
        raise WorkerLost(f"no answer in {within_s} s")
    data = channel.recv(MAX_MESSAGE_BYTES)
    if not data:
        raise WorkerLost("it died")
    return from_msgpack(data, Reply)
