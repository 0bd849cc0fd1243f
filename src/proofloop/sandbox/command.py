"""One command in a workspace, from the client's side: its pipes, its wall clock, its ending."""

import os
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from proofloop.core.errors import SandboxLost
from proofloop.core.sandbox import Command, Ending, Execution, Policy
from proofloop.core.verdict import Tier
from proofloop.sandbox import parcel
from proofloop.sandbox.order import Order
from proofloop.sandbox.server import ANSWER_DEADLINE_S
from proofloop.sandbox.streams import Capped, Fed

_NOT_SHOWN = ("/workspace", "/proc", "/sys", "/dev")


class CommandRun:
    """Runs it once; `close` lets go of its pipes.  Whoever gave the channel owns it."""

    def __init__(
        self, command: Command, channel: socket.socket, receiver: parcel.Receiver, tier: Tier
    ) -> None:
        """Raises SandboxLost when the keeper takes no orders, ValueError for what cannot be shown
        (before anything has happened)."""
        if not command.argv:
            raise ValueError("Command.argv: nothing to run")
        _check(command.policy)
        self._command = command
        self._limits = command.policy.limits
        self._channel, self._receiver, self._tier = channel, receiver, tier
        self._killed: tuple[Ending, str] | None = None
        self._result: dict[str, Any] | None = None
        given = self._open_pipes()
        try:
            channel.settimeout(ANSWER_DEADLINE_S)
            data = parcel.pack({"do": "run", **_order(command)._asdict()})
            sent = socket.send_fds(channel, [data], given)
            channel.sendall(data[sent:])
        except OSError as e:
            self.close()
            raise SandboxLost(f"the keeper takes no orders: {e}") from None
        finally:
            for fd in given:
                os.close(fd)

    def _open_pipes(self) -> list[int]:
        stdin_end, stdin_fd = os.pipe()
        self._stdin = Fed(stdin_fd, self._command.stdin)
        given = [stdin_end]
        self._outputs: list[Capped] = []
        most = self._limits.output_bytes
        for cap in (
            most,
            most,
            *([self._limits.result_bytes] if self._command.with_report else []),
        ):
            fd, end = os.pipe()
            self._outputs.append(Capped(fd, cap))
            given.append(end)
        return given

    def run(self) -> Execution:
        """To its end.  Raises SandboxLost."""
        start = time.monotonic()
        deadline = start + self._limits.wall_s
        poll = select.poll()
        handlers: dict[int, Callable[[], None]] = {self._channel.fileno(): self._hear}
        for output in self._outputs:
            handlers[output.fd] = output.read
        for fd in handlers:
            poll.register(fd, select.POLLIN)
        self._stdin.feed()
        if self._stdin.is_open:
            handlers[self._stdin.fd] = self._stdin.feed
            poll.register(self._stdin.fd, select.POLLOUT)
        while self._result is None:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                if self._killed is not None:
                    raise SandboxLost("a killed command was not collected in time")
                self._kill(Ending.TIME_LIMIT, f"not done within {self._limits.wall_s:g} s")
                deadline = time.monotonic() + ANSWER_DEADLINE_S
                continue
            for fd, _ in poll.poll(left_s * 1000 + 1):
                handlers[fd]()
            for end in (*self._outputs, self._stdin):
                if not end.is_open and end.fd in handlers:
                    del handlers[end.fd]
                    poll.unregister(end.fd)
            if self._killed is None and any(output.is_over for output in self._outputs):
                self._kill(Ending.OUTPUT_LIMIT, "more output than it may write")
                deadline = time.monotonic() + ANSWER_DEADLINE_S
        for output in self._outputs:
            output.read()
        return self._execution(time.monotonic() - start)

    def close(self) -> None:
        for end in (*self._outputs, self._stdin):
            end.close()

    def _hear(self) -> None:
        try:
            is_open = self._receiver.receive()
        except OSError:
            is_open = False
        if not is_open:
            raise SandboxLost("the keeper is gone")
        taken = self._receiver.take()
        if taken is not None:
            self._result = taken[0]
            if "failed" in self._result:
                raise SandboxLost(f"a command could not be confined: {self._result['failed']}")

    def _kill(self, ending: Ending, detail: str) -> None:
        self._killed = ending, detail
        try:
            self._channel.sendall(parcel.pack({"do": "kill"}))
        except OSError as e:
            raise SandboxLost(f"the keeper takes no orders: {e}") from None

    def _execution(self, wall_s: float) -> Execution:
        assert self._result is not None
        ending, detail, status = self._ending(self._result)
        output, errors, *report = (bytes(stream.data) for stream in self._outputs)
        return Execution(
            ending=ending,
            claims=(),
            output=output,
            errors=errors,
            report=report[0] if report else b"",
            detail=detail,
            wall_s=wall_s,
            cpu_s=self._result["cpu_s"],
            tier=self._tier,
            exit_status=status,
            was_started=self._result.get("was_started", True),
        )

    def _ending(self, result: dict[str, Any]) -> tuple[Ending, str, int | None]:
        limits = self._limits
        if any(output.is_over for output in self._outputs):
            return Ending.OUTPUT_LIMIT, "more output than it may write", None
        code = os.waitstatus_to_exitcode(result["status"])
        match result["reason"]:
            case "cpu":
                return Ending.TIME_LIMIT, f"more than {limits.cpu_s} s of processor time", None
            case "memory":
                return Ending.MEMORY_LIMIT, f"more than {limits.memory_bytes} bytes", None
            case "processes":
                return Ending.SIGNALLED, f"more than {limits.num_processes} processes", None
            case "disk":
                return Ending.OUTPUT_LIMIT, "more in files than the workspace may take up", None
            case "killed":
                if self._killed is not None:
                    return *self._killed, None
                raise SandboxLost("the first process of a command died")
            case _:
                pass
        if code >= 0:
            return Ending.EXITED, f"exit status {code}", code
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        if -code == signal.SIGXCPU or (
            -code == signal.SIGKILL and result["cpu_s"] >= limits.cpu_s / 2
        ):
            return Ending.TIME_LIMIT, f"more than {limits.cpu_s} s of processor time", None
        if -code == signal.SIGKILL:
            return Ending.MEMORY_LIMIT, f"killed by {name}", None
        return Ending.SIGNALLED, f"killed by {name}", None


def _check(policy: Policy) -> None:
    for path in policy.read:
        if not os.path.isabs(path) or os.path.normpath(path) != path or not os.path.exists(path):
            raise ValueError(f"Policy.read: {path!r} is no absolute path of this machine")
        if path == "/" or path.startswith(_NOT_SHOWN):
            raise ValueError(f"Policy.read: {path!r} cannot be shown to a command")
    hidden = [path for path in policy.hidden if not os.path.isabs(path)]
    for path in policy.hidden:
        if os.path.isabs(path) and os.path.normpath(path) != path:
            raise ValueError(f"Policy.hidden: {path!r} is no plain path of this machine")
    for path in (*policy.write, *hidden):
        if os.path.isabs(path) or ".." in path.split("/"):
            raise ValueError(f"Policy: {path!r} is no path of the workspace")


def _order(command: Command) -> Order:
    policy, limits = command.policy, command.policy.limits
    return Order(
        argv=list(command.argv),
        env=[list(pair) for pair in policy.env],
        folder=command.folder,
        with_report=command.with_report,
        read=list(policy.read),
        write=list(policy.write),
        hidden=list(policy.hidden),
        execute=policy.execute,
        network=policy.network,
        cpu_s=limits.cpu_s,
        memory_bytes=limits.memory_bytes,
        num_processes=limits.num_processes,
        num_open_files=limits.num_open_files,
        file_bytes=limits.file_bytes,
    )
