"""Splitting a gain; the guess floor."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofloop.core.completion import StopReason
from proofloop.core.verdict import ScoredCause
from proofloop.measure.estimators.decomposition import CauseCounts, Kind, kind_of, split_gain
from proofloop.measure.estimators.guessing import above_guessing, guess_floor


def counts(*rows: tuple[int, int, int, int]) -> CauseCounts:
    """Rows of (passed, wrong, unreadable, cut off)."""
    passed, wrong, unreadable, cut_off = np.array(rows, np.int64).T
    return CauseCounts(
        num_passed_T=passed,
        num_wrong_T=wrong,
        num_unreadable_T=unreadable,
        num_cut_off_T=cut_off,
    )


def test_a_split_by_hand():
    """Base 1/2 complete, 1/2 of these readable, 1/2 of these right; trained all, all, 1/2.

    In order: cap (1 - 1/2) 1/4 = 1/8; format 1 x 1/2 x 1/2 = 1/4; answer 0.
    Averaged, cap: dx = 1/2, (y z + y' z')/3 + (y z' + y' z)/6 = (3/4)/3 + (3/4)/6 = 3/8.
    """
    row = (1, 1, 2, 4)
    split = split_gain(counts(row, row), counts((4, 4, 0, 0), (4, 4, 0, 0)))
    assert split is not None
    assert split.gain.value == pytest.approx(3 / 8)
    ordered = [p.ordered.value for p in (split.length_cap, split.format, split.answer)]
    averaged = [p.averaged.value for p in (split.length_cap, split.format, split.answer)]
    assert ordered == pytest.approx([1 / 8, 1 / 4, 0])
    assert averaged == pytest.approx([3 / 16, 3 / 16, 0])
    assert split.unknown_share == 0
    assert not split.leans_on_convention


ROWS = st.lists(
    st.tuples(*[st.integers(0, 5)] * 4).filter(lambda row: sum(row) > 0), min_size=2, max_size=6
)


@settings(deadline=None)
@given(ROWS, st.data())
def test_parts_sum_to_the_gain_and_turn_with_the_sides(
    rows: list[tuple[int, int, int, int]], data: st.DataObject
):
    other = data.draw(
        st.lists(
            st.tuples(*[st.integers(0, 5)] * 4).filter(lambda row: sum(row) > 0),
            min_size=len(rows),
            max_size=len(rows),
        )
    )
    split, turned = (
        split_gain(counts(*rows), counts(*other)),
        split_gain(counts(*other), counts(*rows)),
    )
    assert split is not None
    assert turned is not None
    gain = float(np.mean([b[0] / sum(b) - a[0] / sum(a) for a, b in zip(rows, other, strict=True)]))
    parts = (split.length_cap, split.format, split.answer)
    assert split.gain.value == pytest.approx(gain, abs=1e-12)
    assert sum(p.ordered.value for p in parts) == pytest.approx(gain, abs=1e-12)
    assert sum(p.averaged.value for p in parts) == pytest.approx(gain, abs=1e-12)
    back = (turned.length_cap, turned.format, turned.answer)
    assert [p.averaged.value for p in parts] == pytest.approx(
        [-p.averaged.value for p in back], abs=1e-12
    )


@settings(deadline=None)
@given(ROWS)
def test_the_average_equals_its_closed_form(rows: list[tuple[int, int, int, int]]):
    """On the tasks where both sides show all factors."""
    other = [(d + 1, c + 1, b, a) for a, b, c, d in rows]
    rows = [(a + 1, b, c, d) for a, b, c, d in rows]
    split = split_gain(counts(*rows), counts(*other))
    assert split is not None
    expected = np.zeros(3)
    for row, changed in zip(rows, other, strict=True):
        x, y = (
            (sum(r[:3]) / sum(r), sum(r[:2]) / sum(r[:3]), r[0] / sum(r[:2]))
            for r in (row, changed)
        )
        for f in range(3):
            g, h = (i for i in range(3) if i != f)
            even, mixed = x[g] * x[h] + y[g] * y[h], x[g] * y[h] + y[g] * x[h]
            expected[f] += (y[f] - x[f]) * (even / 3 + mixed / 6) / len(rows)
    parts = (split.length_cap, split.format, split.answer)
    assert [p.averaged.value for p in parts] == pytest.approx(expected.tolist(), abs=1e-12)


def test_what_a_side_never_shows_is_marked_and_blamed_on_what_it_shows():
    """The base is always cut off: all of the gain is the cap's."""
    split = split_gain(counts((0, 0, 0, 4), (0, 0, 0, 4)), counts((1, 1, 2, 0), (1, 1, 2, 0)))
    assert split is not None
    assert split.length_cap.averaged.value == pytest.approx(0.25)
    assert split.format.averaged.value == split.answer.averaged.value == 0
    assert split.unknown_share == 1
    assert split.leans_on_convention


def test_impossible_tables_are_refused():
    assert split_gain(counts((1, 0, 0, 0)), counts((1, 0, 0, 0))) is None
    with pytest.raises(ValueError, match="2 tasks"):
        split_gain(counts((1, 0, 0, 0), (1, 0, 0, 0)), counts((1, 0, 0, 0)))
    for bad in [(0, 0, 0, 0), (-1, 2, 0, 0)]:
        with pytest.raises(ValueError):
            counts(bad)


def test_every_cause_has_a_kind():
    assert kind_of(ScoredCause.PASSED, StopReason.LENGTH) is Kind.PASSED
    assert kind_of(ScoredCause.NO_ANSWER, StopReason.LENGTH) is Kind.CUT_OFF
    assert kind_of(ScoredCause.NO_ANSWER, StopReason.STOP) is Kind.UNREADABLE
    assert kind_of(ScoredCause.TIME_LIMIT, StopReason.STOP) is Kind.WRONG
    kinds = [kind_of(cause, StopReason.STOP) for cause in ScoredCause]
    assert kinds.count(Kind.PASSED) == 1
    table = CauseCounts.from_attempts([(0, Kind.PASSED), (1, Kind.WRONG), (1, Kind.CUT_OFF)], 2)
    assert table.num_passed_T.tolist() == [1, 0]
    assert (table.num_wrong_T + table.num_cut_off_T).tolist() == [0, 2]


def test_intervals_hold_the_parts_of_known_worlds():
    rng = np.random.default_rng(4)

    def drawn(factors_TF: np.ndarray) -> CauseCounts:
        c, r, a = factors_TF.T
        rows = [
            rng.multinomial(16, [x * y * z, x * y * (1 - z), x * (1 - y), 1 - x])
            for x, y, z in zip(c, r, a, strict=True)
        ]
        return counts(*(tuple(row) for row in rows))

    def world(num_tasks: int) -> tuple[np.ndarray, np.ndarray]:
        before = rng.beta([6, 4, 3], [2, 2, 3], size=(num_tasks, 3))
        return before, 1 - (1 - before) * [0.7, 0.4, 0.8]

    before, after = world(200_000)
    truths = []
    for f in range(3):
        g, h = (i for i in range(3) if i != f)
        even = before[:, g] * before[:, h] + after[:, g] * after[:, h]
        mixed = before[:, g] * after[:, h] + after[:, g] * before[:, h]
        truths.append(np.mean((after[:, f] - before[:, f]) * (even / 3 + mixed / 6)))
    held = np.zeros(3)
    for _ in range(200):
        b, t = world(60)
        split = split_gain(drawn(b), drawn(t))
        assert split is not None
        for f, part in enumerate((split.length_cap, split.format, split.answer)):
            low, high = part.averaged.low, part.averaged.high
            assert low is not None
            assert high is not None
            held[f] += low <= truths[f] <= high
    assert (held >= 180).all()
    assert (held <= 199).all()


def test_guess_floors_by_hand():
    floor = guess_floor([4, 1, math.inf], [1, 2])
    assert floor == pytest.approx(np.array([[0.25, 1 - 0.75**2], [1, 1], [0, 0]]))
    values = above_guessing([[0.2, math.nan], [1, 1], [0.5, 0.6]], [4, 1, math.inf], [1, 2])
    assert values[0, 0] == pytest.approx(-0.05)
    assert math.isnan(values[0, 1])
    assert values[1:].tolist() == [[0, 0], [0.5, 0.6]]


@settings(deadline=None)
@given(st.integers(1, 50), st.integers(1, 200))
def test_the_guess_floor_is_the_chance_not_to_miss_every_time(m: int, k: int):
    assert guess_floor([m], [k])[0, 0] == pytest.approx(1 - (1 - 1 / m) ** k, abs=1e-12)


def test_floors_of_nothing_are_refused():
    for bad in (lambda: guess_floor([0], [1]), lambda: guess_floor([2], [0])):
        with pytest.raises(ValueError):
            bad()
    with pytest.raises(ValueError, match="shape"):
        above_guessing([[0.1]], [4], [1, 2])
