"""A conversation with one candidate's process: frames out, claims in, clocks and caps held here.

Everything read is counted before it is kept: frames that are not in the protocol, too long, or
for another call end the process.  Wall time runs only while the session waits on the process, so
a candidate is not charged for the trusted side's thinking.
"""

import contextlib
import select
import socket
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Self

from proofloop.core import value
from proofloop.core.errors import SandboxLost
from proofloop.core.sandbox import Call, Claim, ClaimKind, Ending, Execution, Limits
from proofloop.sandbox import wire
from proofloop.sandbox.fate import check_not_stopped, fate_of
from proofloop.sandbox.forkserver import Ended, ForkServer
from proofloop.sandbox.patience import Patience
from proofloop.sandbox.server import ANSWER_DEADLINE_S
from proofloop.sandbox.streams import Capped

_CLAIM_KINDS = {
    wire.RETURNED: ClaimKind.RETURNED,
    wire.RAISED: ClaimKind.RAISED,
    wire.UNDEFINED: ClaimKind.UNDEFINED,
    wire.UNENCODABLE: ClaimKind.UNENCODABLE,
}
_EXIT_GRACE_S = 0.25
"""From the channel's end to the report of the exit; after that, it was closed on purpose."""

_MOST_UNREAD_BYTES = 16 << 20  # more than any socket holds: someone else still writes

Frame = tuple[int, int, bytes]


_GATHER_S = 5e-5
"""While more than one claim is due: a nap lets several come at once, for each wake-up costs."""
_REST_S = 0.02
"""More than most programs take from fork to end."""


@lru_cache(maxsize=256)  # the same calls for every answer to one question
def _frames_of(calls: tuple[Call, ...]) -> bytes:
    plain = [(call.function, call.keep_as, value.decode(call.args)) for call in calls]
    return wire.frame(wire.CALLS, 0, wire.calls_payload(plain))


class Session:
    """Owns one child; `close` always ends it.  Use as a context manager."""

    def __init__(self, server: ForkServer, limits: Limits, *, is_script: bool = False) -> None:
        """Raises SandboxLost when the child cannot be confined and started."""
        self._server = server
        self._limits = limits
        self._most_bytes = max(limits.result_bytes, wire.MAX_NAME_BYTES)
        self._unsent = bytearray()
        self._received = bytearray()
        self._patience = Patience(limits.wall_s)
        self._ending: Ending | None = None
        self._detail = ""
        self._exit_status: int | None = None
        self._ended: Ended | None = None
        """Known before `_ending` where some of its words are still unread."""
        self._is_ready = False
        self._is_confined = False
        """By its own READY, which it says before anything of the program runs."""
        self._pid = 0
        self._child = server.spawn(limits, is_script=is_script)
        self._output = Capped(self._child.output_fd, limits.output_bytes)
        self._handlers: dict[int, Callable[[], None]] = {
            self._child.output_fd: self._read_output,
            server.control.fileno(): self._hear_server,
            self._child.channel.fileno(): self._read_channel,
        }
        self._channel_events = select.POLLIN
        self._poll: select.poll | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def ending(self) -> Ending | None:
        """How the process ended; None while it lives."""
        return self._ending

    @property
    def detail(self) -> str:
        """One line on the ending."""
        return self._detail

    @property
    def used_up_cpu(self) -> bool:
        """Whether it ended by its processor's time rather than by the wall's."""
        return self._ended is not None and self._ended.cpu_s >= self._limits.cpu_s / 2

    def load(self, source: str) -> None:
        """Queue the program's source; `receive` then gives LOADED or LOAD_FAILED."""
        self._unsent += wire.frame(wire.SOURCE, 0, source.encode("utf-8", "surrogatepass"))

    def queue_call(self, index: int, call: Call) -> None:
        payload = wire.call_payload(call.function, call.args, call.keep_as)
        self._unsent += wire.frame(wire.CALL, index, payload)

    def queue_calls(self, calls: tuple[Call, ...]) -> None:
        """All at once, with the indices 0, 1, …"""
        self._unsent += _frames_of(calls)

    def queue(self, kind: int, payload: bytes) -> None:
        self._unsent += wire.frame(kind, 0, payload)

    def leave(self) -> None:
        """Queue the order to end, once all that was queued before is done; then `rest`."""
        self.queue(wire.LEAVE, b"")

    def rest(self) -> None:
        """Wait a little for nothing but the end of a process that was told to leave.

        Most are through within a few milliseconds, and all that they said can be heard at once
        afterwards, where listening to each word would wake us for each."""
        self._send()
        if not self._unsent:
            start = time.monotonic()
            rest_s = min(_REST_S, self._limits.wall_s)
            ended = self._server.ended(self._child, deadline=start + rest_s)
            self._patience.waited_s += time.monotonic() - start
            if ended is not None:
                self._bury(ended)

    def await_ready(self) -> None:
        """Raises SandboxLost unless the child reports that its confinement is complete."""
        self._is_ready = True
        frame = self._wait(ANSWER_DEADLINE_S)
        if frame is None or frame[0] != wire.READY:
            detail = frame[2].decode(errors="replace") if frame else self._detail or "no answer"
            self._server.is_lost = True
            raise SandboxLost(f"a child could not be confined: {detail}")
        self._is_confined = True
        self._read_output()

    def receive(self, kinds: tuple[int, ...], index: int) -> Frame | None:
        """The next frame, which must be of one of `kinds` and for call `index`; None when the
        process has ended instead (see `ending`).  Raises SandboxLost."""
        if not self._is_ready:
            self.await_ready()
        start = time.monotonic()
        frame = self._wait(self._patience.left_s)
        self._patience.waited_s += time.monotonic() - start
        if frame is not None and (frame[0] not in kinds or frame[1] != index):
            self._end(Ending.PROTOCOL, "a frame out of turn")
            return None
        return frame

    def receive_claim(self, index: int) -> Claim | None:
        """The claim for call `index`; None when the process has ended instead."""
        frame = self.receive(tuple(_CLAIM_KINDS), index)
        return None if frame is None else Claim(kind=_CLAIM_KINDS[frame[0]], data=frame[2])

    def receive_claims(self, num: int) -> list[Claim]:
        """Of the calls 0, 1, … that were queued; fewer where the process has ended before."""
        claims: list[Claim] = []
        while len(claims) < num:
            self._take_claims(claims, num)
            if len(claims) == num:
                break
            if not self._received and self._ended is None and len(claims) + 1 < num:
                time.sleep(_GATHER_S)
                self._patience.waited_s += _GATHER_S
            claim = self.receive_claim(len(claims))
            if claim is None:
                break
            claims.append(claim)
        return claims

    def _take_claims(self, claims: list[Claim], num: int) -> None:
        """As many of the next ones as are here; what is no claim in its turn is left."""
        if not self._is_ready:
            return
        data, at, header = bytes(self._received), 0, wire.HEADER
        while len(claims) < num and len(data) - at >= header.size:
            size, kind, index = header.unpack_from(data, at)
            start = at + header.size
            if (
                kind not in _CLAIM_KINDS
                or index != len(claims)
                or size > self._most_bytes
                or start + size > len(data)
            ):
                break
            at = start + size
            claims.append(Claim(kind=_CLAIM_KINDS[kind], data=data[start:at]))
        del self._received[:at]

    def call(self, index: int, call: Call) -> Claim | None:
        """One request, one claim."""
        self.queue_call(index, call)
        return self.receive_claim(index)

    def start(self, source: str) -> bool:
        """Load `source` and wait until it is loaded; False: it ended instead (see `ending`)."""
        self.load(source)
        return self.await_loaded()

    def await_loaded(self) -> bool:
        frame = self.receive((wire.LOADED, wire.LOAD_FAILED), 0)
        if frame is not None and frame[0] == wire.LOAD_FAILED:
            self._end(Ending.LOAD_FAILED, frame[2].decode("utf-8", "replace"))
        return self._ending is None

    def close(self) -> None:
        """Kill the process if it lives, with all that it started, and collect it.

        A lost fork-server is not asked: replacing it ends all its children."""
        try:
            if self._ended is None and not self._server.is_lost:
                self._end(self._ending or Ending.COMPLETED, self._detail)
            self._read_output()
        finally:
            self._child.channel.close()
            self._output.close()

    def execution(self, claims: tuple[Claim, ...]) -> Execution:
        """What happened; call after `close`."""
        return Execution(
            ending=self._ending or Ending.COMPLETED,
            claims=claims,
            output=bytes(self._output.data),
            detail=self._detail,
            wall_s=self._patience.waited_s,
            cpu_s=self._ended.cpu_s if self._ended else 0.0,
            tier=self._server.tier,
            exit_status=self._exit_status,
        )

    # --- waiting ---

    def _wait(self, patience_s: float) -> Frame | None:
        """The next whole frame within `patience_s`, or None with `ending` set."""
        deadline = time.monotonic() + patience_s
        while (frame := self._take_frame()) is None and self._ending is None:
            if self._ended is not None:
                self._conclude(self._ended)
                break
            self._send()
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                more_s = self._patience.extend(self._pid)
                if more_s > 0:
                    deadline += more_s
                    continue
                self._end(Ending.TIME_LIMIT, f"no answer within {self._limits.wall_s:g} s")
                break
            self._serve_events(left_s)
        return frame

    def _listening(self) -> select.poll:
        """Made when there is something to wait for, which for many a process there never is."""
        if self._poll is None:
            self._poll = select.poll()
            for fd in self._handlers:
                self._poll.register(fd, select.POLLIN)
        return self._poll

    def _serve_events(self, left_s: float) -> None:
        for fd, _ in self._listening().poll(left_s * 1000 + 1):
            if self._ending is not None or self._ended is not None:
                return
            self._handlers[fd]()

    def _hear_server(self) -> None:
        ended = self._server.ended(self._child, deadline=0.0)
        if ended is not None:
            self._bury(ended)

    def _bury(self, ended: Ended) -> None:
        """It ended by itself, having said what it had to say."""
        self._ended = ended
        self._read_rest()
        self._server.clear_behind(self._limits)

    def _read_rest(self) -> None:
        """What the kernel still holds of its words: news of its end may overtake them."""
        with contextlib.suppress(OSError):
            while data := self._child.channel.recv(65536, socket.MSG_DONTWAIT):
                self._received += data
                if len(self._received) > _MOST_UNREAD_BYTES:
                    return

    def _send(self) -> None:
        if self._unsent:
            try:
                sent = self._child.channel.send(self._unsent)
                del self._unsent[:sent]
            except BlockingIOError:
                pass
            except OSError:  # gone, which the read side reports
                self._unsent.clear()
        events = select.POLLIN | (select.POLLOUT if self._unsent else 0)
        if events != self._channel_events:
            self._channel_events = events
            self._listening().modify(self._child.channel, events)

    def _read_channel(self) -> None:
        try:
            data = self._child.channel.recv(65536) if self._pid else self._meet()
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._received += data
            return
        ended = self._server.ended(self._child, deadline=time.monotonic() + _EXIT_GRACE_S)
        if ended is None:
            self._end(Ending.PROTOCOL, "it closed its channel")
        else:
            self._bury(ended)

    def _meet(self) -> bytes:
        """Its first words, and by the kernel's word its process id as we see it (0: we do not)."""
        data, ancillary, _, _ = self._child.channel.recvmsg(65536, socket.CMSG_SPACE(12))
        if ancillary:
            self._pid = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
        return data

    def _take_frame(self) -> Frame | None:
        header = wire.HEADER
        if len(self._received) < header.size:
            return None
        size, kind, index = header.unpack_from(self._received)
        if size > self._most_bytes:
            self._end(Ending.PROTOCOL, "a frame over the size limit")
            return None
        end = header.size + size
        if len(self._received) < end:
            return None
        payload = bytes(self._received[header.size : end])
        del self._received[:end]
        return kind, index, payload

    def _read_output(self) -> None:
        """Take what is there; past the cap, end the process while it lives."""
        if not self._output.is_open or not self._is_confined:  # READY waits to be read first
            return
        self._output.read()
        if not self._output.is_open:
            del self._handlers[self._output.fd]
            if self._poll is not None:
                self._poll.unregister(self._output.fd)
        if self._output.is_over:
            most = self._limits.output_bytes
            self._end(Ending.OUTPUT_LIMIT, f"more than {most} bytes of output")

    # --- ending ---

    def _end(self, ending: Ending, detail: str) -> None:
        """Kill it for a reason of ours, unless it ended before that on its own."""
        self._ending = ending
        self._detail = detail
        self._received.clear()
        if self._ended is None and not self._server.is_lost:
            self._server.kill(self._child)
            deadline = time.monotonic() + ANSWER_DEADLINE_S
            self._ended = self._server.ended(self._child, deadline=deadline)
            if self._ended is None:
                self._server.is_lost = True
                raise SandboxLost("a killed process was not collected in time")
            self._server.clear_behind(self._limits)
            if ending is not Ending.COMPLETED:
                check_not_stopped(self._ended)

    def _conclude(self, ended: Ended) -> None:
        """It ended before its time: say how, from the kernel's words alone."""
        self._ending, self._detail, self._exit_status = fate_of(ended, self._limits)
