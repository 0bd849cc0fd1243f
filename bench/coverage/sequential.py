"""The confidence sequence, looked at after every task: covered means covered at every look.

`t interval, every look` is the ordinary one at the same looks from the 20th task on: what happens
to whoever peeks at it and stops at will.
"""

from collections.abc import Iterator

import numpy as np

from bench.coverage.row import Row
from bench.coverage.worlds import DIFFICULTY, Draw, Ends, tally
from proofloop.measure.estimators.sequential import ConfidenceSequence

NUM_TASKS, NUM_SAMPLES, FIRST_LOOK = 400, 8, 20
MEANS = {
    "p ~ Beta(0.3, 0.7)": 0.3,
    "p ~ Beta(0.1, 1.5)": 0.1 / 1.6,
    "p = 0.3": 0.3,
    "p 0.99 or 0.01 (30/70)": 0.304,
}


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    for name, draw in DIFFICULTY.items():
        world = f"up to {NUM_TASKS} tasks x {NUM_SAMPLES} samples, a look after each, {name}"
        pairs = [
            _ends(np.random.default_rng([seed, i]), draw, MEANS[name]) for i in range(num_worlds)
        ]
        target, truth = "pass@1, at every look", MEANS[name]
        ours, ordinary = zip(*pairs, strict=True)
        yield tally("sequential.ConfidenceSequence", world, target, truth, ours)
        yield tally("t interval, every look", world, target, truth, ordinary)


def _ends(rng: np.random.Generator, draw: Draw, truth: float) -> tuple[Ends, Ends]:
    """The last interval of each, or the first that missed the truth."""
    values_T = rng.binomial(NUM_SAMPLES, draw(rng, NUM_TASKS)) / NUM_SAMPLES
    sequence = ConfidenceSequence()
    sequence.update(values_T)
    # It never widens: the last interval lies within all former ones.
    last = sequence.interval
    assert last is not None
    count_T = np.arange(1, NUM_TASKS + 1)
    means_T = np.cumsum(values_T) / count_T
    spread_T = np.cumsum(values_T**2) / count_T - means_T**2
    reach_T = 1.96 * np.sqrt(np.maximum(spread_T, 0.0) / np.maximum(count_T - 1, 1))
    missed = np.flatnonzero(np.abs(means_T - truth) > reach_T)
    missed = missed[missed >= FIRST_LOOK - 1]
    at = int(missed[0]) if missed.size else NUM_TASKS - 1
    ordinary = float(means_T[at] - reach_T[at]), float(means_T[at] + reach_T[at])
    return (last.low, last.high), ordinary
