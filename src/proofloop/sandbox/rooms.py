"""What keepers and their commands ask of a workspace, at any tier, and what tiers share.

A house belongs to the server, a room to one keeper and its commands.  Standard library only.
"""

import contextlib
import os
from typing import NoReturn, Protocol

from proofloop.sandbox import kernel, landlock
from proofloop.sandbox.order import Order

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Programs and libraries, to read and to execute."""
SETTINGS = (
    "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime", "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
WRITABLE_DEVICES = DEVICES[:3]


class Room(Protocol):
    """One workspace and what its commands see."""

    folder: int
    """The workspace, as a descriptor."""
    may_signal: bool
    """Whether something keeps a command's signals within its tree."""

    def prepare(self, order: Order) -> None:
        """In the keeper, before a command."""
        ...

    def fork(self) -> int:
        """In the keeper, as `os.fork`: the child is the first process of a tree."""
        ...

    def enter(self, order: Order) -> None:
        """In the first process: see no more than a command may."""
        ...

    def isolate(self, order: Order) -> None:
        """In the command's own process: out of reach of the processes that it came from."""
        ...

    def rules(self, order: Order) -> list[landlock.Rule]:
        """There: what Landlock is to allow it."""
        ...

    def drop_privileges(self) -> None:
        """There, as the last step but for the system-call filter."""
        ...

    def processes(self) -> list[int]:
        """In the first process: all others of the tree, as far as they can be seen."""
        ...

    def num_spare_processes(self) -> int:
        """In the command's process: how many the kernel counts beside its tree."""
        ...

    def expect(self, num_bytes: int) -> None:
        """In the keeper, before a file of that size is written.  Raises OSError where there is no
        space for it and no file system would say so."""
        ...

    def is_full(self, *, at_rest: bool = False) -> bool:
        """Whether more is written than may be, where no file system limits that.  Looked into now
        and then only, but always `at_rest`, in the keeper, when no command runs."""
        ...

    def clear(self) -> None:
        """In the keeper, after the first process has ended: the whole tree is gone.  Raises
        OSError where it is not."""
        ...

    def leave(self) -> None:
        """In the keeper, at its end: nothing is left."""
        ...

    @property
    def path(self) -> str:
        """Of the workspace, as commands see it."""
        ...

    @property
    def temporary(self) -> str:
        """A folder for other files, as commands see it."""
        ...


class House(Protocol):
    """In the server: what all rooms share."""

    def open(self, base: str | None, disk_bytes: int) -> Room:
        """In the keeper.  Raises StepFailed or OSError."""
        ...

    def clear_after(self, keepers: set[int]) -> None:
        """After a keeper has ended: leave nothing that is not of these `keepers`."""
        ...

    def quit(self, keepers: set[int]) -> NoReturn:
        """End them and everything."""
        ...


def shown_rules(paths: list[str], rights: int, hidden: list[str]) -> list[landlock.Rule]:
    """What may be read of the host.  Landlock only ever adds, so a folder that holds something
    hidden (as an absolute path) is given child by child; of itself, its names alone."""
    away = [os.path.realpath(path) for path in hidden if path.startswith("/")]
    rules: list[landlock.Rule] = []
    waiting = list(paths)
    while waiting:
        path = waiting.pop()
        real = os.path.realpath(path) if away else path
        if real in away:
            continue
        if not any(other.startswith(f"{real}/") for other in away):
            rules.append((path, rights))
            continue
        rules.append((path, landlock.READ_DIR))
        waiting += [entry.path for entry in os.scandir(real) if os.path.exists(entry.path)]
    return rules


def write_rules(folder: int, order: Order, temporary: str) -> list[landlock.Rule]:
    """What a policy lets its commands do in the workspace `folder`, beyond reading."""
    rules: list[landlock.Rule] = []
    if order.execute:
        rules += [(at, landlock.READ | landlock.EXECUTE) for at in (folder, temporary)]
    if order.write:
        rules.append((temporary, landlock.READ | landlock.WRITE))
    for path in order.write:
        # What is not there, or is reached through a link, is no folder of the workspace.
        with contextlib.suppress(OSError):
            rules.append((kernel.open_beneath(folder, path, os.O_PATH), landlock.WRITE))
    return rules
