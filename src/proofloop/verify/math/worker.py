"""The worker process: holds SymPy, and forks children that compute.

The process that lives on computes nothing of a model's: a child does, under processor and memory
limits that are each question's own.  A bomb costs its limit and takes the child along.  A child
answers many questions, since a fork costs ten times an easy one; between two of them it forgets
what could matter (`_forget`), and whatever else than a comparison comes of one, a used child is not
believed: a new one is asked again.  The limits are the kernel's; the wall clock is this process's,
and the one of the trusted process around it.  Run as `python -m proofloop.verify.math.worker FD`.

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
MAX_QUESTIONS = 200
"""Of one child."""
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What a child never brings upon itself: its processor limits are announced by other ones."""


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


class Computed(Record):
    """What a child sends."""

    reply: Reply
    cpu_s: float
    """Of the child, since it began."""


def main(descriptor: int) -> None:
    from proofloop.verify.math import prove, symbolic

    assert prove
    channel = socket.socket(fileno=descriptor)
    symbolic.warm_up()
    gc.collect()
    gc.freeze()
    channel.send(to_msgpack(Reply(outcome=Outcome.READY)))
    children = Children(channel)
    while data := channel.recv(MAX_MESSAGE_BYTES):
        channel.send(to_msgpack(children.ask(from_msgpack(data, Question))))


class Children:
    """One at a time, forked when there is none."""

    def __init__(self, *closed: socket.socket) -> None:
        """`closed`: what no child is to hold."""
        self._closed = closed
        self._child: Child | None = None

    def ask(self, question: Question) -> Reply:
        if self._child is not None and not self._child.is_there():
            self._end()
        is_new = self._child is None
        reply = self._asked(question)
        is_certain = reply.outcome in _COMPARED or reply.outcome in (
            Outcome.TIME_LIMIT,
            Outcome.LOST,
        )
        return reply if is_new or is_certain else self._asked(question)

    def _asked(self, question: Question) -> Reply:
        if self._child is None:
            self._child = Child(*self._closed)
        reply = self._child.ask(question)
        if reply.outcome not in _COMPARED or self._child.num_asked >= MAX_QUESTIONS:
            self._end()
        return reply

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


_COMPARED = (Outcome.EQUAL, Outcome.WRONG, Outcome.UNREADABLE)


class Child:
    """A process that computes."""

    def __init__(self, *closed: socket.socket) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.num_asked = 0
        self._cpu_s = 0.0
        self._has_ended = False
        self._pid = os.fork()
        if not self._pid:
            try:
                for one in (self._channel, *closed):
                    one.close()
                _serve(theirs)
            finally:
                os._exit(0)
        theirs.close()

    def is_there(self) -> bool:
        """Whether it could be asked; it may have been killed since."""
        ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._pid, ended) is None

    def ask(self, question: Question) -> Reply:
        self.num_asked += 1
        deadline = time.monotonic() + question.wall_s
        try:
            self._channel.send(to_msgpack(question))
            computed = from_msgpack(self._received(deadline), Computed)
        except (OSError, msgspec.DecodeError):  # it ended, or is late
            return self._ending(question, deadline)
        self._cpu_s = computed.cpu_s
        return computed.reply

    def _received(self, deadline: float) -> bytes:
        """Empty at its end or after the deadline."""
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        left_ms = max(0, int(1000 * (deadline - time.monotonic())))
        return self._channel.recv(MAX_MESSAGE_BYTES) if poll.poll(left_ms) else b""

    def _ending(self, question: Question, deadline: float) -> Reply:
        """Why there was no answer."""
        while not (timed_out := time.monotonic() >= deadline) and self.is_there():
            time.sleep(0.001)
        os.kill(self._pid, signal.SIGKILL)
        _, status, usage = os.wait4(self._pid, 0)
        self._has_ended = True
        cpu_s = usage.ru_utime + usage.ru_stime - self._cpu_s
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        if number in (signal.SIGPROF, signal.SIGXCPU):
            return Reply(outcome=Outcome.TIME_LIMIT, detail=f"over {question.cpu_s} s")
        if timed_out and cpu_s < question.cpu_s / 2:
            problem = f"not half of {question.cpu_s} s of processor time in {question.wall_s} s"
            return Reply(outcome=Outcome.LOST, detail=f"a child got {problem}")
        if timed_out:
            return Reply(outcome=Outcome.TIME_LIMIT, detail=f"over {question.wall_s} s")
        if number in _FROM_OUTSIDE:
            return Reply(outcome=Outcome.LOST, detail=f"the child ended by signal {number}")
        return Reply(outcome=Outcome.CRASH, detail=f"signal {number}")

    def end(self) -> None:
        self._channel.close()
        if not self._has_ended:
            os.kill(self._pid, signal.SIGKILL)
            os.wait4(self._pid, 0)


def _serve(channel: socket.socket) -> None:
    """In the child, until nobody asks any more."""
    _limit(resource.RLIMIT_CORE, 0)
    while data := channel.recv(MAX_MESSAGE_BYTES):
        question = from_msgpack(data, Question)
        _forget()
        used_s = int(time.process_time())
        # A backstop for the timer, which is exact.
        _limit(resource.RLIMIT_CPU, used_s + question.cpu_s + 2)
        _limit(resource.RLIMIT_AS, question.memory_bytes)
        signal.setitimer(signal.ITIMER_PROF, question.cpu_s)
        reply = _computed(question)
        signal.setitimer(signal.ITIMER_PROF, 0)
        _limit(resource.RLIMIT_AS, None)
        channel.send(to_msgpack(Computed(reply=reply, cpu_s=time.process_time())))


def _limit(what: int, number: int | None) -> None:
    """As far as the machine's own limit lets it; None: up to that."""
    most = resource.getrlimit(what)[1]
    is_free = most == resource.RLIM_INFINITY
    soft = most if number is None else number if is_free else min(number, most)
    resource.setrlimit(what, (soft, most))


def _forget() -> None:
    """What a question before may have left: SymPy's cache and chance, mpmath's precision."""
    import mpmath
    from sympy.core.cache import clear_cache
    from sympy.core.random import seed

    clear_cache()
    seed(0)
    mpmath.mp.dps = mpmath.iv.dps = 15


def _computed(question: Question) -> Reply:
    """In the child."""
    from proofloop.verify.math import prove
    from proofloop.verify.math.compare import Wrong
    from proofloop.verify.math.match import matched
    from proofloop.verify.math.tree import Unreadable

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
