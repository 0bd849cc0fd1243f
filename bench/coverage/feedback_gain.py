"""Coverage of the intervals of `estimators.feedback_gain` in worlds with a known gain."""

from collections.abc import Iterator

import numpy as np

from bench.coverage.row import Row
from proofloop.measure.estimators.feedback_gain import fixed_share, gain
from proofloop.measure.estimators.interval import LEVEL, Interval

WORLDS = ((60, 8, 0.15), (198, 16, 0.0), (198, 16, 0.15), (400, 4, 0.05))
"""Tasks, samples, and how much more often a told attempt passes."""


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    for num_tasks, num_samples, better in WORLDS:
        rng = np.random.default_rng((seed, num_tasks, round(100 * better)))
        drawn = [_world(rng, num_tasks, num_samples, better) for _ in range(num_worlds)]
        world = (
            f"{num_tasks} tasks x {num_samples} samples, first p ~ Beta(0.5, 1), "
            f"second q ~ Beta(0.5, 2) + {better} (1 - q)"
        )
        # Beta(0.5, 2) has mean 0.2; tasks weigh by their failures, which q does not depend on.
        share = 0.2 + better * 0.8
        yield _row("fixed_share", world, "share fixed when told", share, [d[0] for d in drawn])
        yield _row("gain", world, "told minus bare", better * 0.8, [d[1] for d in drawn])


def _world(
    rng: np.random.Generator, num_tasks: int, num_samples: int, better: float
) -> tuple[Interval | None, Interval | None]:
    p_T, q_T = rng.beta(0.5, 1, num_tasks), rng.beta(0.5, 2, num_tasks)
    failed_T = rng.binomial(num_samples, 1 - p_T)
    bare_T = rng.binomial(failed_T, q_T)
    told_T = rng.binomial(failed_T, q_T + better * (1 - q_T))
    return fixed_share(failed_T, told_T), gain((failed_T, bare_T), (failed_T, told_T))


def _row(name: str, world: str, target: str, truth: float, found: list[Interval | None]) -> Row:
    known = [(i.low, i.high) for i in found if i and i.low is not None and i.high is not None]
    return Row(
        estimator=f"feedback_gain.{name}",
        world=world,
        target=target,
        nominal=LEVEL,
        num_worlds=len(known),
        num_covered=sum(low <= truth <= high for low, high in known),
        median_width=float(np.median([high - low for low, high in known])),
        refused=len(found) - len(known),
    )
