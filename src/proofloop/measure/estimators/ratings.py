"""Bradley-Terry ratings of players from games, on the Elo scale.

`P(i beats j) = 1 / (1 + 10^((r_j - r_i) / 400))`; a draw counts as half a win for each (Bradley &
Terry 1952; draws as in Elo's practice).  Ratings are differences: one player is the anchor.

Axes: G games, N players, B resamples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse, stats

from proofloop.core.record import Record
from proofloop.measure.estimators.clusters import percentile
from proofloop.measure.estimators.interval import Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ELO = 400 / float(np.log(10))
"""Elo points in a nat of log odds."""
NUM_RESAMPLES = 1000
_MAX_STEPS = 100


class Rating(Record):
    player: str
    elo: Interval
    """Relative to the anchor, whose own interval is of no width.  `num_tasks` counts the resampled
    units: clusters, or games without them."""
    num_games: int
    is_bounded: bool
    """False where this player won, or lost, all games: only the pseudo-count keeps the rating
    finite, and its size is the pseudo-count's."""


class Residual(Record):
    """A pair that met: what ratings on one line leave unexplained."""

    first: str
    second: str
    num_games: int
    observed: float
    """Share of points of `first`."""
    expected: float
    z: float
    """Observed minus expected over its standard error; draws make it too small."""


class Ratings(Record):
    ratings: tuple[Rating, ...]
    residuals: tuple[Residual, ...]
    transitivity_p: float | None
    """Chi² test that one line explains all pairs (`pairs - players + 1` degrees of freedom); small:
    the ratings hide cycles.  None where there are no more pairs than a line needs, or fewer than
    five expected points on either side of some pair."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Games:
    first_G: Ints
    second_G: Ints
    score_G: Floats
    names: list[str]

    @property
    def num_players(self) -> int:
        return len(self.names)


def rate(
    first_G: ArrayLike,
    second_G: ArrayLike,
    score_G: ArrayLike,
    *,
    anchor: str,
    clusters_G: ArrayLike | None = None,
    pseudo_count: float = 1.0,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Ratings:
    """Ratings with intervals from resampled games; names are strings, scores of `first` 1, ½ or 0.

    Each player plays `pseudo_count` more games, all drawn, spread over the opponents met in
    proportion to games, so that a player who only won has a finite rating; 0 is plain maximum
    likelihood.  Without clusters every pair's games are drawn anew from the fitted chances, the
    schedule being fixed (a resampled pair that went 20 to 0 never shows another result: that covers
    some 92%); draws count as decided there, which makes intervals wider than need be.  Games that
    share an opening, a task or a training seed belong in one cluster, and then clusters are
    resampled.  Intervals of 6 players hold their Elo 92-98% of times with 10 to 50 games a pair,
    91-95% with 20 or 60 shared openings, and 83-93% where those are ignored (150 worlds each:
    bench/coverage/ratings.py).
    Raises ValueError for other scores, a player against itself, an unknown anchor, or players whom
    no chain of games compares; without pseudo-count also where a group never lost a game to the
    rest (Ford 1957).
    """
    games = _checked(first_G, second_G, score_G)
    if anchor not in games.names:
        raise ValueError(f"the anchor {anchor!r} played no game")
    _refuse_disconnected(games, pseudo_count)
    rng = np.random.default_rng(seed)
    clusters = None if clusters_G is None else np.asarray(clusters_G)
    if clusters is not None and clusters.shape != games.first_G.shape:
        raise ValueError(f"{clusters.size} clusters for {games.first_G.size} games")
    points_BNN = _points(games, np.ones((1, games.first_G.size)))
    played_NN = points_BNN[0] + points_BNN[0].T
    pseudo_NN = _pseudo(played_NN, pseudo_count)
    theta_BN = fit_bradley_terry(points_BNN + pseudo_NN / 2)
    if clusters is None:
        num_units = games.first_G.size
        drawn_BNN = _replayed(played_NN, theta_BN[0], num_resamples, rng)
    else:
        drawn_BNN, num_units = _resampled(games, clusters, num_resamples, rng)
    theta_BN = np.concatenate([theta_BN, fit_bradley_terry(drawn_BNN + pseudo_NN / 2)])
    elo_BN = ELO * (theta_BN - theta_BN[:, [games.names.index(anchor)]])
    residuals = _residuals(games.names, points_BNN[0], theta_BN[0])
    ratings: list[Rating] = []
    for number, name in enumerate(games.names):
        elo = percentile(elo_BN[:, number], num_tasks=num_units)
        assert elo is not None
        won, lost = points_BNN[0, number].sum(), points_BNN[0, :, number].sum()
        ratings.append(Rating(player=name, elo=elo, num_games=round(float(won + lost)),
                              is_bounded=bool(won > 0 and lost > 0)))  # fmt: skip
    return Ratings(
        ratings=tuple(sorted(ratings, key=lambda r: -r.elo.value)),
        residuals=residuals,
        transitivity_p=_transitivity(residuals, games.num_players),
    )


def fit_bradley_terry(points_BNN: Floats) -> Floats:
    """Log-odds ratings theta_BN of mean 0, by Newton's method on all resamples at once.

    `points_BNN[b, i, j]` are the points of i against j.  The log-likelihood
    `sum_ij points_ij log sigma(theta_i - theta_j)` is concave; steps are halved where they lose.
    A resample whose likelihood has no maximum comes back as NaN.
    """
    num = points_BNN.shape[1]
    theta_BN = np.zeros(points_BNN.shape[:2])
    played_BNN = points_BNN + np.swapaxes(points_BNN, 1, 2)
    value_B = _loglik(theta_BN, points_BNN)
    live = np.arange(len(theta_BN))
    for _ in range(_MAX_STEPS):
        points, played, theta = points_BNN[live], played_BNN[live], theta_BN[live]
        chance = _chance(theta)
        gradient = points.sum(2) - (played * chance).sum(2)
        weight = played * chance * (1 - chance)
        hessian = -weight
        hessian[:, np.arange(num), np.arange(num)] += weight.sum(2)
        # The all-ones direction is free; weighting it fixes the mean and leaves the step alone.
        scale = np.trace(hessian, axis1=1, axis2=2)[:, None, None] / num + 1e-300
        step = np.linalg.solve(hessian + scale / num, gradient[:, :, None])[:, :, 0]
        gain = (gradient * step).sum(1)
        step *= np.minimum(1.0, 3.0 / np.maximum(np.abs(step).max(1), 1e-300))[:, None]
        for _ in range(10):
            tried = _loglik(theta + step, points)
            worse = tried < value_B[live] - 1e-12
            if not worse.any():
                break
            step[worse] /= 2
        theta_BN[live], value_B[live] = theta + step, _loglik(theta + step, points)
        live = live[gain > 1e-10]
        if not live.size:
            break
    theta_BN[live] = np.nan
    return theta_BN - theta_BN.mean(axis=1, keepdims=True)


def _chance(theta_BN: Floats) -> Floats:
    apart_BNN = theta_BN[:, :, None] - theta_BN[:, None, :]
    return np.exp(-np.logaddexp(0.0, -apart_BNN))


def _loglik(theta_BN: Floats, points_BNN: Floats) -> Floats:
    apart_BNN = theta_BN[:, :, None] - theta_BN[:, None, :]
    return -(points_BNN * np.logaddexp(0.0, -apart_BNN)).sum(axis=(1, 2))


def _checked(first_G: ArrayLike, second_G: ArrayLike, score_G: ArrayLike) -> _Games:
    first, second = np.asarray(first_G, str), np.asarray(second_G, str)
    score = np.asarray(score_G, np.float64)
    if not first.shape == second.shape == score.shape or first.ndim != 1 or not first.size:
        raise ValueError("games need two players and a score each, at least one game")
    if not np.isin(score, (0.0, 0.5, 1.0)).all():
        raise ValueError("a score is 1, 0.5 or 0, the first player's")
    if (first == second).any():
        raise ValueError(f"{first[first == second][0]!r} plays against itself")
    names, number = np.unique(np.concatenate([first, second]), return_inverse=True)
    return _Games(
        first_G=number[: first.size],
        second_G=number[first.size :],
        score_G=score,
        names=[str(name) for name in names],
    )


def _refuse_disconnected(games: _Games, pseudo_count: float) -> None:
    if pseudo_count < 0:
        raise ValueError("the pseudo-count must not be negative")
    num = games.num_players
    points_NN = _points(games, np.ones((1, games.first_G.size)))[0]
    graph: sparse.csr_matrix = sparse.csr_matrix(points_NN > 0)
    for connection, why in (
        ("weak", "no chain of games compares"),
        ("strong", "without a pseudo-count ratings run away between"),
    ):
        if connection == "strong" and pseudo_count > 0:
            continue
        count, part_N = sparse.csgraph.connected_components(graph, connection=connection)
        if count > 1:
            other = int(np.flatnonzero(part_N != part_N[0])[0])
            raise ValueError(f"{why} {games.names[0]!r} and {games.names[other]!r}: "
                             f"{count} groups among {num} players")  # fmt: skip


def _points(games: _Games, weights_BG: Floats) -> Floats:
    """points_BNN: of the row's player against the column's."""
    num, size = games.num_players, games.first_G.size
    column = np.arange(size)
    slots = np.concatenate([games.first_G * num + games.second_G,
                            games.second_G * num + games.first_G])  # fmt: skip
    adds = sparse.csr_matrix(
        (np.concatenate([games.score_G, 1 - games.score_G]), (slots, np.tile(column, 2))),
        shape=(num * num, size),
    )
    return np.asarray((adds @ weights_BG.T).T, np.float64).reshape(-1, num, num)


def _replayed(
    played_NN: Floats, theta_N: Floats, num_resamples: int, rng: np.random.Generator
) -> Floats:
    """Points of the same schedule played again by players of these ratings."""
    upper_NN = np.triu(np.round(played_NN)).astype(np.int64)
    chance_NN = _chance(theta_N[None])[0]
    won_BNN = rng.binomial(upper_NN, chance_NN, size=(num_resamples, *upper_NN.shape))
    return (won_BNN + np.swapaxes(upper_NN - won_BNN, 1, 2)).astype(np.float64)


def _resampled(
    games: _Games, clusters_G: NDArray[np.generic], num_resamples: int, rng: np.random.Generator
) -> tuple[Floats, int]:
    """Points of resampled clusters, and how many clusters there are."""
    unit_G = np.unique(clusters_G, return_inverse=True)[1].reshape(-1)
    num = int(unit_G.max()) + 1
    drawn = rng.multinomial(num, np.full(num, 1 / num), size=num_resamples)
    return _points(games, drawn[:, unit_G].astype(np.float64)), num


def _pseudo(played_NN: Floats, pseudo_count: float) -> Floats:
    """Drawn games added between i and j: half of each player's share of the other, summed."""
    share_NN = played_NN / played_NN.sum(axis=1, keepdims=True)
    return pseudo_count * (share_NN + share_NN.T) / 2


def _residuals(names: list[str], points_NN: Floats, theta_N: Floats) -> tuple[Residual, ...]:
    chance_NN = _chance(theta_N[None])[0]
    found: list[Residual] = []
    for i, j in zip(*np.nonzero(np.triu(points_NN + points_NN.T)), strict=True):
        num_games, expected = float(points_NN[i, j] + points_NN[j, i]), float(chance_NN[i, j])
        error = np.sqrt(expected * (1 - expected) / num_games)
        observed = float(points_NN[i, j]) / num_games
        found.append(
            Residual(
                first=names[i],
                second=names[j],
                num_games=round(num_games),
                observed=observed,
                expected=expected,
                z=float((observed - expected) / error),
            )
        )
    return tuple(sorted(found, key=lambda r: -abs(r.z)))


def _transitivity(residuals: tuple[Residual, ...], num_players: int) -> float | None:
    freedom = len(residuals) - num_players + 1
    thin = any(r.num_games * min(r.expected, 1 - r.expected) < 5 for r in residuals)
    if freedom < 1 or thin:
        return None
    return float(stats.chi2.sf(sum(r.z**2 for r in residuals), freedom))
