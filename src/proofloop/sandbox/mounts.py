"""Mounts and roots of a mount namespace of our own.  Runs inside the servers; see `kernel`."""

import ctypes
import os
from collections.abc import Iterable

from proofloop.sandbox.kernel import MACHINE, checked, libc, syscall

_MOUNT_SETATTR = 442
_PIVOT_ROOT = 155 if MACHINE == "x86_64" else 41
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_AT_RECURSIVE = 0x8000


class _MountAttr(ctypes.Structure):
    _fields_ = [(n, ctypes.c_uint64) for n in ("set", "clear", "propagation", "userns")]


def mount(step: str, source: str, target: str, kind: str | None, flags: int, data: str) -> None:
    checked(
        step,
        libc.mount(
            source.encode(),
            target.encode(),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            data.encode(),
        ),
    )


def set_flags(
    path: str,
    *,
    read_only: bool = False,
    no_exec: bool = False,
    devices: bool = False,
    recursive: bool = True,
) -> None:
    """Of the mount at `path`, `recursive`: and all beneath it; no set-user-id."""
    flags = _MS_NOSUID | (0 if devices else _MS_NODEV)
    flags |= (_MS_RDONLY if read_only else 0) | (_MS_NOEXEC if no_exec else 0)
    attr = _MountAttr(flags, 0, 0, 0)
    syscall(
        "mount_setattr",
        _MOUNT_SETATTR,
        -100,
        ctypes.c_char_p(path.encode()),
        _AT_RECURSIVE if recursive else 0,
        ctypes.byref(attr),
        32,
    )


def make_private() -> None:
    """What is mounted or unmounted from now on is seen in this mount namespace alone."""
    mount("mount(private)", "none", "/", None, _MS_REC | _MS_PRIVATE, "")


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Show `source` at `target`, which is made if need be."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        open(target, "w").close()
    mount("mount(bind)", source, target, None, _MS_BIND | _MS_REC, "")
    if read_only:
        set_flags(target, read_only=True)


def tmpfs(target: str, *, num_bytes: int, num_inodes: int) -> None:
    os.makedirs(target, exist_ok=True)
    options = f"size={num_bytes},nr_inodes={num_inodes},mode=755"
    mount("mount(tmpfs)", "tmpfs", target, "tmpfs", _MS_NOSUID | _MS_NODEV, options)


def overlay(lower: str, upper: str, work: str, target: str) -> None:
    """`lower` as it is, changes to it in `upper`.  The paths hold no comma, colon or backslash."""
    options = f"lowerdir={lower},upperdir={upper},workdir={work},userxattr"
    mount("mount(overlay)", "overlay", target, "overlay", _MS_NOSUID | _MS_NODEV, options)


def processes(target: str) -> None:
    """A /proc of the caller's pid namespace that shows processes and nothing else."""
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    mount("mount(proc)", "proc", target, "proc", flags, "subset=pid")


def enter_root(path: str) -> None:
    """Make the mount at `path` the root; what was mounted before is gone."""
    os.chdir(path)
    dot = ctypes.c_char_p(b".")
    syscall("pivot_root", _PIVOT_ROOT, dot, dot)
    checked("umount2", libc.umount2(b".", ctypes.c_int(_MNT_DETACH)))
    os.chdir("/")


def enter_minimal_root(paths: Iterable[str], staging: str) -> None:
    """Replace the root by an empty read-only tmpfs that shows `paths`, read-only, and no /proc.

    `staging`: any existing folder; covered within this mount namespace only.
    """
    make_private()
    flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    mount("mount(tmpfs)", "tmpfs", staging, "tmpfs", flags, "size=256k,mode=755")
    for path in paths:
        bind(path, staging + path)
    for entry in os.scandir("/"):
        if entry.is_symlink():  # /lib -> usr/lib, which the dynamic loader may go by
            os.symlink(os.readlink(entry.path), staging + entry.path)
    set_flags(staging, read_only=True)
    enter_root(staging)
