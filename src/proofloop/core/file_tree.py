"""Trees of files as tests: what a program is given, and what it must leave behind."""

from pathlib import PurePosixPath

from proofloop.core.language import PYTHON, Language
from proofloop.core.record import Record


class TreeFile(Record, tag="file"):
    """A regular file."""

    path: str
    """From the tree's root, with `/`."""
    content: bytes
    is_executable: bool = False


class TreeFolder(Record, tag="folder"):
    """A folder; those above a file need no mention."""

    path: str


class FileTree(Record, tag="file_tree"):
    """Passes when the program, run in a folder with the given files, leaves what is wanted there.
    How it ends is of no account as long as it ends by itself."""

    given: tuple[TreeFile | TreeFolder, ...]
    wanted: tuple[TreeFile | TreeFolder, ...]
    """Exactly so; no link will do."""
    absent: tuple[str, ...] = ()
    """Paths at which nothing may be."""
    allows_surplus: bool = False
    """Whether there may be more than is wanted; else given files that are not wanted must go."""
    stdin: bytes = b""
    language: Language = PYTHON

    def fault(self) -> str | None:
        """Why nothing can be checked against this, if so."""
        wanted, given = {e.path: e for e in self.wanted}, {e.path: e for e in self.given}
        if not wanted and not self.absent:
            return "wants no file, no folder, and nothing to be absent"
        if len(wanted) != len(self.wanted) or len(given) != len(self.given):
            return "names a path twice"
        for path in (*wanted, *given, *self.absent):
            if {"", ".", ".."} & set(path.split("/")) or "\0" in path:
                return f"names {path!r}, which is no plain path below the tree"
        for side in (given, wanted):
            files = {path for path, entry in side.items() if isinstance(entry, TreeFile)}
            if any(files & set(folders_above(path)) for path in side):
                return "has a file where it also has a folder"
        if any({path, *folders_above(path)} & set(self.absent) for path in wanted):
            return "wants a path and wants it absent"
        if self._is_given():
            return "is satisfied by the given files: a program that does nothing would pass"
        return None

    def _is_given(self) -> bool:
        """Whether the tree is as wanted before anything is done."""
        given = {entry.path: entry for entry in self.given}
        folders = {folder for path in given for folder in folders_above(path)}
        return (
            all(
                given.get(entry.path) == entry
                or (isinstance(entry, TreeFolder) and entry.path in folders)
                for entry in self.wanted
            )
            and not {*given, *folders} & set(self.absent)
            and (self.allows_surplus or all(self.is_known(path) for path in given))
        )

    def is_known(self, path: str) -> bool:
        """Whether something wanted is at or below this path."""
        return any(path in (e.path, *folders_above(e.path)) for e in self.wanted)


def folders_above(path: str) -> list[str]:
    """Without the root."""
    return [str(parent) for parent in PurePosixPath(path).parents][:-1]
