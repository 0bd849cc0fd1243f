"""The elicitation ledger: bounds, estimates, marks, refusals."""

import math
from itertools import product

import numpy as np
import pytest
from coverage_rows import coverage_part
from hypothesis import given, settings
from hypothesis import strategies as st

from proofloop.measure.estimators.elicitation import (
    Mark,
    RightSamples,
    elicitation_ledger,
    histogram,
)


def samples_of(rows: list[tuple[int, int, bool, float, float]]) -> RightSamples:
    """From rows (task, completion, passed, p_base, p_trained), probabilities, NaN for missing."""
    task, completion, passed, base, trained = zip(*rows, strict=True)
    with np.errstate(divide="ignore"):
        return RightSamples(
            task_A=np.array(task),
            completion_A=np.array(completion),
            passed_A=np.array(passed),
            base_logprob_A=np.log(np.array(base)),
            trained_logprob_A=np.log(np.array(trained)),
        )


def test_bound_and_importance_mean_by_hand():
    """Right: y=1 twice (base 1/8, trained 1/2), y=2 once (1/16, 1/4); wrong once; n = 4.

    Bound 3/16; importance (1/4 + 1/4 + 1/4) / 4 = 3/16; Horvitz-Thompson
    (1/8) / (1 - (1/2)^4) + (1/16) / (1 - (3/4)^4).
    """
    rows = [(0, 1, True, 1 / 8, 0.5), (0, 1, True, 1 / 8, 0.5), (0, 2, True, 1 / 16, 0.25)]
    ledger = elicitation_ledger(
        samples_of([*rows, (0, 9, False, math.nan, math.nan)] * 2), 1, temperature=1.0
    )
    assert ledger.bits_at_most_T[0] == pytest.approx(-math.log2(3 / 16))
    assert ledger.importance_bits_T[0] == pytest.approx(-math.log2(3 / 16))
    expected = (1 / 8) / (1 - 0.5**8) + (1 / 16) / (1 - 0.75**8)
    assert ledger.bits_T[0] == pytest.approx(-math.log2(expected))
    assert ledger.effective_T[0] == pytest.approx(6)
    assert ledger.spread_T[0] == pytest.approx(0, abs=1e-12)
    counts = (ledger.num_samples_T[0], ledger.num_passed_T[0], ledger.num_distinct_T[0])
    assert counts == (8, 6, 2)
    assert ledger.lows_T[0] < ledger.bits_T[0] < ledger.highs_T[0] <= ledger.bits_at_most_T[0]


def naive(n: int, drawn: list[int], base: list[float], trained: list[float]):
    """The Horvitz-Thompson sum and its variance estimate, pair by pair as published."""
    seen = sorted(set(drawn))
    chance = {y: 1 - (1 - trained[y]) ** n for y in seen}
    total = sum(base[y] / chance[y] for y in seen)
    variance = 0.0
    for i, j in product(seen, seen):
        if i == j:
            variance += base[i] ** 2 * (1 - chance[i]) / chance[i] ** 2
            continue
        joint = chance[i] + chance[j] - 1 + (1 - trained[i] - trained[j]) ** n
        terms = base[i] / chance[i] * base[j] / chance[j]
        variance += (joint - chance[i] * chance[j]) / joint * terms
    return total, variance


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_sum_equals_a_naive_one(data: st.DataObject):
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    trained = rng.dirichlet(np.full(8, 0.7)) * 0.999 + 0.001 / 8
    base = np.clip(trained * rng.lognormal(0, 0.4, 8), 1e-9, None)
    base /= base.sum()
    n = data.draw(st.integers(10, 60))
    drawn = rng.choice(8, size=n, p=trained / trained.sum())
    rows = [(0, int(y), True, float(base[y]), float(trained[y])) for y in drawn]
    ledger = elicitation_ledger(samples_of(rows), 1, temperature=1.0)
    total, variance = naive(n, drawn.tolist(), base.tolist(), trained.tolist())
    if ledger.marks_T[0] is None:
        assert 2 ** -ledger.bits_T[0] == pytest.approx(min(total, 1.0), rel=1e-9)
        assert variance > -1e-9
    weights = [base[y] / trained[y] for y in drawn]
    assert 2 ** -ledger.importance_bits_T[0] == pytest.approx(float(np.mean(weights)))


def test_both_estimates_are_unbiased():
    """All 3^5 outcomes of five samples of three right answers and their chances, summed."""
    base, trained = [0.02, 0.1, 0.3], [0.5, 0.3, 0.2]
    sums = np.zeros(2)
    for drawn in product(range(3), repeat=5):
        chance = math.prod(trained[y] for y in drawn)
        rows = [(0, y, True, base[y], trained[y]) for y in drawn]
        ledger = elicitation_ledger(samples_of(rows), 1, temperature=1.0)
        total, _ = naive(5, list(drawn), base, trained)
        sums += chance * np.array([2 ** -ledger.importance_bits_T[0], total])
    assert sums == pytest.approx([0.42, 0.42])


def test_probabilities_far_below_the_smallest_float_are_carried():
    """e^-2000 under the base, e^-1000 under the trained model: logarithms all the way."""
    samples = RightSamples(
        task_A=np.zeros(10, np.int64),
        completion_A=np.arange(10),
        passed_A=np.ones(10, np.bool_),
        base_logprob_A=np.full(10, -2000.0),
        trained_logprob_A=np.full(10, -1000.0),
    )
    ledger = elicitation_ledger(samples, 1, temperature=1.0)
    assert ledger.importance_bits_T[0] == pytest.approx(1000 / math.log(2))
    assert ledger.bits_T[0] == pytest.approx(1000 / math.log(2))
    assert ledger.bits_at_most_T[0] == pytest.approx((2000 - math.log(10)) / math.log(2))
    assert ledger.lows_T[0] < ledger.bits_T[0] <= ledger.highs_T[0]


def test_marks_say_why_there_is_no_estimate():
    even = [(0, y, True, 0.01, 0.01) for y in range(10)]
    one = [(1, 0, True, 0.5, 0.5)] + [(1, 9, False, 0.1, 0.1)] * 9
    none = [(2, 0, False, 0.1, 0.1)] * 5
    uneven = [(3, y, True, 0.00001 * 8 ** (y % 5), 0.005) for y in range(40)]
    ruled_out = [(4, 0, True, 0.0, 0.5)] * 6
    ledger = elicitation_ledger(
        samples_of(even + one + none + uneven + ruled_out), 5, temperature=1.0
    )
    assert ledger.marks_T == (
        None,
        Mark.FEW_EFFECTIVE,
        Mark.UNSOLVED,
        Mark.UNEVEN,
        Mark.FEW_EFFECTIVE,
    )
    assert np.isnan(ledger.bits_T).tolist() == [False, True, True, True, True]
    assert ledger.bits_at_most_T[1] == 1.0
    assert math.isnan(ledger.bits_at_most_T[2])
    assert math.isinf(ledger.bits_at_most_T[4])
    bins = histogram(ledger)
    assert bins.num_estimated.sum() == 1
    assert bins.num_bounded.sum() == 2
    assert bins.num_unsolved == 2
    assert len(bins.edges) == len(bins.num_estimated) + 1


def test_the_base_s_counts_bound_from_below():
    """None of 64: Clopper-Pearson's upper end is 1 - 0.025^(1/64), hence 4.15 bits at least."""
    samples = samples_of([(0, 0, True, 0.5, 0.5), (1, 0, True, 0.5, 0.5)])
    ledger = elicitation_ledger(
        samples, 2, temperature=1.0, base_samples_T=[64, 8], base_passed_T=[0, 8]
    )
    upper = 1 - 0.025 ** (1 / 64)
    assert ledger.bits_at_least_T == pytest.approx([-math.log2(upper), 0.0])
    with pytest.raises(ValueError, match="counts"):
        elicitation_ledger(samples, 2, temperature=1.0, base_samples_T=[4, 4], base_passed_T=[5, 0])


def test_what_is_not_exact_is_refused():
    rows = [(0, 0, True, 0.1, 0.1)]
    with pytest.raises(ValueError, match="temperature 1"):
        elicitation_ledger(samples_of(rows), 1, temperature=0.7)
    with pytest.raises(ValueError, match="top-p"):
        elicitation_ledger(samples_of(rows), 1, temperature=1.0, top_p=0.95)
    with pytest.raises(ValueError, match=r"1 of 2 right samples lack .* base"):
        samples_of([*rows, (0, 1, True, math.nan, 0.1)])
    with pytest.raises(ValueError, match=r"lack .* trained"):
        samples_of([(0, 1, True, 0.1, math.nan)])
    with pytest.raises(ValueError, match="above 0"):
        samples_of([(0, 1, True, 1.5, 0.1)])
    with pytest.raises(ValueError, match="probability 0"):
        samples_of([(0, 1, True, 0.5, 0.0)])
    with pytest.raises(ValueError, match="nats apart"):
        elicitation_ledger(
            samples_of([(0, 1, True, 0.5, 0.1), (0, 1, True, 0.2, 0.1)]), 1, temperature=1.0
        )
    with pytest.raises(ValueError, match="sum above 1"):
        elicitation_ledger(
            samples_of([(0, 1, True, 0.7, 0.1), (0, 2, True, 0.7, 0.1)]), 1, temperature=1.0
        )
    with pytest.raises(ValueError, match="must lie in"):
        elicitation_ledger(samples_of([(3, 0, True, 0.1, 0.1)]), 1, temperature=1.0)


def test_intervals_hold_known_probabilities():
    part = coverage_part("elicitation")
    world = next(w for w in part.WORLDS if w.noise == 1.0 and w.num_samples == 128)
    samples, truth_T = part.draw(np.random.default_rng(1), world, 300)
    ledger = elicitation_ledger(samples, 300, temperature=1.0)
    known_T = np.isfinite(ledger.bits_T)
    held = (ledger.lows_T <= -truth_T + 1e-9) & (-truth_T <= ledger.highs_T + 1e-9)
    assert known_T.sum() > 250
    assert held[known_T].mean() > 0.9
    assert (ledger.bits_at_most_T >= -truth_T - 1e-9).all()
    mean = ledger.mean_bits
    assert mean is not None
    assert abs(mean.value + truth_T[known_T].mean()) < 0.05
    assert (ledger.mean_bits_at_most or mean).value >= mean.value
