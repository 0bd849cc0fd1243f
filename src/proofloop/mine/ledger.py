"""What became of every change that was tried: an append-only file of JSON lines.

A line is written when its task, if it became one, is whole on disk.  So whatever instant the
process is killed at, nothing recorded is lost, and nothing recorded is tried again.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from proofloop.core.codec import from_json, to_json
from proofloop.core.record import Record

NAME = "ledger.jsonl"
VALID, SPARE = "valid", "spare"
"""Admitted; validated, but only as a part of joins."""


class Line(Record):
    id: str
    """Of the change, by its content."""
    result: str
    """`valid`, `spare`, or why it was dropped (`trial.Dropped`)."""
    kind: str
    operators: tuple[str, ...]
    complexity: int
    horizon: int
    num_tests: int
    at_s: float
    """Since mining began, over all its sessions."""
    task: str = ""
    refused: tuple[str, ...] = ()
    """By whom of the panel."""
    members: tuple[str, ...] = ()
    num_failing: int = 0
    num_files: int = 1


class Ledger:
    def __init__(self, folder: Path) -> None:
        """What is there, less a last line that was cut off."""
        self._path = folder / NAME
        self.lines: list[Line] = list(_read(self._path))
        self.ids = {line.id for line in self.lines}
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def add(self, lines: Sequence[Line]) -> None:
        if not lines:
            return
        data = b"".join(to_json(line) + b"\n" for line in lines)
        while data:
            data = data[os.write(self._fd, data) :]
        os.fsync(self._fd)
        self.lines += lines
        self.ids |= {line.id for line in lines}

    def close(self) -> None:
        os.close(self._fd)


def _read(path: Path) -> Iterator[Line]:
    if not path.exists():
        return
    data = path.read_bytes()
    whole, _, rest = data.rpartition(b"\n")
    if rest:
        os.truncate(path, len(data) - len(rest))
    for line in whole.splitlines():
        try:
            yield from_json(line, Line)
        except msgspec.DecodeError:
            continue  # of a version that wrote other columns: tried again
