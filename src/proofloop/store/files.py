"""Writing files so that a killed process leaves the old content or the new, never half of it.

The invariant: a name outside of `TEMPORARY_PREFIX` always stands for complete, fsynced bytes.
"""

import os
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable: a rename or a new file is only then sure to last."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, data: bytes) -> None:
    """Write a new file and wait until its bytes are on disk; not atomic by itself."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_atomic(path: Path, data: bytes) -> None:
    """Put `data` at `path` in one step.  Raises OSError as writing does (disk full, no right)."""
    # Named after the process: two processes that write the same file must not share a temporary.
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    try:
        write_synced(temporary, data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
