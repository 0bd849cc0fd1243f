"""Do slopes of scores on length, and accuracies of pairs of like length, hold the truth?

Lengths are gamma; right answers are longer and score more; a score rises with length by a slope
that varies from task to task.  The truth of a slope is its mean over tasks; that of a correlation
or an accuracy comes from a hundred thousand tasks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from bench.coverage.row import Row
from bench.coverage.tally import Tally
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.length_bias import ScoredAnswers, length_slope, pair_accuracy

NUM_MANY = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    num_tasks: int
    num_answers: int
    """Of a task, half of them right."""
    slope: float
    """Score a hundred tokens, on average; its standard deviation over tasks is 1."""

    def __str__(self) -> str:
        return (
            f"{self.num_tasks} tasks x {self.num_answers} answers, score {self.slope:g} (sd 1) "
            "/ 100 tokens, 1 for being right, sd 1"
        )


WORLDS = (
    World(num_tasks=30, num_answers=8, slope=0.0),
    World(num_tasks=100, num_answers=8, slope=2.0),
    World(num_tasks=100, num_answers=4, slope=2.0),
    World(num_tasks=400, num_answers=4, slope=0.0),
)


def draw(rng: np.random.Generator, world: World) -> ScoredAnswers:
    num = world.num_tasks * world.num_answers
    task_A = np.repeat(np.arange(world.num_tasks), world.num_answers)
    right_A = np.arange(num) % 2 == 0
    lengths_A = np.round(rng.gamma(4, 10, num)) + 10 * right_A
    slope_T = rng.normal(world.slope, 1, world.num_tasks)
    ease_T = rng.normal(0, 1, world.num_tasks)
    scores_A = ease_T[task_A] + right_A + slope_T[task_A] * lengths_A / 100
    return ScoredAnswers.of(task_A, right_A, lengths_A, scores_A + rng.normal(0, 1, num))


def pairs(answers: ScoredAnswers) -> tuple[np.ndarray, ...]:
    """Every right answer against the wrong one after it: tasks, margins, lengths of either."""
    score, length = answers.score_A, answers.num_tokens_A
    return answers.task_A[::2], score[::2] - score[1::2], length[::2], length[1::2]


def found_in(answers: ScoredAnswers, seed: int) -> dict[str, Interval | None]:
    slope = length_slope(answers, within_tasks=True, seed=seed)
    across = length_slope(answers, within_tasks=False, seed=seed)
    accuracy = pair_accuracy(*pairs(answers), seed=seed)
    return {
        "slope within tasks": slope and slope.slope,
        "slope across tasks": across and across.slope,
        "correlation within tasks": slope and slope.correlation,
        "accuracy on pairs of like length": accuracy.matched,
        "accuracy where the right one is shorter": accuracy.shorter,
    }


@cache
def truth(world: World) -> dict[str, float]:
    many = draw(np.random.default_rng(1), replace(world, num_tasks=NUM_MANY))
    lengths, scores = many.num_tokens_A, many.score_A
    cells = 2 * many.task_A + many.right_A
    x, y = (v - (np.bincount(cells, v) / np.bincount(cells))[cells] for v in (lengths, scores))
    _, margin, better, worse = pairs(many)
    ahead, like = better - worse, np.abs(better - worse) <= 0.05 * (better + worse)
    by_task = np.repeat(np.arange(NUM_MANY), world.num_answers // 2)

    def mean_of_means(kind: np.ndarray) -> float:
        counts = np.bincount(by_task[kind], minlength=NUM_MANY)
        totals = np.bincount(by_task[kind], margin[kind] > 0, minlength=NUM_MANY)
        return float((totals[counts > 0] / counts[counts > 0]).mean())

    return {
        "slope within tasks": world.slope,
        "slope across tasks": world.slope,
        "correlation within tasks": float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum())),
        "accuracy on pairs of like length": mean_of_means(like),
        "accuracy where the right one is shorter": mean_of_means(~like & (ahead < 0)),
    }


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    tally = Tally()
    for number, world in enumerate(WORLDS):
        rng = np.random.default_rng([seed, number])
        for _ in range(num_worlds):
            for target, interval in found_in(draw(rng, world), seed).items():
                ends = None if interval is None else (interval.low, interval.high)
                name = "pair_accuracy" if "accuracy" in target else "length_slope"
                tally.add(f"length_bias.{name}", str(world), target, ends, truth(world)[target])
    yield from tally.rows()
