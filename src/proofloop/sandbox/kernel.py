"""The Linux system calls that isolation is built from, through ctypes.

Runs inside the fork-server, so it imports the standard library only.  Every call is checked: a
step that the kernel refuses raises StepFailed with the step's name and errno, and nothing goes on
without it.
"""

import ctypes
import errno
import os
import platform
from collections.abc import Iterable

MACHINE = platform.machine()
SUPPORTED = MACHINE in ("x86_64", "aarch64")

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_NEW_ANY = 0x7E020000

# Numbers after 423 are the same on every architecture.
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_CLOSE_RANGE = 436
_PIVOT_ROOT = 155 if MACHINE == "x86_64" else 41
_CAPSET = 126 if MACHINE == "x86_64" else 91

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP = 1, 4, 22
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class StepFailed(Exception):
    """The kernel refused a step of the isolation."""

    def __init__(self, step: str, code: int) -> None:
        super().__init__(f"{step}: {errno.errorcode.get(code, code)} ({os.strerror(code)})")
        self.step = step
        self.code = code


def _checked(step: str, result: int) -> int:
    if result < 0:
        raise StepFailed(step, ctypes.get_errno())
    return result


def _syscall(step: str, number: int, *args: object) -> int:
    plain = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return _checked(step, _libc.syscall(ctypes.c_long(number), *plain))


def _prctl(step: str, option: int, *args: object) -> int:
    rest = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in args]
    rest += [ctypes.c_ulong(0)] * (4 - len(rest))
    return _checked(step, _libc.prctl(ctypes.c_int(option), *rest))


def die_with_parent(signal: int) -> None:
    _prctl("prctl(PDEATHSIG)", _PR_SET_PDEATHSIG, signal)


def become_subreaper() -> None:
    _prctl("prctl(CHILD_SUBREAPER)", _PR_SET_CHILD_SUBREAPER, 1)


def forbid_new_privileges() -> None:
    _prctl("prctl(NO_NEW_PRIVS)", _PR_SET_NO_NEW_PRIVS, 1)


def hide_from_peers() -> None:
    """Other processes of the same user may no longer look into this one or its children through
    /proc: Landlock leaves the pipes of `/proc/N/fd` open to whoever may trace N."""
    _prctl("prctl(DUMPABLE)", _PR_SET_DUMPABLE, 0)


def close_from(first: int) -> None:
    _syscall("close_range", _CLOSE_RANGE, first, 0xFFFFFFFF, 0)


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


_CAP_HEADER = _CapHeader(0x20080522, 0)
_CAP_NONE = (ctypes.c_uint32 * 6)()


def drop_capabilities() -> None:
    """None left, and none to be had back: NO_NEW_PRIVS is set and exec is denied."""
    _syscall("capset", _CAPSET, ctypes.byref(_CAP_HEADER), ctypes.byref(_CAP_NONE))


def drop_bounding_set() -> None:
    for capability in range(64):
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


# --- Landlock ---

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_HANDLED_FS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}


class _RulesetAttr(ctypes.Structure):
    _fields_ = [
        ("handled_fs", ctypes.c_uint64),
        ("handled_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    ]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("fd", ctypes.c_int32)]


def landlock_abi() -> int:
    return _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, None, 0, 1)


def landlock(files: Iterable[str], folders: Iterable[str], listed: Iterable[str]) -> None:
    """Restrict this process and its children for good: read `files`, read and list all beneath
    `folders`, list (without reading) beneath `listed`; nothing else: no other path can be opened,
    none written or executed, no TCP, no signal or abstract socket to the outside where the kernel
    knows of those."""
    abi = landlock_abi()
    attr = _RulesetAttr(
        _HANDLED_FS.get(abi, 0xFFFF), 0x3 if abi >= 4 else 0, 0x3 if abi >= 6 else 0
    )
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, ctypes.byref(attr), size, 0)
    for paths, allowed in (
        (files, _READ_FILE),
        (folders, _READ_FILE | _READ_DIR),
        (listed, _READ_DIR),
    ):
        for path in paths:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = _PathBeneath(allowed, fd)
            _syscall("landlock_add_rule", _LANDLOCK_ADD, ruleset, 1, ctypes.byref(rule), 0)
            os.close(fd)
    _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT, ruleset, 0)
    os.close(ruleset)


# --- Namespaces ---


def unshare(step: str, flags: int) -> None:
    _checked(step, _libc.unshare(ctypes.c_int(flags)))


def setns(step: str, fd: int, kind: int) -> None:
    _checked(step, _libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)))


def enter_namespaces() -> None:
    """User, mount, network, IPC, UTS and (for children) pid namespaces.  Inside, the caller is
    nobody by number and holds capabilities over these namespaces only."""
    uid, gid = os.getuid(), os.getgid()
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
    unshare("unshare(NEWNS|NEWIPC|NEWUTS)", CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)
    unshare("unshare(NEWNET)", CLONE_NEWNET)
    unshare("unshare(NEWPID)", CLONE_NEWPID)


_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_AT_RECURSIVE = 0x8000


class _MountAttr(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint64) for n in ("set", "clear", "propagation", "userns")]


def _mount(step: str, source: str, target: str, kind: str | None, flags: int, data: str) -> None:
    _checked(
        step,
        _libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            data.encode(),
        ),
    )


def _mount_read_only(path: str) -> None:
    attr = _MountAttr(_MS_RDONLY | _MS_NOSUID | _MS_NODEV, 0, 0, 0)
    _syscall(
        "mount_setattr(read-only)",
        _MOUNT_SETATTR,
        -100,
        ctypes.c_char_p(path.encode()),
        _AT_RECURSIVE,
        ctypes.byref(attr),
        32,
    )


def enter_minimal_root(paths: Iterable[str], staging: str) -> None:
    """Replace the root by an empty read-only tmpfs that shows `paths`, read-only, and no /proc.

    `staging`: any existing folder; covered within this mount namespace only.
    """
    _mount("mount(private)", "none", "/", None, _MS_REC | _MS_PRIVATE, "")
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    _mount("mount(tmpfs)", "tmpfs", staging, "tmpfs", flags, "size=256k,mode=755")
    for path in paths:
        target = staging + path
        if os.path.isdir(path):
            os.makedirs(target, exist_ok=True)
        else:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            open(target, "w").close()
        _mount("mount(bind)", path, target, None, _MS_BIND | _MS_REC, "")
    for entry in os.scandir("/"):
        if entry.is_symlink():  # /lib -> usr/lib, which the dynamic loader may go by
            os.symlink(os.readlink(entry.path), staging + entry.path)
    _mount_read_only(staging)
    os.chdir(staging)
    dot = ctypes.c_char_p(b".")
    _syscall("pivot_root", _PIVOT_ROOT, dot, dot)
    _checked("umount2", _libc.umount2(b".", ctypes.c_int(_MNT_DETACH)))
    os.chdir("/")
