"""Trained minus base, paired on tasks; rates over seeds; rates of these very tasks."""

from collections.abc import Iterator

import numpy as np

from bench.coverage.row import Row
from bench.coverage.worlds import POPULATION, Ends, Floats, bootstrapped, tally
from proofloop.measure.estimators.bootstrap import paired_difference
from proofloop.measure.estimators.hierarchical import hierarchical_rate
from proofloop.measure.estimators.interval import Interval

KINDS = {
    "a copy": lambda rng, p: p,
    "two attempts in one": lambda rng, p: 1 - (1 - p) ** 2,
    "a tenth of the tasks nearly solved": lambda rng, p: np.where(
        rng.random(p.size) < 0.1, 0.2 * p + 0.8, p
    ),
}


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    yield from _paired(num_worlds, seed)
    num_worlds = max(num_worlds // 2, 1)  # one by one
    yield from _over_seeds(num_worlds, seed)
    yield from _few_tasks(num_worlds, seed)


def _paired(num_worlds: int, seed: int) -> Iterator[Row]:
    for kind, train in KINDS.items():
        wide = np.random.default_rng(0)
        p = wide.beta(0.3, 0.7, POPULATION)
        truth = float(np.mean(train(wide, p) - p))
        for num_tasks, num_samples in ((30, 8), (60, 32), (200, 32)):
            world = f"{num_tasks} tasks x {num_samples} samples, p ~ Beta(0.3, 0.7), then {kind}"
            rng = np.random.default_rng([seed, num_tasks])
            deltas: list[Floats] = []
            for _ in range(num_worlds):
                p = rng.beta(0.3, 0.7, num_tasks)
                after = rng.binomial(num_samples, train(rng, p))
                deltas.append((after - rng.binomial(num_samples, p)) / num_samples)
            target = "trained - base, pass@1"
            ours, plain = bootstrapped(np.stack(deltas, axis=1), bounds=(-1.0, 1.0))
            yield tally("bootstrap.bootstrap_mean", world, target, truth, ours)
            yield tally("percentile", world, target, truth, plain)


def _over_seeds(num_worlds: int, seed: int) -> Iterator[Row]:
    """Task effects on the logit scale with sd 1.5; seeds add sd 0.3, and so does each cell."""
    for num_seeds, num_tasks in ((3, 30), (5, 30), (5, 100), (10, 100)):
        rng = np.random.default_rng([seed, num_seeds, num_tasks])
        counts = []
        for _ in range(num_worlds):
            logits = rng.normal(0, 1.5, num_tasks) + rng.normal(0, 0.3, (num_seeds, 1))
            logits = logits + rng.normal(0, 0.3, (num_seeds, num_tasks))
            counts.append(rng.binomial(8, 1 / (1 + np.exp(-logits))))
        world = f"{num_seeds} seeds x {num_tasks} tasks x 8 samples, sd 1.5 / 0.3 / 0.3 logits"
        n_ST = np.full((num_seeds, num_tasks), 8)
        runs = (_ends(hierarchical_rate(n_ST, c_ST, seed=i)) for i, c_ST in enumerate(counts))
        yield tally("hierarchical.hierarchical_rate", world, "pass@1 over seeds", 0.5, runs)
        half_T = np.full(num_tasks, 0.5)
        pairs = (
            _ends(paired_difference([(half_T, c_T / 8) for c_T in c_ST], seed=i))
            for i, c_ST in enumerate(counts)
        )
        yield tally("bootstrap.paired_difference", world, "pass@1 over seeds", 0.0, pairs)


def _few_tasks(num_worlds: int, seed: int) -> Iterator[Row]:
    for a, b in ((0.3, 0.7), (2.0, 2.0), (30.0, 20.0)):
        for num_tasks in (10, 30):
            for name, sizes in (("8", [8]), ("2 or 64", [2, 64])):
                n_T = np.resize(sizes, num_tasks)
                rng = np.random.default_rng([seed, num_tasks, n_T[0]])
                rates = [rng.beta(a, b, num_tasks) for _ in range(num_worlds)]
                counts = [rng.binomial(n_T, p_T) for p_T in rates]
                world = f"{num_tasks} tasks x {name} samples, p ~ Beta({a:g}, {b:g})"
                target = "pass@1"
                every = (_ends(hierarchical_rate(n_T, c, seed=i)) for i, c in enumerate(counts))
                name = "hierarchical.hierarchical_rate"
                yield tally(name, world, target, a / (a + b), every)
                tasks, _ = bootstrapped(np.stack([c_T / n_T for c_T in counts], axis=1))
                yield tally("bootstrap.bootstrap_mean", world, target, a / (a + b), tasks)
                # The truth is each world's own: intervals are taken relative to it.
                own = (
                    _less(hierarchical_rate(n_T, c_T, tasks_are_fixed=True, seed=i), p_T.mean())
                    for i, (c_T, p_T) in enumerate(zip(counts, rates, strict=True))
                )
                yield tally(name, world, "pass@1 of these very tasks", 0.0, own)


def _ends(interval: Interval | None) -> Ends:
    return None if interval is None else (interval.low, interval.high)


def _less(interval: Interval, truth: float) -> Ends:
    assert interval.low is not None and interval.high is not None  # noqa: PT018
    return interval.low - truth, interval.high - truth
