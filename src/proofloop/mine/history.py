"""Commits as tasks: what a commit that touched sources and tests did to the sources is undone in
the project as it is today, wherever that still applies.  Today's tests judge."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from proofloop.core.patch import PatchError, apply_patch
from proofloop.mine.baseline import Baseline
from proofloop.mine.changes import COMMIT_CLASS, Edit, Single
from proofloop.mine.config import Kind
from proofloop.mine.repository import Repository, git

MAX_COMMITS = 500
"""Looked at, newest first."""


def commits_of(repository: Repository, baseline: Baseline) -> Iterator[Single]:
    """Newest first; none where there is no history."""
    if not repository.commit:
        return
    sources, modules = set(repository.sources), set(repository.modules)
    for commit, parent, paths in _log(repository.root):
        touched = [path for path in paths if path in sources]
        if not touched or not modules.intersection(paths):
            continue
        undo = git(repository.root, "diff", "--no-color", "--no-ext-diff", "--no-renames",
                   "--no-textconv", "-U3", commit, parent, "--", *touched)  # fmt: skip
        edits = edits_of(repository, undo)
        if not edits:
            continue
        tests = tests_of(baseline, edits)
        if tests:
            yield Single(
                kind=Kind.COMMIT,
                operator="commit",
                complexity=COMMIT_CLASS,
                edits=edits,
                tests=tests,
                function=commit,
            )


def _log(root: Path) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Commit, its only parent, the paths that it touched."""
    text = git(root, "log", f"-{MAX_COMMITS}", "--no-merges", "--no-renames", "--name-only",
               "--format=%x00%H %P")  # fmt: skip
    for entry in text.split("\0")[1:]:
        head, _, rest = entry.partition("\n")
        ids = head.split()
        if len(ids) == 2:
            yield ids[0], ids[1], [path for path in rest.split("\n") if path]


def edits_of(repository: Repository, undo: str) -> dict[str, tuple[Edit, ...]]:
    """Whole files; empty where it no longer applies, or makes or deletes files."""

    def read(path: str) -> str | None:
        content = repository.files.get(path)
        return None if content is None else content.decode("utf-8", "surrogateescape")

    try:
        after = apply_patch(undo, read)
    except PatchError:
        return {}
    edits: dict[str, tuple[Edit, ...]] = {}
    for path, text in after.items():
        before = repository.files[path]
        if text is None or path not in repository.sources:
            return {}
        new = text.encode("utf-8", "surrogateescape")
        if new != before:
            start = _common(before, new)
            end = _common(before[start:][::-1], new[start:][::-1])
            middle = new[start : len(new) - end].decode("utf-8", "surrogateescape")
            edits[path] = (Edit(start, len(before) - end, middle),)
    return edits


def _common(a: bytes, b: bytes) -> int:
    """How long both are the same."""
    most = min(len(a), len(b))
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def tests_of(baseline: Baseline, edits: dict[str, tuple[Edit, ...]]) -> tuple[int, ...]:
    """All that reach any function of the files, since a commit moves lines and names."""
    found: set[int] = set()
    for place, tests in baseline.functions.items():
        if place.rpartition(":")[0] in edits:
            found.update(tests)
    return tuple(sorted(found))
