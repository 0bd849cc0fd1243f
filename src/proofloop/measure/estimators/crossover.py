"""The crossover k*: from how many attempts on the base is as good as what training made of it.

Axes: T tasks, K values of k, B bootstrap resamples.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proofloop.measure.estimators.beta_binomial import BetaBinomial, fit_beta_binomial
from proofloop.measure.estimators.bootstrap import Curve, bootstrap_mean
from proofloop.measure.estimators.interval import LEVEL
from proofloop.measure.estimators.pass_at_k import pass_at_k

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NUM_RESAMPLES = 2000
NUM_REFITS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossover:
    """Where the base's pass@k reaches the trained one's for good, within 1 <= k <= `max_k`."""

    k: int | None
    """None: not up to `max_k`."""
    low: int | None
    """None: the whole interval lies beyond `max_k`."""
    high: int | None
    """None: the interval goes on beyond `max_k`."""
    chance_of_none: float
    """Share of resamples without a crossover up to `max_k`."""
    max_k: int
    is_cut: bool
    """A larger k was asked for than half of the samples carry; `max_k` is that half."""
    num_tasks: int
    deficit: Curve
    """Base minus trained at k = 1 … max_k, paired on tasks."""


def crossover(
    base_samples_T: ArrayLike,
    base_passed_T: ArrayLike,
    trained_samples_T: ArrayLike,
    trained_passed_T: ArrayLike,
    *,
    max_k: int | None = None,
    seed: int = 0,
) -> Crossover:
    """k* = the least k with mean pass@j of the base >= that of the trained for all k <= j <= max_k.

    k* = 1 if the base is never behind.  The interval inverts `bootstrap_mean` of the paired
    differences: a k is left out on the low side while the base is surely behind at some j >= k,
    and on the high side once it is surely not behind from some smaller k on.  Resamples of tasks
    give the chance of no crossover up to `max_k`.  At k beyond half of the smallest number of
    samples pass@k rests on a few lucky attempts, so `max_k` is cut to that and `is_cut` says so;
    `extrapolated_crossover` goes on, marked.
    Where the curves run close to each other k* is defined by noise: the interval is then wide.
    Raises ValueError where counts are impossible, sides differ in length, a task has fewer than
    two samples on a side, there are fewer than two tasks, or `max_k` < 1.
    """
    counts = _checked(base_samples_T, base_passed_T, trained_samples_T, trained_passed_T)
    n_base_T, c_base_T, n_trained_T, c_trained_T = counts
    half = int(min(n_base_T.min(), n_trained_T.min())) // 2
    if half < 1 or n_base_T.size < 2 or (max_k is not None and max_k < 1):
        raise ValueError(
            "a crossover needs two tasks or more, two samples or more of each, and max_k >= 1"
        )
    top = half if max_k is None else min(max_k, half)
    ks = range(1, top + 1)
    deficit_TK = pass_at_k(n_base_T, c_base_T, ks) - pass_at_k(n_trained_T, c_trained_T, ks)
    deficit = bootstrap_mean(deficit_TK, bounds=(-1.0, 1.0), seed=seed)
    rng = np.random.default_rng(seed)
    num_tasks = n_base_T.size
    weights_BT = rng.multinomial(num_tasks, np.full(num_tasks, 1 / num_tasks), size=NUM_RESAMPLES)
    drawn_B = _first_for_good(weights_BT @ deficit_TK / num_tasks)
    low = _first_for_good(deficit.highs[None, :])[0]
    high = _first_for_good(deficit.lows[None, :])[0]
    return Crossover(
        k=_within(_first_for_good(deficit.means[None, :])[0], top),
        low=_within(low, top),
        high=_within(high, top),
        chance_of_none=float((drawn_B > top).mean()),
        max_k=top,
        is_cut=max_k is not None and max_k > half,
        num_tasks=num_tasks,
        deficit=deficit,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtrapolatedCrossover:
    """NOT MEASURED: where fitted curves cross beyond the samples, if difficulty is Beta."""

    k: int | None
    """None: not up to `max_k`, or the trained model's fitted ceiling stays above."""
    low: int | None
    high: int | None
    """Percentiles over resampled tasks; None: beyond `max_k`.  They know of chance, not of the
    fit's shape being wrong."""
    chance_of_none: float
    max_k: int
    measured_k: int
    """Up to here the samples themselves speak."""


def extrapolated_crossover(
    base_samples_T: ArrayLike,
    base_passed_T: ArrayLike,
    trained_samples_T: ArrayLike,
    trained_passed_T: ArrayLike,
    *,
    max_k: int,
    num_refits: int = NUM_REFITS,
    seed: int = 0,
) -> ExtrapolatedCrossover | None:
    """k* of two fitted zero-inflated beta-binomials (`beta_binomial.py`), up to `max_k`.

    The share of tasks that are never solved is told from small rates by the shape alone, so this
    is a guess with an interval for chance only; a table must say "extrapolated".  None where
    either side cannot be fitted (all attempts passed, or all failed), also in most resamples.
    Raises ValueError as `crossover` does.
    """
    counts = _checked(base_samples_T, base_passed_T, trained_samples_T, trained_passed_T)
    n_base_T, _, n_trained_T, _ = counts
    if n_base_T.size < 2 or max_k < 1:
        raise ValueError("a crossover needs two tasks or more, and max_k >= 1")
    # Every k up to 256, then a hundredth apart: k* is read to that.
    ks = np.unique(np.concatenate([np.arange(1, 257), np.geomspace(1, max_k, 1000).astype(int)]))
    ks = ks[ks <= max_k]
    fits = _fits(counts, None)
    if fits is None:
        return None
    value = _crossing(fits, ks)
    rng = np.random.default_rng(seed)
    drawn: list[float] = []
    for _ in range(num_refits):
        picked = rng.integers(n_base_T.size, size=n_base_T.size)
        found = _fits([column[picked] for column in counts], fits)
        drawn.extend([] if found is None else [_crossing(found, ks)])
    if len(drawn) < num_refits / 2:
        return None
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    low, high = np.quantile(drawn, tails, method="inverted_cdf")
    return ExtrapolatedCrossover(
        k=_within(value, max_k),
        low=_within(low, max_k),
        high=_within(high, max_k),
        chance_of_none=float(np.mean([k > max_k for k in drawn])),
        max_k=max_k,
        measured_k=int(min(n_base_T.min(), n_trained_T.min())) // 2,
    )


Fits = tuple[BetaBinomial, BetaBinomial]


def _fits(counts: list[Ints], near: Fits | None) -> Fits | None:
    """Of base and trained; None where either has none."""
    base, trained = (
        fit_beta_binomial(n_T, c_T, zero_inflated=True, near=None if near is None else near[side])
        for side, (n_T, c_T) in enumerate([(counts[0], counts[1]), (counts[2], counts[3])])
    )
    return None if base is None or trained is None else (base, trained)


def _crossing(fits: Fits, ks: Ints) -> float:
    """k* of the fits, infinite where they do not cross."""
    base, trained = fits
    first = _first_for_good((base.pass_at(ks) - trained.pass_at(ks))[None, :])[0]
    return float(ks[int(first) - 1]) if np.isfinite(first) else np.inf


def _first_for_good(curve_BK: Floats) -> Floats:
    """1 + the first column from which on a row never is below 0; infinite without one."""
    # Rounding must not undo an exact tie.
    below_BK = curve_BK < -1e-12
    num_columns = curve_BK.shape[1]
    last_B = num_columns - below_BK[:, ::-1].argmax(axis=1)
    first_B = np.where(below_BK.any(axis=1), last_B + 1, 1)
    return np.where(first_B > num_columns, np.inf, first_B)


def _within(k: float, max_k: int) -> int | None:
    return int(k) if k <= max_k else None


def _checked(*columns: ArrayLike) -> list[Ints]:
    arrays = [np.asarray(column, np.int64) for column in columns]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1:
        raise ValueError(f"columns differ in length: {[array.size for array in arrays]}")
    return arrays
