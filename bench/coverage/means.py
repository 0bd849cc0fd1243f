"""Means over tasks: pass@k and pass^k of the task distribution, ours and others'.

`percentile` is the plain bootstrap over tasks that `bootstrap_mean` was before; `Wilson` counts
all attempts as independent (pass@1 only); `scorio` is its Bayesian interval (package scorio 0.2.3
in an environment of its own, whose interpreter the variable SCORIO_PYTHON names; else left out).
"""

import io
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.coverage.row import Row
from bench.coverage.tally import DIFFICULTY, POPULATION, Draw, Ends, Floats, tally
from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.pass_at_k import pass_at_k, pass_hat_k
from proofloop.measure.estimators.shares import wilson

NUM_TASKS = (30, 60, 200)
# (which, k, samples) by difficulty; left out is what is 0 or 1 for nearly every task.
FIGURES = {
    "p ~ Beta(0.3, 0.7)": (("@", 1, 8), ("@", 8, 32), ("@", 32, 64), ("^", 8, 32)),
    "p ~ Beta(0.1, 1.5)": (("@", 1, 8), ("@", 8, 32), ("@", 32, 64), ("^", 8, 32)),
    "p = 0.3": (("@", 1, 8), ("@", 8, 32)),
    "p 0.99 or 0.01 (30/70)": (("@", 1, 8), ("@", 8, 32), ("^", 8, 32)),
}


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    for name, draw in DIFFICULTY.items():
        for which, k, num_samples in FIGURES[name]:
            for num_tasks in NUM_TASKS:
                world = f"{num_tasks} tasks x {num_samples} samples, {name}"
                counts_WT = _counts(draw, num_worlds, num_tasks, num_samples, seed)
                truth = _truth(draw, which, k)
                yield from _rows(world, which, k, num_samples, counts_WT, truth)


def _rows(
    world: str, which: str, k: int, num_samples: int, counts_WT: Floats, truth: float
) -> Iterator[Row]:
    target = f"pass{which}{k}"
    per_task = pass_at_k if which == "@" else pass_hat_k
    n_T = np.full(counts_WT.shape[1], num_samples)
    values_WT = [per_task(n_T, passed_T, (k,)) for passed_T in counts_WT]
    ours = (_ends(values_T, seed) for seed, values_T in enumerate(values_WT))
    yield tally("bootstrap.bootstrap_mean", world, target, truth, ours)
    plain = (percentile(values_T[:, 0], seed) for seed, values_T in enumerate(values_WT))
    yield tally("percentile", world, target, truth, plain)
    if k == 1:
        coins = (wilson(int(c_T.sum()), int(n_T.sum())) for c_T in counts_WT)
        yield tally("Wilson", world, target, truth, coins)
    peer = os.environ.get("SCORIO_PYTHON")
    if peer:
        intervals = scorio(peer, which, k, num_samples, counts_WT)
        yield tally("scorio", world, target, truth, intervals)


def _ends(values_T1: Floats, seed: int) -> Ends:
    curve = bootstrap_mean(values_T1, seed=seed)
    return float(curve.lows[0]), float(curve.highs[0])


def percentile(values_T: Floats, seed: int, num_resamples: int = 2000) -> Ends:
    drawn = np.random.default_rng(seed).integers(values_T.size, size=(num_resamples, values_T.size))
    low, high = np.quantile(values_T[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def scorio(python: str, which: str, k: int, num_samples: int, counts_WT: Floats) -> list[Ends]:
    """Its intervals on the same counts, from a process of its environment."""
    buffer = io.BytesIO()
    np.save(buffer, counts_WT)
    driver = Path(__file__).with_name("scorio_driver.py")
    command = [python, str(driver), which, str(k), str(num_samples)]
    done = subprocess.run(command, input=buffer.getvalue(), stdout=subprocess.PIPE, check=True)
    return [(float(low), float(high)) for low, high in np.load(io.BytesIO(done.stdout))]


def _counts(draw: Draw, num_worlds: int, num_tasks: int, num_samples: int, seed: int) -> Floats:
    rng = np.random.default_rng([seed, num_tasks, num_samples])
    return np.stack(
        [rng.binomial(num_samples, draw(rng, num_tasks)) for _ in range(num_worlds)]
    )


def _truth(draw: Draw, which: str, k: int) -> float:
    rates = draw(np.random.default_rng(0), POPULATION)
    return float(np.mean(1 - (1 - rates) ** k if which == "@" else rates**k))
