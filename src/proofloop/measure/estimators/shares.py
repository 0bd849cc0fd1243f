"""Intervals of simple shares of independent trials.

Trials may be a fraction: those of a clustered sample divided by its design effect.
"""

import math
from statistics import NormalDist

from scipy.special import betaincinv

from proofloop.measure.estimators.interval import LEVEL


def wilson(num_passed: float, num_total: float) -> tuple[float, float]:
    """95% Wilson score interval of a simple share of independent trials (Wilson 1927).

    `(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)`.  Not for attempts that share tasks.
    """
    share = _share(num_passed, num_total)
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    z2n = z * z / num_total
    centre = share + z2n / 2
    reach = z * math.sqrt(share * (1 - share) / num_total + z2n / (4 * num_total))
    return (
        max(0.0, (centre - reach) / (1 + z2n)),
        min(1.0, (centre + reach) / (1 + z2n)),
    )


def clopper_pearson(num_passed: float, num_total: float) -> tuple[float, float]:
    """95% exact interval of a simple share of independent trials (Clopper & Pearson 1934).

    Quantiles of Beta(c, n-c+1) and Beta(c+1, n-c).  Not for attempts that share tasks.
    """
    _share(num_passed, num_total)
    failed = max(num_total - num_passed, 0.0)
    tail = (1 - LEVEL) / 2
    low = 0.0 if num_passed <= 0 else float(betaincinv(num_passed, failed + 1, tail))
    high = 1.0 if failed <= 0 else float(betaincinv(num_passed + 1, failed, 1 - tail))
    return low, high


def _share(num_passed: float, num_total: float) -> float:
    slack = 1e-9 * num_total
    if num_total <= 0 or not -slack <= num_passed <= num_total + slack:
        raise ValueError(f"no share of {num_passed} in {num_total}")
    return min(max(num_passed / num_total, 0.0), 1.0)
