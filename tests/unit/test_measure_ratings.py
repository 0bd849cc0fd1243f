"""Bradley-Terry ratings against hand-worked odds, a general optimiser and the classic iteration."""

import math

import numpy as np
import pytest
from coverage_rows import coverage_part
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from proofloop.measure.estimators.ratings import ELO, fit_bradley_terry, rate

FAST = {"num_resamples": 100}


def games(table: dict[tuple[str, str], tuple[int, int]]):
    """(first, second, score) from wins and losses of each pair."""
    rows = [(i, j, s) for (i, j), (won, lost) in table.items()
            for s in [1.0] * won + [0.0] * lost]  # fmt: skip
    return tuple(zip(*rows, strict=True))


def minorised(points_NN, rounds: int = 5000):
    """Zermelo's iteration (Hunter 2004, eq. 3), one player after the other."""
    strength = np.ones(len(points_NN))
    played = points_NN + points_NN.T
    for _ in range(rounds):
        for i in range(len(strength)):
            shares = [
                played[i, j] / (strength[i] + strength[j]) for j in range(len(strength)) if j != i
            ]
            strength[i] = points_NN[i].sum() / sum(shares)
        strength /= np.exp(np.log(strength).mean())
    return np.log(strength)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_newton_equals_the_classic_iteration(seed: int, num: int):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 20, (num, num)) + 0.5
    np.fill_diagonal(points, 0)
    theta = fit_bradley_terry(points[None])[0]
    assert theta == pytest.approx(minorised(points, 800), abs=1e-4)


def test_newton_equals_a_general_optimiser_on_sparse_games():
    rng = np.random.default_rng(1)
    points = np.zeros((8, 8))
    for i in range(7):
        points[i, i + 1], points[i + 1, i] = rng.integers(1, 9, 2)
    loss = lambda t: (points * np.logaddexp(0, t[None] - t[:, None])).sum()  # noqa: E731
    naive = optimize.minimize(loss, np.zeros(8), method="BFGS", options={"gtol": 1e-9}).x
    assert fit_bradley_terry(points[None])[0] == pytest.approx(naive - naive.mean(), abs=1e-5)


def test_two_players_differ_by_their_log_odds():
    """15 of 20: odds 3, 191 Elo; with one drawn game each way more, (15 + 1/2) / (5 + 1/2)."""
    played = games({("a", "b"): (15, 5)})
    plain = rate(*played, anchor="b", pseudo_count=0.0, **FAST)
    assert plain.ratings[0].player == "a"
    assert plain.ratings[0].elo.value == pytest.approx(ELO * math.log(3))
    smooth = rate(*played, anchor="b", **FAST)
    assert smooth.ratings[0].elo.value == pytest.approx(ELO * math.log(15.5 / 5.5))
    assert smooth.ratings[1].elo.value == smooth.ratings[1].elo.low == 0.0


def test_the_anchor_moves_all_by_one_number():
    rng = np.random.default_rng(2)
    names = np.array(["a", "b", "c", "d"])
    pairs = rng.permuted(np.tile(np.arange(4), (200, 1)), axis=1)[:, :2]
    score = rng.integers(0, 3, 200) / 2
    found = [
        {r.player: r.elo.value for r in
         rate(names[pairs[:, 0]], names[pairs[:, 1]], score, anchor=anchor, **FAST).ratings}
        for anchor in "ab"
    ]  # fmt: skip
    shifts = [found[0][name] - found[1][name] for name in names]
    assert shifts == pytest.approx([found[0]["b"]] * 4)


def test_who_never_lost_is_finite_and_marked():
    found = rate(*games({("a", "b"): (10, 0), ("b", "c"): (6, 4)}), anchor="c", **FAST)
    by_player = {r.player: r for r in found.ratings}
    assert not by_player["a"].is_bounded
    assert by_player["b"].is_bounded
    assert by_player["a"].elo.value < 1500
    with pytest.raises(ValueError, match="pseudo-count"):
        rate(*games({("a", "b"): (10, 0), ("b", "c"): (6, 4)}), anchor="c", pseudo_count=0.0)


@pytest.mark.parametrize(
    ("first", "second", "score", "message"),
    [
        (["a", "c"], ["b", "d"], [1, 0], "no chain of games compares 'a' and 'c'"),
        (["a"], ["a"], [1], "against itself"),
        (["a"], ["b"], [0.7], "score"),
        (["b"], ["c"], [1], "anchor"),
        ([], [], [], "at least one"),
    ],
)
def test_what_cannot_be_rated_is_refused(first, second, score, message: str):
    with pytest.raises(ValueError, match=message):
        rate(first, second, score, anchor="a")


def test_a_cycle_shows_in_the_residuals():
    """Rock, paper, scissors: all equal on a line, every pair 80 to 20."""
    cycle = games({("r", "s"): (80, 20), ("s", "p"): (80, 20), ("p", "r"): (80, 20)})
    found = rate(*cycle, anchor="r", **FAST)
    assert [r.elo.value for r in found.ratings] == pytest.approx([0, 0, 0], abs=1e-6)
    assert [abs(r.z) for r in found.residuals] == pytest.approx([6.0] * 3)
    assert found.transitivity_p is not None
    assert found.transitivity_p < 1e-6
    line = games({("a", "b"): (60, 40), ("b", "c"): (60, 40), ("a", "c"): (69, 31)})
    straight = rate(*line, anchor="a", **FAST).transitivity_p
    assert straight is not None
    assert straight > 0.5
    assert rate(*games({("a", "b"): (9, 5)}), anchor="a", **FAST).transitivity_p is None


def test_shared_openings_widen():
    rng = np.random.default_rng(3)
    opening = np.repeat(np.arange(20), 20)
    favours_a = rng.random(20) < 0.5
    score = (rng.random(400) < np.where(favours_a[opening], 0.95, 0.05)).astype(float)
    played = (["a"] * 400, ["b"] * 400, score)
    alone = next(r.elo for r in rate(*played, anchor="b", **FAST).ratings if r.player == "a")
    shared = next(r.elo for r in rate(*played, anchor="b", clusters_G=opening, **FAST).ratings
                  if r.player == "a")  # fmt: skip
    assert shared.num_tasks == 20
    assert alone.low is not None
    assert alone.high is not None
    assert shared.low is not None
    assert shared.high is not None
    assert shared.high - shared.low > 2.5 * (alone.high - alone.low)


def test_intervals_cover_in_small_simulations():
    part = coverage_part("ratings")
    rows = list(part.rows(num_worlds=15, seed=4))
    honest = [r for r in rows if "games alone" not in r.estimator]
    assert min(r.num_covered / r.num_worlds for r in honest) >= 0.7


def test_evalica_agrees():
    evalica = pytest.importorskip("evalica")
    rng = np.random.default_rng(5)
    names = np.array(["a", "b", "c", "d"])
    pairs = rng.permuted(np.tile(np.arange(4), (400, 1)), axis=1)[:, :2]
    first, second = names[pairs[:, 0]], names[pairs[:, 1]]
    score = (rng.random(400) < 1 / (1 + np.exp(0.4 * (pairs[:, 0] - pairs[:, 1])))).astype(float)
    winners = [evalica.Winner.X if s else evalica.Winner.Y for s in score]
    theirs = np.log(evalica.bradley_terry(list(first), list(second), winners, limit=10000,
                                          tolerance=1e-12).scores)  # fmt: skip
    ours = rate(first, second, score, anchor="a", pseudo_count=0.0, **FAST)
    for rating in ours.ratings:
        expected = ELO * (theirs[rating.player] - theirs["a"])
        assert rating.elo.value == pytest.approx(expected, abs=0.1)
