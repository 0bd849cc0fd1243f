"""The Linux system calls that isolation is built from, through ctypes.

Runs inside the fork-server, so it imports the standard library only.  Every call is checked: a
step that the kernel refuses raises StepFailed with the step's name and errno, and nothing goes on
without it.
"""

import contextlib
import ctypes
import errno
import os
import platform
import signal
from collections.abc import Callable

MACHINE = platform.machine()
SUPPORTED = MACHINE in ("x86_64", "aarch64")

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_NEW_ANY = 0x7E020000

# Numbers after 423 are the same on every architecture.
_CLOSE_RANGE = 436
_CAPSET = 126 if MACHINE == "x86_64" else 91

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP = 1, 4, 22
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _CAP_DAC_READ_SEARCH = 8, 47, 2

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class StepFailed(Exception):
    """The kernel refused a step of the isolation."""

    def __init__(self, step: str, code: int) -> None:
        super().__init__(f"{step}: {errno.errorcode.get(code, code)} ({os.strerror(code)})")
        self.step = step
        self.code = code


def checked(step: str, result: int) -> int:
    if result < 0:
        raise StepFailed(step, ctypes.get_errno())
    return result


def syscall(step: str, number: int, *args: object) -> int:
    plain = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return checked(step, libc.syscall(ctypes.c_long(number), *plain))


def _prctl(step: str, option: int, *args: object) -> int:
    rest = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in args]
    rest += [ctypes.c_ulong(0)] * (4 - len(rest))
    return checked(step, libc.prctl(ctypes.c_int(option), *rest))


def die_with_parent(number: int) -> None:
    _prctl("prctl(PDEATHSIG)", _PR_SET_PDEATHSIG, number)


def become_subreaper() -> None:
    _prctl("prctl(CHILD_SUBREAPER)", _PR_SET_CHILD_SUBREAPER, 1)


def forbid_new_privileges() -> None:
    _prctl("prctl(NO_NEW_PRIVS)", _PR_SET_NO_NEW_PRIVS, 1)


def hide_from_peers() -> None:
    """Other processes of the same user may no longer look into this one or its children through
    /proc: Landlock leaves the pipes of `/proc/N/fd` open to whoever may trace N."""
    _prctl("prctl(DUMPABLE)", _PR_SET_DUMPABLE, 0)


def close_from(first: int) -> None:
    syscall("close_range", _CLOSE_RANGE, first, 0xFFFFFFFF, 0)


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


_CAP_HEADER = _CapHeader(0x20080522, 0)
_CAP_NONE = (ctypes.c_uint32 * 6)()


def drop_capabilities() -> None:
    """None left, and none to be had back: NO_NEW_PRIVS is set."""
    syscall("capset", _CAPSET, ctypes.byref(_CAP_HEADER), ctypes.byref(_CAP_NONE))


def become_user(user: int) -> None:
    """From root to `user` and group `user`, for good, with the one capability to read all files,
    also after `execve`.  Call with NO_NEW_PRIVS set."""
    read = 1 << _CAP_DAC_READ_SEARCH
    _prctl("prctl(KEEPCAPS)", _PR_SET_KEEPCAPS, 1)
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    sets = (ctypes.c_uint32 * 6)(read, read, read, 0, 0, 0)
    syscall("capset", _CAPSET, ctypes.byref(_CAP_HEADER), ctypes.byref(sets))
    _prctl("prctl(CAP_AMBIENT)", _PR_CAP_AMBIENT, 2, _CAP_DAC_READ_SEARCH)


def drop_bounding_set(*, kept: bool = False) -> None:
    """`kept`: but the capability that `become_user` keeps."""
    for capability in range(64):
        if kept and capability == _CAP_DAC_READ_SEARCH:
            continue
        try:
            if _prctl("prctl(CAPBSET_READ)", _PR_CAPBSET_READ, capability):
                _prctl("prctl(CAPBSET_DROP)", _PR_CAPBSET_DROP, capability)
        except StepFailed as e:
            if e.code == errno.EINVAL:  # past the last capability of this kernel
                return
            raise


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def install_filter(program: bytes) -> None:
    """Load a classic BPF program (8 bytes an instruction) as a seccomp filter."""
    loaded = _FilterProgram(len(program) // 8, program)
    _prctl("prctl(SECCOMP)", _PR_SET_SECCOMP, 2, ctypes.byref(loaded))


# --- Namespaces ---


def unshare(step: str, flags: int) -> None:
    checked(step, libc.unshare(ctypes.c_int(flags)))


def setns(step: str, fd: int, kind: int) -> None:
    checked(step, libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)))


def enter_user_namespace() -> None:
    """Inside, the caller is nobody by number and holds capabilities over its namespaces only."""
    uid, gid = os.geteuid(), os.getegid()
    unshare("unshare(NEWUSER)", CLONE_NEWUSER)
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"65534 {uid} 1"),
        ("gid_map", f"65534 {gid} 1"),
    ):
        try:
            with open(f"/proc/self/{name}", "w") as f:
                f.write(text)
        except OSError as e:
            raise StepFailed(f"write {name}", e.errno or 0) from None


def enter_namespaces() -> None:
    """User, mount, network, IPC, UTS and (for children) pid namespaces."""
    enter_user_namespace()
    unshare("unshare(NEWNS|NEWIPC|NEWUTS)", CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)
    unshare("unshare(NEWNET)", CLONE_NEWNET)
    unshare("unshare(NEWPID)", CLONE_NEWPID)


def continue_in_namespaces(control_fd: int, enter: Callable[[], None]) -> None:
    """Go on as the first process of new namespaces, a pid namespace among them; the process that
    began only waits for it, and keeps no end of the control channel."""
    enter()
    beginner = os.fork()
    if beginner:
        os.close(control_fd)
        _, status = os.waitpid(beginner, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    die_with_parent(signal.SIGKILL)


class _OpenHow(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint64) for n in ("flags", "mode", "resolve")]


_BENEATH = 0x02 | 0x04 | 0x08 | 0x01
"""RESOLVE_NO_MAGICLINKS, NO_SYMLINKS, BENEATH, NO_XDEV."""


def open_beneath(folder: int, path: str, flags: int, mode: int = 0) -> int:
    """Open `path` from the folder `folder`, through no link, no mount and not out of it.

    Raises OSError."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, _BENEATH)
    name = ctypes.c_char_p(os.fsencode(path))
    try:
        return syscall("openat2", 437, folder, name, ctypes.byref(how), 24)
    except StepFailed as e:
        raise OSError(e.code, os.strerror(e.code), path) from None


def show_to_peers() -> None:
    """Undo `hide_from_peers`, as `execve` does: only so may a process write its own id maps."""
    _prctl("prctl(DUMPABLE)", _PR_SET_DUMPABLE, 1)


def be_first_to_go() -> None:
    """Where the machine runs out of memory: this process and its children before any of ours."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as f:
        f.write("1000")
