"""Does the length-matched gain hold the truth where length is all, part or none of a gain?

Lengths are lognormal, a trained model's longer; log odds of passing rise with log length.  Where
the trained model passes as the base does at each length, the matched gain is 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from bench.coverage.row import Row
from proofloop.measure.estimators.lengths import (
    AttemptLengths,
    LengthMatchedGain,
    length_matched_gain,
)

MAX_TOKENS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    num_tasks: int
    num_samples: int
    longer: float
    """Of the trained model's log length; a task's own standard deviation is 0.4."""
    slope: float
    """Of log odds on log length."""
    gain: float
    """In chance of passing, at every length alike."""

    def __str__(self) -> str:
        return (
            f"{self.num_tasks} tasks x {self.num_samples} samples, log length +{self.longer:g} "
            f"(sd 0.4), log odds {self.slope:g} x log length, gain {self.gain:g} at each length"
        )


WORLDS = (
    World(num_tasks=50, num_samples=32, longer=0.3, slope=0.0, gain=0.0),
    World(num_tasks=100, num_samples=32, longer=0.3, slope=1.5, gain=0.0),
    World(num_tasks=100, num_samples=32, longer=0.3, slope=1.5, gain=0.1),
    World(num_tasks=100, num_samples=8, longer=0.3, slope=1.5, gain=0.1),
    World(num_tasks=30, num_samples=32, longer=0.3, slope=1.5, gain=0.1),
    World(num_tasks=100, num_samples=64, longer=0.6, slope=1.5, gain=0.0),
    World(num_tasks=400, num_samples=64, longer=0.6, slope=1.5, gain=0.0),
)


def draw(rng: np.random.Generator, world: World) -> tuple[AttemptLengths, AttemptLengths]:
    ease_T = rng.normal(0, 1, world.num_tasks)
    typical_T = rng.normal(5, 0.3, world.num_tasks)
    sides = []
    for longer, gain in ((0.0, 0.0), (world.longer, world.gain)):
        task_A = np.repeat(np.arange(world.num_tasks), world.num_samples)
        log_A = rng.normal(typical_T[task_A] + longer, 0.4)
        tokens_A = np.minimum(np.exp(log_A).astype(np.int64), MAX_TOKENS)
        # At most 0.85 without the gain, so that adding it never leaves [0, 1].
        chance_A = 0.85 * expit(ease_T[task_A] + world.slope * (log_A - typical_T[task_A]))
        truncated_A = tokens_A == MAX_TOKENS
        sides.append(
            AttemptLengths(
                task_A=task_A,
                num_tokens_A=tokens_A,
                passed_A=rng.random(task_A.size) < chance_A + gain,
                truncated_A=truncated_A,
            )
        )
    return sides[0], sides[1]


def measure(rng: np.random.Generator, world: World, seed: int) -> LengthMatchedGain | None:
    base, trained = draw(rng, world)
    return length_matched_gain(base, trained, world.num_tasks, seed=seed)


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    for number, world in enumerate(WORLDS):
        rng = np.random.default_rng([seed, number])
        results = [measure(rng, world, w) for w in range(num_worlds)]
        known = [r for r in results if r is not None]
        for label, intervals in (
            ("lengths.length_matched_gain", [r.matched for r in known]),
            ("raw gain, for comparison", [r.raw for r in known]),
        ):
            ends = [(i.low or 0.0, i.high or 0.0) for i in intervals]
            yield Row(
                estimator=label,
                world=str(world),
                target="gain between attempts of equal length",
                nominal=0.95,
                num_worlds=len(ends),
                num_covered=sum(low <= world.gain <= high for low, high in ends),
                median_width=float(np.median([high - low for low, high in ends])),
                refused=num_worlds - len(ends),
            )
