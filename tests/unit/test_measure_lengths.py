"""Gains between attempts of equal length; lengths of right and wrong answers."""

import numpy as np
import pytest
from coverage_rows import coverage_part
from hypothesis import given, settings
from hypothesis import strategies as st

from proofloop.measure.estimators.lengths import (
    AttemptLengths,
    length_matched_gain,
    lengths_over_steps,
)


def attempts(*rows: tuple[int, int, int]) -> AttemptLengths:
    """Rows of (task, tokens, passed); nothing is truncated."""
    task, tokens, passed = (np.array(column) for column in zip(*rows, strict=True))
    return AttemptLengths(
        task_A=task,
        num_tokens_A=tokens,
        passed_A=passed.astype(np.bool_),
        truncated_A=np.zeros(len(rows), np.bool_),
    )


def repeated(task: int, tokens: int, passed: int, total: int) -> list[tuple[int, int, int]]:
    return [(task, tokens, int(i < passed)) for i in range(total)]


def test_a_matched_gain_by_hand():
    """Two lengths.  Short: base 2 of 6, trained 1 of 2; long: base 2 of 2, trained 6 of 6.

    h = 12/8 at either length; gain (1/2 - 1/3) h / 2h = 1/12.  Raw: 7/8 - 4/8 = 3/8.
    """
    base = [r for t in (0, 1) for r in repeated(t, 10, 2, 6) + repeated(t, 90, 2, 2)]
    trained = [r for t in (0, 1) for r in repeated(t, 10, 1, 2) + repeated(t, 90, 6, 6)]
    gain = length_matched_gain(attempts(*base), attempts(*trained), 2)
    assert gain is not None
    assert gain.raw.value == pytest.approx(3 / 8)
    assert gain.matched.value == pytest.approx(1 / 12)
    assert gain.explained.value == pytest.approx(3 / 8 - 1 / 12)
    assert gain.overlap == 1.0
    assert gain.num_left_out == 0


def naive(base: list[tuple[int, int, int]], trained: list[tuple[int, int, int]]) -> float | None:
    """Mantel-Haenszel over the very lengths, task by task, where there are few of them."""
    gains: list[float] = []
    for task in {row[0] for row in base}:
        top = bottom = 0.0
        for tokens in {row[1] for row in base}:
            b = [r[2] for r in base if r[:2] == (task, tokens)]
            t = [r[2] for r in trained if r[:2] == (task, tokens)]
            if b and t:
                h = len(b) * len(t) / (len(b) + len(t))
                top, bottom = top + h * (sum(t) / len(t) - sum(b) / len(b)), bottom + h
        if bottom >= 2:
            gains.append(top / bottom)
    return float(np.mean(gains)) if len(gains) >= 2 else None


@settings(deadline=None)
@given(st.integers(0, 10_000))
def test_matching_equals_a_naive_one_where_a_stratum_is_a_length(seed: int):
    rng = np.random.default_rng(seed)
    sides = []
    for _ in range(2):
        rows = [
            (t, int(rng.choice([10, 20, 30])), int(rng.integers(2)))
            for t in range(3)
            for _ in range(12)
        ]
        sides.append(rows)
    # So many strata that each of the three lengths is one.
    gain = length_matched_gain(attempts(*sides[0]), attempts(*sides[1]), 3, num_bins=200)
    expected = naive(sides[0], sides[1])
    if expected is None:
        assert gain is None
    else:
        assert gain is not None
        assert gain.matched.value == pytest.approx(expected, abs=1e-12)


def test_lengths_that_do_not_overlap_say_nothing():
    base = [r for t in (0, 1) for r in repeated(t, 10, 2, 8)]
    trained = [r for t in (0, 1) for r in repeated(t, 90, 8, 8)]
    assert length_matched_gain(attempts(*base), attempts(*trained), 2) is None
    more = [*trained, *repeated(2, 10, 6, 8), *repeated(3, 10, 6, 8)]
    less = [*base, *repeated(2, 10, 2, 8), *repeated(3, 10, 2, 8)]
    gain = length_matched_gain(attempts(*less), attempts(*more), 4)
    assert gain is not None
    assert gain.num_left_out == 2
    assert gain.raw.value == pytest.approx((0.75 + 0.75 + 0.5 + 0.5) / 4)
    assert gain.matched.value == gain.raw_where_matched.value == pytest.approx(0.5)


def test_truncated_attempts_match_only_each_other():
    """The cap's own length is no length: base's cut-off attempts meet no whole one."""
    base = repeated(0, 50, 2, 4) + repeated(0, 100, 0, 4)
    rows = base + [(1, tokens, passed) for _, tokens, passed in base]
    task, tokens, passed = (np.array(c) for c in zip(*rows, strict=True))
    cut = AttemptLengths(
        task_A=task,
        num_tokens_A=tokens,
        passed_A=passed.astype(np.bool_),
        truncated_A=tokens == 100,
    )
    whole = attempts(*[(t, 50 + 50 * (i % 2), 1) for t in (0, 1) for i in range(8)])
    gain = length_matched_gain(cut, whole, 2)
    assert gain is not None
    assert gain.matched.value == pytest.approx(0.5)
    assert gain.truncated_base.value == 0.5
    assert gain.truncation_change.value == -0.5


def test_lengths_at_each_step_by_hand():
    """Step 0: task 0 right 10, wrong 20 and 40; task 1 right 30.  Step 5: task 0 wrong 7."""
    rows = [(0, 10, 1), (0, 20, 0), (0, 40, 0), (1, 30, 1), (0, 7, 0)]
    at = lengths_over_steps(np.array([0, 0, 0, 0, 5]), attempts(*rows))
    assert [a.step for a in at] == [0, 5]
    first, last = at
    assert first.right is not None
    assert first.wrong is not None
    assert first.difference is not None
    assert (first.right.value, first.right.num_tasks) == (20, 2)
    assert (first.wrong.value, first.wrong.num_tasks) == (30, 1)
    assert (first.difference.value, first.difference.num_tasks) == (-20, 1)
    assert last.right is None
    assert last.difference is None
    assert first.truncated.value == 0


def test_impossible_tables_are_refused():
    one = attempts((0, 1, 1))
    with pytest.raises(ValueError, match="an attempt on either side"):
        length_matched_gain(one, one, 2)
    with pytest.raises(ValueError, match="stratum"):
        length_matched_gain(one, one, 1, num_bins=0)
    with pytest.raises(ValueError, match="steps"):
        lengths_over_steps(np.array([1, 2]), one)
    with pytest.raises(ValueError, match="not negative"):
        attempts((-1, 1, 1))
    with pytest.raises(ValueError, match="one length"):
        AttemptLengths(
            task_A=np.zeros(2, np.int64),
            num_tokens_A=np.zeros(1, np.int64),
            passed_A=np.zeros(2, np.bool_),
            truncated_A=np.zeros(2, np.bool_),
        )


def test_a_gain_that_is_all_length_is_matched_away():
    part = coverage_part("lengths")
    world, rng = part.WORLDS[1], np.random.default_rng(2)
    assert (world.gain, world.slope) == (0.0, 1.5)
    held = raw = 0
    for number in range(60):
        gain = part.measure(rng, world, number)
        held += gain.matched.low <= 0 <= gain.matched.high
        raw += gain.raw.low <= 0 <= gain.raw.high
        assert gain.explained.value > 0.03
    assert held >= 53
    assert raw <= 10
