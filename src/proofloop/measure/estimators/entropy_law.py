"""The entropy law: score bought with entropy, `R = -a exp(H) + b` (Cui et al. 2025,
arXiv:2505.22617, eq. 1).  A second predictor beside the sigmoid: it needs no axis of compute, and
its ceiling `b - a` is where all entropy is spent.

Axes: N evaluations, M forecasts.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from proofloop.core.record import Record
from proofloop.measure.estimators.interval import LEVEL

Floats = NDArray[np.float64]

MIN_POINTS = 5


class OnLine(Record):
    """A value of the fitted line."""

    entropy: float
    """Nats a token."""
    value: float
    low: float
    high: float
    is_extrapolated: bool
    """Outside the entropies fitted: the interval takes the line itself for true there."""


class EntropyLaw(Record):
    a: float
    """Score given for a unit of exp(H)."""
    a_low: float
    a_high: float
    ceiling: OnLine
    """The line at H = 0, with the interval of the line."""
    predictions: tuple[OnLine, ...]
    """With the interval of a new evaluation: line and noise."""
    noise: float
    num_points: int


def fit_entropy_law(entropy_N: ArrayLike, score_N: ArrayLike, at_M: ArrayLike = ()) -> EntropyLaw:
    """Ordinary least squares with Student's intervals, and predictions at the entropies `at_M`.

    Right where the law holds and evaluations err independently; entropy is taken as exact.  For a
    hold-out, fit the first evaluations and predict at the entropies of the later ones.
    Raises ValueError for fewer than five evaluations, negative or missing values, or one entropy.
    """
    entropy, score = np.asarray(entropy_N, np.float64), np.asarray(score_N, np.float64)
    at = np.asarray(at_M, np.float64).reshape(-1)
    if entropy.ndim != 1 or entropy.shape != score.shape or entropy.size < MIN_POINTS:
        raise ValueError(f"the entropy law needs {MIN_POINTS} pairs of entropy and score, "
                         f"got {entropy.size} and {score.size}")  # fmt: skip
    if not (np.isfinite(score).all() and (entropy >= 0).all() and (at >= 0).all()):
        raise ValueError("entropies must not be negative and scores must be numbers")
    x_N = np.exp(entropy)
    spread = float(((x_N - x_N.mean()) ** 2).sum())
    if spread < 1e-12:
        raise ValueError("all entropies are alike: the law has no slope to fit")
    slope = float((x_N - x_N.mean()) @ score) / spread
    rest_N = score - score.mean() - slope * (x_N - x_N.mean())
    noise = float(np.sqrt(rest_N @ rest_N / (entropy.size - 2)))
    t = float(stats.t.ppf((1 + LEVEL) / 2, entropy.size - 2))

    def on_line(at_entropy: float, extra: float) -> OnLine:
        away = float(np.exp(at_entropy) - x_N.mean())
        reach = t * noise * float(np.sqrt(extra + 1 / entropy.size + away**2 / spread))
        value = float(score.mean()) + slope * away
        outside = not entropy.min() <= at_entropy <= entropy.max()
        return OnLine(entropy=at_entropy, value=value, low=value - reach, high=value + reach,
                      is_extrapolated=outside)  # fmt: skip

    reach = t * noise / float(np.sqrt(spread))
    return EntropyLaw(
        a=-slope,
        a_low=-slope - reach,
        a_high=-slope + reach,
        ceiling=on_line(0.0, 0.0),
        predictions=tuple(on_line(float(h), 1.0) for h in at),
        noise=noise,
        num_points=int(entropy.size),
    )
