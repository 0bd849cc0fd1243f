"""The worker process: holds SymPy, and forks a child for every question.

The process that lives on computes nothing of a model's: a child does, under its own processor and
memory limits, and ends after one answer.  So a bomb costs its limit, leaves nothing behind and
meets no neighbour.  The limits are the kernel's; the wall clock is this process's, and the one of
the trusted process around it.  Run as `python -m proofloop.verify.math.worker FD`.

It is no sandbox for programs: what the child evaluates is a tree of our own grammar.
"""

import gc
import os
import resource
import select
import signal
import socket
import sys
import time
from enum import StrEnum

import msgspec

from proofloop.core.codec import from_msgpack, to_msgpack
from proofloop.core.record import Record
from proofloop.core.task import MathAnswer

MAX_MESSAGE_BYTES = 1 << 16
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What a child never brings upon itself: its processor limit is announced by SIGXCPU."""


class Question(Record):
    key: MathAnswer
    text: str
    """The one final answer."""
    cpu_s: int
    wall_s: float
    memory_bytes: int


class Outcome(StrEnum):
    READY = "ready"
    EQUAL = "equal"
    WRONG = "wrong"
    UNREADABLE = "unreadable"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    CRASH = "crash"
    """The child died of what it computed: a stack overflow, a fault in a library."""
    LOST = "lost"
    """Something outside killed the child, or starved it: it only computes, so that wall time
    without processor time is the machine's doing."""
    BUG = "bug"
    """Our own code raised."""


class Reply(Record):
    outcome: Outcome
    detail: str = ""


def main(descriptor: int) -> None:
    from proofloop.verify.math import prove, symbolic

    assert prove
    channel = socket.socket(fileno=descriptor)
    symbolic.warm_up()
    gc.collect()
    gc.freeze()
    channel.send(to_msgpack(Reply(outcome=Outcome.READY)))
    while data := channel.recv(MAX_MESSAGE_BYTES):
        reply = _answered(from_msgpack(data, Question), channel)
        channel.send(to_msgpack(reply))


def _answered(question: Question, channel: socket.socket) -> Reply:
    start = time.monotonic()
    mine, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(mine)
            channel.close()
            os.write(theirs, to_msgpack(_computed(question)))
        finally:
            os._exit(0)
    os.close(theirs)
    try:
        data = _read(mine, start + question.wall_s)
    finally:
        os.close(mine)
        timed_out = _still_runs(pid, start + question.wall_s)
        os.kill(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
    if data:
        try:
            return from_msgpack(data, Reply)
        except msgspec.DecodeError:  # cut short by its end
            pass
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if timed_out and usage.ru_utime + usage.ru_stime < question.cpu_s / 2:
        problem = f"not half of {question.cpu_s} s of processor time in {question.wall_s} s"
        return Reply(outcome=Outcome.LOST, detail=f"a child got {problem}")
    if timed_out or number == signal.SIGXCPU:
        return Reply(outcome=Outcome.TIME_LIMIT, detail=f"over {question.cpu_s} s")
    if number in _FROM_OUTSIDE:
        return Reply(outcome=Outcome.LOST, detail=f"the child ended by signal {number}")
    return Reply(outcome=Outcome.CRASH, detail=f"signal {number}")


def _read(pipe: int, deadline: float) -> bytes:
    """Up to the pipe's end or the deadline."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    data = b""
    while len(data) < MAX_MESSAGE_BYTES:
        left_ms = int(1000 * (deadline - time.monotonic()))
        if left_ms <= 0 or not poll.poll(left_ms):
            return b""
        part = os.read(pipe, 4096)
        if not part:
            break
        data += part
    return data


def _still_runs(pid: int, deadline: float) -> bool:
    """Whether the deadline has passed and it has not ended by itself."""
    while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        if time.monotonic() >= deadline:
            return True
        time.sleep(0.001)
    return False


def _computed(question: Question) -> Reply:
    """In the child."""
    from proofloop.verify.math import prove
    from proofloop.verify.math.compare import Wrong
    from proofloop.verify.math.match import matched
    from proofloop.verify.math.tree import Unreadable

    resource.setrlimit(resource.RLIMIT_CPU, (question.cpu_s, question.cpu_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (question.memory_bytes, question.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        matched(question.key, question.text, prove.equal, prove.within)
        return Reply(outcome=Outcome.EQUAL)
    except Wrong as e:
        return Reply(outcome=Outcome.WRONG, detail=str(e))
    except Unreadable as e:
        return Reply(outcome=Outcome.UNREADABLE, detail=str(e))
    except MemoryError:
        return Reply(outcome=Outcome.MEMORY_LIMIT)
    except Exception as e:  # whatever it is, it is ours
        return Reply(outcome=Outcome.BUG, detail=f"{type(e).__name__}: {e}"[:500])


if __name__ == "__main__":
    main(int(sys.argv[1]))
