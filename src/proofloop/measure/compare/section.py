"""A part of the answer: sentences, a table, figures with their numbers, and facts for machines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from proofloop.measure.drawing import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A figure of a section."""

    name: str
    """Stem of its files."""
    caption: str
    figure: Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """As they are shown: figures with their intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    title: str
    says: tuple[str, ...]
    """What was found, in plain sentences; and what could not be said, and why."""
    facts: Mapping[str, Any]
    """The same for `--json`: records, numbers, None where there is no figure."""
    table: Table | None = None
    figures: tuple[Drawn, ...] = field(default=())
