"""Workspaces without namespaces (T0): each a private folder of the host, and Landlock around it.

What T0 cannot give: commands see the real paths and, by name, that other files exist; a hidden file
is missing instead of closed; the dynamic loader runs a program that may not be executed; what is
written is added up at intervals, up to a quarter of a second of writing late; and where we are an
ordinary user, commands can change mode and times of any file of that user whose name they know,
which Landlock does not govern.  Where our process, the server and a keeper are all killed at once,
the folder stays until the next server starts, and what left its command until it ends.
"""

import errno
import fcntl
import os
import signal
import stat
import time
from typing import NoReturn

from proofloop.sandbox import kernel, landlock
from proofloop.sandbox.descendants import descendants, end_all_below
from proofloop.sandbox.order import Order
from proofloop.sandbox.rooms import (
    DEVICES,
    SETTINGS,
    SYSTEM,
    WRITABLE_DEVICES,
    shown_rules,
    write_rules,
)
from proofloop.sandbox.trees import copy_folder, remove, remove_folder, remove_tree, used_bytes

_PREFIX = "proofloop-workspaces"
_LAST_USER = 0x70000000
_NUM_USERS = 1 << 22
"""Process numbers stay below: no two keepers of a machine have the same user."""
_PATIENCE_S = 10.0
_COUNT_EVERY_S = 0.25
_MAX_FILES = 65536
_SCOPED_SIGNALS_ABI = 6


class FolderHouse:
    """A folder of this server alone, locked while it or a keeper lives."""

    def __init__(self) -> None:
        """Raises OSError where there is no place to write to."""
        kernel.become_subreaper()
        temporary = os.environ.get("TMPDIR", "/tmp")
        self._prefix = f"{temporary}/{_PREFIX}-{os.geteuid()}-"
        self._remove_stale(temporary)
        self._lock, self.path = self._make()

    def _make(self) -> tuple[int, str]:
        while True:
            path = self._prefix + os.urandom(8).hex()
            os.mkdir(path, 0o711)
            fd = _lock(path)
            if fd is not None and os.path.exists(path):
                return fd, path

    def _remove_stale(self, temporary: str) -> None:
        for name in os.listdir(temporary):
            path = f"{temporary}/{name}"
            if not path.startswith(self._prefix):
                continue
            try:
                found = os.lstat(path)
                fd = _lock(path) if found.st_uid == os.geteuid() else None
                if fd is not None:
                    remove_tree(fd)
                    os.rmdir(path)
                    os.close(fd)
            except OSError:  # someone else is faster
                continue

    def open(self, base: str | None, disk_bytes: int) -> "FolderRoom":
        return FolderRoom(f"{self.path}/{os.getpid()}", base, disk_bytes)

    def clear_after(self, keepers: set[int]) -> None:
        end_all_below(keepers, patience_s=_PATIENCE_S)
        left = set(os.listdir(self.path)) - {str(pid) for pid in keepers}
        for name in left:
            remove_folder(f"{self.path}/{name}")

    def quit(self, keepers: set[int]) -> NoReturn:
        for pid in keepers:
            os.kill(pid, signal.SIGKILL)
        end_all_below(patience_s=_PATIENCE_S)
        remove_folder(self.path)
        os._exit(0)


def _lock(path: str) -> int | None:
    """The open folder with its lock; None where another holds it."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


class FolderRoom:
    """One workspace in a folder (`rooms.Room`).

    Where we are root, commands run as a user that nobody else is, whose processes the kernel can
    count, with the one capability to read what root may read; Landlock says what that is."""

    def __init__(self, path: str, base: str | None, disk_bytes: int) -> None:
        """In the keeper.  Raises StepFailed or OSError."""
        kernel.become_subreaper()
        self.path, self.temporary = f"{path}/workspace", f"{path}/tmp"
        self.may_signal = landlock.abi() >= _SCOPED_SIGNALS_ABI
        self._top = path
        self._user = _spare_user()
        os.mkdir(path, 0o700)
        for name in ("workspace", "tmp", "hidden"):
            os.mkdir(f"{path}/{name}", 0o755)
        if base is not None:
            if f"{path}/".startswith(f"{base}/"):
                raise OSError(errno.EINVAL, "the base holds the folder for workspaces", base)
            copy_folder(base, self.path)
        # Held open: their keeper, as another user, may not find them by their paths.
        self.folder, self._tmp_folder, self._hidden_folder = (
            os.open(f"{path}/{name}", os.O_RDONLY | os.O_DIRECTORY)
            for name in ("workspace", "tmp", "hidden")
        )
        if self._user is not None:
            self._give_away(self._user)
        self._hidden: list[tuple[str, int]] = []
        self._most_bytes = self._most_now = (self._used_bytes() or 0) + disk_bytes
        self._count_at = 0.0

    def _give_away(self, user: int) -> None:
        for folder, folders, files in os.walk(self._top):
            for name in (*folders, *files):
                os.chown(f"{folder}/{name}", user, user, follow_symlinks=False)
        os.chown(self._top, user, user)
        os.setegid(user)
        os.seteuid(user)

    # --- processes ---

    def fork(self) -> int:
        return os.fork()

    def enter(self, order: Order) -> None:
        kernel.become_subreaper()

    def isolate(self, order: Order) -> None:
        kernel.show_to_peers()
        kernel.be_first_to_go()
        if self._user is not None:  # what is to be shown may be root's alone
            os.seteuid(0)
            os.setegid(0)

    def rules(self, order: Order) -> list[landlock.Rule]:
        execute = landlock.READ | landlock.EXECUTE
        folder = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        shown = [path for path in (*SYSTEM, *order.read) if os.path.exists(path)]
        return [
            *shown_rules(shown, execute, order.hidden),
            *((path, landlock.READ) for path in (*SETTINGS, *DEVICES) if os.path.exists(path)),
            *((path, landlock.WRITE_FILE) for path in WRITABLE_DEVICES),
            (folder, landlock.READ),
            (self.temporary, landlock.READ),
            *write_rules(folder, order, self.temporary),
        ]

    def drop_privileges(self) -> None:
        if os.geteuid() == 0:
            kernel.drop_bounding_set(kept=self._user is not None)
        if self._user is not None:
            kernel.become_user(self._user)
        else:
            kernel.drop_capabilities()
        kernel.die_with_parent(signal.SIGKILL)

    def processes(self) -> list[int]:
        return descendants(os.getpid())

    def num_spare_processes(self) -> int:
        if self._user is not None:
            return 0
        # The kernel counts all tasks of a user together: those there are now, but this one.
        return sum(_num_tasks(name) for name in os.listdir("/proc") if name.isdigit()) - 1

    def clear(self) -> None:
        if not end_all_below(patience_s=_PATIENCE_S):
            raise OSError(errno.EBUSY, "processes outlived their command")
        self._show_hidden()

    def leave(self) -> None:
        if self._user is not None:
            os.seteuid(0)
            os.setegid(0)
        remove_folder(self._top)

    # --- files ---

    def prepare(self, order: Order) -> None:
        self._most_now = max(self._most_bytes, self._used_bytes() or 0)  # let it tidy up
        for path in sorted(path for path in order.hidden if not path.startswith("/")):
            *above, name = [part for part in path.split("/") if part not in ("", ".")]
            folder = _open_folder(self.folder, above)
            if folder is None:
                continue
            try:
                mode = os.lstat(name, dir_fd=folder).st_mode
                if stat.S_ISDIR(mode):
                    os.chmod(name, 0o700, dir_fd=folder)
                number = str(len(self._hidden))
                os.rename(name, number, src_dir_fd=folder, dst_dir_fd=self._hidden_folder)
                self._hidden.append((path, mode))
            except FileNotFoundError:
                continue
            finally:
                os.close(folder)

    def _show_hidden(self) -> None:
        """Put back what was hidden, in place of whatever commands put there."""
        for number, (path, mode) in reversed(list(enumerate(self._hidden))):
            at = os.dup(self.folder)
            *above, name = [part for part in path.split("/") if part not in ("", ".")]
            for part in above:
                below = _clear_folder(at, part)
                os.close(at)
                at = below
            remove(at, name)
            os.rename(str(number), name, src_dir_fd=self._hidden_folder, dst_dir_fd=at)
            if stat.S_ISDIR(mode):
                os.chmod(name, stat.S_IMODE(mode), dir_fd=at)
            os.close(at)
        self._hidden.clear()

    def expect(self, num_bytes: int) -> None:
        used = self._used_bytes()
        if used is None or used + num_bytes > self._most_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def is_full(self, *, at_rest: bool = False) -> bool:
        if not at_rest and time.monotonic() < self._count_at:
            return False
        used = self._used_bytes()
        self._count_at = time.monotonic() + _COUNT_EVERY_S
        return used is None or used > self._most_now

    def _used_bytes(self) -> int | None:
        """None: more files than may be, or too deep to follow."""
        parts = [used_bytes(at, _MAX_FILES) for at in (self.folder, self._tmp_folder)]
        return None if None in parts else sum(part or 0 for part in parts)


def _open_folder(top: int, parts: list[str]) -> int | None:
    """The folder at the end of `parts`, opened to its owner where commands have closed it; None
    where there is none, or a link is in the way."""
    at = os.dup(top)
    for part in parts:
        above = at
        try:
            mode = os.lstat(part, dir_fd=above).st_mode
            if not stat.S_ISDIR(mode):
                return None
            os.chmod(part, stat.S_IMODE(mode) | 0o700, dir_fd=above)
            at = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
        except FileNotFoundError:
            return None
        finally:
            os.close(above)
    os.fchmod(at, stat.S_IMODE(os.fstat(at).st_mode) | 0o700)
    return at


def _clear_folder(at: int, name: str) -> int:
    """The folder `name`, made if need be, in place of whatever else is there."""
    try:
        mode = os.lstat(name, dir_fd=at).st_mode
    except FileNotFoundError:
        mode = 0
    if not stat.S_ISDIR(mode):
        remove(at, name)
        os.mkdir(name, 0o755, dir_fd=at)
    os.chmod(name, stat.S_IMODE(mode) | 0o700 if mode else 0o755, dir_fd=at)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)


def _spare_user() -> int | None:
    """A user for this keeper's commands, where we are root.  Raises OSError where we can become
    none: the modes of root's own files could not be kept from root's commands."""
    if os.geteuid() != 0:
        return None
    user = min(_last_id("uid"), _last_id("gid"), _LAST_USER) - os.getpid() % _NUM_USERS
    os.setgroups([])
    for change in (os.setegid, os.seteuid):
        change(user)
    os.seteuid(0)
    os.setegid(0)
    return user


def _last_id(kind: str) -> int:
    """The last one that our user namespace knows."""
    with open(f"/proc/self/{kind}_map") as f:
        ranges = [tuple(map(int, line.split())) for line in f]
    return max(first + count - 1 for first, _, count in ranges)


def _num_tasks(pid: str) -> int:
    """Threads of a process of ours."""
    try:
        if os.stat(f"/proc/{pid}").st_uid == os.geteuid():
            return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        pass
    return 0
