"""What an agent has changed: a workspace beside its base, file by file; and as a commit.

A branch is made of Git's own objects, by a temporary index: no checkout, no hook, no filter, and
neither the working tree nor the index of whoever owns the repository is touched.
"""

import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from proofloop.agent.repository import git
from proofloop.agent.site import MAX_ENTRIES
from proofloop.core.errors import UserError
from proofloop.core.record import Record
from proofloop.core.sandbox import Entry, Workspace

MAX_BYTES = 32 << 20
"""Of one changed file, and of all of them."""
_LEFT = ("__pycache__/", ".pytest_cache/", ".hypothesis/", ".mypy_cache/", ".ruff_cache/", ".git/")


class Changed(Record):
    """A file that was made, changed, or (without content) deleted."""

    path: str
    content: bytes | None
    is_executable: bool = False


class Changes(Record):
    files: tuple[Changed, ...]
    left_out: tuple[str, ...] = ()
    """Paths with what cannot be handed on: links, pipes, files over the limit."""


def changes(workspace: Workspace, base: Path) -> Changes:
    """A file that has the base's size, mode and time of change is taken for the base's: who resets
    them hides their own work.  Caches of tools do not count.  Raises SandboxLost, and UserError for
    more than can be listed."""
    entries = workspace.entries(max_entries=MAX_ENTRIES)
    if entries is None:
        raise UserError(f"the workspace holds over {MAX_ENTRIES} files; what changed is not known")
    before = dict(_files(base))
    files: list[Changed] = []
    left_out: list[str] = []
    room = MAX_BYTES
    for entry in entries:
        if entry.kind == "folder" or _is_junk(entry.path):
            continue
        was = before.pop(entry.path, None)
        if entry.kind != "file":
            if was is None or not was.is_symlink() or entry.kind != "link":
                left_out.append(entry.path)
            continue
        if was is not None and _is_untouched(was, entry):
            continue
        content = workspace.read(entry.path, max_bytes=room)
        if content is None:
            left_out.append(entry.path)
        elif was is None or not _is_same(was, content, entry.is_executable):
            room -= len(content)
            files.append(
                Changed(path=entry.path, content=content, is_executable=entry.is_executable)
            )
    files += [Changed(path=path, content=None) for path in before]
    return Changes(files=tuple(sorted(files, key=lambda f: f.path)), left_out=tuple(left_out))


def _files(base: Path) -> list[tuple[str, Path]]:
    found: list[tuple[str, Path]] = []
    for above, folders, names in os.walk(base):
        folders[:] = [name for name in folders if name != ".git"]
        links = [name for name in folders if Path(above, name).is_symlink()]
        for name in (*names, *links):
            path = Path(above, name)
            inner = path.relative_to(base).as_posix()
            if not _is_junk(inner):
                found.append((inner, path))
    return found


def _is_junk(path: str) -> bool:
    return any(f"{path}/".startswith(j) or f"/{j}" in f"{path}/" for j in _LEFT) or path.endswith(
        (".pyc", ".pyo")
    )


def _is_untouched(was: Path, entry: Entry) -> bool:
    found = was.lstat()
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_size == entry.size_bytes
        and found.st_mtime_ns == entry.modified_ns
        and bool(found.st_mode & 0o100) == entry.is_executable
    )


def _is_same(was: Path, content: bytes, executable: bool) -> bool:
    found = was.lstat()
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_size == len(content)
        and bool(found.st_mode & 0o100) == executable
        and was.read_bytes() == content
    )


def commit_changes(
    repository: Path, parent: str, branch: str, files: Sequence[Changed], message: str
) -> str:
    """A new branch of one commit; its id.  The branch appears at once, or not at all.  Raises
    UserError."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        git(repository, "read-tree", parent, env=index)
        lines = [_line(repository, file) for file in files]
        stdin = os.fsencode("".join(lines))
        git(repository, "update-index", "-z", "--index-info", stdin=stdin, env=index)
        tree = git(repository, "write-tree", env=index).strip()
    commit = git(
        repository, "commit-tree", tree, "-p", parent, "-F", "-", stdin=message.encode(),
        env=_author(repository),
    ).strip()  # fmt: skip
    git(repository, "update-ref", f"refs/heads/{branch}", commit, "0" * 40)
    return commit


def _line(repository: Path, file: Changed) -> str:
    """For `update-index -z --index-info`."""
    if file.content is None:
        return f"0 {'0' * 40}\t{file.path}\0"
    blob = git(repository, "hash-object", "-w", "--no-filters", "--stdin", stdin=file.content)
    return f"{'100755' if file.is_executable else '100644'} {blob.strip()}\t{file.path}\0"


def _author(repository: Path) -> Mapping[str, str]:
    """The user's own name where they have told Git one."""
    names: dict[str, str] = {}
    for key, variable, other in (
        ("user.name", "NAME", "proofloop"), ("user.email", "EMAIL", "proofloop@localhost"),
    ):  # fmt: skip
        try:
            found = git(repository, "config", key).strip()
        except UserError:
            found = ""
        names |= {f"GIT_AUTHOR_{variable}": found or other}
        names |= {f"GIT_COMMITTER_{variable}": found or other}
    return names
