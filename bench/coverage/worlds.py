"""From simulated intervals to a row, and the difficulties that several files share."""

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from bench.coverage.row import Row
from proofloop.measure.estimators.bootstrap import bootstrap_mean

Floats = NDArray[np.float64]
Ends = tuple[float | None, float | None] | None
"""An interval's ends; None where there is none."""

Draw = Callable[[np.random.Generator, int], Floats]
"""Success rates of so many tasks."""

POPULATION = 1_000_000
"""Tasks over which a truth without closed form is taken."""


def tally(
    estimator: str,
    world: str,
    target: str,
    truth: float,
    intervals: Iterable[Ends],
    *,
    nominal: float = 0.95,
) -> Row:
    num_worlds = num_covered = refused = 0
    widths: list[float] = []
    for ends in intervals:
        if ends is None or ends[0] is None or ends[1] is None or math.isnan(ends[0]):
            refused += 1
            continue
        low, high = ends
        num_worlds += 1
        num_covered += low - 1e-12 <= truth <= high + 1e-12
        widths.append(high - low)
    return Row(
        estimator=estimator,
        world=world,
        target=target,
        nominal=nominal,
        num_worlds=num_worlds,
        num_covered=num_covered,
        median_width=float(np.median(widths)) if widths else math.nan,
        refused=refused,
    )


def bootstrapped(
    values_TW: Floats, *, bounds: tuple[float, float] = (0.0, 1.0), seed: int = 0
) -> tuple[list[Ends], list[Ends]]:
    """`bootstrap_mean`'s and the percentile bootstrap's intervals of many worlds (columns).

    Worlds share resamples in batches of a hundred, which costs a hundredth and changes no
    interval's law.
    """
    ours: list[Ends] = []
    plain: list[Ends] = []
    num_tasks, num_worlds = values_TW.shape
    for number, start in enumerate(range(0, num_worlds, 100)):
        batch_TW = values_TW[:, start : start + 100]
        curve = bootstrap_mean(batch_TW, bounds=bounds, seed=seed + number)
        ours.extend(zip(curve.lows.tolist(), curve.highs.tolist(), strict=True))
        rng = np.random.default_rng(seed + number)
        weights_BT = rng.multinomial(num_tasks, np.full(num_tasks, 1 / num_tasks), size=2000)
        ends_2W = np.quantile(weights_BT @ batch_TW / num_tasks, [0.025, 0.975], axis=0)
        plain.extend((float(low), float(high)) for low, high in ends_2W.T)
    return ours, plain


def beta(a: float, b: float) -> Draw:
    return lambda rng, num_tasks: rng.beta(a, b, num_tasks)


def alike(p: float) -> Draw:
    return lambda rng, num_tasks: np.full(num_tasks, p)


def easy_or_hard(share_easy: float) -> Draw:
    """0.99 for this share of the tasks, 0.01 for the others."""
    return lambda rng, num_tasks: np.where(rng.random(num_tasks) < share_easy, 0.99, 0.01)


DIFFICULTY: dict[str, Draw] = {
    "p ~ Beta(0.3, 0.7)": beta(0.3, 0.7),
    "p ~ Beta(0.1, 1.5)": beta(0.1, 1.5),
    "p = 0.3": alike(0.3),
    "p 0.99 or 0.01 (30/70)": easy_or_hard(0.3),
}
