"""Bits absorbed by training, ceilings, shares."""

import math
from math import comb

import numpy as np
import pytest
from coverage_rows import coverage_part
from hypothesis import given, settings
from hypothesis import strategies as st

from proofloop.measure.estimators.absorbed import (
    absorbed_bits,
    binary_entropy,
    ceiling_bits,
    generalised_share,
    log2_rate,
    log2_rate_bias,
    mixed_probability,
)


def expectation(values: np.ndarray, rate: float) -> float:
    """Over the binomial with len(values) - 1 trials."""
    n = len(values) - 1
    chances = [comb(n, c) * rate**c * (1 - rate) ** (n - c) for c in range(n + 1)]
    return float(np.dot(chances, values))


def test_log_rates_by_hand():
    assert log2_rate([0, 3, 8], [8, 8, 8]) == pytest.approx(
        [math.log2(0.5 / 8.5), math.log2(3.5 / 8.5), 0.0]
    )


@pytest.mark.parametrize(("rate", "num_samples"), [(0.5, 8), (0.1, 64), (1 / 64, 64), (1.0, 5)])
def test_the_bias_is_the_expectation_minus_the_truth(rate: float, num_samples: int):
    values = log2_rate(np.arange(num_samples + 1), np.full(num_samples + 1, num_samples))
    assert log2_rate_bias(rate, num_samples) == pytest.approx(
        expectation(values, rate) - math.log2(rate), abs=1e-9
    )


def test_the_bias_is_as_the_docstring_says():
    assert abs(log2_rate_bias(0.1, 64)) < 0.01
    assert log2_rate_bias(1 / 64, 64) == pytest.approx(0.24, abs=0.01)
    assert log2_rate_bias(1 / 640, 64) == pytest.approx(2.47, abs=0.01)
    with pytest.raises(ValueError, match="rate of 0"):
        log2_rate_bias(0, 8)


def test_ceilings_of_the_reference():
    """H and the chance of a mixed group at p = .001, .01, .1, .5, as published notes have them."""
    rates = [0.001, 0.01, 0.1, 0.5]
    assert binary_entropy(rates) == pytest.approx([0.011, 0.081, 0.469, 1], abs=5e-4)
    assert binary_entropy([0.0, 1.0]).tolist() == [0.0, 0.0]
    assert mixed_probability(rates, 8) == pytest.approx([0.008, 0.077, 0.57, 0.992], abs=5e-4)
    assert mixed_probability([0.3], 1) == pytest.approx([0.0])
    for bad in (lambda: binary_entropy([1.2]), lambda: mixed_probability([0.5], 0)):
        with pytest.raises(ValueError):
            bad()


@settings(deadline=None)
@given(st.integers(2, 30), st.floats(0.01, 0.99))
def test_the_entropy_estimate_misses_by_the_rest_of_its_series(n: int, rate: float):
    c = np.arange(n + 1)
    mean = expectation(ceiling_bits(c, np.full(n + 1, n)), rate)
    v = np.arange(n, 20_000)
    rest = np.sum((rate * (1 - rate) ** v + (1 - rate) * rate**v) / v) / math.log(2)
    assert mean == pytest.approx(float(binary_entropy(rate)) - rest, abs=1e-6)


def test_absorbed_bits_by_hand():
    """Two tasks, 1 of 8 to 5 of 8: log2(5.5 / 1.5) each; 10 tasks trained on, 400 episodes."""
    result = absorbed_bits(
        ([1, 1], [8, 8]),
        ([5, 5], [8, 8]),
        num_episodes=400,
        num_tasks=10,
        total_ceiling_bits=200.0,
        total_flops=2e16,
    )
    bits = math.log2(5.5 / 1.5)
    assert result.bits_a_task.value == pytest.approx(bits)
    assert result.gains_T == pytest.approx([bits, bits])
    assert result.bits_an_episode.value == pytest.approx(10 * bits / 400)
    assert result.ceiling_share is not None
    assert result.ceiling_share.value == pytest.approx(10 * bits / 200)
    assert result.bits_a_petaflop is not None
    assert result.bits_a_petaflop.value == pytest.approx(10 * bits / 20)
    # All tasks alike: resampling shows no spread, which is no certainty.
    assert (result.bits_a_task.low, result.bits_a_task.high) == (None, None)
    assert not result.is_floored


def test_tasks_on_the_floor_are_marked_and_a_ledger_lifts_them():
    before, after = ([0, 0, 4, 4], [8] * 4), ([4, 4, 4, 4], [8] * 4)
    counted = absorbed_bits(before, after, num_episodes=1)
    assert counted.floor_before == 0.5
    assert counted.is_floored
    assert counted.ceiling_share is None
    assert counted.bits_a_petaflop is None
    known = absorbed_bits(before, after, num_episodes=1, before_bits_T=[20.0, 20.0, math.nan, 1.0])
    assert not known.is_floored
    after_bits = math.log2(4.5 / 8.5)
    # Gains: after + 20 twice, 0 where counts stand on both sides, after + 1.
    assert known.bits_a_task.value == pytest.approx((3 * after_bits + 41) / 4)


def test_shares_of_held_out_bits():
    share = generalised_share([2.0, 4.0, 3.0, 3.0], [1.0, 2.0, 1.5, 1.5])
    assert share is not None
    assert share.value == pytest.approx(0.5)
    assert share.low is not None
    assert share.high is not None
    assert 0.3 < share.low < 0.5 < share.high < 0.8
    assert generalised_share([-1.0, 1.0, 0.1], [1.0, 2.0]) is None


@pytest.mark.parametrize(
    "bad",
    [
        lambda: absorbed_bits(([1], [8]), ([1, 1], [8, 8]), num_episodes=1),
        lambda: absorbed_bits(([1], [8]), ([1], [8]), num_episodes=0),
        lambda: absorbed_bits(([9], [8]), ([1], [8]), num_episodes=1),
        lambda: absorbed_bits(([1], [8]), ([1], [8]), num_episodes=1, before_bits_T=[1.0, 2.0]),
        lambda: log2_rate([0], [0]),
        lambda: ceiling_bits([2], [1]),
        lambda: generalised_share([1.0], [1.0, 2.0]),
    ],
)
def test_impossible_tables_are_refused(bad):
    with pytest.raises(ValueError):
        bad()


def test_intervals_hold_the_mean_of_the_task_distribution():
    part = coverage_part("absorbed")
    rng = np.random.default_rng(3)
    world, floored = part.WORLDS[0], part.WORLDS[-1]
    truth = world.truth()
    results = [part.measure(rng, world) for _ in range(200)]
    held = [r.bits_a_task.low <= truth <= r.bits_a_task.high for r in results]
    assert 0.9 <= np.mean(held) <= 0.99
    assert all(part.measure(rng, floored).is_floored for _ in range(20))
