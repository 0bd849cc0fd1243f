"""Diversity of right answers: rarefaction, Hill numbers at equal coverage, Vendi scores."""

import math
from itertools import combinations

import numpy as np
import pytest
from coverage_rows import coverage_part
from hypothesis import given, settings
from hypothesis import strategies as st

from proofloop.measure.estimators.diversity import (
    class_counts,
    coverage_curve,
    distinct_change,
    distinct_k,
    hill,
    hill_at,
    hill_at_coverage,
    hill_change,
)
from proofloop.measure.estimators.vendi import (
    class_kernel,
    ngram_kernel,
    vendi_at,
    vendi_change,
    vendi_score,
)

COUNTS = st.lists(st.integers(1, 4), min_size=1, max_size=4).filter(lambda c: sum(c) <= 10)


def subsets(counts: list[int], size: int) -> list[list[int]]:
    """Classes of every subset of that size."""
    answers = [kind for kind, count in enumerate(counts) for _ in range(count)]
    return [list(chosen) for chosen in combinations(answers, size)]


def shares(answers: list[int]) -> np.ndarray:
    return np.unique(answers, return_counts=True)[1] / len(answers)


@settings(deadline=None, max_examples=60)
@given(COUNTS, st.data())
def test_rarefaction_is_the_mean_over_all_subsets(counts: list[int], data: st.DataObject):
    size = data.draw(st.integers(1, sum(counts)))
    means = np.mean([len(set(s)) for s in subsets(counts, size)])
    assert distinct_k(counts, [size])[0] == pytest.approx(means)
    assert hill_at(counts, size, 0) == pytest.approx(means)
    assert math.isnan(distinct_k(counts, [sum(counts) + 1])[0])
    # Orders 1 and 2 are of the mean entropy and the mean of sum p^2, not means of the numbers.
    entropy = np.mean([-(shares(s) @ np.log(shares(s))) for s in subsets(counts, size)])
    assert hill_at(counts, size, 1) == pytest.approx(math.exp(entropy))
    alike = np.mean([shares(s) @ shares(s) for s in subsets(counts, size)])
    assert hill_at(counts, size, 2) == pytest.approx(1 / alike)


@settings(deadline=None, max_examples=60)
@given(COUNTS.filter(lambda c: sum(c) > 1), st.data())
def test_coverage_is_the_chance_that_one_more_is_of_a_kind_seen(
    counts: list[int], data: st.DataObject
):
    """Below n: take one answer out, then m of the others; is its kind among them?"""
    size = data.draw(st.integers(1, sum(counts) - 1))
    answers = [kind for kind, count in enumerate(counts) for _ in range(count)]
    hits = [
        answer in chosen
        for place, answer in enumerate(answers)
        for chosen in combinations(answers[:place] + answers[place + 1 :], size)
    ]
    curve = coverage_curve(counts)
    assert curve[size - 1] == pytest.approx(np.mean(hits))
    assert len(curve) == sum(counts)
    assert (np.diff(curve) > -1e-12).all()


def test_estimates_by_hand():
    """Kinds seen 1, 1, 2, 4 times: f1 = 2, f2 = 1, n = 8."""
    counts = [1, 1, 2, 4]
    assert coverage_curve(counts)[-1] == pytest.approx(1 - 2 / 8 * 14 / 16)
    assert hill(counts, 0) == pytest.approx(4 + 7 / 8 * 4 / 2)
    assert hill(counts, 2) == pytest.approx(56 / (2 + 12))
    # No kind seen once: nothing is missing, and what is left is psi(n) - psi(c).
    even = sum(1 / k for k in range(4, 8))
    assert hill([4, 4], 1) == pytest.approx(math.exp(even))
    assert hill([1, 1, 1], 2) is None
    assert hill([1], 0) is None
    with pytest.raises(ValueError, match="order 0, 1 and 2"):
        hill(counts, 3)


def test_hill_numbers_at_a_coverage():
    counts = [1, 1, 2, 4]
    curve = coverage_curve(counts)
    assert hill_at_coverage(counts, float(curve[4]), 1) == pytest.approx(hill_at(counts, 5, 1))
    between = hill_at_coverage(counts, float((curve[4] + curve[5]) / 2), 1)
    assert between == pytest.approx((hill_at(counts, 5, 1) + hill_at(counts, 6, 1)) / 2)
    assert hill_at_coverage(counts, 0.99, 1) is None
    assert hill_at_coverage([8], 0.99, 0) == 1.0
    with pytest.raises(ValueError, match="coverage"):
        hill_at_coverage(counts, 0.0, 1)
    with pytest.raises(ValueError, match="goes down"):
        hill_at(counts, 9, 0)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_estimated_hill_numbers_come_near_the_truth(order: int):
    rng = np.random.default_rng(3)
    p = np.array([0.4, 0.2, 0.2, 0.1, 0.06, 0.04])
    entropy = -(p @ np.log(p))
    truth = {0: 6.0, 1: math.exp(entropy), 2: 1 / (p @ p)}[order]
    values = [hill(c[c > 0], order) for c in rng.multinomial(60, p, size=400)]
    assert np.mean([v for v in values if v]) == pytest.approx(truth, rel=0.04)


def test_classes_are_counted_by_task():
    counts = class_counts([0, 0, 2, 0], ["a", "b", "a", "a"], 3)
    assert [c.tolist() for c in counts] == [[2, 1], [], [1]]
    with pytest.raises(ValueError, match="lie in"):
        class_counts([3], ["a"], 3)
    with pytest.raises(ValueError, match="at least one each"):
        distinct_k([0, 2], [1])


def test_changes_are_paired_and_leave_out_what_is_too_few():
    base = [[2, 2], [1, 1, 1, 1], [4], [1]]
    trained = [[4], [2, 2], [4], []]
    change = distinct_change(base, trained, 2)
    assert change is not None
    # Kinds among 2: 1 + 4/6, 2, 1 against 1, 1 + 4/6, 1.
    assert change.base.value == pytest.approx((5 / 3 + 2 + 1) / 3)
    assert change.difference.value == pytest.approx((-2 / 3 - 1 / 3 + 0) / 3)
    assert change.num_left_out == 1
    assert distinct_change(base, trained, 5) is None
    assert hill_change(base, trained, 1) is None
    many = [[20, 20], [30, 10], [16, 16, 8]]
    wide = hill_change(many, [[40], [40], [40]], 2)
    assert wide is not None
    assert wide.trained.value == 1.0
    assert wide.difference.high is not None
    assert wide.difference.value < -0.5 < wide.difference.high
    with pytest.raises(ValueError, match="tasks of the base"):
        distinct_change(base, trained[:2], 2)


def test_intervals_hold_the_change_of_the_task_distribution():
    part = coverage_part("diversity")
    world, rng = part.WORLDS[0], np.random.default_rng(1)
    base, trained = world.shares(np.random.default_rng(2), 20_000)
    truth = float(np.mean(part.distinct_truth(trained, 8) - part.distinct_truth(base, 8)))
    held = 0
    for _ in range(100):
        change = distinct_change(*part.draw(rng, world), 8)
        assert change is not None
        assert change.difference.low is not None
        assert change.difference.high is not None
        held += change.difference.low <= truth <= change.difference.high
    assert held >= 88


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=12))
def test_vendi_of_classes_is_exp_of_their_entropy(classes: list[str]):
    p = np.unique(classes, return_counts=True)[1] / len(classes)
    assert vendi_score(class_kernel(classes)) == pytest.approx(math.exp(-(p @ np.log(p))))


def test_vendi_by_hand_and_of_subsets():
    """Similarity 1/2 between two: eigenvalues of K/2 are 3/4 and 1/4."""
    score = vendi_score([[1, 0.5], [0.5, 1]])
    assert score == pytest.approx(math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))))
    kernel = class_kernel(["a", "a", "b", "c"])
    exact = np.mean([vendi_score(kernel[np.ix_(s, s)]) for s in combinations(range(4), 2)])
    assert vendi_at(kernel, 2, num_draws=4000) == pytest.approx(exact, abs=0.02)
    assert vendi_at(kernel, 4) == vendi_score(kernel)
    for bad in ([[1, 2]], [[1, 0.2], [0.3, 1]], [[2.0]], [[1, 3], [3, 1]]):
        with pytest.raises(ValueError, match="kernel"):
            vendi_score(bad)
    with pytest.raises(ValueError, match="go down"):
        vendi_at(kernel, 5)


def test_changes_of_vendi_scores_are_paired():
    """Among 2 of a, a, b: one pair in three is alike, mean (1 + 2 + 2) / 3; trained: all alike."""
    mixed, alike = class_kernel(list("aab")), class_kernel(list("aaa"))
    change = vendi_change([mixed, alike, mixed], [alike, alike, np.empty((0, 0))], 2)
    assert change is not None
    assert change.num_left_out == 1
    assert change.trained.value == 1.0
    assert change.base.value == pytest.approx((5 / 3 + 1) / 2, abs=0.05)
    assert change.difference.value == pytest.approx(-1 / 3, abs=0.05)
    assert vendi_change([mixed], [alike], 2) is None


def test_ngram_kernels_by_hand():
    """abab has ab twice, ba once; abc has ab, bc: cosine 2 / sqrt(5 x 2)."""
    kernel = ngram_kernel([list("abab"), list("abc"), ["a"], []], 2)
    assert kernel[0, 1] == pytest.approx(2 / math.sqrt(10))
    assert np.diag(kernel) == pytest.approx(np.ones(4))
    assert kernel[2].tolist() == kernel[3].tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="n >= 1"):
        ngram_kernel([["a"]], 0)
