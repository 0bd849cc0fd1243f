"""Project trees that lie in a folder: what they hold, as a hash, so that a key can name them."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from proofloop.core.errors import UserError
from proofloop.core.project import FolderTree, InlineTree, ProjectTests


def folder_tree(folder: Path) -> FolderTree:
    """The folder as it is now.  Raises UserError where it holds links or cannot be read."""
    return FolderTree(folder=str(folder.resolve()), digest=digest_of(folder))


def check_folder(tree: FolderTree) -> None:
    """Raises UserError where the folder no longer is what the key says.

    The content is hashed once a process; afterwards sizes and times of all files are compared."""
    stamp = _stamp(Path(tree.folder))
    if _digest_as_of(tree.folder, stamp) != tree.digest:
        raise UserError(f"{tree.folder}: has changed since its tasks were made; make them again")


@lru_cache(maxsize=64)
def _digest_as_of(folder: str, stamp: str) -> str:
    del stamp  # part of the cache's key
    return digest_of(Path(folder))


def handed_out(tests: ProjectTests, path: str) -> bytes | None:
    """A file of the project as the task hands it out; None where there is none."""
    inline = tests.tree.files if isinstance(tests.tree, InlineTree) else ()
    for file in (*tests.changed, *inline):
        if file.path == path:
            return file.content
    if isinstance(tests.tree, InlineTree):
        return None
    place = Path(tests.tree.folder, path)
    return place.read_bytes() if place.is_file() and not place.is_symlink() else None


def digest_of(folder: Path) -> str:
    """SHA-256 over all paths and contents.  Raises UserError."""
    total = hashlib.sha256()
    for path in _files(folder):
        content = hashlib.sha256(path.read_bytes()).digest()
        name = path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape")
        total.update(len(name).to_bytes(4, "little") + name + content)
    return total.hexdigest()


def _stamp(folder: Path) -> str:
    total = hashlib.sha256()
    for path in _files(folder):
        facts = path.stat()
        total.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode())
    return total.hexdigest()


def _files(folder: Path) -> list[Path]:
    found: list[Path] = []
    try:
        for place, folders, names in os.walk(folder, onerror=_raise):
            for name in [*folders, *names]:
                if (path := Path(place, name)).is_symlink():
                    raise UserError(f"{path}: a link, which a project's tree must not hold")
            found += [Path(place, name) for name in names]
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror or error})") from error
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error
