"""Nines of reliability: how often it works, at a new task and at the same one again.

Failures cluster by task, so attempts are not independent trials: at high reliability a figure
rests on the few tasks that fail at all.  More runs of the same tasks do not help; more tasks do.

Axes: T tasks, K values of k.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proofloop.core.record import Record
from proofloop.measure.estimators.beta_binomial import profile_interval
from proofloop.measure.estimators.bootstrap import Curve, bootstrap_mean
from proofloop.measure.estimators.bounded import bounded_mean
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.pass_at_k import pass_at_k, pass_hat_k
from proofloop.measure.estimators.shares import clopper_pearson, wilson

Floats = NDArray[np.float64]

HANDFUL = 5
"""With fewer failing tasks than this, how they fail is not known well enough for a claim."""


class Nines(Record):
    """`-log10(1 - rate)` of a rate and its ends; None where the rate (or its end) is 1."""

    value: float | None
    low: float
    high: float | None


class Reliability(Record):
    """All rates are means over tasks."""

    num_tasks: int
    num_trials: int
    num_failures: int
    num_failing_tasks: int
    across: Interval
    """A first attempt at a new task passes; the interval of `bounded_mean`."""
    within: Interval | None
    """Having passed, it passes again at the same task: E[p²] / E[p]; None with one run a task, or
    where nothing passed."""
    nines: Nines
    """Of `across`."""
    icc: float | None
    """Share of the variance of outcomes that is between tasks; None with one run a task, or where
    all attempts passed or all failed."""
    design_effect: float
    """By how much clustering divides the trials; as many as runs a task where `icc` is None."""
    wilson: tuple[float, float]
    clopper_pearson: tuple[float, float]
    """Of `across`, both with trials divided by the design effect."""
    profile: tuple[float, float]
    """Of `across`, if success rates are Beta distributed."""
    tasks_of_failures: int | None
    """The least number of tasks that hold 80% of the failures; None without failures."""
    refusal: str | None
    """Why these figures carry no claim of nines; None where they do, from `nines.low`."""


def reliability(num_samples_T: ArrayLike, num_passed_T: ArrayLike, *, seed: int = 0) -> Reliability:
    """Reliability over tasks with its intervals, from counts of at least two tasks.

    `across` and `nines` rest on `bounded_mean` over the tasks' own rates, which held the truth in
    96 to 99% of all worlds of docs/reference/coverage.md, 99.9% reliability on few failing tasks
    included.  The others are narrower and hold less: the profile likelihood 92 to 97% where Beta
    fits; the design-effect intervals 78 to 92% with few failing tasks and 93 to 96% with a dozen or
    more; `within` 81 to 90% at 99.9% reliability, 95 to 98% below 99%.
    Raises ValueError where counts are impossible, a task has no sample, or there are fewer than
    two tasks.
    """
    n_T, c_T = checked_counts(num_samples_T, num_passed_T)
    rate_T = c_T / n_T
    rate, failures_T = float(rate_T.mean()), n_T - c_T
    icc = intraclass_correlation(n_T, c_T)
    effect = design_effect(n_T, icc)
    trials = float(n_T.sum()) / effect
    low, high = bounded_mean(rate_T, seed=seed)
    failing = int((failures_T > 0).sum())
    return Reliability(
        num_tasks=n_T.size,
        num_trials=int(n_T.sum()),
        num_failures=int(failures_T.sum()),
        num_failing_tasks=failing,
        across=Interval(value=rate, low=low, high=high, num_tasks=n_T.size),
        within=_again(n_T, c_T, seed),
        nines=Nines(value=nines(rate), low=_below_one(low), high=nines(high)),
        icc=icc,
        design_effect=effect,
        wilson=wilson(rate * trials, trials),
        clopper_pearson=clopper_pearson(rate * trials, trials),
        profile=profile_interval(n_T, c_T),
        tasks_of_failures=tasks_of_failures(failures_T),
        refusal=_refusal(rate, failing, int(failures_T.sum())),
    )


def nines(rate: float) -> float | None:
    """`-log10(1 - rate)`: 0.99 -> 2.  None at a rate of 1, which no sample shows."""
    if not 0 <= rate <= 1:
        raise ValueError(f"a rate lies between 0 and 1, got {rate}")
    return None if rate == 1 else -math.log10(1 - rate)


def intraclass_correlation(num_samples_T: ArrayLike, num_passed_T: ArrayLike) -> float | None:
    """Var_between / (Var_between + Var_within) of outcomes, the ANOVA estimator.

    `(MSB - MSW) / (MSB + (n0 - 1) MSW)` with `n0 = (N - sum n²/N) / (T - 1)` (Ridout, Demétrio &
    Firth 1999, Biometrics 55, eq. 2).  Slightly negative by chance where tasks are alike.  None
    where all attempts passed, all failed, or no task has two.
    """
    n_T, c_T = checked_counts(num_samples_T, num_passed_T)
    total, passed = float(n_T.sum()), float(c_T.sum())
    if n_T.max() < 2 or passed in (0.0, total):
        return None
    rate_T = c_T / n_T
    between = float((n_T * (rate_T - passed / total) ** 2).sum()) / (n_T.size - 1)
    within = float((n_T * rate_T * (1 - rate_T)).sum()) / (total - n_T.size)
    return (between - within) / (between + (_size(n_T) - 1) * within)


def design_effect(num_samples_T: ArrayLike, icc: float | None) -> float:
    """`1 + (n0 - 1) icc`, at least 1; without a correlation the worst, runs of a task all alike."""
    n_T = np.asarray(num_samples_T, np.int64)
    return float(n_T.mean()) if icc is None else max(1.0, 1 + (_size(n_T) - 1) * icc)


def tasks_of_failures(num_failures_T: ArrayLike, share: float = 0.8) -> int | None:
    """The least number of tasks that hold this share of all failures; None without failures."""
    failures_T = np.sort(np.asarray(num_failures_T, np.int64))[::-1]
    if failures_T.sum() == 0:
        return None
    held = np.cumsum(failures_T) >= share * failures_T.sum() - 1e-9
    return int(held.argmax()) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Fan:
    """pass@k and pass^k over k, and what pass^k would be if attempts at a task were independent of
    which task it is: the mean rate to the k.  pass^k flattens at the share of sure tasks."""

    ks: tuple[int, ...]
    pass_at: Curve
    pass_hat: Curve
    independent_K: Floats


def fan(num_samples_T: ArrayLike, num_passed_T: ArrayLike, ks: Sequence[int]) -> Fan:
    """Columns whose k exceeds a task's samples leave that task out and say how many remain.

    Raises ValueError where counts are impossible or a k is not positive.
    """
    n_T, c_T = checked_counts(num_samples_T, num_passed_T)
    return Fan(
        ks=tuple(ks),
        pass_at=bootstrap_mean(pass_at_k(n_T, c_T, ks)),
        pass_hat=bootstrap_mean(pass_hat_k(n_T, c_T, ks)),
        independent_K=float((c_T / n_T).mean()) ** np.asarray(ks, np.float64),
    )


def checked_counts(
    num_samples_T: ArrayLike, num_passed_T: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    n_T, c_T = np.asarray(num_samples_T, np.int64), np.asarray(num_passed_T, np.int64)
    if n_T.ndim != 1 or n_T.shape != c_T.shape or n_T.size < 2:
        raise ValueError("reliability needs the counts of at least two tasks")
    if np.any(n_T < 1) or np.any(c_T < 0) or np.any(c_T > n_T):
        raise ValueError("each task needs samples, and 0 <= num_passed <= num_samples")
    return n_T, c_T


def _size(n_T: NDArray[np.int64]) -> float:
    """n0: samples a task, less for their inequality."""
    total = float(n_T.sum())
    return (total - float((n_T**2).sum()) / total) / (n_T.size - 1)


def _below_one(rate: float) -> float:
    found = nines(rate)
    assert found is not None, "a lower end is below 1"
    return found


def _again(n_T: NDArray[np.int64], c_T: NDArray[np.int64], seed: int) -> Interval | None:
    """E[p²] / E[p] over tasks with two runs; a ratio's interval from its linearised values
    `r + (x_i - r y_i) / mean(y)` (Cochran 1977, section 6.4)."""
    many_T = n_T >= 2
    n_T, c_T = n_T[many_T], c_T[many_T]
    if n_T.size == 0 or c_T.sum() == 0:
        return None
    twice_T, once_T = pass_hat_k(n_T, c_T, (2,))[:, 0], c_T / n_T
    ratio = float(twice_T.sum() / once_T.sum())
    linear_T = ratio + (twice_T - ratio * once_T) / once_T.mean()
    found = bootstrap_mean(linear_T[:, None], bounds=(-math.inf, math.inf), seed=seed).at(0)
    assert found is not None
    ends = [None if end is None else min(max(end, 0.0), 1.0) for end in (found.low, found.high)]
    return Interval(value=ratio, low=ends[0], high=ends[1], num_tasks=n_T.size)


def _refusal(rate: float, num_failing: int, num_failures: int) -> str | None:
    if num_failing == 0 or num_failing >= HANDFUL or rate < 0.9:
        return None
    tasks = "1 task" if num_failing == 1 else f"{num_failing} tasks"
    return (
        f"all {num_failures} failures sit in {tasks}: no claim of nines, which would hang on "
        "whether the next tasks are like these; more tasks would tell, more runs would not"
    )
