"""Do the intervals of diversity changes hold the truth of the task distribution?

Each task has up to 20 kinds of right answers with Dirichlet shares; the trained model's shares are
the base's, sharpened.  Numbers of right answers differ between tasks and sides, as they do.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import binom, entr

from bench.coverage.row import Row
from proofloop.measure.estimators.diversity import DiversityChange, distinct_change, hill_change

Floats = NDArray[np.float64]

NUM_KINDS = 20
COVERAGE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    num_tasks: int
    concentration: float
    """Of the Dirichlet: small means few common kinds."""
    power: float
    """Trained shares are proportional to base shares to this power; 1 is the placebo."""
    right: tuple[int, int]
    """Right answers of a task: uniform between these, on either side anew."""

    def __str__(self) -> str:
        return (
            f"{self.num_tasks} tasks, {self.right[0]}-{self.right[1]} right answers, "
            f"{NUM_KINDS} kinds ~ Dirichlet({self.concentration:g}), sharpened ^{self.power:g}"
        )

    def shares(self, rng: np.random.Generator, num_tasks: int) -> tuple[Floats, Floats]:
        base_TC = rng.dirichlet(np.full(NUM_KINDS, self.concentration), num_tasks)
        trained_TC = np.maximum(base_TC, 1e-300) ** self.power
        return base_TC, trained_TC / trained_TC.sum(axis=1, keepdims=True)


WORLDS = (
    World(num_tasks=30, concentration=0.3, power=2.0, right=(30, 100)),
    World(num_tasks=100, concentration=0.3, power=2.0, right=(30, 100)),
    World(num_tasks=100, concentration=0.3, power=1.0, right=(30, 100)),
    World(num_tasks=100, concentration=0.1, power=2.0, right=(30, 100)),
    World(num_tasks=100, concentration=0.3, power=2.0, right=(10, 40)),
)


def distinct_truth(shares_TC: Floats, k: int) -> Floats:
    return (1 - (1 - shares_TC) ** k).sum(axis=1)


def hill_truth(shares_TC: Floats, order: int) -> Floats:
    """Of the shares themselves, at the size whose expected coverage is COVERAGE."""
    coverage_TM = np.stack(
        [1 - (shares_TC * (1 - shares_TC) ** m).sum(axis=1) for m in range(1, 80)], axis=1
    )
    above_T = (coverage_TM < COVERAGE).sum(axis=1)
    values_T = np.ones(len(shares_TC))
    for above in np.unique(above_T[above_T > 0]):
        mine = above_T == above
        low, high = (_expected_hill(shares_TC[mine], m, order) for m in (above, above + 1))
        start, end = coverage_TM[mine, above - 1], coverage_TM[mine, above]
        values_T[mine] = low + (COVERAGE - start) / (end - start) * (high - low)
    return values_T


def _expected_hill(shares_TC: Floats, m: int, order: int) -> Floats:
    k = np.arange(1, m + 1)
    chance_TCK = binom(m, k) * shares_TC[..., None] ** k * (1 - shares_TC[..., None]) ** (m - k)
    expected_TK = chance_TCK.sum(axis=1)
    if order == 1:
        return np.exp(expected_TK @ entr(k / m))
    return (expected_TK @ (k / m) ** order) ** (1 / (1 - order))


def draw(rng: np.random.Generator, world: World) -> tuple[list[NDArray[np.int64]], ...]:
    """Counts of the kinds seen, of base and trained, task by task."""
    sides = []
    for shares_TC in world.shares(rng, world.num_tasks):
        sizes = rng.integers(world.right[0], world.right[1] + 1, world.num_tasks)
        counts = [rng.multinomial(n, p) for n, p in zip(sizes, shares_TC, strict=True)]
        sides.append([c[c > 0] for c in counts])
    return tuple(sides)


Figure = Callable[[list[NDArray[np.int64]], list[NDArray[np.int64]]], DiversityChange | None]


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    figures: list[tuple[str, str, Figure, Callable[[Floats], Floats]]] = [
        (
            "diversity.distinct_change",
            "difference of kinds among 8",
            lambda base, trained: distinct_change(base, trained, 8),
            lambda shares_TC: distinct_truth(shares_TC, 8),
        )
    ]
    for order in (0, 1, 2):
        figures.append(
            (
                "diversity.hill_change",
                f"difference of Hill numbers, q = {order}, at coverage {COVERAGE}",
                lambda base, trained, order=order: hill_change(
                    base, trained, order, coverage=COVERAGE
                ),
                lambda shares_TC, order=order: hill_truth(shares_TC, order),
            )
        )
    for number, world in enumerate(WORLDS):
        base_TC, trained_TC = world.shares(np.random.default_rng(99), 20_000)
        truths = [float(np.mean(f[3](trained_TC) - f[3](base_TC))) for f in figures]
        rng = np.random.default_rng([seed, number])
        samples = [draw(rng, world) for _ in range(num_worlds)]
        for (estimator, target, figure, _), truth in zip(figures, truths, strict=True):
            changes = [figure(base, trained) for base, trained in samples]
            ends = [
                (c.difference.low, c.difference.high)
                for c in changes
                if c is not None and c.difference.low is not None and c.difference.high is not None
            ]
            yield Row(
                estimator=estimator,
                world=str(world),
                target=target,
                nominal=0.95,
                num_worlds=len(ends),
                num_covered=sum(low <= truth <= high for low, high in ends),
                median_width=float(np.median([high - low for low, high in ends])),
                refused=num_worlds - len(ends),
            )
