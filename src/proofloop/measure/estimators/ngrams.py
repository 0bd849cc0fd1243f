"""Phrases that the trained model overuses beside the base, at the same prompts.

Tokens of one text, and texts of one task, repeat each other.  So errors are between tasks: a
phrase that one task's texts repeat a thousand times is one observation, not a thousand.

Axes: T tasks, A texts of all tasks, flat, V n-grams.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from proofloop.measure.estimators.fdr import benjamini_hochberg

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_TASKS = 8
"""Tasks in which an n-gram occurs, below which a variance between tasks is not known."""
PRIOR_TOKENS = 500.0
"""Weight of the prior, in n-grams: the two sides' pooled text, scaled to this many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NgramCounts:
    """Counts of both sides by task."""

    ngrams: tuple[tuple[Hashable, ...], ...]
    base_TV: Ints
    trained_TV: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Overuse:
    """Columns over n-grams, in `NgramCounts`' order; above 0 is overuse by the trained model."""

    log_odds_V: Floats
    z_V: Floats
    """Over the larger of the two errors; NaN where `num_tasks_V` is below MIN_TASKS."""
    z_unclustered_V: Floats
    """As published, with tokens taken as independent: for comparison, not for claims."""
    q_V: Floats
    """Benjamini-Hochberg over the tested n-grams, both sides; NaN where not tested."""
    num_tasks_V: Ints


def count_ngrams(
    base: tuple[Sequence[Sequence[Hashable]], Ints],
    trained: tuple[Sequence[Sequence[Hashable]], Ints],
    num_tasks: int,
    *,
    n: int = 2,
) -> NgramCounts:
    """From (texts as tokens, their tasks) of either side, all n-grams that occur.

    Raises ValueError where a task has texts on one side only, or more of them for one side in some
    tasks than in others: then the mix of prompts would differ, and prompts would look like habits.
    """
    texts = [np.bincount(np.asarray(task_A), minlength=num_tasks) for _, task_A in (base, trained)]
    if any(len(tokens) != len(task_A) for tokens, task_A in (base, trained)):
        raise ValueError("every text needs its task")
    if any(t.size > num_tasks for t in texts) or np.any(
        texts[0] * texts[1].sum() != texts[1] * texts[0].sum()
    ):
        raise ValueError(
            "prompts are not matched: each task needs the same number of texts, or the same "
            "multiple, on both sides; draw equally many of each"
        )
    if n < 1:
        raise ValueError(f"n-grams need n >= 1, got {n}")
    bags: list[Counter[tuple[int, tuple[Hashable, ...]]]] = []
    for tokens_A, task_A in (base, trained):
        bag: Counter[tuple[int, tuple[Hashable, ...]]] = Counter()
        for tokens, task in zip(tokens_A, task_A, strict=True):
            grams = (tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
            bag.update((int(task), gram) for gram in grams)
        bags.append(bag)
    ngrams = list(dict.fromkeys(gram for bag in bags for _, gram in bag))
    place = {gram: number for number, gram in enumerate(ngrams)}
    tables = [np.zeros((num_tasks, len(ngrams)), np.int64) for _ in bags]
    for table, bag in zip(tables, bags, strict=True):
        for (task, gram), count in bag.items():
            table[task, place[gram]] = count
    return NgramCounts(ngrams=tuple(ngrams), base_TV=tables[0], trained_TV=tables[1])


def overuse(counts: NgramCounts, *, prior_tokens: float = PRIOR_TOKENS) -> Overuse:
    """Log odds with an informative Dirichlet prior (Monroe, Colaresi & Quinn 2008, Political
    Analysis 16, eqs. 15-22).

    With prior a_v (pooled counts scaled to sum to a_0 = `prior_tokens`), side i's odds are
    `(y_iv + a_v) / (n_i + a_0 - y_iv - a_v)`; `log_odds` is the log of their ratio, and its error
    as published is `1/(y_tv + a_v) + 1/(y_bv + a_v)`.

    That takes tokens as independent.  Here the error is the larger of it and the one between tasks:
    the jackknife over tasks, both sides' texts of a task left out together, `(T-1)/T sum_j
    (d_j - mean)^2` of the log odds ratios d_j without task j.  P-values are two-sided from
    Student's t, its degrees of freedom from the kurtosis of the d_j (a match of moments: few where
    a few tasks make the variance), at most one less than the tasks that hold the n-gram.  N-grams
    overlap, so tests are dependent, mostly positively, for which Benjamini-Hochberg holds.

    Between equal models whose shares of 60 n-grams vary much by task, q <= 0.1 finds some n-gram in
    16%, 12% and 6% of worlds with 20, 40 and 150 tasks; the published z is beyond 1.96 for half of
    all n-grams, this one for 10%, 7% and 5.5%.

    Raises ValueError for fewer than two tasks, tables that differ in shape, or an empty side.
    """
    base, trained = (t.astype(np.float64) for t in (counts.base_TV, counts.trained_TV))
    if base.shape != trained.shape or len(base) < 2 or prior_tokens <= 0:
        raise ValueError(
            f"needs the same two or more tasks on both sides and a prior above 0, got tables "
            f"{base.shape} and {trained.shape}, prior {prior_tokens}"
        )
    if base.sum() == 0 or trained.sum() == 0:
        raise ValueError("a side has no n-gram at all")
    pooled_V = base.sum(axis=0) + trained.sum(axis=0)
    prior_V = prior_tokens * pooled_V / pooled_V.sum()
    sides = [_side(table, prior_V, prior_tokens) for table in (base, trained)]
    log_odds_V = sides[1].log_odds_V - sides[0].log_odds_V
    published_V = sides[0].variance_V + sides[1].variance_V
    left_out_TV = sides[1].left_out_TV - sides[0].left_out_TV
    squares_TV = np.square(left_out_TV - left_out_TV.mean(axis=0))
    between_V = (len(base) - 1) / len(base) * squares_TV.sum(axis=0)
    num_tasks_V = ((base + trained) > 0).sum(axis=0)
    z_V = log_odds_V / np.sqrt(np.maximum(published_V, between_V))
    z_V[num_tasks_V < MIN_TASKS] = math.nan
    return Overuse(
        log_odds_V=log_odds_V,
        z_V=z_V,
        z_unclustered_V=log_odds_V / np.sqrt(published_V),
        q_V=_q_values(z_V, np.minimum(_freedom(squares_TV), num_tasks_V - 1)),
        num_tasks_V=num_tasks_V.astype(np.int64),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    log_odds_V: Floats
    variance_V: Floats
    left_out_TV: Floats
    """Log odds without each task."""


def _side(counts_TV: Floats, prior_V: Floats, prior_tokens: float) -> _Side:
    counts_V = counts_TV.sum(axis=0) + prior_V
    total = float(counts_TV.sum()) + prior_tokens
    totals_T = total - counts_TV.sum(axis=1)
    return _Side(
        log_odds_V=_log_odds(counts_V, np.array(total)),
        variance_V=1 / counts_V,
        left_out_TV=_log_odds(counts_V - counts_TV, totals_T[:, None]),
    )


def _log_odds(counts: Floats, total: Floats) -> Floats:
    return np.log(counts) - np.log(np.maximum(total - counts, 1e-300))


def _freedom(squares_TV: Floats) -> Floats:
    """Degrees of freedom of a variance from T squares of kurtosis k: 2T / (k - 1)."""
    total_V = squares_TV.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        kurtosis_V = len(squares_TV) * np.square(squares_TV).sum(axis=0) / total_V**2
        return np.where(total_V > 0, 2 * len(squares_TV) / np.maximum(kurtosis_V - 1, 1e-9), 1.0)


def _q_values(z_V: Floats, freedom_V: Floats) -> Floats:
    return benjamini_hochberg(2 * stats.t.sf(np.abs(z_V), freedom_V))
