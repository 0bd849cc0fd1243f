"""False-discovery control."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proofloop.measure.estimators.fdr import benjamini_hochberg

P_VALUES = st.lists(st.floats(0, 1), max_size=30)


def rejected_by_stepping_up(p_values: list[float], level: float) -> set[int]:
    """The procedure as published: the largest i with p_(i) <= level i / m, and all below it."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    passing = [rank for rank, i in enumerate(order, 1) if len(order) * p_values[i] / rank <= level]
    return set(order[: max(passing, default=0)])


@settings(deadline=None)
@given(P_VALUES, st.sampled_from([0.01, 0.05, 0.1, 0.25]))
def test_q_values_reject_what_stepping_up_rejects(p_values: list[float], level: float):
    q_values = benjamini_hochberg(p_values)
    expected = rejected_by_stepping_up(p_values, level)
    # Ties at the bar may fall to either side of a rounding.
    assert all((q <= level + 1e-12) for i, q in enumerate(q_values) if i in expected)
    assert all((q >= level - 1e-12) for i, q in enumerate(q_values) if i not in expected)


def test_q_values_by_hand():
    """m = 4, p sorted .01 .02 .03 .5: p m / i = .04 .04 .04 .5."""
    assert benjamini_hochberg([0.5, 0.02, 0.01, 0.03]) == pytest.approx([0.5, 0.04, 0.04, 0.04])
    assert benjamini_hochberg([]).tolist() == []
    q_values = benjamini_hochberg([math.nan, 0.02, 0.5])
    assert math.isnan(q_values[0])
    assert q_values[1:] == pytest.approx([0.04, 0.5])


def test_false_discoveries_stay_under_the_level():
    """40 true nulls and 10 real effects: the mean false share is at most 10% x 40/50."""
    rng = np.random.default_rng(0)
    shares: list[float] = []
    for _ in range(500):
        p_values = np.concatenate([rng.random(40), rng.random(10) ** 6])
        found = np.flatnonzero(benjamini_hochberg(p_values) <= 0.1)
        shares.append(float(np.mean(found < 40)) if found.size else 0.0)
    assert 0.04 <= float(np.mean(shares)) <= 0.1


@pytest.mark.parametrize("bad", [[-0.1], [1.1], [[0.5]]])
def test_what_is_no_p_value_is_refused(bad: list[float]):
    with pytest.raises(ValueError, match="p-values"):
        benjamini_hochberg(bad)
