"""Length bias of scores: against naive second implementations, in worlds whose truth is known."""

import math
import statistics

import numpy as np
import pytest
from coverage_rows import coverage_part
from hypothesis import given, settings
from hypothesis import strategies as st

from proofloop.measure.estimators.length_bias import (
    ScoredAnswers,
    length_slope,
    pair_accuracy,
    without_length,
)

cell = st.tuples(st.integers(0, 5), st.booleans(), st.integers(1, 40), st.floats(-3, 3))


def naive(rows: list[tuple[int, bool, int, float]], *, within: bool) -> tuple[float, float]:
    """Slope and correlation about the means of cells, in plain loops."""
    xy = xx = yy = 0.0
    for task, right, length, score in rows:
        mates = [r for r in rows if r[1] == right and (r[0] == task or not within)]
        x = (length - statistics.fmean(r[2] for r in mates)) / 100
        y = score - statistics.fmean(r[3] for r in mates)
        xy, xx, yy = xy + x * y, xx + x * x, yy + y * y
    return xy / xx, xy / math.sqrt(xx * yy)


@settings(max_examples=60, deadline=None)
@given(st.lists(cell, min_size=8, max_size=30), st.booleans())
def test_slopes_against_loops(rows: list[tuple[int, bool, int, float]], within: bool) -> None:
    rows = [(task, right, length, round(score, 2)) for task, right, length, score in rows]
    found = length_slope(ScoredAnswers.of(*zip(*rows, strict=True)), within_tasks=within)
    if found is None:
        return
    slope, correlation = naive(rows, within=within)
    assert found.slope.value == pytest.approx(slope, rel=1e-6, abs=1e-6)
    assert found.correlation.value == pytest.approx(correlation, rel=1e-6, abs=1e-6)


def test_what_correctness_makes_of_length_is_no_bias() -> None:
    """Right answers are longer and score more; among equals, length says nothing."""
    rng = np.random.default_rng(0)
    right = np.tile([True, True, False, False], 40)
    lengths = 20 + 30 * right + rng.integers(0, 10, 160)
    scores = 2.0 * right + rng.normal(0, 0.1, 160)
    answers = ScoredAnswers.of(np.repeat(np.arange(40), 4), right, lengths, scores)
    assert np.corrcoef(lengths, scores)[0, 1] > 0.9
    for within in (True, False):
        found = length_slope(answers, within_tasks=within)
        assert found is not None
        assert found.slope.includes_zero
        assert abs(found.correlation.value) < 0.2


def test_taking_the_slope_off_leaves_none() -> None:
    rng = np.random.default_rng(1)
    tasks, right = np.repeat(np.arange(30), 4), rng.random(120) < 0.5
    lengths = rng.integers(5, 50, 120)
    scores = 0.03 * lengths + right + rng.normal(0, 0.2, 120)
    before = length_slope(ScoredAnswers.of(tasks, right, lengths, scores), within_tasks=True)
    assert before is not None
    assert before.slope.low is not None
    assert before.slope.low > 2
    after = without_length(scores, lengths, before.slope.value)
    left = length_slope(ScoredAnswers.of(tasks, right, lengths, after), within_tasks=True)
    assert left is not None
    assert left.slope.value == pytest.approx(0, abs=1e-9)


def test_nothing_can_be_said_without_a_spread() -> None:
    one_each = ScoredAnswers.of([1, 1, 2, 2], [1, 0, 1, 0], [3, 5, 9, 2], [0.1, 0.4, 0.2, 0.0])
    assert length_slope(one_each, within_tasks=True) is None, "no two equals within a task"
    across = length_slope(one_each, within_tasks=False)
    assert across is not None
    alike = ScoredAnswers.of([1, 1, 2, 2], [1, 1, 1, 1], [4, 4, 4, 4], [0.1, 0.4, 0.2, 0.0])
    assert length_slope(alike, within_tasks=False) is None
    flat = ScoredAnswers.of([1, 1, 2, 2], [1, 1, 1, 1], [4, 5, 6, 7], [0.3] * 4)
    assert length_slope(flat, within_tasks=True) is None
    one_task = ScoredAnswers.of([1, 1], [1, 1], [4, 9], [0.1, 0.2])
    assert length_slope(one_task, within_tasks=True) is None
    none = ScoredAnswers.of([], [], [], [])
    assert length_slope(none, within_tasks=True) is None


def test_pairs_of_like_length_by_hand() -> None:
    """Task a: of two pairs of like length one is right; task b: right where the better is longer,
    wrong where it is shorter; task c: a tie."""
    found = pair_accuracy(
        ["a", "a", "b", "b", "c"],
        [1.0, -1.0, 2.0, -2.0, 0.0],
        [20, 21, 40, 10, 30],
        [20, 20, 10, 40, 30],
    )
    assert found.all is not None
    assert found.all.value == pytest.approx((0.5 + 0.5 + 0.5) / 3)
    assert found.matched is not None
    assert (found.matched.value, found.matched.num_tasks) == (0.5, 2)
    assert (found.longer and found.longer.value, found.shorter and found.shorter.value) == (1, 0)
    assert found.longer_share == 0.5


def test_pairs_of_a_kind_that_is_not_there() -> None:
    found = pair_accuracy([1, 2], [1.0, 1.0], [20, 20], [20, 20])
    assert (found.longer, found.shorter) == (None, None)
    assert math.isnan(found.longer_share)
    assert found.matched is not None
    assert found.matched.value == 1
    assert pair_accuracy([], [], [], []).all is None


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="columns of answers differ"):
        ScoredAnswers.of([1], [1, 0], [3], [0.1])
    with pytest.raises(ValueError, match="must be finite"):
        ScoredAnswers.of([1], [1], [3], [math.nan])
    with pytest.raises(ValueError, match="differ in length"):
        pair_accuracy([1], [0.1, 0.2], [3], [4])
    with pytest.raises(ValueError, match="must be finite"):
        pair_accuracy([1], [math.inf], [3], [4])


def test_intervals_hold_the_truth() -> None:
    rows = list(coverage_part("length_bias").rows(num_worlds=25, seed=0))
    assert len(rows) == 20
    for row in rows:
        assert row.num_covered / row.num_worlds >= 0.8, row
