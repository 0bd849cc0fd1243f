"""False-discovery control over many tests at once."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def benjamini_hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """q-values in the order given: rejecting all q <= a keeps the expected false share under a.

    With p sorted upwards, `q_(i) = min over j >= i of min(1, m p_(j) / j)` (Benjamini & Hochberg
    1995, the adjusted form of their eq. 1).  Holds for independent tests and for positively
    dependent ones (Benjamini & Yekutieli 2001); discrete tests such as Fisher's only make it more
    careful.  NaN is a test that was not made: it stays NaN and does not count in m.
    Raises ValueError where a p-value is outside [0, 1], or the array is not flat.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or np.any((p < 0) | (p > 1)):
        raise ValueError("p-values must be a flat array of numbers in [0, 1]")
    made = np.flatnonzero(~np.isnan(p))
    order = made[np.argsort(p[made], kind="stable")]
    scaled = p[order] * order.size / np.arange(1, order.size + 1)
    q = np.full_like(p, np.nan)
    q[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return q
