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
from bench.coverage.worlds import DIFFICULTY, POPULATION, Draw, Ends, Floats, bootstrapped, tally
from proofloop.measure.estimators.pass_at_k import pass_at_k, pass_hat_k
from proofloop.measure.estimators.shares import wilson

SCORIO_WORLDS = 50
"""It is slow, and far enough from 95% for so few."""
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
    values_TW = np.stack([per_task(n_T, passed_T, (k,))[:, 0] for passed_T in counts_WT], axis=1)
    ours, plain = bootstrapped(values_TW)
    yield tally("bootstrap.bootstrap_mean", world, target, truth, ours)
    yield tally("percentile", world, target, truth, plain)
    if k == 1:
        coins = (wilson(int(c_T.sum()), int(n_T.sum())) for c_T in counts_WT)
        yield tally("Wilson", world, target, truth, coins)
    peer = os.environ.get("SCORIO_PYTHON")
    if peer:
        intervals = scorio(peer, which, k, num_samples, counts_WT[:SCORIO_WORLDS])
        yield tally("scorio", world, target, truth, intervals)


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
    return np.stack([rng.binomial(num_samples, draw(rng, num_tasks)) for _ in range(num_worlds)])


def _truth(draw: Draw, which: str, k: int) -> float:
    rates = draw(np.random.default_rng(0), POPULATION)
    return float(np.mean(1 - (1 - rates) ** k if which == "@" else rates**k))
