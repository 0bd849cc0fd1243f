"""What a second attempt is worth, and what of that is due to being told why the first one failed.

Counts are of first attempts that failed, by task: how many, and how many of their second attempts
passed.  Arms: fresh (another attempt from the bare prompt), bare (the failure is in the context,
and that it is one), told (its feedback, too).  told - bare is the feedback gain FG, bare - fresh
the worth of merely seeing the failure (SCoRe, Kumar et al. 2024, arXiv:2409.12917, section 3, for
the flows wrong->right; SDPO, arXiv:2601.20802: self-distillation can help only where FG > 0).

Axes: T tasks, B resamples.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proofloop.measure.estimators.bootstrap import NUM_RESAMPLES
from proofloop.measure.estimators.interval import LEVEL, Interval

Floats = NDArray[np.float64]

FEWEST_TASKS = 10
"""With failures; of fewer no interval is given."""


def fresh_fixes(num_samples_T: ArrayLike, num_passed_T: ArrayLike) -> Floats:
    """Second attempts that would have passed, had each failed attempt been followed by a fresh one:
    (n - c) c / (n - 1) of a task with c of n passed, which is unbiased for n p (1 - p) given p.

    Raises ValueError for a task with fewer than two samples, or with more passed than samples.
    """
    n_T, c_T = np.asarray(num_samples_T, np.float64), np.asarray(num_passed_T, np.float64)
    if n_T.shape != c_T.shape or (n_T < 2).any() or (c_T < 0).any() or (c_T > n_T).any():
        raise ValueError("a fresh attempt is known of tasks with two samples or more, passed <= n")
    return (n_T - c_T) * c_T / (n_T - 1)


def fixed_share(num_failed_T: ArrayLike, num_fixed_T: ArrayLike) -> Interval | None:
    """Share of failed first attempts whose second one passed: sum of fixed over sum of failed, with
    a percentile interval from resampled tasks.

    None where no task failed; without an interval where fewer than FEWEST_TASKS did.  Where no
    resample varies (none fixed, all fixed) the interval says so by `low` and `high` None, too.
    Raises ValueError for columns that differ in length, or more fixed than failed.
    """
    return _ratio(_checked(num_failed_T, num_fixed_T)[None])


def gain(base: tuple[ArrayLike, ArrayLike], told: tuple[ArrayLike, ArrayLike]) -> Interval | None:
    """`fixed_share` of `told` minus that of `base`, each (num_failed_T, num_fixed_T) on the same
    tasks; paired: a resample draws tasks for both.  None and ValueError as in `fixed_share`."""
    pairs = np.stack([_checked(*told), _checked(*base)])
    return _ratio(pairs)


def _checked(num_failed_T: ArrayLike, num_fixed_T: ArrayLike) -> Floats:
    failed_T, fixed_T = np.asarray(num_failed_T, np.float64), np.asarray(num_fixed_T, np.float64)
    if failed_T.ndim != 1 or failed_T.shape != fixed_T.shape:
        raise ValueError("failed and fixed need one number each of the same tasks")
    if (fixed_T < 0).any() or (fixed_T > failed_T + 1e-9).any():
        raise ValueError("of the attempts that failed, no more can be fixed than there are")
    return np.stack([failed_T, fixed_T])


def _ratio(arms_A2T: Floats) -> Interval | None:
    """Of one arm its share; of two the first's minus the second's."""
    totals_A2 = arms_A2T.sum(axis=-1)
    if (totals_A2[:, 0] == 0).any():
        return None
    signs_A = np.array([1.0, -1.0])[: len(arms_A2T)]
    value = float(signs_A @ (totals_A2[:, 1] / totals_A2[:, 0]))
    num_tasks = int((arms_A2T[:, 0] > 0).any(axis=0).sum())
    low = high = None
    if num_tasks >= FEWEST_TASKS:
        T = arms_A2T.shape[-1]
        rng = np.random.default_rng(0)
        slots = rng.integers(T, size=(NUM_RESAMPLES, T)) + T * np.arange(NUM_RESAMPLES)[:, None]
        counts = np.bincount(slots.ravel(), minlength=NUM_RESAMPLES * T)
        sums_A2B = arms_A2T @ counts.reshape(NUM_RESAMPLES, T).T.astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            values_B = signs_A @ (sums_A2B[:, 1] / sums_A2B[:, 0])
        found = np.nanquantile(values_B, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        low, high = (float(found[0]), float(found[1])) if np.ptp(found) > 0 else (None, None)
    return Interval(value=value, low=low, high=high, num_tasks=num_tasks)
