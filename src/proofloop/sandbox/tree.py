"""One command's processes: the first one, which watches over the others, and the command's own.

The first process stays trusted: it starts the command, adds up what the tree uses, and ends when
the command's main process ends; the rest of the tree ends with it (T1: the kernel sees to that).
Commands can neither signal nor trace it.

Without control groups, which need privileges, some bounds are the kernel's and exact (processor
time and private memory of each process, size of a file, number of processes), others are looked
after at intervals: processor time and resident memory of the tree together.
"""

import itertools
import os
import resource
import select
import signal
from typing import NoReturn

from proofloop.sandbox import kernel, landlock, parcel, seccomp
from proofloop.sandbox.order import Order
from proofloop.sandbox.rooms import Room

REPORT = 3
_READY = 4
_NOT_FOUND, _NOT_STARTED = 127, 126
"""Exit statuses of what could not be executed, as a shell gives them."""
_NOT_EXECUTED = b"\0"
"""Said to the first process, on a descriptor that no program ever gets."""
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
_SOONEST_S, _LATEST_S = 0.005, 0.05
"""Intervals of looking at what the tree uses."""
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def warm_up() -> None:
    """Make what every command needs once, in the server."""
    for network, may_fork, may_signal in itertools.product((False, True), repeat=3):
        _filter(network, may_fork, may_signal)


def _filter(network: bool, may_fork: bool, may_signal: bool) -> bytes:
    return seccomp.command_filter(
        kernel.MACHINE, network=network, may_fork=may_fork, may_signal=may_signal
    )


def be_first(order: Order, given: list[int], room: Room, result_fd: int) -> NoReturn:
    """The first process of a tree: writes one parcel to `result_fd` and ends."""
    try:
        kernel.die_with_parent(signal.SIGKILL)
        if _has_no_reader(result_fd):  # the keeper died before it was to tell
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        room.enter(order)
        ready, ready_end = os.pipe()
        main = os.fork()
        if main == 0:
            try:
                _be_main(order, given, room, ready_end)
            finally:
                os._exit(_NOT_STARTED)
        os.close(ready_end)
        for fd in given:
            os.close(fd)
        failure = os.read(ready, 4096)
        if failure and failure != _NOT_EXECUTED:
            os.waitpid(main, 0)
            result = {"failed": failure.decode()}
        else:
            result = {**_watch(main, order, room), "was_started": not failure}
    except BaseException as e:
        result = {"failed": f"{type(e).__name__}: {e}"}
    os.write(result_fd, parcel.pack(result))
    os._exit(0)


def _has_no_reader(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return bool(poll.poll(0))


def _watch(main: int, order: Order, room: Room) -> dict[str, object]:
    """Wait for `main` to end or for the tree to use up what it may."""
    interval_s = _SOONEST_S
    while True:
        signal.sigtimedwait({signal.SIGCHLD}, interval_s)
        interval_s = min(_LATEST_S, interval_s * 1.5)
        status = _reap(main)
        pids = room.processes()
        num_processes = len(pids)
        if num_processes > order.num_processes:  # a look at each takes long, and they multiply
            pids.clear()
        cpu_s, memory_bytes, num_tasks = usage(pids, order.memory_bytes)
        num_processes = max(num_processes, num_tasks)
        reason = ""
        if status is None:
            if cpu_s > order.cpu_s:
                reason = "cpu"
            elif memory_bytes > order.memory_bytes:
                reason = "memory"
            elif num_processes > order.num_processes:
                reason = "processes"
            elif room.is_full():
                reason = "disk"
        if status is not None or reason:
            return {"status": status or 0, "reason": reason, "cpu_s": cpu_s}


def _reap(main: int) -> int | None:
    """Collect all that has ended; the wait status of `main` if it is among them."""
    status = None
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == main:
            status = ended
        if pid == 0:
            return status


def usage(pids: list[int], memory_bytes: int) -> tuple[float, int, int]:
    """Of a tree: processor seconds (with what has been collected), resident bytes, tasks.

    Resident bytes count files in memory only as long as they stay below `memory_bytes` together;
    what processes share counts for each."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s, num_bytes, num_tasks = ended.ru_utime + ended.ru_stime, 0, 0
    for pid in pids:
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        if fields:
            cpu_s += sum(map(int, fields[11:15])) / _TICKS
            num_tasks += int(fields[17])
            num_bytes += int(fields[21]) * _PAGE_BYTES
    if num_bytes > memory_bytes:
        num_bytes = sum(map(_own_bytes, pids))
    return cpu_s, num_bytes, num_tasks


def _own_bytes(pid: int) -> int:
    """Resident memory of a process that belongs to no file."""
    kilobytes = 0
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith((b"RssAnon:", b"RssShmem:")):
            kilobytes += int(line.split()[1])
    return kilobytes * 1024


def _read(path: str) -> bytes:
    """Nothing where the process has ended."""
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def _be_main(order: Order, given: list[int], room: Room, ready: int) -> NoReturn:
    """The command's own process: complete the confinement and execute it, or say what failed."""
    try:
        os.setsid()
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # as root's watcher is not
        _take_descriptors(given, ready)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the interpreter ignores them
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(0o022)
        room.isolate(order)
        rules = room.rules(order)
        _limit(order, room)
        kernel.forbid_new_privileges()
        landlock.restrict(rules, network=order.network)
        room.drop_privileges()
        kernel.install_filter(_filter(order.network, order.num_processes > 1, room.may_signal))
    except BaseException as e:
        os.write(_READY, f"{type(e).__name__}: {e}".encode())
        os._exit(1)
    _execute(order, room)


def _take_descriptors(given: list[int], ready: int) -> None:
    """0, 1, 2, the report if there is one, and the pipe to the first process until `execve`."""
    os.dup2(ready, 60, inheritable=False)
    for i, fd in enumerate(given):
        os.dup2(fd, 50 + i, inheritable=False)
    for i in range(len(given)):
        os.dup2(50 + i, i, inheritable=True)
    os.dup2(60, _READY, inheritable=False)
    if len(given) == REPORT:
        os.close(REPORT)
    kernel.close_from(_READY + 1)


def _limit(order: Order, room: Room) -> None:
    for kind, most in (
        (resource.RLIMIT_DATA, order.memory_bytes),
        (resource.RLIMIT_CPU, order.cpu_s),
        (resource.RLIMIT_FSIZE, order.file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, order.num_processes + room.num_spare_processes()),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_NOFILE, order.num_open_files),
    ):
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(kind, (most, most))


def _execute(order: Order, room: Room) -> NoReturn:
    name = order.argv[0]
    environment = {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": room.path}
    environment["TMPDIR"] = room.temporary
    environment.update((key, value) for key, value in order.env)
    status, is_there = _NOT_FOUND, False
    try:
        os.chdir(os.path.join(room.path, order.folder))
        is_there = True
        folders = [""] if "/" in name else environment["PATH"].split(":")
        for folder in folders:
            try:
                os.execve(os.path.join(folder, name), order.argv, environment)
            except (FileNotFoundError, NotADirectoryError):
                continue
        problem = "no such program"
        os.write(_READY, _NOT_EXECUTED)
    except (FileNotFoundError, NotADirectoryError):
        problem = f"no such folder: {order.folder}"
    except (OSError, ValueError) as e:
        if is_there:
            os.write(_READY, _NOT_EXECUTED)
        status, problem = _NOT_STARTED, getattr(e, "strerror", None) or str(e)
    os.write(2, f"proofloop: {name}: {problem}\n".encode(errors="replace"))
    os._exit(status)
