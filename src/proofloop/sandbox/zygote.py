"""The fork-server: a small, warm, single-threaded process that forks one child per program.

It holds no key, test, expected value, source or argument; those travel between the client and a
child over a channel of their own.  It confines itself first (namespaces, from T1 on, then
Landlock and the shared system-call filter), and each child completes the confinement before any of
its program runs.  A step that fails ends the server or the child: nothing runs half confined.

It dies with its owner (a pidfd and the control channel's end tell), and its children with it.
"""

import _socket
import gc
import io
import os
import select
import signal
import sys
from typing import NoReturn

from proofloop.sandbox import candidate, entrance, kernel, landlock, mounts, pages, seccomp, wire
from proofloop.sandbox.lockdown import Lockdown, tidy_heap

# What programs import most is imported here once instead of in every child.
WARM_MODULES = (
    "bisect", "collections", "functools", "heapq", "itertools", "math", "operator", "re",
    "string", "typing",
)  # fmt: skip
_OUTSIDE_STDLIB = ("site-packages", "dist-packages", "test", "idlelib", "ensurepip")
_IMPOSSIBLE_STATUS = 213
_NUM_REHEARSALS = 10
"""More than the interpreter wants to see of a function before it specialises its bytecode."""


def main(where: str, tier: str) -> None:
    control = entrance.meet(where)
    try:
        owner_fd = entrance.receive_owner(control)
        entrance.clean_up()
        libraries = _library_folders()  # in another mount namespace, paths would not be whole
        measures = entrance.measures_of(tier)
        if measures == "T1":
            kernel.continue_in_namespaces(control.fileno(), kernel.enter_namespaces)
        pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY) if measures == "T1" else None
        _warm_up()
        pages.hold_together()
        _confine(measures, libraries)
    except kernel.StepFailed as e:
        control.send(wire.FAILED + str(e).encode())
        return
    except Exception as e:
        control.send(wire.FAILED + f"{type(e).__name__}: {e}".encode())
        return
    control.send(wire.STARTED + measures.encode())
    _Server(control, owner_fd, pid_namespace).serve()


def _warm_up() -> None:
    for name in WARM_MODULES:
        __import__(name)
    _import_random()
    ours, theirs = _socket.socketpair()
    for _ in range(_NUM_REHEARSALS):
        candidate.rehearse(ours.fileno(), theirs.fileno())
    ours.close()
    theirs.close()
    del sys.modules["solution"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    sys.path[:] = [os.path.realpath(p) for p in sys.path if p and "site-packages" not in p]


def _import_random() -> None:
    """Every child starts from one and the same state, so that a verdict can be had again; hence
    without the hook by which `random` seeds itself from the system after a fork."""

    def ignore(**_hooks: object) -> None:
        return

    register, os.register_at_fork = os.register_at_fork, ignore
    import random

    os.register_at_fork = register
    random.seed(0)


def _confine(measures: str, libraries: list[str]) -> None:
    if not kernel.SUPPORTED:
        raise RuntimeError(f"no system-call table for {kernel.MACHINE}")
    standard_library = os.path.dirname(os.path.realpath(os.__file__))
    beside = [p for p in sys.path if os.path.isdir(p) and not p.startswith(standard_library)]
    cache = [p for p in ("/etc/ld.so.cache",) if os.path.exists(p)]
    if measures == "T1":
        shown = [standard_library, *beside, *libraries, *cache]
        mounts.enter_minimal_root(_outermost(shown), entrance.staging())
    kernel.forbid_new_privileges()
    if measures == "T0":
        kernel.become_subreaper()
        kernel.hide_from_peers()
        if os.geteuid() == 0:
            kernel.drop_bounding_set()
        kernel.drop_capabilities()
    folders = beside  # extension modules, where they lie elsewhere
    files = [*cache, *_shared_objects(libraries)]
    for entry in os.scandir(standard_library):
        # A link may lead out of the view (Debian's sitecustomize.py, into /etc): left out.
        if entry.name not in _OUTSIDE_STDLIB and os.path.exists(entry.path):
            (folders if entry.is_dir() else files).append(entry.path)
    landlock.restrict(
        [
            *((path, landlock.READ_FILE) for path in files),
            *((path, landlock.READ) for path in folders),
            (standard_library, landlock.READ_DIR),
        ]
    )
    kernel.install_filter(seccomp.server_filter(kernel.MACHINE))


def _library_folders() -> list[str]:
    """Where the shared objects lie that this very process has mapped."""
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line}
    found = {os.path.dirname(p) for p in paths if os.path.exists(p)}
    # Where /lib is no link to /usr/lib but the same folder mounted twice, others go by the other.
    twins = {p.removeprefix("/usr") if p.startswith("/usr/") else f"/usr{p}" for p in found}
    return sorted(found | {p for p in twins if os.path.isdir(p)})


def _shared_objects(folders: list[str]) -> list[str]:
    return [
        entry.path
        for folder in folders
        for entry in os.scandir(folder)
        if ".so" in entry.name and entry.is_file()
    ]


def _outermost(paths: list[str]) -> list[str]:
    """Without those that lie beneath another."""
    kept: list[str] = []
    for path in sorted({os.path.realpath(p) for p in paths}):
        if not kept or not path.startswith(kept[-1] + "/"):
            kept.append(path)
    return kept


def _is_stopped(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # it has ended just now, and its end is not what we ask for
        return False


class _Server:
    """Orders in, reports out, children in between."""

    def __init__(self, control: _socket.socket, owner_fd: int, pid_namespace: int | None) -> None:
        self.control = control
        self.pid_namespace = pid_namespace
        self.pid = os.getpid()
        self.children: dict[int, tuple[int, int]] = {}  # pidfd -> (child number, pid)
        self.stopped: set[int] = set()  # children that were held still when they were to end
        self.poll = select.poll()
        self.poll.register(control.fileno(), select.POLLIN)
        self.poll.register(owner_fd, select.POLLIN)
        self.owner_fd = owner_fd
        self.lockdown = Lockdown(has_pid_namespace=pid_namespace is not None)

    def serve(self) -> None:
        self.lockdown.rehearse()
        gc.collect()
        tidy_heap()
        gc.freeze()
        while True:
            for fd, _ in self.poll.poll():
                if fd == self.owner_fd:
                    self.quit()
                elif fd in self.children:
                    self.report(fd)
                else:
                    self.obey()

    def quit(self) -> NoReturn:
        for _, pid in self.children.values():
            os.kill(pid, signal.SIGKILL)
        os._exit(0)

    def obey(self) -> None:
        room = _socket.CMSG_SPACE(12)
        order, ancillary, _, _ = self.control.recvmsg(
            wire.SPAWN.size, room, _socket.MSG_CMSG_CLOEXEC
        )
        if not order:
            self.quit()
        if order[:1] == b"S":
            given = entrance.descriptors(ancillary[0][2])
            self.spawn(order, given)
            for fd in given:
                os.close(fd)
            return
        kind, number = wire.ORDER.unpack(order)
        if kind == ord("K"):
            for child, pid in self.children.values():
                if child == number:
                    if _is_stopped(pid):
                        self.stopped.add(number)
                    os.kill(pid, signal.SIGKILL)
        elif kind == ord("C"):
            self.clear_strays()
        else:
            self.reap_strays()

    def spawn(self, order: bytes, given: tuple[int, ...]) -> None:
        number = wire.SPAWN.unpack(order)[1]
        try:
            if self.pid_namespace is None:
                pid = os.fork()
            else:
                kernel.unshare("unshare(NEWPID)", kernel.CLONE_NEWPID)
                pid = os.fork()
                if pid:
                    kernel.setns("setns(pid)", self.pid_namespace, kernel.CLONE_NEWPID)
        except (OSError, kernel.StepFailed) as e:
            self.control.send(wire.REFUSED.pack(ord("X"), number) + str(e).encode())
            return
        if pid == 0:
            self.become_candidate(order, *given)
        pidfd = os.pidfd_open(pid)
        self.children[pidfd] = (number, pid)
        self.poll.register(pidfd, select.POLLIN)

    def report(self, pidfd: int) -> None:
        number, pid = self.children.pop(pidfd)
        self.poll.unregister(pidfd)
        os.close(pidfd)
        _, status, usage = os.wait4(pid, 0)
        cpu_s = usage.ru_utime + usage.ru_stime
        peak = usage.ru_maxrss * 1024
        was_stopped = number in self.stopped
        self.stopped.discard(number)
        self.control.send(wire.ENDED.pack(ord("E"), number, status, cpu_s, peak, was_stopped))

    def reap_strays(self) -> None:
        """Collect descendants that came to us when their parents died (T0)."""
        ours = {pid for _, pid in self.children.values()}
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None or found.si_pid in ours:
                return
            os.waitpid(found.si_pid, 0)

    def clear_strays(self) -> None:
        """Kill all there is beside us in our pid namespace, which is a container's (T3)."""
        ours = {pid for _, pid in self.children.values()}
        while True:
            try:
                os.kill(-1, signal.SIGKILL)
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            except (ProcessLookupError, ChildProcessError):
                return
            if found is None or found.si_pid in ours:
                return
            os.waitpid(found.si_pid, 0)

    def become_candidate(
        self, order: bytes, channel: int, output: int, stdin: int | None = None
    ) -> NoReturn:
        """In the child: complete the confinement, then serve; or say what failed, and die."""
        try:
            _, _, memory, cpu_s, processes, files, result_bytes, _ = wire.SPAWN.unpack(order)
            os.setsid()
            self.lockdown.die_with_parent()
            if self.pid_namespace is None and os.getppid() != self.pid:
                os._exit(_IMPOSSIBLE_STATUS)
            os.dup2(output, 1)
            if stdin is None:
                os.dup2(output, 2)
            else:  # a script's errors are not its output, and go where the server's input is
                os.dup2(0, 2)
                os.dup2(stdin, 0)
            channel = os.dup2(channel, candidate.CHANNEL)
            self.lockdown.enter(candidate.CHANNEL + 1, memory, cpu_s, processes, files)
        except BaseException as e:
            os.write(channel, wire.frame(wire.ISOLATION_FAILED, 0, str(e).encode()))
            os._exit(_IMPOSSIBLE_STATUS)
        os.write(candidate.CHANNEL, wire.frame(wire.READY, 0))
        candidate.serve(result_bytes)
        os._exit(_IMPOSSIBLE_STATUS)
