"""The crossover k*: by hand, against a loop over curves, and where its truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofloop.measure.estimators.crossover import crossover, extrapolated_crossover
from proofloop.measure.estimators.pass_at_k import pass_at_k


def test_a_sharpened_model_is_overtaken_by_hand():
    """Trained: one task always, one never; base: both half of the time, so pass@1 ties at 1/2 and
    the base is ahead from k = 2 on; with one more task that only the trained one has, later."""
    n = [8, 8]
    assert crossover(n, [4, 4], n, [8, 0]).k == 1
    behind = crossover([8] * 4, [2] * 4, [8] * 4, [8, 8, 0, 0])
    # Base pass@k = 1 - C(6,k)/C(8,k): 1/4, 13/28, 18/28 against 1/2.
    assert (behind.k, behind.max_k, behind.num_tasks) == (3, 4, 4)


def test_no_crossover_up_to_half_of_the_samples():
    found = crossover([16] * 30, [1, 2, 3] * 10, [16] * 30, [8, 9, 10] * 10)
    assert (found.k, found.low, found.high) == (None, None, None)
    assert (found.chance_of_none, found.max_k, found.is_cut) == (1.0, 8, False)


def test_a_base_that_is_never_behind_crosses_at_once():
    found = crossover([16] * 30, [8, 9, 10] * 10, [16] * 30, [1, 2, 3] * 10)
    assert (found.k, found.low, found.high, found.chance_of_none) == (1, 1, 1, 0.0)


def test_k_beyond_half_of_the_samples_is_cut_and_marked():
    n = [8, 9]
    cut = crossover(n, [4, 4], n, [8, 0], max_k=64)
    assert (cut.max_k, cut.is_cut) == (4, True)
    fewer = crossover(n, [4, 4], n, [8, 0], max_k=3)
    assert (fewer.max_k, fewer.is_cut) == (3, False)


@pytest.mark.parametrize(
    ("columns", "max_k"),
    [
        (([1, 8], [1, 1], [8, 8], [1, 1]), None),
        (([8], [1], [8], [1]), None),
        (([8, 8], [1, 1], [8, 8], [1, 1]), 0),
        (([8, 8], [1, 1], [8], [1]), None),
        (([8, 8], [9, 1], [8, 8], [1, 1]), None),
    ],
)
def test_what_has_no_crossover_is_refused(columns: tuple[list[int], ...], max_k: int | None):
    with pytest.raises(ValueError):
        crossover(*columns, max_k=max_k)


def naive_first_for_good(curve: list[float]) -> int | None:
    for k in range(1, len(curve) + 1):
        if all(value >= -1e-12 for value in curve[k - 1 :]):
            return k
    return None


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=2, max_size=6))
def test_crossover_equals_a_search_along_the_curve(passed: list[tuple[int, int]]):
    base, trained = zip(*passed, strict=True)
    n, ks = [12] * len(passed), range(1, 7)
    curve = (pass_at_k(n, base, ks) - pass_at_k(n, trained, ks)).mean(axis=0)
    found = crossover(n, base, n, trained)
    assert found.k == naive_first_for_good(curve.tolist())
    # An interval holds its value: low <= k <= high, None lying beyond every k.
    beyond = found.max_k + 1
    assert (found.low or beyond) <= (found.k or beyond) <= (found.high or beyond)


def sharpened(rng: np.random.Generator, num_tasks: int) -> tuple[np.ndarray, np.ndarray]:
    """Eight base attempts in one, but some tasks lost for good, hard ones above all."""
    base = rng.beta(0.4, 1.2, num_tasks)
    lost = rng.random(num_tasks) < 0.15 + 0.5 * (base < 0.05)
    return base, np.where(lost, 0.0, 1 - (1 - base) ** 8)


def test_the_interval_covers_the_crossover_of_the_task_distribution():
    base, trained = sharpened(np.random.default_rng(0), 400_000)
    ks = np.arange(1, 65)
    behind = [float(np.mean((1 - trained) ** k - (1 - base) ** k)) < 0 for k in ks]
    truth = int(ks[behind][-1]) + 1
    assert truth == 11
    rng, n, hits = np.random.default_rng(1), np.full(60, 64), 0
    for world in range(100):
        base, trained = sharpened(rng, 60)
        found = crossover(n, rng.binomial(n, base), n, rng.binomial(n, trained), seed=world)
        hits += (found.low or np.inf) <= truth <= (found.high or np.inf)
    assert hits >= 88


def test_an_extrapolation_finds_a_crossover_beyond_the_samples():
    rng = np.random.default_rng(2)
    base, trained = sharpened(rng, 400)
    n = np.full(400, 8)
    counts = (n, rng.binomial(n, base), n, rng.binomial(n, trained))
    assert crossover(*counts).k is None
    beyond = extrapolated_crossover(*counts, max_k=256, num_refits=20)
    assert beyond is not None
    assert beyond.measured_k == 4
    assert beyond.k is not None
    assert beyond.low is not None
    assert beyond.low <= beyond.k
    assert 6 <= beyond.k <= 40


def test_nothing_to_fit_has_no_extrapolation():
    n = [8, 8, 8]
    assert extrapolated_crossover(n, [0, 0, 0], n, [1, 2, 3], max_k=100) is None
    with pytest.raises(ValueError):
        extrapolated_crossover([8], [1], [8], [2], max_k=100)
