"""Does the interval of absorbed bits hold the task distribution's mean of log2 p_after/p_before?

Tasks' log odds before are normal, and training adds a normal gain.  Where n p is small the truth
is out of reach of counts; those worlds are shown, and `is_floored` marks them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bench.coverage.row import Row
from proofloop.measure.estimators.absorbed import (
    Absorbed,
    absorbed_bits,
    generalised_share,
    log2_rate,
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    num_tasks: int
    num_samples: int
    start: float
    """Mean log odds before; their standard deviation is 1."""
    gain: float
    """Mean gain in log odds; its standard deviation is 0.5."""

    def __str__(self) -> str:
        return (
            f"{self.num_tasks} tasks x {self.num_samples} samples, "
            f"log odds N({self.start:g}, 1), gain N({self.gain:g}, 0.5)"
        )

    def rates(self, rng: np.random.Generator, num_tasks: int) -> tuple[Floats, Floats]:
        start_T = rng.normal(self.start, 1.0, num_tasks)
        return expit(start_T), expit(start_T + rng.normal(self.gain, 0.5, num_tasks))

    def truth(self) -> float:
        before, after = self.rates(np.random.default_rng(99), 2_000_000)
        return float(np.mean(np.log2(after / before)))


WORLDS = (
    World(num_tasks=50, num_samples=64, start=0.0, gain=1.0),
    World(num_tasks=200, num_samples=64, start=0.0, gain=1.0),
    World(num_tasks=200, num_samples=64, start=-1.0, gain=1.0),
    World(num_tasks=200, num_samples=256, start=-2.0, gain=1.5),
    World(num_tasks=200, num_samples=64, start=-1.0, gain=0.0),
    World(num_tasks=200, num_samples=16, start=-1.0, gain=1.0),
    World(num_tasks=200, num_samples=64, start=-3.0, gain=1.5),
    World(num_tasks=200, num_samples=64, start=-5.0, gain=2.0),
)


def measure(rng: np.random.Generator, world: World) -> Absorbed:
    before_T, after_T = world.rates(rng, world.num_tasks)
    n_T = np.full(world.num_tasks, world.num_samples)
    counts = [(rng.binomial(n_T, rates_T), n_T) for rates_T in (before_T, after_T)]
    return absorbed_bits(counts[0], counts[1], num_episodes=1000)


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    for number, world in enumerate(WORLDS):
        rng = np.random.default_rng([seed, number])
        truth, results = world.truth(), [measure(rng, world) for _ in range(num_worlds)]
        for label, is_floored in (("", False), (", marked as floored", True)):
            group = [r.bits_a_task for r in results if r.is_floored == is_floored]
            if group:
                yield Row(
                    estimator=f"absorbed.absorbed_bits{label}",
                    world=str(world),
                    target="mean bits absorbed a task",
                    nominal=0.95,
                    num_worlds=len(group),
                    num_covered=sum((r.low or 0) <= truth <= (r.high or 0) for r in group),
                    median_width=float(np.median([(r.high or 0) - (r.low or 0) for r in group])),
                )
    yield _share_row(num_worlds, seed)


def _share_row(num_worlds: int, seed: int) -> Row:
    trained = World(num_tasks=100, num_samples=64, start=-1.0, gain=1.5)
    heldout = World(num_tasks=100, num_samples=64, start=-1.0, gain=0.5)
    rng = np.random.default_rng([seed, 1000])
    truth, covered, widths = heldout.truth() / trained.truth(), 0, []
    for _ in range(num_worlds):
        gains = []
        for world in (trained, heldout):
            before_T, after_T = world.rates(rng, world.num_tasks)
            n_T = np.full(world.num_tasks, world.num_samples)
            gains.append(
                log2_rate(rng.binomial(n_T, after_T), n_T)
                - log2_rate(rng.binomial(n_T, before_T), n_T)
            )
        share = generalised_share(gains[0], gains[1])
        if share is None or share.low is None or share.high is None:
            continue
        covered += share.low <= truth <= share.high
        widths.append(share.high - share.low)
    return Row(
        estimator="absorbed.generalised_share",
        world=f"trained: {trained}; held out: gain N({heldout.gain:g}, 0.5)",
        target="held-out bits a task over trained bits a task",
        nominal=0.95,
        num_worlds=len(widths),
        num_covered=covered,
        median_width=float(np.median(widths)),
        refused=num_worlds - len(widths),
    )
