"""Elo ratings, with independent games and with openings that games share."""

import sys
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bench.coverage.row import Row
from bench.coverage.tally import Tally, show
from proofloop.measure.estimators.ratings import ELO, Ratings, fit_bradley_terry, rate

Floats = NDArray[np.float64]

TRUE = np.array([0.0, 100, 250, 400, 600, 800])
NAMES = [f"p{n}" for n in range(len(TRUE))]
PAIRS = np.array(list(combinations(range(len(TRUE)), 2)))
OPENING_SD = 250.0
NUM_RESAMPLES = 400


def rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    yield from independent_rows(num_worlds=num_worlds, seed=seed)
    yield from opening_rows(num_worlds=num_worlds, seed=seed + 1)


def independent_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    tally = Tally()
    for num_games in (10, 20, 50):
        world = f"6 players over 800 Elo, {num_games} games a pair"
        for number in range(num_worlds):
            rng = np.random.default_rng((seed, num_games, number))
            first, second = np.repeat(PAIRS, num_games, axis=0).T
            score = rng.random(first.size) < chance(TRUE[first] - TRUE[second])
            found = rate(_names(first), _names(second), score.astype(float), anchor="p0",
                         seed=number, num_resamples=NUM_RESAMPLES)  # fmt: skip
            _add(tally, "ratings.rate", world, found, TRUE)
            if found.transitivity_p is not None:
                # Held: what is transitive passes for it.
                tally.add("ratings.rate", world, "transitivity passes at 5%",
                          (float(found.transitivity_p < 0.05), 1.0), 0.0)  # fmt: skip
    yield from tally.rows()


def opening_rows(*, num_worlds: int, seed: int) -> Iterator[Row]:
    """Every pair plays every opening once; a player's strength varies over openings."""
    tally = Tally()
    truth = _projected(np.random.default_rng(seed))
    for num_openings in (20, 60):
        world = f"6 players, {num_openings} openings over which strength varies by 250 Elo"
        for number in range(num_worlds):
            rng = np.random.default_rng((seed, num_openings, number))
            strength = TRUE + OPENING_SD * rng.normal(size=(num_openings, len(TRUE)))
            opening = np.repeat(np.arange(num_openings), len(PAIRS))
            first, second = np.tile(PAIRS, (num_openings, 1)).T
            score = rng.random(first.size) < chance(
                strength[opening, first] - strength[opening, second]
            )
            games = (_names(first), _names(second), score.astype(float))
            for name, clusters in (("openings", opening), ("games alone", None)):
                found = rate(*games, anchor="p0", clusters_G=clusters, seed=number,
                             num_resamples=NUM_RESAMPLES)  # fmt: skip
                _add(tally, f"ratings.rate, {name} resampled", world, found, truth)
    yield from tally.rows()


def chance(apart: Floats) -> Floats:
    return 1 / (1 + 10 ** (-apart / 400))


def _projected(rng: np.random.Generator) -> Floats:
    """The ratings that games over all openings tend to: strengths that vary draw chances to 1/2."""
    strength = TRUE + OPENING_SD * rng.normal(size=(200_000, len(TRUE)))
    points = np.zeros((1, len(TRUE), len(TRUE)))
    for i, j in PAIRS:
        points[0, i, j] = chance(strength[:, i] - strength[:, j]).mean()
        points[0, j, i] = 1 - points[0, i, j]
    theta = fit_bradley_terry(points)[0]
    return ELO * (theta - theta[0])


def _names(numbers: NDArray[np.int64]) -> list[str]:
    return [NAMES[n] for n in numbers]


def _add(tally: Tally, name: str, world: str, found: Ratings, truth: Floats) -> None:
    by_player = {r.player: r.elo for r in found.ratings}
    for number in (1, 3, 5):
        elo = by_player[NAMES[number]]
        target = f"Elo of the player {number + 1} of 6"
        tally.add(name, world, target, (elo.low, elo.high), float(truth[number]))


if __name__ == "__main__":
    show(rows(num_worlds=int(sys.argv[1]) if len(sys.argv) > 1 else 200, seed=1))
