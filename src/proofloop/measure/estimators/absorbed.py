"""Bits absorbed by training, an episode, beside the most that the rewards could have told.

Absorbed: what training moved, `log2 p_after(right) - log2 p_before(right)` summed over tasks.
Ceiling: what the rewards said, H(p) bits an episode at most.  Absorbed above the ceiling is no
error where tasks share what is learnt: one bit then moves many tasks.

Axes: T tasks, G groups of attempts (all of one task under one policy).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.interval import LEVEL, Interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_FLOOR = 0.05
"""Share of tasks never solved on a side beyond which the bits hang on the number of samples."""
_NUM_RESAMPLES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Absorbed:
    """Bits that training absorbed on a set of tasks."""

    gains_T: Floats
    """log2 p_after - log2 p_before of every task."""
    bits_a_task: Interval
    bits_an_episode: Interval
    """Summed over all tasks of the set, over the run's episodes."""
    ceiling_share: Interval | None
    """Absorbed over ceiling; None where no ceiling was given or it is 0."""
    bits_a_petaflop: Interval | None
    """Per 1e15 floating-point operations, generation included; None where none were given."""
    floor_before: float
    """Share of tasks with no success before: there p is taken as 1/(2n + 1), and more samples
    would show more bits."""
    floor_after: float
    is_floored: bool
    """Either share is above MAX_FLOOR: a figure of these sample sizes, not of the models."""


def log2_rate(num_passed_T: ArrayLike, num_samples_T: ArrayLike) -> Floats:
    """log2 p of every task from counts: `log2((c + 1/2) / (n + 1/2))`, finite also at c = 0.

    Adding 1/2 to both takes out the bias of order 1/n: by Taylor `E log((c + a) / (n + a)) - log p
    = (a - 1/2) (1 - p) / (n p) + O(n^-2)` (Pettigrew, Gart & Thomas 1986, for the logarithm of a
    binomial).  Not the mean of Jeffreys' posterior, which keeps that bias, towards small p.
    Once n p falls below about 2 no correction helps: `log2_rate_bias` gives the exact bias, for
    n = 64 it is 0.00 bits at p = 0.1, +0.24 at 1/64 and +2.5 at 1/640 (too large a p).
    Raises ValueError where counts are impossible or a task has no samples.
    """
    c, n = np.asarray(num_passed_T, np.float64), np.asarray(num_samples_T, np.float64)
    if c.shape != n.shape or c.ndim != 1 or np.any(n < 1) or np.any((c < 0) | (c > n)):
        raise ValueError("each task needs 0 <= passed <= samples and at least one sample")
    return np.log2((c + 0.5) / (n + 0.5))


def log2_rate_bias(rate: float, num_samples: int) -> float:
    """Exact expectation of `log2_rate` minus log2 p, bits, summed over the binomial."""
    if not 0 < rate <= 1:
        raise ValueError(f"log2 of a rate of {rate} has no bias to speak of")
    c = np.arange(num_samples + 1)
    chances = stats.binom.pmf(c, num_samples, rate)
    return float(chances @ log2_rate(c, np.full(c.size, num_samples)) - math.log2(rate))


def binary_entropy(rates: ArrayLike) -> Floats:
    """H(p) in bits: the most that one reward of 0 or 1 can tell.  0 at p = 0 and p = 1."""
    p = np.asarray(rates, np.float64)
    if np.any((p < 0) | (p > 1)) or np.isnan(p).any():
        raise ValueError("rates must lie in [0, 1], none missing")
    return (special.entr(p) + special.entr(1 - p)) / math.log(2)


def mixed_probability(rates: ArrayLike, group_size: int) -> Floats:
    """`1 - p^G - (1-p)^G`: the chance that a group of G holds both outcomes, without which
    a group-relative advantage is 0."""
    p = np.asarray(rates, np.float64)
    if group_size < 1 or np.any((p < 0) | (p > 1)) or np.isnan(p).any():
        raise ValueError("needs rates in [0, 1], none missing, and groups of at least one")
    return 1 - p**group_size - (1 - p) ** group_size


def ceiling_bits(num_passed_G: ArrayLike, num_samples_G: ArrayLike) -> Floats:
    """H(p) of every group in bits, from its counts, for the ceiling over a run.

    `(c/n) (psi(n) - psi(c)) + ((n-c)/n) (psi(n) - psi(n-c))` over log 2, which is
    `sum over v < n of 1/v` times the unbiased estimates of `p (1-p)^v` and `(1-p) p^v` (Zhang 2012,
    Neural Computation 24, eq. 4; the leading term of Chao, Wang & Jost 2013, eq. 5).  Bias is
    minus the series' rest, `sum over v >= n of (p (1-p)^v + (1-p) p^v) / v`: at n = 8 and p = 0.5
    it is -0.001 bits, at p = 0.1 -0.05 (of 0.47), at p = 0.01 -0.03 (of 0.081).  Groups without
    both outcomes count 0, so a ceiling from small groups at small p is too low and an efficiency
    too high.
    """
    c, n = np.asarray(num_passed_G, np.float64), np.asarray(num_samples_G, np.float64)
    if c.shape != n.shape or c.ndim != 1 or np.any(n < 1) or np.any((c < 0) | (c > n)):
        raise ValueError("each group needs 0 <= passed <= samples and at least one sample")

    def part(k: Floats) -> Floats:
        return np.where(
            k > 0, k / n * (special.digamma(n) - special.digamma(np.maximum(k, 1))), 0.0
        )

    return (part(c) + part(n - c)) / math.log(2)


def absorbed_bits(
    before_T: tuple[ArrayLike, ArrayLike],
    after_T: tuple[ArrayLike, ArrayLike],
    *,
    num_episodes: int,
    num_tasks: int | None = None,
    total_ceiling_bits: float | None = None,
    total_flops: float | None = None,
    before_bits_T: ArrayLike | None = None,
) -> Absorbed:
    """Absorbed bits of a run from (passed, samples) before and after, on the same tasks in order.

    `num_tasks`: how many tasks the run trained on, where the measured ones are a sample of them.
    `total_ceiling_bits`: summed H(p) of the run's episodes.  `total_flops`: generation included.
    `before_bits_T`: -log2 p_before of tasks for which an elicitation ledger knows it (NaN where
    not); it replaces the counts there, and with them the floor at p = 1/(2n + 1).
    Intervals resample tasks; ceiling, FLOPs and episodes are taken as known.  Simulated coverage
    (`bench/coverage/absorbed.py`): 0.95-0.97 where p is seldom below 3/n; below that the floor
    decides: log odds N(-1, 1) with 16 samples 0.88 unmarked and 0.96 marked, N(-3, 1) with 64
    samples 0.80, all marked, N(-5, 1) 0, all marked (`is_floored`).
    Raises ValueError where tables do not line up or there is no episode.
    """
    (c0, n0), (c1, n1) = (
        (np.asarray(c, np.float64), np.asarray(n, np.float64)) for c, n in (before_T, after_T)
    )
    if c0.shape != c1.shape or num_episodes < 1 or c0.size == 0:
        raise ValueError(
            f"needs the same tasks before ({c0.size}) and after ({c1.size}), and an episode or "
            f"more, not {num_episodes}"
        )
    before = log2_rate(c0, n0)
    floored = c0 == 0
    if before_bits_T is not None:
        known = np.asarray(before_bits_T, np.float64)
        if known.shape != before.shape:
            raise ValueError(f"{known.size} tasks in the ledger, {before.size} in the counts")
        before = np.where(np.isnan(known), before, -known)
        floored &= np.isnan(known)
    gains_T = log2_rate(c1, n1) - before
    a_task = bootstrap_mean(gains_T[:, None], bounds=(-math.inf, math.inf)).at(0)
    assert a_task is not None
    tasks = gains_T.size if num_tasks is None else num_tasks
    total = scaled(a_task, tasks)
    floors = float(floored.mean()), float((c1 == 0).mean())
    return Absorbed(
        gains_T=gains_T,
        bits_a_task=a_task,
        bits_an_episode=scaled(total, 1 / num_episodes),
        ceiling_share=scaled(total, 1 / total_ceiling_bits) if total_ceiling_bits else None,
        bits_a_petaflop=scaled(total, 1e15 / total_flops) if total_flops else None,
        floor_before=floors[0],
        floor_after=floors[1],
        is_floored=max(floors) > MAX_FLOOR,
    )


def generalised_share(
    gains_train_T: ArrayLike, gains_heldout_T: ArrayLike, *, seed: int = 0
) -> Interval | None:
    """Mean bits of a held-out task over mean bits of a trained task: 1 is full generalisation.

    Both sets are resampled.  None where the trained tasks' own mean is not clearly above 0 (its
    interval reaches 0): a share of nothing is no share.
    """
    train = np.asarray(gains_train_T, np.float64)
    heldout = np.asarray(gains_heldout_T, np.float64)
    if min(train.size, heldout.size) < 2 or np.isnan(train).any() or np.isnan(heldout).any():
        raise ValueError("needs the bits of at least two tasks on either side, none missing")
    rng = np.random.default_rng(seed)
    means_train, means_heldout = (
        values[rng.integers(values.size, size=(_NUM_RESAMPLES, values.size))].mean(axis=1)
        for values in (train, heldout)
    )
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    if np.quantile(means_train, tails[0]) <= 0:
        return None
    ratios = means_heldout / np.where(means_train > 0, means_train, np.nan)
    low, high = np.nanquantile(ratios, tails)
    return Interval(
        value=float(heldout.mean() / train.mean()),
        low=float(low),
        high=float(high),
        num_tasks=heldout.size,
    )


def scaled(interval: Interval, factor: float) -> Interval:
    """The interval in another unit; `factor` is positive."""
    return Interval(
        value=interval.value * factor,
        low=None if interval.low is None else interval.low * factor,
        high=None if interval.high is None else interval.high * factor,
        num_tasks=interval.num_tasks,
    )
