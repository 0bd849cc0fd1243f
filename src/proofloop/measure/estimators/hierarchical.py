"""Pass rates over seeds, tasks and runs at once.

The task bootstrap (`bootstrap_mean`) suffices for one training seed where tasks stand for further
tasks and have alike numbers of runs, also for as few as ten tasks: the spread of the tasks' own
rates already contains the noise of their runs.  This one is for the other cases: several seeds;
few tasks with few or unequal runs, which agree by chance; these very tasks as the target.

Axes: S seeds, T tasks (the same in every seed), B resamples.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

from proofloop.measure.estimators.bootstrap import NUM_RESAMPLES, bootstrap_mean
from proofloop.measure.estimators.interval import LEVEL, Interval

Floats = NDArray[np.float64]


def hierarchical_rate(
    num_samples_ST: ArrayLike,
    num_passed_ST: ArrayLike,
    *,
    tasks_are_fixed: bool = False,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Interval:
    """Mean pass rate with a 95% interval from resampled seeds, then tasks, then runs.

    A resample draws tasks (once for all seeds), then seeds, then the runs of every cell as
    Binomial(n, (c + 1/2) / (n + 1)), off by sqrt((n + 1) / n): a cell of all passes is not taken
    for a sure one, and the noise is unbiased.  Spread between tasks and seeds is shrunk by the
    runs' share of it before (Davison & Hinkley 1997, section 3.8: else the runs' noise counts
    twice), then widened by sqrt(m / (m-1)) and by Student's over the normal quantile with m-1
    degrees of freedom, m the tasks or seeds.  The percentile interval of these means is not
    taken narrower than the task bootstrap's, which follows the skew near 0 and 1.  With
    `tasks_are_fixed` the target is the mean over these very tasks, and tasks are not drawn.
    Two or three seeds tell little of their spread, whatever the interval.
    Raises ValueError where counts are impossible, a cell has no run, or a single task is to stand
    for others.
    """
    n_ST = np.atleast_2d(np.asarray(num_samples_ST, np.int64))
    c_ST = np.atleast_2d(np.asarray(num_passed_ST, np.int64))
    if n_ST.shape != c_ST.shape or n_ST.size == 0:
        raise ValueError(f"samples {n_ST.shape} and passes {c_ST.shape} are not of the same cells")
    if np.any(n_ST < 1) or np.any(c_ST < 0) or np.any(c_ST > n_ST):
        raise ValueError("each cell needs samples, and 0 <= num_passed <= num_samples")
    num_seeds, num_tasks = n_ST.shape
    if num_tasks < 2 and not tasks_are_fixed:
        raise ValueError("one task says nothing of other tasks")
    rng = np.random.default_rng(seed)
    rate_ST, smooth_ST = c_ST / n_ST, (c_ST + 0.5) / (n_ST + 1)
    mean, wider_ST = float(rate_ST.mean()), np.sqrt((n_ST + 1) / n_ST)
    noise = float((smooth_ST * (1 - smooth_ST) / n_ST * wider_ST**2).mean())
    runs_BST = rng.binomial(n_ST, smooth_ST, size=(num_resamples, num_seeds, num_tasks)) / n_ST
    drawn_B = mean + ((runs_BST - smooth_ST) * wider_ST).mean(axis=(1, 2))
    if not tasks_are_fixed:
        drawn_B += _drawn(rng, rate_ST.mean(axis=0) - mean, noise / num_seeds, num_resamples)
    if num_seeds > 1:
        drawn_B += _drawn(rng, rate_ST.mean(axis=1) - mean, noise / num_tasks, num_resamples)
    low, high = np.clip(np.quantile(drawn_B, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]), 0.0, 1.0)
    if not tasks_are_fixed:
        tasks = bootstrap_mean(rate_ST.mean(axis=0)[:, None], seed=seed)
        low, high = min(low, tasks.lows[0]), max(high, tasks.highs[0])
    return Interval(value=mean, low=float(low), high=float(high), num_tasks=num_tasks)


def _drawn(rng: np.random.Generator, off_M: Floats, noise: float, num_resamples: int) -> Floats:
    """Mean deviations of M resampled tasks or seeds, less the runs' noise within them."""
    size = off_M.size
    spread = float((off_M**2).sum()) / (size - 1)
    own = math.sqrt(max(0.0, 1 - noise / spread)) if spread > 0 else 0.0
    normal, student = stdtrit(math.inf, (1 + LEVEL) / 2), stdtrit(size - 1, (1 + LEVEL) / 2)
    widening = own * math.sqrt(size / (size - 1)) * float(student / normal)
    return off_M[rng.integers(size, size=(num_resamples, size))].mean(axis=1) * widening
