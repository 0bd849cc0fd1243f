"""The operations that programs of the environment `functions` are composed of.

An operation is a Python expression in `x` and the types it goes between.  Its text is the single
source: it is what a solution says and, compiled once, what the generator computes with.  Only
texts from this table are ever compiled here; model text never is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from random import Random
from typing import Any


class Kind(StrEnum):
    """Types that values have between operations."""

    INT = "int"
    LIST = "list"
    STRING = "string"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One concrete step, for example `x * 3`."""

    source: Kind
    target: Kind
    expression: str

    @property
    def function(self) -> Callable[[Any], Any]:
        return _compiled(self.expression)

    @property
    def mentions(self) -> int:
        """How often the expression names its argument, and so may be nested without repeating."""
        return _mentions(self.expression)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A family of operations: a template whose `{k}` is drawn from `constants`."""

    source: Kind
    target: Kind
    template: str
    constants: tuple[int | str, ...] = ()
    weight: float = 1.0

    def draw(self, rng: Random) -> Operation:
        return self._with(rng.choice(self.constants)) if self.constants else self._with("")

    def all(self) -> tuple[Operation, ...]:
        """One of every constant."""
        return tuple(self._with(k) for k in self.constants or ("",))

    def _with(self, constant: int | str) -> Operation:
        text = self.template.replace("{k}", str(constant))
        return Operation(source=self.source, target=self.target, expression=text)


@cache
def _compiled(expression: str) -> Callable[[Any], Any]:
    return eval(f"lambda x: {expression}", {})


@cache
def _mentions(expression: str) -> int:
    tokens = "".join(c if c.isalnum() or c == "_" else " " for c in expression).split()
    return tokens.count("x")


def _patterns() -> tuple[Pattern, ...]:
    small, factors, letters = (1, 2, 3, 4, 5), (2, 3, 4, 5), ("'a'", "'b'", "'c'")
    table: dict[tuple[Kind, Kind], list[tuple[str, tuple[int | str, ...], float]]] = {
        (Kind.INT, Kind.INT): [
            ("x + {k}", small, 3),
            ("x - {k}", small, 3),
            ("x * {k}", factors, 3),
            ("x // {k}", (2, 3), 1),
            ("x % {k}", (3, 5, 7), 1),
            ("-x", (), 1),
            ("abs(x)", (), 1),
            ("x * x", (), 1),
            ("max(x, {k})", (0, 5), 1),
            ("min(x, {k})", (0, 5), 1),
            ("x if x % 2 == 0 else -x", (), 0.7),
            ("x * 2 if x < 0 else x", (), 0.7),
        ],
        (Kind.LIST, Kind.LIST): [
            ("sorted(x)", (), 2),
            ("sorted(x, reverse=True)", (), 1),
            ("x[::-1]", (), 2),
            ("x[1:]", (), 1.5),
            ("x[:-1]", (), 1.5),
            ("x[::2]", (), 1),
            ("x[:2]", (), 1),
            ("x[1:] + x[:1]", (), 1),
            ("x[-1:] + x[:-1]", (), 1),
            ("x + x", (), 0.7),
            ("list(dict.fromkeys(x))", (), 0.7),
            ("[v + {k} for v in x]", (1, 2, 3), 2),
            ("[v - {k} for v in x]", (1, 2, 3), 1),
            ("[v * {k} for v in x]", (2, 3), 2),
            ("[v * v for v in x]", (), 1),
            ("[-v for v in x]", (), 1),
            ("[v for v in x if v > {k}]", (2, 4), 1),
            ("[v for v in x if v < {k}]", (5, 7), 1),
            ("[v for v in x if v % 2 == 0]", (), 1),
            ("[v for v in x if v % 2 == 1]", (), 1),
        ],
        (Kind.LIST, Kind.INT): [
            ("sum(x)", (), 1),
            ("len(x)", (), 0.7),
            ("max(x, default=0)", (), 1),
            ("min(x, default=0)", (), 1),
        ],
        (Kind.STRING, Kind.STRING): [
            ("x[::-1]", (), 2),
            ("x.upper()", (), 2),
            ("x.lower()", (), 1),
            ("x.swapcase()", (), 1),
            ("x.capitalize()", (), 1),
            ("x[1:]", (), 1.5),
            ("x[:-1]", (), 1.5),
            ("x[::2]", (), 1),
            ("x[:2]", (), 1),
            ("x[1:] + x[:1]", (), 1),
            ("x[-1:] + x[:-1]", (), 1),
            ("x + x", (), 1),
            ("x + x[::-1]", (), 0.7),
            ("''.join(sorted(x))", (), 1),
            ("x + {k}", letters, 1.5),
            ("{k} + x", letters, 1.5),
            ("x.replace({k}, '')", letters, 1.5),
            ("x.replace({k}, 'e')", letters, 1),
        ],
        (Kind.STRING, Kind.INT): [
            ("len(x)", (), 1),
            ("x.count({k})", letters, 1),
        ],
    }
    return tuple(
        Pattern(source=source, target=target, template=text, constants=constants, weight=weight)
        for (source, target), rows in table.items()
        for text, constants, weight in rows
    )


PATTERNS: tuple[Pattern, ...] = _patterns()
_BY_SOURCE = {k: tuple(p for p in PATTERNS if p.source is k) for k in Kind}
_WEIGHTS = {k: tuple(p.weight for p in _BY_SOURCE[k]) for k in Kind}


def all_operations(source: Kind) -> tuple[Operation, ...]:
    """Every operation that takes a value of kind `source`, one of every constant."""
    return tuple(operation for pattern in _BY_SOURCE[source] for operation in pattern.all())


def draw_operation(rng: Random, source: Kind) -> Operation:
    """One operation that takes a value of kind `source`, with the table's weights."""
    (pattern,) = rng.choices(_BY_SOURCE[source], _WEIGHTS[source])
    return pattern.draw(rng)


def draw_alternative(rng: Random, operation: Operation) -> Operation:
    """Another operation between the same types: what a careless author might have meant."""
    same = [p for p in _BY_SOURCE[operation.source] if p.target is operation.target]
    while True:
        (pattern,) = rng.choices(same, [p.weight for p in same])
        other = pattern.draw(rng)
        if other.expression != operation.expression:
            return other
