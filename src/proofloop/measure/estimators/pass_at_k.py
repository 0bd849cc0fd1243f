"""pass@k and pass^k: the chance that at least one, and that every one, of k attempts passes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def pass_at_k(num_samples_T: ArrayLike, num_passed_T: ArrayLike, ks: Sequence[int]) -> Floats:
    """Unbiased pass@k of every task: values_TK, NaN where k exceeds the task's samples.

    `1 - C(n-c, k) / C(n, k)` (Chen et al. 2021, arXiv:2107.03374, eq. 1), computed as
    `1 - prod_{i<k} (n-c-i) / (n-i)`, whose factors all lie in [0, 1], so nothing overflows.  At
    k = n it is only the indicator "solved at least once".
    Raises ValueError where counts are impossible or a k is not positive.
    """
    n_T, c_T, columns = _checked(num_samples_T, num_passed_T, ks, "pass@k")
    return 1.0 - _all_from(n_T, n_T - c_T, columns)


def pass_hat_k(num_samples_T: ArrayLike, num_passed_T: ArrayLike, ks: Sequence[int]) -> Floats:
    """Unbiased pass^k of every task, the chance that all of k attempts pass: values_TK, NaN where k
    exceeds the task's samples.

    `C(c, k) / C(n, k)` (tau-bench, Yao et al. 2024, arXiv:2406.12045, section 2), computed as
    `prod_{i<k} (c-i) / (n-i)`.  At k = n it is only the indicator "never failed".
    Raises ValueError where counts are impossible or a k is not positive.
    """
    n_T, c_T, columns = _checked(num_samples_T, num_passed_T, ks, "pass^k")
    return _all_from(n_T, c_T, columns)


def _checked(
    num_samples_T: ArrayLike, num_passed_T: ArrayLike, ks: Sequence[int], name: str
) -> tuple[Ints, Ints, Ints]:
    n_T, c_T = np.asarray(num_samples_T, dtype=np.int64), np.asarray(num_passed_T, dtype=np.int64)
    if n_T.shape != c_T.shape or np.any(c_T < 0) or np.any(c_T > n_T):
        raise ValueError("each task needs 0 <= num_passed <= num_samples")
    columns = np.asarray(ks, dtype=np.int64)
    if columns.size == 0 or columns.min() < 1:
        raise ValueError(f"{name} needs k >= 1, got {list(ks)}")
    return n_T, c_T, columns


def _all_from(n_T: Ints, kind_T: Ints, columns: Ints) -> Floats:
    """Chance that k of n, drawn without putting back, are all of a kind: C(kind, k) / C(n, k)."""
    drawn = np.arange(columns.max())
    left_TK = np.maximum(n_T[:, None] - drawn, 1)
    values_TK = np.cumprod(np.clip(kind_T[:, None] - drawn, 0, None) / left_TK, axis=1)
    values_TK = values_TK[:, columns - 1]
    values_TK[n_T[:, None] < columns] = np.nan
    return values_TK
