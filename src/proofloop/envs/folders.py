"""Data that comes as a folder of files, or as an archive of one: read whole, into memory."""

import tarfile
import zlib
from pathlib import Path

from proofloop.core.errors import DataError

MAX_BYTES = 512 * 1024 * 1024
"""Of all files together; an archive that unpacks to more is refused."""


def read_folder(path: Path) -> dict[str, bytes]:
    """Relative path with `/` -> content, of all regular files; links are left out.

    Raises DataError where there is no such folder or archive, or it is damaged or too large."""
    try:
        return _from_folder(path) if path.is_dir() else _from_archive(path)
    except FileNotFoundError:
        raise DataError(path, None, "no such folder or archive; check the path") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        problem = f"neither a folder nor a readable .tar.gz archive ({error})"
        raise DataError(path, None, problem) from error
    except OSError as error:
        raise DataError(path, None, f"cannot be read ({error.strerror or error})") from error


def _from_folder(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    total = 0
    for file in sorted(path.rglob("*")):
        if file.is_file() and not file.is_symlink():
            found[file.relative_to(path).as_posix()] = content = file.read_bytes()
            total = _counted(path, total, len(content))
    return found


def _from_archive(path: Path) -> dict[str, bytes]:
    """Nothing is unpacked to disk."""
    found: dict[str, bytes] = {}
    total = 0
    with tarfile.open(path) as archive:
        for member in archive:
            total = _counted(path, total, member.size)
            file = archive.extractfile(member) if member.isreg() else None
            if file is not None:
                found[member.name.removeprefix("./")] = file.read()
    return dict(sorted(found.items()))


def _counted(path: Path, total: int, size: int) -> int:
    if total + size > MAX_BYTES:
        raise DataError(path, None, f"holds more than {MAX_BYTES >> 20} MiB")
    return total + size
