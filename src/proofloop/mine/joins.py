"""Joins: several validated single changes in one task, the horizon dial.

A join of K is right by construction: the project is whole only when each of its K changes is
undone, for each was seen to fail tests by itself, and those are among the join's tests.
"""

import ast
from collections.abc import Mapping, Sequence
from random import Random

from proofloop.mine.changes import Single

_TRIES = 50


def draw(singles: Sequence[Single], size: int, seed: str) -> tuple[Single, ...] | None:
    """`size` singles, in as many files where there are as many, else in as many functions; None
    where there are not.  The same for the same arguments."""
    dice = Random(seed)
    by_file: dict[str, list[Single]] = {}
    for single in singles:
        if len(single.edits) == 1:
            by_file.setdefault(next(iter(single.edits)), []).append(single)
    files = sorted(by_file)
    if len(files) >= size:
        return tuple(dice.choice(by_file[path]) for path in dice.sample(files, size))
    for _ in range(_TRIES):
        chosen = {path: dice.choice(by_file[path]) for path in files}
        found = list(chosen.values())
        rest = [s for path in files for s in by_file[path]]
        dice.shuffle(rest)
        for single in rest:
            if len(found) == size:
                break
            if all(_apart(single, other) for other in found):
                found.append(single)
        if len(found) == size:
            return tuple(found)
    return None


def _apart(a: Single, b: Single) -> bool:
    path = next(iter(a.edits))
    if path not in b.edits:
        return True
    first, second = a.edits[path][0], b.edits[path][0]
    overlap = first.start < second.end and second.start < first.end
    return a.function != b.function and not overlap


def in_order(paths: Sequence[str], depths: Mapping[str, int]) -> tuple[str, ...]:
    """Those first that others import."""
    return tuple(sorted(dict.fromkeys(paths), key=lambda path: (depths.get(path, 0), path)))


def import_depths(files: Mapping[str, bytes], sources: Sequence[str]) -> dict[str, int]:
    """How many imports lie below each source, along the longest chain; cycles count once."""
    by_name: dict[str, str] = {}
    for path in sources:
        parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
        for start in range(min(2, len(parts))):
            by_name.setdefault(".".join(parts[start:]), path)
    below = {path: _imports(path, files[path], by_name) for path in sources}
    depths: dict[str, int] = {}

    def depth(path: str, above: frozenset[str]) -> int:
        if path not in depths:
            rest = [d for d in below[path] if d not in above and d != path]
            found = 1 + max((depth(d, above | {path}) for d in rest), default=-1)
            if not above:
                depths[path] = found
            return found
        return depths[path]

    for path in sources:
        if len(above := frozenset[str]()) == 0 and path not in depths:
            depths[path] = depth(path, above) if len(sources) <= 200 else len(below[path])
    return depths


def _imports(path: str, source: bytes, by_name: Mapping[str, str]) -> set[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return set()
    package = path.split("/")[:-1]
    found: set[str] = set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            names = [start, *(f"{start}.{alias.name}" for alias in node.names)]
        found |= {by_name[name] for name in names if name in by_name}
    return found - {path}
