"""What arguments a task's own tests use: types, ranges, sizes, letters, at each place.

A contract is rarely written down, so what an oracle returns for arguments of another kind (a
negative size, an empty list where none was) is an accident that no other right program shares.
`Seen.admits` says whether arguments are of the kind that was seen; it errs on the strict side.
"""

import math
from collections.abc import Sequence
from typing import Any

_SIZED = (str, bytes, list, tuple, set, frozenset, dict)
MAX_SPAN = 2
"""How many times as long or as large as any seen."""


class Place:
    """The values seen at one place, and within them."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.types = {type(v) for v in values}
        self.pool = list(values)
        numbers = [v for v in values if type(v) in (int, float) and math.isfinite(v)]
        self.low, self.high = min(numbers, default=0), max(numbers, default=0)
        sizes = [len(v) for v in values if isinstance(v, _SIZED)]
        self.shortest, self.longest = min(sizes, default=0), max(sizes, default=0)
        self.letters = {c for v in values if type(v) is str for c in v}
        sequences = [v for v in values if isinstance(v, list | tuple)]
        self.is_sorted = bool(sequences) and all(map(_is_sorted, sequences))
        self.is_distinct = bool(sequences) and all(map(_is_distinct, sequences))
        self.is_square = bool(sequences) and all(map(_is_square, sequences))
        self.is_even = bool(sequences) and all(map(_is_even, sequences))
        self.items = _place([x for v in values if isinstance(v, _SIZED) for x in _members(v)])
        mappings = [v for v in values if type(v) is dict]
        self.values = _place([x for v in mappings for x in v.values()])

    def admits(self, x: Any) -> bool:
        if type(x) not in self.types:
            return False
        match x:
            case bool() | None:
                return True
            case int() | float():
                return self._admits_number(x)
            case str():
                return self._admits_size(x) and all(map(self._admits_letter, x))
            case _ if isinstance(x, _SIZED):
                return self._admits_size(x) and self._admits_members(x)
            case _:
                return any(x == seen for seen in self.pool)

    def _admits_number(self, x: float) -> bool:
        if not math.isfinite(x):
            return False
        low = self.low if self.low >= 0 else MAX_SPAN * self.low - 10
        high = self.high if self.high <= 0 else MAX_SPAN * self.high + 10
        return low <= x <= high

    def _admits_size(self, x: Any) -> bool:
        return self.shortest <= len(x) <= MAX_SPAN * self.longest + 2

    def _admits_letter(self, letter: str) -> bool:
        """Seen, or of a kind of ASCII letters of which several were."""
        if letter in self.letters:
            return True
        for kind in (str.islower, str.isupper, str.isdigit):
            if letter.isascii() and kind(letter):
                return sum(c.isascii() and kind(c) for c in self.letters) >= 3
        return False

    def _admits_members(self, x: Any) -> bool:
        if self.is_sorted and not _is_sorted(x):
            return False
        if self.is_distinct and not _is_distinct(x):
            return False
        if (self.is_square and not _is_square(x)) or (self.is_even and not _is_even(x)):
            return False
        if x and self.items is not None and not all(map(self.items.admits, _members(x))):
            return False
        if type(x) is dict and self.values is not None:
            return all(map(self.values.admits, x.values()))
        return not x or self.items is not None


class Seen:
    """The argument tuples seen: of one length each, and the relations that hold in all of them."""

    def __init__(self, seen: Sequence[tuple[Any, ...]]) -> None:
        self.places: dict[int, list[Place]] = {}
        self._relations: dict[int, list[tuple[str, int, int]]] = {}
        for num_args in sorted({len(args) for args in seen}):
            own = [args for args in seen if len(args) == num_args]
            self.places[num_args] = [Place([a[at] for a in own]) for at in range(num_args)]
            pairs = [(a, b) for a in range(num_args) for b in range(num_args) if a != b]
            self._relations[num_args] = [
                (name, a, b)
                for name in _RELATIONS
                for a, b in pairs
                if all(_RELATIONS[name](args[a], args[b]) for args in own)
            ]

    def admits(self, args: tuple[Any, ...]) -> bool:
        places = self.places.get(len(args))
        return (
            places is not None
            and all(place.admits(x) for place, x in zip(places, args, strict=True))
            and all(_RELATIONS[name](args[a], args[b]) for name, a, b in self._relations[len(args)])
        )


def _place(values: list[Any]) -> Place | None:
    return Place(values) if values else None


def _members(x: Any) -> list[Any]:
    """A text has letters, which are no values of their own."""
    return [] if isinstance(x, str | bytes) else list(x)


def _is_sorted(x: Any) -> bool:
    try:
        return all(a <= b for a, b in zip(x, list(x)[1:], strict=False))
    except TypeError:
        return False


def _is_distinct(x: Any) -> bool:
    return all(a != b for place, a in enumerate(x) for b in list(x)[:place])


def _is_square(x: Any) -> bool:
    return all(isinstance(row, list | tuple) and len(row) == len(x) for row in x)


def _is_even(x: Any) -> bool:
    """Rows of one length."""
    rows = [len(row) if isinstance(row, list | tuple) else -1 for row in x]
    return len(set(rows)) <= 1 and -1 not in rows


def _same_size(a: Any, b: Any) -> bool:
    return isinstance(a, _SIZED) and isinstance(b, _SIZED) and len(a) == len(b)


def _at_most_size(a: Any, b: Any) -> bool:
    return type(a) is int and isinstance(b, _SIZED) and a <= len(b)


def _not_above(a: Any, b: Any) -> bool:
    return type(a) in (int, float) and type(b) in (int, float) and a <= b


_RELATIONS = {"same size": _same_size, "at most size": _at_most_size, "not above": _not_above}
