"""File operations on a workspace, on the trusted side of it, through descriptors.

Commands may have left anything there: each path is opened from the workspace's own folder,
through no link and not out of it, and only folders and regular files are opened for real.
"""

import errno
import os
import stat

from proofloop.sandbox.kernel import open_beneath

_Entry = tuple[str, str, int, bool, int]


def write(folder: int, *, path: str, data: bytes, executable: bool) -> None:
    """Raises OSError where something else is in the way or the space is used up."""
    above, name = _split(path)
    at = _make_folders(folder, above)
    try:
        # A new file, not new content: other names of an old one, and who has it open, stay apart.
        with_mode = 0o755 if executable else 0o644
        try:
            if stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode):
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
            if stat.S_ISLNK(os.lstat(name, dir_fd=at).st_mode):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            os.unlink(name, dir_fd=at)
        except FileNotFoundError:
            pass
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        fd = os.open(name, flags, with_mode, dir_fd=at)
        try:
            os.fchmod(fd, with_mode)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
    finally:
        os.close(at)


def _split(path: str) -> tuple[list[str], str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or path.startswith("/"):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)
    return parts[:-1], parts[-1]


def _make_folders(folder: int, parts: list[str]) -> int:
    at = open_beneath(folder, ".", os.O_RDONLY | os.O_DIRECTORY)
    for part in parts:
        try:
            try:
                below = open_beneath(at, part, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=at)
                below = open_beneath(at, part, os.O_RDONLY | os.O_DIRECTORY)
        finally:
            os.close(at)
        at = below
    return at


def read(folder: int, *, path: str, max_bytes: int) -> bytes | None:
    """A regular file's content; None where there is none or it is longer."""
    try:
        fd = open_beneath(folder, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > max_bytes:
            return None
        data = bytearray()
        while len(data) <= max_bytes:
            part = os.read(fd, min(1 << 20, max_bytes + 1 - len(data)))
            if not part:
                return bytes(data)
            data += part
        return None
    finally:
        os.close(fd)


def entries(folder: int, *, max_entries: int) -> list[_Entry] | None:
    """(path, kind, size, executable, time of change in ns) of all there is; None where there is
    more, or what cannot be listed."""
    found: list[_Entry] = []
    waiting = [""]
    while waiting:
        above = waiting.pop()
        try:
            at = open_beneath(folder, above or ".", os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # too deep for a path, or closed even to us: it cannot all be listed
            return None
        try:
            with os.scandir(at) as listed:
                for entry in listed:
                    if len(found) == max_entries:
                        return None
                    path = f"{above}/{entry.name}" if above else entry.name
                    at_path = entry.stat(follow_symlinks=False)
                    kind = _kind(at_path.st_mode)
                    executable = bool(at_path.st_mode & 0o100)
                    found.append((path, kind, at_path.st_size, executable, at_path.st_mtime_ns))
                    if kind == "folder":
                        waiting.append(path)
        finally:
            os.close(at)
    return sorted(found)


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "file"
    if stat.S_ISDIR(mode):
        return "folder"
    return "link" if stat.S_ISLNK(mode) else "other"
