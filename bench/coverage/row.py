"""One line of the coverage table: how often an interval held the truth in a simulated world."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`num_covered` of `num_worlds` independent worlds had the truth inside the interval."""

    estimator: str
    """Module and function, `reliability.nines`, or a peer's name."""
    world: str
    """What was simulated, with its numbers: `60 tasks x 32 samples, p ~ Beta(0.3, 0.7)`."""
    target: str
    """What the interval is to hold: `pass@8 of the task distribution`."""
    nominal: float
    num_worlds: int
    num_covered: int
    median_width: float
    """Of the interval, in the target's unit: beside coverage it tells wide from good."""
    refused: int = 0
    """Worlds in which the function gave no interval, and said so; not in `num_worlds`."""


Part = Callable[..., Iterator[Row]]
"""`rows(*, num_worlds, seed)`: what each file of this folder defines."""
