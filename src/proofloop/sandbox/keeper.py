"""The server of workspaces: a small, warm, single-threaded process that forks a keeper for each.

It holds no key, test or expected value.  A keeper makes its workspace (`rooms`), then obeys its
client over a channel of its own: file operations it does itself, through no link and never out of
the workspace; for each command it forks a tree of processes (`tree`), which sees neither the
keeper nor the channel.  No untrusted program ever runs in the server or in a keeper.

The server dies with its owner, the keepers with the server or when their channel ends, the
commands with their keeper.
"""

import _socket
import gc
import json
import os
import select
import signal
import socket
from typing import Any, NoReturn

from proofloop.sandbox import entrance, files, kernel, parcel, tree, wire
from proofloop.sandbox.folders import FolderHouse
from proofloop.sandbox.namespaced import NamespaceHouse
from proofloop.sandbox.order import Order
from proofloop.sandbox.rooms import House, Room


def main(where: str, tier: str) -> None:
    control = entrance.meet(where)
    try:
        if not kernel.SUPPORTED:
            raise RuntimeError(f"no system-call table for {kernel.MACHINE}")
        owner_fd = entrance.receive_owner(control)
        entrance.clean_up(keep=("TMPDIR",))
        house: House
        if tier == "T0":
            house = FolderHouse()
        else:
            kernel.continue_in_namespaces(control.fileno(), _enter)
            house = NamespaceHouse()
        tree.warm_up()
        kernel.forbid_new_privileges()
        kernel.hide_from_peers()
    except kernel.StepFailed as e:
        control.send(wire.FAILED + str(e).encode())
        return
    except Exception as e:
        control.send(wire.FAILED + f"{type(e).__name__}: {e}".encode())
        return
    control.send(wire.STARTED + (b"T0" if tier == "T0" else b"T1"))
    _serve(control, owner_fd, house)


def _enter() -> None:
    """Not into a network namespace: each command goes into one without any network, or not."""
    kernel.enter_user_namespace()
    kernel.unshare(
        "unshare(NEWNS|NEWIPC|NEWUTS|NEWPID)",
        kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWPID,
    )


def _serve(control: _socket.socket, owner_fd: int, house: House) -> NoReturn:
    gc.collect()
    gc.freeze()
    ended_fd = _hear_of_children()
    poll = select.poll()
    for fd in (control.fileno(), owner_fd, ended_fd):
        poll.register(fd, select.POLLIN)
    keepers: set[int] = set()
    while True:
        for fd, _ in poll.poll():
            if fd == owner_fd:
                house.quit(keepers)
            elif fd == ended_fd:
                os.read(ended_fd, 4096)
                _collect(keepers, house)
            else:
                room = _socket.CMSG_SPACE(4)
                order, ancillary, _, _ = control.recvmsg(65536, room, _socket.MSG_CMSG_CLOEXEC)
                if not order:
                    house.quit(keepers)
                channel_fd = int.from_bytes(ancillary[0][2], "little")
                pid = os.fork()
                if pid == 0:
                    _forget_children()
                    for ours in (control.detach(), owner_fd, ended_fd):
                        os.close(ours)
                    _keep(order, channel_fd, house)
                os.close(channel_fd)
                keepers.add(pid)


def _hear_of_children() -> int:
    """Readable once a child has ended: a keeper, or what a lost keeper left to us."""
    fd, end = os.pipe()
    for each in (fd, end):
        os.set_blocking(each, False)
    signal.set_wakeup_fd(end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _only_wake_up)
    return fd


def _only_wake_up(number: int, frame: object) -> None:
    """With a handler, the signal is written to the descriptor."""


def _forget_children() -> None:
    os.close(signal.set_wakeup_fd(-1))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _collect(keepers: set[int], house: House) -> None:
    is_one_lost = False
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == 0:
            break
        is_one_lost = is_one_lost or pid in keepers
        keepers.discard(pid)
    if is_one_lost:
        house.clear_after(keepers)


def _keep(order: bytes, channel_fd: int, house: House) -> NoReturn:
    """In the keeper: make the room, then obey until the channel ends."""
    channel = socket.socket(fileno=channel_fd)
    try:
        kernel.die_with_parent(signal.SIGKILL)
        room = house.open(**json.loads(order))
    except (kernel.StepFailed, OSError) as e:
        channel.sendall(parcel.pack({"failed": str(e)}))
        os._exit(1)
    channel.sendall(parcel.pack({}))
    _Keeper(channel, room).serve()


class _Keeper:
    """Obeys one parcel at a time; during a command only the order to end it."""

    def __init__(self, channel: socket.socket, room: Room) -> None:
        self._channel = channel
        self._receiver = parcel.Receiver(channel)
        self._room = room

    def serve(self) -> NoReturn:
        while True:
            words, data = self._next()
            kind = words.pop("do")
            if kind == "run":
                self._run(Order(**words))
                continue
            if kind == "kill":  # the command had ended by itself before this was read
                continue
            try:
                if kind == "write":
                    self._room.expect(len(data))
                    files.write(self._room.folder, data=data, **words)
                    self._answer({})
                elif kind == "read":
                    found = files.read(self._room.folder, **words)
                    self._answer({"found": found is not None}, found or b"")
                else:
                    self._answer({"entries": files.entries(self._room.folder, **words)})
            except OSError as e:
                self._answer({"errno": e.errno or 0, "path": words.get("path", "")})

    def _next(self) -> tuple[dict[str, Any], bytes]:
        while (taken := self._receiver.take()) is None:
            if not self._receiver.receive():
                self._room.leave()
                os._exit(0)
        return taken

    def _answer(self, words: dict[str, Any], data: bytes = b"") -> None:
        self._channel.sendall(parcel.pack(words, data))

    def _run(self, order: Order) -> None:
        given, self._receiver.descriptors = self._receiver.descriptors, []
        result_fd, result_end = os.pipe()
        try:
            self._room.prepare(order)
            pid = self._room.fork()
        except (kernel.StepFailed, OSError) as e:
            self._answer({"failed": str(e)})
            return
        if pid == 0:
            self._channel.close()
            os.close(result_fd)
            tree.be_first(order, given, self._room, result_end)
        for fd in (*given, result_end):
            os.close(fd)
        try:
            result = self._await_end(pid, result_fd)
        except (kernel.StepFailed, OSError) as e:
            self._answer({"failed": str(e)})
            os._exit(1)
        os.close(result_fd)
        self._answer(result)

    def _await_end(self, pid: int, result_fd: int) -> dict[str, Any]:
        """Until the tree's first process has ended, by itself or on our client's word."""
        pidfd = os.pidfd_open(pid)
        poll = select.poll()
        for fd in (pidfd, self._channel.fileno()):
            poll.register(fd, select.POLLIN)
        ended = False
        while not ended:
            for fd, _ in poll.poll():
                ended = ended or fd == pidfd
                if fd != pidfd:
                    self._receiver.receive()
                    self._receiver.take()
                    os.kill(pid, signal.SIGKILL)
                    poll.unregister(fd)
        os.close(pidfd)
        _, status, used = os.wait4(pid, 0)
        self._room.clear()
        is_full = self._room.is_full(at_rest=True)
        cpu_s = used.ru_utime + used.ru_stime
        written = os.read(result_fd, 65536)
        if not written:
            return {"status": status, "reason": "killed", "cpu_s": cpu_s}
        result = parcel.unpack(written)
        if is_full and "failed" not in result:
            result["reason"] = result["reason"] or "disk"
        result["cpu_s"] = max(cpu_s, result.get("cpu_s", 0.0))
        return result
