"""A straight trend over steps."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from proofloop.core.record import Record
from proofloop.measure.estimators.interval import LEVEL


class Slope(Record):
    """A trend a step, by least squares, with its 95% interval."""

    value: float
    low: float
    high: float


def slope(steps: Sequence[int], values: Sequence[float]) -> Slope | None:
    """Taking the steps' noise for independent and alike; None for fewer than ten steps, where the
    normal interval would be too narrow."""
    n = len(steps)
    if n < 10 or len(set(steps)) < 2:
        return None
    x, y = np.asarray(steps, np.float64), np.asarray(values, np.float64)
    x, y = x - x.mean(), y - y.mean()
    value = float(x @ y / (x @ x))
    rest = y - value * x
    error = math.sqrt(float(rest @ rest) / (n - 2) / float(x @ x))
    reach = NormalDist().inv_cdf((1 + LEVEL) / 2) * error
    return Slope(value=value, low=value - reach, high=value + reach)
