"""One answer of the panel, written against one problem."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is tried; an answer of the first two must earn 1, any other must earn 0."""

    ORACLE = "oracle"
    HONEST = "honest"
    ATTACK = "attack"
    BLANK = "blank"
    RANDOM = "random"

    @property
    def is_right(self) -> bool:
        return self in (Kind.ORACLE, Kind.HONEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    kind: Kind
    name: str
    answer: str
    row: str = ""
    """The catalogue's, of an attack; else empty."""
    costly: bool = False
    """It uses up a limit: tried on one task instead of on all."""
