"""Intervals of simple shares of independent trials."""

import math
from statistics import NormalDist

from proofloop.measure.estimators.interval import LEVEL


def wilson(num_passed: int, num_total: int) -> tuple[float, float]:
    """95% Wilson score interval of a simple share of independent trials (Wilson 1927).

    `(p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)`.  Not for attempts that share tasks.
    """
    if num_total <= 0 or not 0 <= num_passed <= num_total:
        raise ValueError(f"no share of {num_passed} in {num_total}")
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    share, z2n = num_passed / num_total, z * z / num_total
    centre = share + z2n / 2
    reach = z * math.sqrt(share * (1 - share) / num_total + z2n / (4 * num_total))
    return (
        max(0.0, (centre - reach) / (1 + z2n)),
        min(1.0, (centre + reach) / (1 + z2n)),
    )
