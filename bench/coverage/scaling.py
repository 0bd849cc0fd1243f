"""Sigmoid law, forecasts, compute multiplier and entropy law.

The world of the identifiability table: A = 0.61, B = 2, R0 = 0.2, noise 0.01, twenty evaluations
spaced evenly in log compute from 0.1 C_mid, runs that end at 0.5 to 8 C_mid.
`python -m bench.coverage.scaling` also prints that table.
"""

import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bench.coverage.row import Row
from bench.coverage.tally import Tally, show
from proofloop.measure.estimators.entropy_law import fit_entropy_law
from proofloop.measure.estimators.multiplier import log_compute_at, multipliers
from proofloop.measure.estimators.scaling import (
    Identified,
    SigmoidFit,
    fit_sigmoid,
    forecast,
    score_at,
)

Floats = NDArray[np.float64]

START, ASYMPTOTE, STEEPNESS, NOISE = 0.2, 0.61, 2.0, 0.01
ENDS = (0.5, 1.0, 2.0, 4.0, 8.0)


def run(
    rng: np.random.Generator,
    end: float,
    *,
    num: int = 20,
    midpoint: float = 1.0,
    asymptote: float = ASYMPTOTE,
    carry: float = 0.0,
) -> tuple[Floats, Floats]:
    """(compute_N, score_N); `carry` is the correlation of one evaluation's noise with the next."""
    compute = np.geomspace(0.1, end, num)
    noise = rng.normal(size=num)
    for n in range(1, num):
        noise[n] = carry * noise[n - 1] + np.sqrt(1 - carry**2) * noise[n]
    curve = score_at(
        compute, start=START, asymptote=asymptote, midpoint=midpoint, steepness=STEEPNESS
    )
    return compute, curve + NOISE * noise


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    yield from sigmoid_rows(num_worlds=num_worlds, seed=seed)
    yield from forecast_rows(num_worlds=num_worlds, seed=seed + 1)
    yield from multiplier_rows(num_worlds=num_worlds, seed=seed + 2)
    yield from entropy_rows(num_worlds=num_worlds, seed=seed + 3)


def sigmoid_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    tally = Tally()
    worlds = [(end, 0.0) for end in ENDS] + [(8.0, 0.3), (8.0, 0.6)]
    for end, carry in worlds:
        world = f"run ends at {end:g} C_mid, 20 evaluations, noise 0.01"
        world += f" that carries over by {carry:g}" if carry else ""
        for number in range(num_worlds):
            data = run(np.random.default_rng((seed, number)), end, carry=carry)
            fit = fit_sigmoid(*data)
            name = "scaling.fit_sigmoid"
            for target, found, truth in (
                ("A", fit.asymptote, ASYMPTOTE),
                ("C_mid", fit.midpoint, 1.0),
                ("B", fit.steepness, STEEPNESS),
                ("R0", fit.start, START),
            ):
                tally.add(name, world, target, (found.low, found.high), truth)
    yield from tally.rows()


def forecast_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    """The evaluation at 8 C_mid, from runs known up to 0.5, 1, 2 and 4."""
    tally = Tally()
    for known in ENDS[:-1]:
        world = f"known up to {known:g} C_mid, 20 evaluations, noise 0.01"
        for number in range(num_worlds):
            rng = np.random.default_rng((seed, number))
            (compute, score), (_, last) = run(rng, known), run(rng, 8.0)
            ahead = forecast(np.append(compute, 8.0), np.append(score, last[-1]), fit_up_to=known)
            made = ahead.predictions[0]
            tally.add("scaling.forecast", world, "a new evaluation at 8 C_mid",
                      (made.low, made.high), float(last[-1]))  # fmt: skip
    yield from tally.rows()


def multiplier_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    """Half the compute for the same score; seeds differ in C_mid by 20%."""
    tally = Tally()
    for num_seeds in (3, 5):
        world = f"CM 2, {num_seeds} seeds an arm, C_mid varies by 20%, runs end at 8"
        for number in range(num_worlds):
            rng = np.random.default_rng((seed, num_seeds, number))
            ref, new = (
                [run(rng, 8.0, midpoint=m * np.exp(0.2 * rng.normal())) for _ in range(num_seeds)]
                for m in (2.0, 1.0)
            )
            ratio = multipliers(ref, new, [0.4])[0].ratio
            found = None if ratio is None else (ratio.low, ratio.high)
            tally.add("multiplier.multipliers", world, "CM(0.4)", found, 2.0)
            fits = [[fit_sigmoid(*data) for data in arm] for arm in (ref, new)]
            drawn = percentile_bootstrap(rng, fits, 0.4)
            tally.add("percentile bootstrap over seeds", world, "CM(0.4)", drawn, 2.0)
    yield from tally.rows()


def percentile_bootstrap(
    rng: np.random.Generator, fits: list[list[SigmoidFit]], score: float
) -> tuple[float, float]:
    """What `multipliers` does not do, for comparison."""
    means: list[Floats] = []
    for arm in fits:
        logs = np.array([log_compute_at(fit, score) for fit in arm], np.float64)
        means.append(logs[rng.integers(len(logs), size=(400, len(logs)))].mean(axis=1))
    low, high = np.quantile(np.exp(means[0] - means[1]), [0.025, 0.975])
    return float(low), float(high)


def entropy_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    tally = Tally()
    world = "R = 0.9 - 0.3 exp(H), H from 0.8 to 0.4, 12 evaluations, noise 0.01"
    for number in range(num_worlds):
        rng = np.random.default_rng((seed, number))
        entropy = np.linspace(0.8, 0.4, 12)
        score = 0.9 - 0.3 * np.exp(entropy) + 0.01 * rng.normal(size=12)
        later = 0.9 - 0.3 * np.exp(0.2) + 0.01 * rng.normal()
        law = fit_entropy_law(entropy, score, [0.2])
        name = "entropy_law.fit_entropy_law"
        tally.add(name, world, "a", (law.a_low, law.a_high), 0.3)
        tally.add(name, world, "ceiling", (law.ceiling.low, law.ceiling.high), 0.6)
        made = law.predictions[0]
        tally.add(name, world, "a new evaluation at H = 0.2", (made.low, made.high), later)
    yield from tally.rows()


def identifiability(*, num_worlds: int, seed: int) -> Iterator[str]:
    """What a run may claim of its asymptote, by where it ends."""
    yield "run ends at | A fitted, 5-95% | interval holds A | identified | precisely | wrongly sure"
    for end in ENDS:
        fits = [fit_sigmoid(*run(np.random.default_rng((seed, n)), end)) for n in range(num_worlds)]
        low, high = np.quantile([fit.asymptote.value for fit in fits], [0.05, 0.95])
        held = np.array([_holds(fit) for fit in fits])
        named = np.array([fit.identified is not Identified.NO for fit in fits])
        sure = np.array([fit.identified is Identified.PRECISELY for fit in fits])
        # Identified, and yet the interval does not hold A.
        wrong = (named & ~held).mean()
        yield (f"{end:g} C_mid | {low:.2f}-{high:.2f} | {held.mean():.1%} | {named.mean():.1%} | "
               f"{sure.mean():.1%} | {wrong:.1%}")  # fmt: skip


def _holds(fit: SigmoidFit) -> bool:
    low, high = fit.asymptote.low, fit.asymptote.high
    return (low is None or low <= ASYMPTOTE) and (high is None or high >= ASYMPTOTE)


if __name__ == "__main__":
    worlds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for line in identifiability(num_worlds=worlds, seed=1):
        print(line)
    show(rows(num_worlds=worlds, seed=1))
