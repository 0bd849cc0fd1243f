"""Programs as compositions of operations: drawing, running, telling behaviours apart.

A program's behaviour is what it returns on a fixed probe of inputs.  The behaviour, not the text,
decides the split, so two texts that do the same always fall on the same side.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from proofloop.core.task import Split
from proofloop.envs.functions.operations import Kind, Operation, all_operations, draw_operation

NUM_PROBES = 24
_MAX_INT = 9_999
_MAX_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A program: operations applied in order to its one argument."""

    operations: tuple[Operation, ...]

    def __call__(self, value: Any) -> Any:
        for operation in self.operations:
            value = operation.function(value)
        return value

    def body(self) -> list[str]:
        """The statements of the function: one step a line."""
        *steps, last = (operation.expression for operation in self.operations)
        return [*(f"x = {step}" for step in steps), f"return {last}"]

    def nested(self) -> str | None:
        """The composition as one expression; None where nesting would repeat an argument."""
        text = "x"
        for operation in self.operations:
            if text != "x" and operation.mentions != 1:
                return None
            text = _substitute(operation.expression, text)
        return text


def _substitute(expression: str, argument: str) -> str:
    """`expression` with its argument `x` replaced, in parentheses where it needs them."""
    simple = " " not in argument and not argument.startswith("-")
    inner = argument if simple else f"({argument})"
    pieces: list[str] = []
    word = ""
    for char in f"{expression}\0":
        if char.isalnum() or char == "_":
            word += char
            continue
        pieces.append(inner if word == "x" else word)
        pieces.append(char)
        word = ""
    return "".join(pieces).rstrip("\0")


def draw_input(rng: Random, family: Kind) -> Any:
    """One argument, the same distribution for shown and for hidden tests."""
    match family:
        case Kind.INT:
            return rng.randint(-9, 20)
        case Kind.LIST:
            return [rng.randint(0, 9) for _ in range(rng.randint(2, 5))]
        case Kind.STRING:
            word = [rng.choice("abcde") for _ in range(rng.randint(2, 5))]
            if rng.random() < 0.4:
                word = [c.upper() if rng.random() < 0.4 else c for c in word]
            return "".join(word)


@cache
def probes(family: Kind) -> tuple[Any, ...]:
    """The fixed inputs that define a behaviour, edge cases first."""
    edges: dict[Kind, tuple[Any, ...]] = {
        Kind.INT: (0, 1, -1, 2, -40, 60),
        Kind.LIST: ([], [0], [3, 3], [7, 1, 7]),
        Kind.STRING: ("", "a", "Aa", "dcba"),
    }
    rng = Random(f"proofloop functions probes {family}")
    drawn = (draw_input(rng, family) for _ in range(NUM_PROBES - len(edges[family])))
    return edges[family] + tuple(drawn)


def fingerprint(results: tuple[Any, ...]) -> int:
    """A 64-bit hash of what a program returned on the probes (types included)."""
    digest = hashlib.blake2b(repr(results).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def behaviour(chain: Chain, family: Kind) -> int:
    return fingerprint(tuple(chain(value) for value in probes(family)))


def split_of(behaviour_: int) -> Split:
    """A fifth of all behaviours are held out from reinforcement."""
    return Split.HELDOUT if behaviour_ % 5 == 0 else Split.TRAIN


def all_chains(family: Kind, complexity: int) -> Iterator[Chain]:
    """Every program of so many operations of the table, degenerate ones, too."""
    for first in all_operations(family):
        if complexity == 1:
            yield Chain(operations=(first,))
            continue
        for rest in all_chains(first.target, complexity - 1):
            yield Chain(operations=(first, *rest.operations))


def draw_chain(rng: Random, family: Kind, complexity: int, split: Split | None) -> Chain:
    """A program of exactly `complexity` operations whose behaviour belongs to `split` (None: to
    either).

    Rejected: too few distinct results, constant or identity, results too large to show, and
    programs in which some operation changes nothing (their true complexity is lower).
    """
    while True:
        operations: list[Operation] = []
        kind = family
        for _ in range(complexity):
            operations.append(draw_operation(rng, kind))
            kind = operations[-1].target
        chain = Chain(operations=tuple(operations))
        results = tuple(chain(value) for value in probes(family))
        if split is not None and split_of(fingerprint(results)) is not split:
            continue
        if not _degenerate(chain, family, results):
            return chain


def _degenerate(chain: Chain, family: Kind, results: tuple[Any, ...]) -> bool:
    distinct = {repr(r) for r in results}
    if len(distinct) < 4 or any(_too_large(r) for r in results):
        return True
    inputs = probes(family)
    if sum(r == v for r, v in zip(results, inputs, strict=True)) > len(inputs) * 0.7:
        return True
    operations = chain.operations
    for i in range(len(operations)) if len(operations) > 1 else ():
        rest = operations[:i] + operations[i + 1 :]
        if operations[i].source is not operations[i].target:
            continue
        shorter = Chain(operations=rest)
        if tuple(shorter(v) for v in inputs) == results:
            return True
    return False


def _too_large(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) > _MAX_INT
    return len(value) > _MAX_LENGTH or any(isinstance(v, int) and abs(v) > _MAX_INT for v in value)
