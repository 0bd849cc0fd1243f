"""One writer per run directory, by a lock that the kernel drops when its process dies.

A POSIX record lock rather than `flock`: it belongs to the process and not to the open file, so a
worker forked by a trainer that was killed does not keep the run locked against its resumption.
Such a lock does not stop the same process from taking it twice, hence `_held`.
"""

import fcntl
import os
from pathlib import Path
from typing import Self

from proofloop.core.errors import RunError

LOCK_NAME = "run.lock"

_held: set[Path] = set()


class WriterLock:
    """Held from construction to `release`.  Raises RunError where another writer holds it."""

    def __init__(self, directory: Path) -> None:
        self._path = directory.resolve() / LOCK_NAME
        # Looked up before opening: closing any descriptor of the file would drop our own lock.
        if self._path in _held:
            raise RunError(f"{directory}: this process is already writing to this run")
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise RunError(f"{directory}: cannot be written to ({error.strerror})") from error
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            writer = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise RunError(
                f"{directory}: another process (pid {writer}) is writing to this run; "
                "wait for it or stop it, then try again"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        _held.add(self._path)

    def release(self) -> None:
        if self._path in _held:
            _held.remove(self._path)
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
