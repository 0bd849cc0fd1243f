"""What a tool must be able to do, and where it is told to write."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Tracker(Protocol):
    """One run in one tool."""

    id: str
    """By which the tool finds the run again; empty where the directory is all it needs."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Steps never fall; one may come twice, with other values."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a run goes."""

    directory: Path
    """The run's own."""
    project: str
    name: str
    settings: Mapping[str, str | int | float | bool]
    """The resolved recipe, keys as in `--set`."""
    id: str
    """What `Tracker.id` said the last time; empty: a new run."""
