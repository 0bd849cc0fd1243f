"""Reliability near 1, where failures cluster by task: science.md's worlds and milder ones."""

from collections.abc import Iterator

import numpy as np

from bench.coverage.row import Row
from bench.coverage.worlds import Ends, Floats, bootstrapped, tally
from proofloop.measure.estimators.reliability import Reliability, reliability
from proofloop.measure.estimators.shares import wilson

WORLDS = (
    (0.999, 0.5, 500, 20),
    (0.999, 0.5, 500, 100),
    (0.999, 5.0, 500, 20),
    (0.99, 0.5, 60, 20),
    (0.99, 0.5, 200, 20),
    (0.99, 0.5, 500, 20),
    (0.99, 5.0, 60, 20),
    (0.99, 5.0, 200, 20),
    (0.95, 0.5, 60, 20),
    (0.95, 0.5, 200, 20),
    (0.95, 5.0, 60, 20),
    (0.95, 5.0, 200, 20),
)


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    num_worlds = max(num_worlds // 2, 1)
    for rate, concentration, num_tasks, num_runs in WORLDS:
        a, b = rate * concentration, (1 - rate) * concentration
        world = (
            f"{num_tasks} tasks x {num_runs} runs, mean {rate}, Beta concentration {concentration}"
        )
        rng = np.random.default_rng([seed, num_tasks, num_runs])
        n_T = np.full(num_tasks, num_runs)
        found: list[Reliability] = []
        rates: list[Floats] = []
        coins: list[Ends] = []
        for number in range(num_worlds):
            c_T = rng.binomial(num_runs, rng.beta(a, b, num_tasks))
            found.append(reliability(n_T, c_T, seed=number))
            rates.append(c_T / n_T)
            coins.append(wilson(int(c_T.sum()), num_tasks * num_runs))
        target = "pass@1 (reliability)"
        across = (None if r.refusal else (r.across.low, r.across.high) for r in found)
        yield tally("reliability.across, claims", world, target, rate, across)
        ours, plain = bootstrapped(np.stack(rates, axis=1))
        columns: dict[str, list[Ends]] = {
            "reliability.across, all": [(r.across.low, r.across.high) for r in found],
            "reliability.profile": [r.profile for r in found],
            "reliability.clopper_pearson": [r.clopper_pearson for r in found],
            "reliability.wilson": [r.wilson for r in found],
            "bootstrap.bootstrap_mean": ours,
            "percentile": plain,
            "Wilson": coins,
        }
        for name, intervals in columns.items():
            yield tally(name, world, target, rate, intervals)
        again = (a + 1) / (a + b + 1)
        within = (None if r.within is None else (r.within.low, r.within.high) for r in found)
        yield tally("reliability.within", world, "passes again", again, within)
