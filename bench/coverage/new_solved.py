"""New-solved minus null: the placebo (a base against its copy) and planted gains."""

from collections.abc import Iterator

import numpy as np

from bench.coverage.row import Row
from bench.coverage.worlds import DIFFICULTY, POPULATION, Draw, Ends, tally
from proofloop.measure.estimators.new_solved import turnover


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    num_worlds = max(num_worlds // 2, 1)
    for name, draw in DIFFICULTY.items():
        for num_tasks, num_samples in ((30, 8), (60, 32), (200, 64)):
            for gain in (1, 3) if name == "p ~ Beta(0.3, 0.7)" else (1,):
                truth = _truth(draw, num_samples // 2, gain)
                world = f"{num_tasks} tasks x {num_samples} samples, {name}, " + (
                    "a copy" if gain == 1 else f"{gain} attempts in one"
                )
                found = [
                    _turnover(np.random.default_rng([seed, i]), draw, num_tasks, num_samples, gain)
                    for i in range(num_worlds)
                ]
                for column, figure in enumerate(("gained over null", "lost over null")):
                    ends = (pair[column] for pair in found)
                    yield tally("new_solved.turnover", world, figure, truth[column], ends)


def _turnover(
    rng: np.random.Generator, draw: Draw, num_tasks: int, num_samples: int, gain: int
) -> tuple[Ends, Ends]:
    rates, n_T = draw(rng, num_tasks), np.full(num_tasks, num_samples)
    trained = 1 - (1 - rates) ** gain
    result = turnover(n_T, rng.binomial(n_T, rates), n_T, rng.binomial(n_T, trained))
    assert result is not None
    gained, lost = result.gained_over_null, result.lost_over_null
    return (gained.low, gained.high), (lost.low, lost.high)


def _truth(draw: Draw, m: int, gain: int) -> tuple[float, float]:
    rates = draw(np.random.default_rng(0), POPULATION)
    never, never_trained = (1 - rates) ** m, (1 - rates) ** (m * gain)
    null = never * (1 - never)
    gained, lost = never * (1 - never_trained), (1 - never) * never_trained
    return float(np.mean(gained - null)), float(np.mean(lost - null))
