"""The crossover k*, measured and extrapolated, where the truth is known from a large population."""

from collections.abc import Iterator

import numpy as np

from bench.coverage.row import Row
from bench.coverage.worlds import Ends, Floats, tally
from proofloop.measure.estimators.crossover import crossover, extrapolated_crossover

KS = 512
"""Extrapolations go so far; the truth lies below 64."""


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    truth = _truth(64)
    for num_tasks, num_samples in ((30, 64), (60, 64), (200, 64)):
        world = f"{num_tasks} tasks x {num_samples} samples, {WORLD}"
        worlds = _seeds(max(num_worlds // 2, 1), seed)
        ends = (_measured(rng, num_tasks, num_samples) for rng in worlds)
        yield tally("crossover.crossover", world, "k*", truth, ends)
    # Beyond the samples, with hundreds of fits a world.
    num_tasks, num_samples = 200, 16
    world = f"{num_tasks} tasks x {num_samples} samples, {WORLD}"
    worlds = _seeds(max(num_worlds // 10, 1), seed)
    ends = (_extrapolated(rng, num_tasks, num_samples) for rng in worlds)
    yield tally("crossover.extrapolated_crossover", world, "k*", truth, ends)


WORLD = "p ~ Beta(0.4, 1.2), then eight attempts in one but 15-65% of the tasks lost"


def _seeds(num_worlds: int, seed: int) -> Iterator[np.random.Generator]:
    return (np.random.default_rng([seed, number]) for number in range(num_worlds))


def _rates(rng: np.random.Generator, num_tasks: int) -> tuple[Floats, Floats]:
    base = rng.beta(0.4, 1.2, num_tasks)
    lost = rng.random(num_tasks) < 0.15 + 0.5 * (base < 0.05)
    return base, np.where(lost, 0.0, 1 - (1 - base) ** 8)


def _truth(max_k: int) -> int:
    base, trained = _rates(np.random.default_rng(0), 400_000)
    behind = [k for k in range(1, max_k + 1) if np.mean((1 - trained) ** k - (1 - base) ** k) < 0]
    return max(behind, default=0) + 1


def _measured(rng: np.random.Generator, num_tasks: int, num_samples: int) -> Ends:
    base, trained = _rates(rng, num_tasks)
    n_T = np.full(num_tasks, num_samples)
    found = crossover(n_T, rng.binomial(n_T, base), n_T, rng.binomial(n_T, trained))
    beyond = float(found.max_k + 1)
    return float(found.low or beyond), float("inf") if found.high is None else float(found.high)


def _extrapolated(rng: np.random.Generator, num_tasks: int, num_samples: int) -> Ends:
    base, trained = _rates(rng, num_tasks)
    n_T = np.full(num_tasks, num_samples)
    counts = (n_T, rng.binomial(n_T, base), n_T, rng.binomial(n_T, trained))
    found = extrapolated_crossover(*counts, max_k=KS, num_refits=60)
    if found is None:
        return None
    return float(found.low or KS + 1), float("inf") if found.high is None else float(found.high)
