"""What a second attempt is worth: by hand, against a naive count, and how often intervals hold."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.coverage.feedback_gain import rows
from proofloop.measure.estimators.feedback_gain import (
    FEWEST_TASKS,
    fixed_share,
    fresh_fixes,
    gain,
)


def test_by_hand() -> None:
    assert fresh_fixes([4, 4, 2], [1, 4, 0]) == pytest.approx([1.0, 0.0, 0.0])
    share = fixed_share([3, 0, 2], [1, 0, 1])
    assert share is not None
    assert (share.value, share.num_tasks) == (2 / 5, 2)
    assert (share.low, share.high) == (None, None), "of two tasks no interval"
    more = gain(([3, 2], [1, 1]), ([3, 2], [3, 1]))
    assert more is not None
    assert more.value == pytest.approx(4 / 5 - 2 / 5)
    assert fixed_share([0, 0], [0, 0]) is None
    assert gain(([0], [0]), ([0], [0])) is None


@given(st.lists(st.tuples(st.integers(2, 6), st.integers(0, 6)), min_size=1, max_size=6))
def test_a_fresh_attempt_is_another_one_of_the_same_task(pairs: list[tuple[int, int]]) -> None:
    """Naively: of every ordered pair of attempts, the first failed and the second passed."""
    n = [n for n, _ in pairs]
    c = [min(n, c) for n, c in pairs]
    naive: list[float] = []
    for size, passed in zip(n, c, strict=True):
        outcomes = [1] * passed + [0] * (size - passed)
        hits = sum(
            not outcomes[i] and outcomes[j] for i in range(size) for j in range(size) if i != j
        )
        naive.append(hits / (size - 1))
    assert fresh_fixes(n, c) == pytest.approx(naive)


counts = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=30
)


@settings(deadline=None, max_examples=25)
@given(counts)
def test_shares_are_sums_over_sums_and_intervals_hold_them(
    drawn: list[tuple[int, int, int]],
) -> None:
    failed = [f for f, _, _ in drawn]
    bare, told = ([min(f, row[i]) for f, row in zip(failed, drawn, strict=True)] for i in (1, 2))
    found, more = fixed_share(failed, told), gain((failed, bare), (failed, told))
    if not sum(failed):
        assert found is more is None
        return
    assert found is not None
    assert more is not None
    assert found.value == pytest.approx(sum(told) / sum(failed))
    assert more.value == pytest.approx((sum(told) - sum(bare)) / sum(failed))
    for interval in (found, more):
        assert (interval.low is None) == (interval.high is None)
        if interval.low is not None and interval.high is not None:
            assert interval.num_tasks >= FEWEST_TASKS
            assert -1 <= interval.low < interval.high <= 1


@pytest.mark.parametrize(
    ("failed", "fixed"), [([1, 2], [1]), ([1], [2]), ([1], [-1]), ([[1]], [[1]])]
)
def test_counts_that_cannot_be_are_refused(failed: list[int], fixed: list[int]) -> None:
    with pytest.raises(ValueError, match=r"same tasks|no more can be fixed"):
        fixed_share(failed, fixed)
    with pytest.raises(ValueError, match="two samples or more"):
        fresh_fixes([1], [0])


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    for row in rows(num_worlds=60, seed=1):
        assert row.num_worlds + row.refused == 60
        assert 0.85 <= row.num_covered / row.num_worlds <= 1.0, row


def test_pairing_narrows_the_gain() -> None:
    rng = np.random.default_rng(0)
    failed = rng.integers(1, 9, 200)
    bare = rng.binomial(failed, rng.beta(0.5, 0.5, 200))
    told = np.minimum(failed, bare + rng.integers(0, 2, 200))
    one, both = fixed_share(failed, told), gain((failed, bare), (failed, told))
    assert one is not None
    assert both is not None
    assert one.low is not None
    assert one.high is not None
    assert both.low is not None
    assert both.high is not None
    assert both.high - both.low < (one.high - one.low) / 2
