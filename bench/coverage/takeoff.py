"""Dead zones and take-off: slopes, spike shares and ends of plateaus.

Rows on laws and on flat runs count how often the right thing was said, not an interval.
"""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.coverage.row import Row
from bench.coverage.tally import Tally, show
from proofloop.measure.estimators.changepoint import Law, change_point
from proofloop.measure.estimators.dead_zone import Objective, dead_zone, null_curve
from proofloop.measure.estimators.takeoff import take_off

Floats = NDArray[np.float64]

STEPS = np.arange(0, 205, 5)
NUM_ATTEMPTS = 500


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    yield from slope_rows(num_worlds=num_worlds, seed=seed)
    yield from take_off_rows(num_worlds=num_worlds, seed=seed + 1)
    # Two seconds each.
    yield from plateau_rows(num_worlds=max(1, num_worlds // 20), seed=seed + 2)


def slope_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    """log T = 2 - 0.7 log p0 and normal noise of 0.3; runs stop at a length some do not reach."""
    tally = Tally()
    for world, num_successes, longest in (
        ("12 runs, p0 0.003 to 0.1", None, np.inf),
        ("12 runs, p0 0.003 to 0.1, about a quarter cut off", None, 180.0),
        ("12 runs, p0 0.003 to 0.1, p0 from 20 successes each", 20, np.inf),
        ("12 runs, p0 0.003 to 0.1, p0 from 5 successes each", 5, np.inf),
    ):
        for number in range(num_worlds):
            rng = np.random.default_rng((seed, number))
            rate = np.geomspace(0.003, 0.1, 12)
            time = np.exp(2 - 0.7 * np.log(rate) + 0.3 * rng.normal(size=12))
            # Attempts until the n-th success: the usual way to measure a rare rate.
            if num_successes:
                tries = num_successes + rng.negative_binomial(num_successes, rate)
                rate = np.minimum((num_successes - 1) / (tries - 1), 0.4)
            seen = time < longest
            if seen.sum() < 4:
                continue
            found = dead_zone(rate, np.minimum(time, longest), took_off_R=seen).slope
            tally.add("dead_zone.dead_zone", world, "slope of log T on log p0",
                      (found.low, found.high), -0.7)  # fmt: skip
    yield from tally.rows()


def take_off_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    tally = Tally()
    total = np.full(STEPS.size, NUM_ATTEMPTS)
    # A share f of the gain within the first 5% of the steps, the rest in a straight line.
    for share in (0.1, 0.6):
        at = np.array([0.0, 10.0, 200.0])
        curve = np.interp(STEPS, at, 0.05 + 0.5 * np.array([0.0, share, 1.0]))
        world = f"gain 0.5 of which {share:g} in the first 5%, 500 attempts an evaluation"
        for number in range(num_worlds):
            rng = np.random.default_rng((seed, number))
            found = take_off(STEPS, rng.binomial(total, curve), total, seed=number).spike_share
            ends = None if found is None else (found.low, found.high)
            tally.add("takeoff.take_off", world, "spike share", ends, share)
    for rate in (0.0, 0.01, 0.3):
        world = f"flat at {rate:g}, 41 evaluations of 500 attempts"
        for number in range(num_worlds):
            rng = np.random.default_rng((seed, number))
            found = take_off(STEPS, rng.binomial(total, rate), total, seed=number)
            # Held: no take-off was claimed.
            tally.add(
                "takeoff.take_off", world, "no take-off", (float(found.t0 is not None), 1.0), 0
            )
    yield from tally.rows()


def curves() -> dict[Law, Floats]:
    time = STEPS / STEPS[-1]
    return {
        Law.FLAT: np.full(time.size, 0.1),
        Law.LOGISTIC: 0.9 * null_curve(time, 0.02, 10.0, Objective.LOG),
        Law.STD: 0.9 * null_curve(time, 0.02, 30.0, Objective.STD),
        Law.PLAIN: 0.9 * null_curve(time, 0.02, 100.0, Objective.PLAIN),
        Law.PLATEAU: 0.9 / (1 + np.exp(4 - 30 * np.maximum(0, time - 0.4))),
    }


def plateau_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    tally = Tally()
    total = np.full(STEPS.size, NUM_ATTEMPTS)
    for law, curve in curves().items():
        for number in range(num_worlds):
            rng = np.random.default_rng((seed, number))
            found = change_point(STEPS, rng.binomial(total, curve), total)
            tally.add("changepoint.change_point", f"true law: {law}", "the law by BIC",
                      (float(found.best is not law), 1.0), 0.0)  # fmt: skip
            if law is Law.PLATEAU:
                end = found.plateau_end
                tally.add("changepoint.change_point", f"true law: {law}", "end of the plateau",
                          None if end is None else (end.low, end.high), 80.0)  # fmt: skip
    yield from tally.rows()


if __name__ == "__main__":
    show(rows(num_worlds=int(sys.argv[1]) if len(sys.argv) > 1 else 200, seed=1))
