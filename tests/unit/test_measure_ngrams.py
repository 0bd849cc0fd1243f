"""Overused n-grams: the published formula, errors between tasks, false discoveries."""

import math
from collections import Counter

import numpy as np
import pytest

from proofloop.measure.estimators.ngrams import MIN_TASKS, NgramCounts, count_ngrams, overuse


def table(base: list[list[int]], trained: list[list[int]]) -> NgramCounts:
    return NgramCounts(
        ngrams=tuple((str(v),) for v in range(len(base[0]))),
        base_TV=np.array(base),
        trained_TV=np.array(trained),
    )


def test_bigrams_are_counted_by_task():
    counts = count_ngrams(
        ([["a", "b", "a", "b"], ["b"]], np.array([0, 1])),
        ([["a", "b"], ["b", "a"]], np.array([0, 1])),
        2,
    )
    assert counts.ngrams == (("a", "b"), ("b", "a"))
    assert counts.base_TV.tolist() == [[2, 1], [0, 0]]
    assert counts.trained_TV.tolist() == [[1, 0], [0, 1]]


def test_log_odds_and_the_published_z_by_hand():
    """Base 30 of 100, trained 50 of 100, prior 20 tokens: a = 20 x 80/200 = 8 and 12."""
    base, trained = [[15, 35], [15, 35]], [[25, 25], [25, 25]]
    result = overuse(table(base, trained), prior_tokens=20.0)
    log_odds = math.log(58 / 62) - math.log(38 / 82)
    assert result.log_odds_V[0] == pytest.approx(log_odds)
    assert result.log_odds_V[1] == pytest.approx(-log_odds)
    assert result.z_unclustered_V[0] == pytest.approx(log_odds / math.sqrt(1 / 58 + 1 / 38))
    # Two tasks are too few for an error between tasks.
    assert np.isnan(result.z_V).all()
    assert np.isnan(result.q_V).all()


def naive_z(base: np.ndarray, trained: np.ndarray, v: int, prior_tokens: float) -> float:
    """The whole figure anew without each task; the prior stays as it was."""
    pooled = base + trained
    prior = prior_tokens * pooled[:, v].sum() / pooled.sum()

    def log_odds_ratio(kept: list[int]) -> float:
        odds = []
        for side in (base[kept], trained[kept]):
            count, total = side[:, v].sum() + prior, side.sum() + prior_tokens
            odds.append(count / (total - count))
        return math.log(odds[1] / odds[0])

    tasks = list(range(len(base)))
    without = [log_odds_ratio([t for t in tasks if t != j]) for j in tasks]
    between = (len(base) - 1) / len(base) * sum((d - np.mean(without)) ** 2 for d in without)
    published = 1 / (base[:, v].sum() + prior) + 1 / (trained[:, v].sum() + prior)
    return log_odds_ratio(tasks) / math.sqrt(max(between, published))


def test_the_error_between_tasks_equals_a_naive_one():
    rng = np.random.default_rng(1)
    base, trained = rng.poisson(20, (12, 5)), rng.poisson(20, (12, 5)) * rng.integers(1, 3, (12, 1))
    result = overuse(table(base.tolist(), trained.tolist()))
    for v in range(5):
        assert result.z_V[v] == pytest.approx(naive_z(base, trained, v, 500.0))


def clustered(rng: np.random.Generator, *, num_tasks: int, lift: float) -> NgramCounts:
    """60 n-grams whose shares differ much between tasks and between texts of a side within one;
    the first ten are `lift` times as common for the trained model."""
    shares_TV = rng.dirichlet(np.full(60, 0.5), num_tasks)
    sides = []
    for factor in (1.0, lift):
        own_TV = shares_TV * rng.gamma(2.0, 0.5, shares_TV.shape)
        own_TV[:, :10] *= factor
        own_TV /= own_TV.sum(axis=1, keepdims=True)
        sides.append(np.array([rng.multinomial(400, p) for p in own_TV]))
    return NgramCounts(ngrams=tuple((v,) for v in range(60)), base_TV=sides[0], trained_TV=sides[1])


def test_two_equal_models_show_no_habits_though_the_published_z_does():
    rng = np.random.default_rng(8)
    found, rejected, rejected_unclustered = [], [], []
    for _ in range(60):
        result = overuse(clustered(rng, num_tasks=40, lift=1.0))
        found.append(int((result.q_V <= 0.1).sum() > 0))
        rejected.append(float(np.mean(np.abs(result.z_V) > 1.96)))
        rejected_unclustered.append(float(np.mean(np.abs(result.z_unclustered_V) > 1.96)))
    assert np.mean(found) <= 0.2
    assert np.mean(rejected) <= 0.09
    assert np.mean(rejected_unclustered) > 0.25


def test_habits_are_found_and_others_are_not():
    result = overuse(clustered(np.random.default_rng(9), num_tasks=150, lift=3.0))
    found = set(np.flatnonzero(result.q_V <= 0.05))
    overused = Counter(int(v) < 10 for v in found if result.z_V[v] > 0)
    assert overused[True] >= 9
    assert overused[False] == 0


def test_a_phrase_of_few_tasks_is_not_tested():
    base = np.full((20, 3), 10)
    trained = base.copy()
    base[:, 2] = 0
    trained[:, 2] = 0
    trained[: MIN_TASKS - 1, 2] = 200
    result = overuse(table(base.tolist(), trained.tolist()))
    assert math.isnan(result.z_V[2])
    assert math.isnan(result.q_V[2])
    assert result.num_tasks_V.tolist() == [20, 20, MIN_TASKS - 1]


def test_unmatched_prompts_are_refused():
    text = ["a", "b"]
    with pytest.raises(ValueError, match="not matched"):
        count_ngrams(([text, text], np.array([0, 0])), ([text, text], np.array([0, 1])), 2)
    with pytest.raises(ValueError, match="its task"):
        count_ngrams(([text], np.array([0, 1])), ([text], np.array([0])), 2)
    with pytest.raises(ValueError, match="n >= 1"):
        count_ngrams(([text], np.array([0])), ([text], np.array([0])), 1, n=0)
    with pytest.raises(ValueError, match="two or more tasks"):
        overuse(table([[1, 1]], [[1, 1]]))
    with pytest.raises(ValueError, match="no n-gram"):
        overuse(table([[0, 0], [0, 0]], [[1, 1], [1, 1]]))
