"""Does the elicitation ledger hold p_base(right)?  Small worlds in which it is a sum one can do.

A task is a set of answers with known probabilities under base and trained model: the base's
log-probabilities are normal, the trained ones are the base's, raised for right answers, and
blurred by noise, which is the spread of the log weights.  Only tasks without a mark are counted;
the others are `refused`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from bench.coverage.row import Row
from proofloop.measure.estimators.elicitation import Ledger, RightSamples, elicitation_ledger

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    num_answers: int
    num_right: int
    base_spread: float
    shift: float
    noise: float
    num_samples: int

    def __str__(self) -> str:
        return (
            f"{self.num_right} of {self.num_answers} answers right, {self.num_samples} samples, "
            f"log weights spread {self.noise:g} nats"
        )


WORLDS = tuple(
    World(num_answers=a, num_right=r, base_spread=s, shift=h, noise=noise, num_samples=n)
    for a, r, s, h in ((400, 40, 2.5, 4.0), (5000, 1000, 2.0, 6.0), (2000, 5, 2.0, 7.0))
    for noise in (0.5, 1.0)
    for n in (32, 128, 512)
) + tuple(
    # Beyond what the docstring promises: shown so that nobody has to guess.
    World(num_answers=400, num_right=40, base_spread=2.5, shift=4.0, noise=noise, num_samples=128)
    for noise in (1.5, 2.0)
)


def draw(rng: np.random.Generator, world: World, num_tasks: int) -> tuple[RightSamples, Floats]:
    """Samples of `num_tasks` tasks and the true log2 p_base(right) of each."""
    answers, passed, base, trained, truths = [], [], [], [], []
    for _ in range(num_tasks):
        log_base = rng.normal(0, world.base_spread, world.num_answers)
        log_base -= logsumexp(log_base)
        right = np.arange(world.num_answers) < world.num_right
        log_trained = log_base + world.shift * right + rng.normal(0, world.noise, right.size)
        log_trained -= logsumexp(log_trained)
        shares = np.exp(log_trained)
        drawn = rng.choice(right.size, size=world.num_samples, p=shares / shares.sum())
        answers.append(drawn)
        passed.append(right[drawn])
        base.append(log_base[drawn])
        trained.append(log_trained[drawn])
        truths.append(logsumexp(log_base[right]) / np.log(2))
    samples = RightSamples(
        task_A=np.repeat(np.arange(num_tasks), world.num_samples),
        completion_A=np.concatenate(answers),
        passed_A=np.concatenate(passed),
        base_logprob_A=np.concatenate(base),
        trained_logprob_A=np.concatenate(trained),
    )
    return samples, np.array(truths)


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    """A task is a world of its own; the mean over tasks takes 40 tasks a world."""
    for number, world in enumerate(WORLDS):
        rng = np.random.default_rng([seed, number])
        samples, truth_T = draw(rng, world, num_worlds)
        ledger = elicitation_ledger(samples, num_worlds, temperature=1.0)
        yield _task_row(world, ledger, -truth_T)
        yield _bootstrap_row(rng, world, samples, -truth_T, ledger)
        yield _bound_row(world, ledger, -truth_T)
    yield _mean_row(num_worlds, seed)


def _task_row(world: World, ledger: Ledger, bits_T: Floats) -> Row:
    known_T = np.isfinite(ledger.bits_T)
    low_T, high_T = ledger.lows_T[known_T] - 1e-9, ledger.highs_T[known_T] + 1e-9
    held = (low_T <= bits_T[known_T]) & (bits_T[known_T] <= high_T)
    return Row(
        estimator="elicitation.elicitation_ledger",
        world=str(world),
        target="-log2 p_base(right) of a task",
        nominal=0.95,
        num_worlds=int(known_T.sum()),
        num_covered=int(held.sum()),
        median_width=float(np.median(high_T - low_T)),
        refused=int((~known_T).sum()),
    )


def _bootstrap_row(
    rng: np.random.Generator, world: World, samples: RightSamples, bits_T: Floats, ledger: Ledger
) -> Row:
    """The percentile bootstrap of the importance mean, on the same tasks."""
    weights_A = np.where(
        samples.passed_A, np.exp(samples.base_logprob_A - samples.trained_logprob_A), 0.0
    )
    weights_TN = weights_A.reshape(len(bits_T), world.num_samples)
    known = np.flatnonzero(np.isfinite(ledger.bits_T))
    widths, num_covered = [], 0
    for task in known:
        drawn = rng.integers(world.num_samples, size=(400, world.num_samples))
        ends = np.quantile(weights_TN[task][drawn].mean(axis=1), [0.025, 0.975])
        high, low = -np.log2(np.maximum(ends, 1e-300))
        widths.append(high - low)
        num_covered += bool(low <= bits_T[task] <= high)
    return Row(
        estimator="percentile bootstrap of the importance mean",
        world=str(world),
        target="-log2 p_base(right) of a task",
        nominal=0.95,
        num_worlds=len(known),
        num_covered=num_covered,
        median_width=float(np.median(widths)) if widths else float("nan"),
        refused=len(bits_T) - len(known),
    )


def _bound_row(world: World, ledger: Ledger, bits_T: Floats) -> Row:
    solved_T = ~np.isnan(ledger.bits_at_most_T)
    excess_T = ledger.bits_at_most_T[solved_T] - bits_T[solved_T]
    return Row(
        estimator="elicitation.elicitation_ledger, bits_at_most",
        world=str(world),
        target="-log2 p_base(right) of a task, from above",
        nominal=1.0,
        num_worlds=int(solved_T.sum()),
        num_covered=int((excess_T >= -1e-9).sum()),
        median_width=float(np.median(excess_T)),
        refused=int((~solved_T).sum()),
    )


def _mean_row(num_worlds: int, seed: int) -> Row:
    """The mean of bits over a population of tasks, from 40 of them."""
    world = World(
        num_answers=400, num_right=40, base_spread=2.5, shift=6.0, noise=0.5, num_samples=64
    )
    rng = np.random.default_rng([seed, 1000])
    population = -draw(rng, world, 5_000)[1]
    truth, num_covered, widths = float(population.mean()), 0, []
    for _ in range(num_worlds):
        samples, _ = draw(rng, world, 40)
        ledger = elicitation_ledger(samples, 40, temperature=1.0)
        mean = ledger.mean_bits
        assert mean is not None
        assert mean.low is not None
        assert mean.high is not None
        num_covered += mean.low <= truth <= mean.high
        widths.append(mean.high - mean.low)
    return Row(
        estimator="elicitation.Ledger.mean_bits",
        world=f"40 tasks; {world}",
        target="mean of -log2 p_base(right) over the task distribution",
        nominal=0.95,
        num_worlds=num_worlds,
        num_covered=num_covered,
        median_width=float(np.median(widths)),
    )
