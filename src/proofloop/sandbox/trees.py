"""Whole trees of files: copied, added up, removed.  Runs in the servers; the trees that commands
leave may be of any depth, shape and mode, and nobody changes them meanwhile unless it says so."""

import errno
import fcntl
import os
import stat

_FICLONE = 0x40049409
_CHUNK_BYTES = 1 << 20


def copy_folder(source: str, target: str) -> None:
    """Copy what is in `source` into `target`, there already; blocks are shared where the file
    system can.  Files, folders and links; anything else is left out.  Raises OSError."""
    waiting = [(source, target)]
    while waiting:
        from_folder, to_folder = waiting.pop()
        with os.scandir(from_folder) as entries:
            for entry in entries:
                to = f"{to_folder}/{entry.name}"
                if entry.is_symlink():
                    os.symlink(os.readlink(entry.path), to)
                elif entry.is_dir():
                    os.mkdir(to)
                    waiting.append((entry.path, to))
                elif entry.is_file():
                    _copy_file(entry.path, to)
                else:
                    continue
                if not entry.is_symlink():
                    found = entry.stat()
                    os.chmod(to, found.st_mode & 0o777 | 0o200)
                    os.utime(to, ns=(found.st_atime_ns, found.st_mtime_ns))


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb", buffering=0) as old, open(target, "xb", buffering=0) as new:
        try:
            fcntl.ioctl(new, _FICLONE, old.fileno())
        except OSError:
            while os.sendfile(new.fileno(), old.fileno(), None, _CHUNK_BYTES):
                pass


def remove_tree(folder: int) -> None:
    """Remove all that is in `folder`, however deep or closed: what is two levels down is moved up
    before it is looked into.  No one else is changing it."""
    number = 0
    while names := os.listdir(folder):
        for name in names:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode):
                os.unlink(name, dir_fd=folder)
                continue
            os.chmod(name, 0o700, dir_fd=folder)
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            try:
                for inner in os.listdir(below):
                    if stat.S_ISDIR(os.lstat(inner, dir_fd=below).st_mode):
                        os.chmod(inner, 0o700, dir_fd=below)
                        number += 1
                        moved = f".{number}.{os.getpid()}"
                        os.rename(inner, moved, src_dir_fd=below, dst_dir_fd=folder)
                    else:
                        os.unlink(inner, dir_fd=below)
            finally:
                os.close(below)
            os.rmdir(name, dir_fd=folder)


def remove(folder: int, name: str) -> None:
    """Remove `name` from `folder`, whatever it is; nothing there is fine."""
    try:
        mode = os.lstat(name, dir_fd=folder).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        os.unlink(name, dir_fd=folder)
        return
    os.chmod(name, 0o700, dir_fd=folder)
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        remove_tree(fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=folder)


def remove_folder(path: str) -> None:
    above = os.open(os.path.dirname(path), os.O_PATH | os.O_DIRECTORY)
    try:
        remove(above, os.path.basename(path))
    finally:
        os.close(above)


def used_bytes(folder: int, max_files: int) -> int | None:
    """What a tree takes up on disk, while it may be changing; a file of several names counts for
    each.  None where it has more than `max_files` files or is too deep to follow.  Folders that
    their owner has closed are passed over."""
    num_bytes = num_files = 0
    open_folders: list[tuple[int, list[str]]] = []
    fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
    open_folders.append((fd, os.listdir(fd)))
    try:
        while open_folders:
            fd, names = open_folders[-1]
            if not names:
                os.close(fd)
                open_folders.pop()
                continue
            name = names.pop()
            try:
                found = os.lstat(name, dir_fd=fd)
                num_bytes += found.st_blocks * 512
                num_files += 1
                if num_files > max_files:
                    return None
                if stat.S_ISDIR(found.st_mode):
                    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                    below = os.open(name, flags, dir_fd=fd)
                    open_folders.append((below, os.listdir(below)))
            except OSError as e:
                if e.errno in (errno.EMFILE, errno.ENFILE):
                    return None
        return num_bytes
    finally:
        for fd, _ in open_folders:
            os.close(fd)
