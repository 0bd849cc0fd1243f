"""Landlock: which paths a process and its children may open, for what.  Runs inside the servers."""

import ctypes
import os
import stat
from collections.abc import Iterable

from proofloop.sandbox.kernel import syscall

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_HANDLED_FS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""The rights that a rule for a file may hold."""

EXECUTE, READ_FILE, READ_DIR = 1 << 0, 1 << 2, 1 << 3
READ = READ_FILE | READ_DIR
WRITE_FILE = 1 << 1 | 1 << 14 | 1 << 15
"""Write, truncate, and the requests that terminals and null devices take."""
WRITE = WRITE_FILE | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 12 | 1 << 13
"""Also remove, make folders, files, sockets, pipes and links, and move between folders; no
devices."""

Rule = tuple[str | int, int]
"""A path or an open descriptor, and the rights over it and all beneath it."""


class _RulesetAttr(ctypes.Structure):
    _fields_ = [
        ("handled_fs", ctypes.c_uint64),
        ("handled_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    ]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("fd", ctypes.c_int32)]


def abi() -> int:
    return syscall("landlock_create_ruleset", _CREATE, None, 0, 1)


def restrict(rules: Iterable[Rule], *, network: bool = False) -> None:
    """Restrict this process and its children for good to what `rules` allow; no other path can be
    opened, none written or executed; without `network` no TCP; no signal or abstract socket to the
    outside, where the kernel knows of those."""
    version = abi()
    handled = _HANDLED_FS.get(version, 0xFFFF)
    handled_net = 0x3 if version >= 4 and not network else 0
    attr = _RulesetAttr(handled, handled_net, 0x3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = syscall("landlock_create_ruleset", _CREATE, ctypes.byref(attr), size, 0)
    for path, rights in rules:
        fd = path if isinstance(path, int) else os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _OF_FILES
        if rights & handled:
            rule = _PathBeneath(rights & handled, fd)
            syscall("landlock_add_rule", _ADD, ruleset, 1, ctypes.byref(rule), 0)
        if fd is not path:
            os.close(fd)
    syscall("landlock_restrict_self", _RESTRICT, ruleset, 0)
    os.close(ruleset)
