"""Unified diffs of text files: written, read, applied.  Pure.

A hunk applies where its line numbers say and the text there is what it expects, or, where that
fails, at the one other place that has this text.  Nothing is ever applied to text that differs.
"""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

_HUNK = re.compile(r"^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_NO_NEWLINE = "\\ No newline at end of file"


class PatchError(ValueError):
    """Why a diff is none, or does not apply.  One line."""


class Hunk(NamedTuple):
    start: int
    """Of the old text, from 1."""
    old: tuple[str, ...]
    """Lines with their ends."""
    new: tuple[str, ...]


class FilePatch(NamedTuple):
    path: str
    is_new: bool
    is_deleted: bool
    hunks: tuple[Hunk, ...]


def unified(old: Mapping[str, str], new: Mapping[str, str], *, context: int = 3) -> str:
    """The diff from `old` to `new` by path; a path that only one side has is made or deleted."""
    parts: list[str] = []
    for path in sorted({*old, *new}):
        before, after = old.get(path), new.get(path)
        if before == after:
            continue
        lines = difflib.unified_diff(
            _lines(before or ""),
            _lines(after or ""),
            "/dev/null" if before is None else f"a/{path}",
            "/dev/null" if after is None else f"b/{path}",
            n=context,
        )
        for line in lines:
            parts.append(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}\n")
    return "".join(parts)


def read_patch(text: str) -> tuple[FilePatch, ...]:
    """Raises PatchError."""
    found = list(_files(text))
    if not found:
        raise PatchError("no file in the diff (a `---` line, a `+++` line, hunks)")
    return tuple(found)


def apply_patch(text: str, read: Callable[[str], str | None]) -> dict[str, str | None]:
    """What the files become, by path; None for deleted ones.  `read` tells what they are, None
    where there is none.  Raises PatchError."""
    done: dict[str, str | None] = {}
    for file in read_patch(text):
        before = done[file.path] if file.path in done else read(file.path)
        if file.is_new != (before is None):
            raise PatchError(
                f"{file.path}: {'is there already' if file.is_new else 'no such file'}"
            )
        after = "".join(_applied(_lines(before or ""), file))
        if file.is_deleted and after:
            raise PatchError(f"{file.path}: to be deleted, but the diff leaves some of it")
        done[file.path] = None if file.is_deleted else after
    return done


def inverted(text: str) -> str:
    """The diff back.  Raises PatchError."""
    read_patch(text)
    lines, out, at = _lines(text), list[str](), 0
    while at < len(lines):
        line = lines[at]
        if line.startswith("--- ") and lines[at + 1 : at + 2] and lines[at + 1][:4] == "+++ ":
            out += [f"--- {lines[at + 1][4:]}", f"+++ {line[4:]}"]
            at += 2
        elif head := _HUNK.match(line):
            _, after = _hunk(lines, at + 1, head)
            old, new = (f"{head[n]},{head[n + 1] or 1}" for n in (1, 3))
            out.append(f"@@ -{new} +{old} @@\n")
            swap = {"+": "-", "-": "+"}
            out += [swap.get(line[:1], line[:1]) + line[1:] for line in lines[at + 1 : after]]
            at = after
        else:
            at += 1
    return "".join(out)


def _applied(lines: list[str], file: FilePatch) -> list[str]:
    shift = 0
    for hunk in file.hunks:
        # A hunk that only adds stands below its line.
        at = (hunk.start - 1 if hunk.old else hunk.start) + shift
        wanted = list(hunk.old)
        if at < 0 or lines[at : at + len(wanted)] != wanted:
            places = [i for i in range(len(lines)) if lines[i : i + len(wanted)] == wanted]
            if not wanted or len(places) != 1:
                raise PatchError(f"{file.path}: the hunk at line {hunk.start} does not apply")
            at = places[0]
        lines[at : at + len(wanted)] = hunk.new
        shift += len(hunk.new) - len(wanted)
    return lines


def _lines(text: str) -> list[str]:
    """At `\\n` alone: a text may hold form feeds and lone carriage returns."""
    parts = text.split("\n")
    lines = [f"{part}\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _files(text: str) -> Iterator[FilePatch]:
    lines = _lines(text)
    at = 0
    while at < len(lines):
        if not (lines[at].startswith("--- ") and lines[at + 1 : at + 2]
                and lines[at + 1].startswith("+++ ")):  # fmt: skip
            at += 1
            continue
        old, new = _name(lines[at]), _name(lines[at + 1])
        at += 2
        hunks: list[Hunk] = []
        while at < len(lines) and (head := _HUNK.match(lines[at])):
            hunk, at = _hunk(lines, at + 1, head)
            hunks.append(hunk)
        if not hunks:
            raise PatchError(f"{new}: no hunks")
        path = old if new == "/dev/null" else new
        yield FilePatch(path, old == "/dev/null", new == "/dev/null", tuple(hunks))


def _name(line: str) -> str:
    name = line[4:].rstrip("\n").partition("\t")[0].strip()
    return name[2:] if name[:2] in ("a/", "b/") else name


def _hunk(lines: list[str], at: int, head: re.Match[str]) -> tuple[Hunk, int]:
    start, num_old = int(head[1]), int(head[2] or 1)
    num_new = int(head[4] or 1)
    old: list[str] = []
    new: list[str] = []
    while len(old) < num_old or len(new) < num_new:
        line = lines[at] if at < len(lines) else ""
        mark, rest = line[:1], line[1:]
        if mark not in (" ", "-", "+") and line != "\n":
            raise PatchError(f"a hunk ends early (line {at + 1} of the diff)")
        at += 1
        if at < len(lines) and lines[at].startswith("\\"):
            rest = rest.removesuffix("\n")
            at += 1
        rest = "\n" if line == "\n" else rest  # editors strip the blank of an empty line
        if mark != "+":
            old.append(rest)
        if mark != "-":
            new.append(rest)
    if len(old) != num_old or len(new) != num_new:
        raise PatchError(f"a hunk is longer than it says (line {at} of the diff)")
    return Hunk(start, tuple(old), tuple(new)), at
