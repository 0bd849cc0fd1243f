"""A part of the answer: sentences, a table, figures with their numbers, and facts for machines."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from proofloop.measure.drawing import Figure


def plain(value: Any) -> Any:
    """Facts as JSON has them: records and dataclasses by field, arrays as lists, NaN as None."""
    if isinstance(value, msgspec.Struct):
        return plain(msgspec.structs.asdict(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float | np.floating) and not np.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


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
