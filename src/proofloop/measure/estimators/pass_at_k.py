"""pass@k: the chance that at least one of k attempts at a task passes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def pass_at_k(num_samples_T: ArrayLike, num_passed_T: ArrayLike, ks: Sequence[int]) -> Floats:
    """Unbiased pass@k of every task: values_TK, NaN where k exceeds the task's samples.

    `1 - C(n-c, k) / C(n, k)` (Chen et al. 2021, arXiv:2107.03374, eq. 1), computed as
    `1 - prod_{i<k} (n-c-i) / (n-i)`, whose factors all lie in [0, 1], so nothing overflows.  At
    k = n it is only the indicator "solved at least once".
    Raises ValueError where counts are impossible or a k is not positive.
    """
    n_T, c_T = np.asarray(num_samples_T, dtype=np.int64), np.asarray(num_passed_T, dtype=np.int64)
    if n_T.shape != c_T.shape or np.any(c_T < 0) or np.any(c_T > n_T):
        raise ValueError("each task needs 0 <= num_passed <= num_samples")
    columns = np.asarray(ks, dtype=np.int64)
    if columns.size == 0 or columns.min() < 1:
        raise ValueError(f"pass@k needs k >= 1, got {list(ks)}")
    drawn = np.arange(columns.max())
    left_TK = np.maximum(n_T[:, None] - drawn, 1)
    failed_TK = np.clip(n_T[:, None] - c_T[:, None] - drawn, 0, None) / left_TK
    values_TK = 1.0 - np.cumprod(failed_TK, axis=1)[:, columns - 1]
    values_TK[n_T[:, None] < columns] = np.nan
    return values_TK
