"""The end of the dead zone in one run: when it took off, how sharply, and by which law.

Axes: S evaluations on one fixed probe set.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from proofloop.core.record import Record
from proofloop.measure.estimators.interval import LEVEL, Interval

Floats = NDArray[np.float64]

NUM_RESAMPLES = 2000


class TakeOff(Record):
    """Figures of one run on its probe set."""

    t0: int | None
    """First step whose lower bound exceeds the start's upper bound; None if none does."""
    start_rate: float
    start_high: float
    spike_share: Interval | None
    """Gain within the first 5% of steps over the total gain; None where the total gain is not
    above noise, or no evaluation lies within those 5%."""
    num_evaluations: int


def take_off(
    steps_S: ArrayLike, num_passed_S: ArrayLike, num_samples_S: ArrayLike, *, seed: int = 0
) -> TakeOff:
    """t0 and the spike share, on a probe set that is the same at every evaluation.

    Bounds are exact (Clopper & Pearson 1934) at level `1 - 0.05 / evaluations`, since every
    evaluation is another chance to be fooled; a flat run then shows a t0 in fewer than 5% of
    worlds.  Over fixed tasks the sum of attempts varies no more than a binomial, so tasks need no
    resampling; the claim is about this probe set.  The spike share's interval is a parametric
    bootstrap of the three counts it is made of.
    Raises ValueError for counts that are impossible, fewer than two evaluations, or steps that do
    not rise.
    """
    steps, passed, total = evaluations(steps_S, num_passed_S, num_samples_S)
    tail = (1 - LEVEL) / len(steps) / 2
    low_S = np.where(passed > 0, stats.beta.ppf(tail, passed, total - passed + 1), 0.0)
    high_S = np.where(passed < total, stats.beta.ppf(1 - tail, passed + 1, total - passed), 1.0)
    risen = np.flatnonzero(low_S[1:] > high_S[0])
    return TakeOff(
        t0=int(steps[1 + risen[0]]) if risen.size else None,
        start_rate=float(passed[0] / total[0]),
        start_high=float(high_S[0]),
        spike_share=_spike_share(steps, passed, total, seed),
        num_evaluations=len(steps),
    )


def time_to(
    steps_S: ArrayLike, num_passed_S: ArrayLike, num_samples_S: ArrayLike, target: float
) -> float | None:
    """When the pass rate passed `target`: the non-decreasing curve of maximum likelihood (pooled
    adjacent violators; Ayer et al. 1955), read linearly between evaluations.  The first evaluation
    above a target is too early, as the luckiest of many; a pooled one is not.  None where the
    curve never gets there; `steps_S[0]` where it starts beyond.  Raises ValueError as `take_off`.
    """
    steps, passed, total = evaluations(steps_S, num_passed_S, num_samples_S)
    rates_S = optimize.isotonic_regression(passed / total, weights=total).x
    beyond = np.flatnonzero(rates_S >= target)
    if not beyond.size:
        return None
    if (i := int(beyond[0])) == 0:
        return float(steps[0])
    way = (target - rates_S[i - 1]) / (rates_S[i] - rates_S[i - 1])
    return float(steps[i - 1] + way * (steps[i] - steps[i - 1]))


def evaluations(
    steps_S: ArrayLike, num_passed_S: ArrayLike, num_samples_S: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    steps, passed, total = (
        np.asarray(v, np.float64) for v in (steps_S, num_passed_S, num_samples_S)
    )
    if not steps.shape == passed.shape == total.shape or steps.ndim != 1 or steps.size < 2:
        raise ValueError("a learning curve needs steps, passes and samples of two evaluations")
    if not ((passed >= 0) & (passed <= total) & (total > 0)).all():
        raise ValueError("each evaluation needs 0 <= num_passed <= num_samples and a sample")
    if (np.diff(steps) <= 0).any():
        raise ValueError("steps must rise")
    return steps, passed, total


def _spike_share(steps: Floats, passed: Floats, total: Floats, seed: int) -> Interval | None:
    early = np.flatnonzero(steps <= steps[0] + 0.05 * (steps[-1] - steps[0]))[-1]
    if early == 0:
        return None
    at = np.array([0, early, len(steps) - 1])
    rate_3 = passed[at] / total[at]
    rng = np.random.default_rng(seed)
    drawn_B3 = rng.binomial(total[at].astype(np.int64), rate_3, size=(NUM_RESAMPLES, 3)) / total[at]
    gain_B = drawn_B3[:, 2] - drawn_B3[:, 0]
    tail = (1 - LEVEL) / 2
    if np.quantile(gain_B, tail) <= 0:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        share_B = (drawn_B3[:, 1] - drawn_B3[:, 0]) / gain_B
    low, high = np.quantile(share_B[gain_B > 0], [tail, 1 - tail])
    share = float((rate_3[1] - rate_3[0]) / (rate_3[2] - rate_3[0]))
    return Interval(value=share, low=float(low), high=float(high), num_tasks=int(total[at].min()))
