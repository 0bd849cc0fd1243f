"""Horizons, kappa, surfaces and the null of independent steps.

The worlds of the horizon literature: Weibull survival of kappa 1 (constant hazard) and 0.6 over 230
tasks x 8 runs, the same with hidden difficulty, a logistic world with task families.  Lengths are
24 values from half a minute to 16 hours.  `python -m bench.coverage.horizon` also prints how far
the links' means lie from the truth.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.coverage.row import Row
from bench.coverage.tally import Ends, Tally, show
from proofloop.measure.estimators.compounding import compounding
from proofloop.measure.estimators.frailty import fit_frailty
from proofloop.measure.estimators.horizon import (
    SUCCESSES,
    HorizonFits,
    HorizonLink,
    fit_horizons,
)
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.surface import fit_surface, movement

Floats = NDArray[np.float64]

NUM_RESAMPLES = 400
LENGTHS = np.geomspace(0.5, 960, 24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weibull:
    """Success exp(-(t e^(frailty u) / 60)^kappa), u normal, one a task."""

    kappa: float
    frailty: float = 0.0
    num_tasks: int = 230
    num_runs: int = 8

    def __str__(self) -> str:
        hidden = f", difficulty sd {self.frailty:g} in log t" if self.frailty else ""
        return f"kappa {self.kappa:g}{hidden}, {self.num_tasks} tasks x {self.num_runs} runs"

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
        length = rng.choice(LENGTHS, self.num_tasks)
        felt = length * np.exp(self.frailty * rng.normal(size=self.num_tasks))
        total = np.full(self.num_tasks, self.num_runs)
        return length, total, rng.binomial(total, np.exp(-((felt / 60) ** self.kappa)))

    def horizon(self, success: float) -> float:
        return 60 * float((-np.log(success)) ** (1 / self.kappa))


def ends(interval: Interval | None) -> Ends | None:
    return None if interval is None else (interval.low, interval.high)


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    yield from weibull_rows(num_worlds=num_worlds, seed=seed)
    yield from frailty_rows(num_worlds=num_worlds, seed=seed + 1)
    yield from family_rows(num_worlds=num_worlds, seed=seed + 2)
    yield from surface_rows(num_worlds=num_worlds, seed=seed + 3)
    yield from compounding_rows(num_worlds=num_worlds, seed=seed + 4)


def weibull_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    tally = Tally()
    worlds = (Weibull(kappa=1.0), Weibull(kappa=0.6), Weibull(kappa=0.6, num_tasks=60, num_runs=4))
    for world in worlds:
        for number in range(num_worlds):
            rng = np.random.default_rng((seed, number))
            data = world.draw(rng)
            fits = fit_horizons(*data, seed=number, num_resamples=NUM_RESAMPLES)
            _add(tally, "horizon.fit_horizons", world, fits, tuple(HorizonLink))
            if world.num_tasks == 230:
                nested = fit_horizons(*data, links=[HorizonLink.CLOGLOG], nested=True, seed=number,
                                      num_resamples=NUM_RESAMPLES)  # fmt: skip
                _add(tally, "horizon.fit_horizons, nested as METR's", world, nested,
                     (HorizonLink.CLOGLOG,))  # fmt: skip
    yield from tally.rows()


def _add(
    tally: Tally, name: str, world: Weibull, fits: HorizonFits, links: tuple[HorizonLink, ...]
) -> None:
    for link in links:
        fit = fits.of(link)
        for horizon in fit.horizons:
            target = f"h{100 * horizon.success:g} by {link}"
            truth = world.horizon(horizon.success)
            tally.add(name, str(world), target, ends(horizon.length), truth)
        if link is HorizonLink.CLOGLOG:
            tally.add(name, str(world), "kappa", ends(fit.slope), world.kappa)


def frailty_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    tally = Tally()
    for world in (
        Weibull(kappa=1.0),
        Weibull(kappa=1.0, frailty=1.0),
        Weibull(kappa=0.6, frailty=1.0),
    ):
        for number in range(num_worlds):
            data = world.draw(np.random.default_rng((seed, number)))
            fit = fit_frailty(*data)
            tally.add("frailty.fit_frailty", str(world), "kappa", ends(fit.slope), world.kappa)
            if world.frailty:
                plain = fit_horizons(*data, links=[HorizonLink.CLOGLOG], seed=number,
                                     num_resamples=NUM_RESAMPLES).fits[0]  # fmt: skip
                tally.add("horizon.fit_horizons", str(world), "kappa of a task (biased)",
                          ends(plain.slope), world.kappa)  # fmt: skip
    yield from tally.rows()


def family_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    """A logistic world of 80 families; a symmetric effect leaves the population's h50 in place."""
    tally = Tally()
    world = "logit slope 1, h50 30, 80 families of 1 to 5 tasks x 4 runs, family sd 1"
    for number in range(num_worlds):
        rng = np.random.default_rng((seed, number))
        family = np.repeat(np.arange(80), rng.integers(1, 6, 80))
        length = rng.choice(LENGTHS, family.size)
        eta = np.log(30 / length) + rng.normal(size=80)[family]
        total = np.full(family.size, 4)
        passed = rng.binomial(total, 1 / (1 + np.exp(-eta)))
        for name, groups in (("families", family), ("tasks alone", None)):
            fits = fit_horizons(length, total, passed, families_T=groups, seed=number,
                                links=[HorizonLink.LOGIT], num_resamples=NUM_RESAMPLES)  # fmt: skip
            fit = fits.fits[0]
            tally.add(f"horizon.fit_horizons, {name}", world, "h50 by logit",
                      ends(fit.horizons[0].length), 30.0)  # fmt: skip
    yield from tally.rows()


SURFACE = (0.5, 1.2, 0.8, 0.15)
_STEPS, _COMPLEXITY = (
    grid.ravel()
    for grid in np.meshgrid(2.0 ** np.arange(6), np.arange(1.0, 6.0), np.arange(10.0))[:2]
)


def surface_world(
    rng: np.random.Generator, coefs: tuple[float, ...] = SURFACE, rank_T: Floats | None = None
) -> tuple[Floats, Floats]:
    """(num_samples_T, num_passed_T); rates of tasks are Beta around the surface, concentration 3,
    so the surface is the mean exactly.  `rank_T` pairs the tasks of two policies."""

    x, y = np.log(_STEPS) - np.log(_STEPS).mean(), _COMPLEXITY - _COMPLEXITY.mean()
    mean = 1 / (1 + np.exp(-(coefs[0] - coefs[1] * x - coefs[2] * y - coefs[3] * x * y)))
    rank = rng.random(mean.size) if rank_T is None else rank_T
    rate = stats.beta.ppf(rank, 3 * mean, 3 * (1 - mean))
    total = np.full(mean.size, 8)
    return total, rng.binomial(total, np.clip(rate, 0, 1))


def surface_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    tally = Tally()
    world = "300 tasks x 8 runs, 5 complexities x 6 horizons, rates Beta around the surface"
    trained = (1.2, 0.9, 0.8, 0.15)
    for number in range(num_worlds):
        rng = np.random.default_rng((seed, number))
        rank = rng.random(_STEPS.size)
        base, after = surface_world(rng, SURFACE, rank), surface_world(rng, trained, rank)
        fit = fit_surface(_STEPS, _COMPLEXITY, *base, seed=number, num_resamples=NUM_RESAMPLES)
        found = (fit.b0, fit.b1, fit.b2, fit.b3)
        for name, interval, truth in zip(("b0", "b1", "b2", "b3"), found, SURFACE, strict=True):
            tally.add("surface.fit_surface", world, name, ends(interval), truth)
        contour = next(c for c in fit.contours if (c.success, c.complexity) == (0.5, 3.0))
        centre = np.exp(fit.mean_log_steps + SURFACE[0] / SURFACE[1])
        tally.add("surface.fit_surface", world, "50% contour at complexity 3",
                  ends(contour.steps), float(centre))  # fmt: skip
        moved = movement(_STEPS, _COMPLEXITY, base, after, seed=number,
                         num_resamples=NUM_RESAMPLES)  # fmt: skip
        for name, interval, truth in (
            ("level", moved.level, 0.7),
            ("along the horizon", moved.along_horizon, -0.3),
            ("along complexity", moved.along_complexity, 0.0),
        ):
            tally.add("surface.movement", world, name, ends(interval), truth)
    yield from tally.rows()


def compounding_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    """Independent steps of rate 1 - 0.03 C; then steps whose errors halve from one to the next."""
    tally = Tally()
    for num_tasks in (20, 60):
        world = f"independent steps, 4 complexities x 5 horizons x {num_tasks} tasks x 8 runs"
        steps, complexity = (
            g.ravel()
            for g in np.meshgrid(2.0 ** np.arange(5), np.arange(1.0, 5.0), np.arange(num_tasks))[:2]
        )
        total = np.full(steps.size, 8)
        for number in range(num_worlds):
            rng = np.random.default_rng((seed, num_tasks, number))
            passed = rng.binomial(total, (1 - 0.03 * complexity) ** steps)
            fit = compounding(steps, complexity, total, passed, seed=number,
                              num_resamples=NUM_RESAMPLES)  # fmt: skip
            name = "compounding.compounding"
            tally.add(name, world, "mean deviation", ends(fit.net_deviation), 0.0)
            tally.add(name, world, "kappa", ends(fit.kappa), 1.0)
            cell = next(c for c in fit.cells if (c.complexity, c.steps) == (2.0, 16.0))
            tally.add(name, world, "deviation at C = 2, H = 16", ends(cell.deviation), 0.0)
    yield from tally.rows()


def biases(*, num_worlds: int, seed: int) -> Iterator[str]:
    """Mean fitted horizons of each link beside the truth."""
    for world in (Weibull(kappa=1.0), Weibull(kappa=0.6), Weibull(kappa=1.0, frailty=1.0)):
        found: dict[HorizonLink, list[list[float]]] = {link: [] for link in HorizonLink}
        slopes: list[float] = []
        for number in range(num_worlds):
            fits = fit_horizons(*world.draw(np.random.default_rng((seed, number))), num_resamples=2)
            for link in HorizonLink:
                lengths = [h.length for h in fits.of(link).horizons]
                found[link].append([x.value for x in lengths if x is not None])
            slope = fits.of(HorizonLink.CLOGLOG).slope
            assert slope is not None
            slopes.append(slope.value)
        truth = ", ".join(f"{world.horizon(s):.3g}" for s in SUCCESSES)
        yield f"{world}: fitted kappa {np.mean(slopes):.2f}; h50, h80, h99 of a median task {truth}"
        for link, values in found.items():
            means = ", ".join(f"{np.exp(m):.3g}" for m in np.log(values).mean(axis=0))
            yield f"  {link}: {means}"


if __name__ == "__main__":
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for line in biases(num_worlds=worlds, seed=1):
        print(line)
    show(rows(num_worlds=worlds, seed=1))
