"""The guess floor: what pass@k a guesser reaches where answers come from a short list.

Axes: T tasks, K values of k.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def guess_floor(num_choices_T: ArrayLike, ks: Sequence[int]) -> Floats:
    """pass@k of an even guess among m choices, `1 - (1 - 1/m)^k`: values_TK.

    Tasks with no list of choices have m = infinity and floor 0.  A model that guesses unevenly may
    lie below it: the floor is the pass@k of independent even guesses, not a bound.
    Raises ValueError for fewer than one choice or a k below 1.
    """
    choices_T = np.asarray(num_choices_T, np.float64)
    columns = np.asarray(ks, np.int64)
    if choices_T.ndim != 1 or np.isnan(choices_T).any() or np.any(choices_T < 1):
        raise ValueError("each task needs at least one choice (infinity where there is no list)")
    if columns.size == 0 or columns.min() < 1:
        raise ValueError(f"pass@k needs k >= 1, got {list(ks)}")
    with np.errstate(divide="ignore"):
        return -np.expm1(columns * np.log1p(-1 / choices_T[:, None]))


def above_guessing(values_TK: ArrayLike, num_choices_T: ArrayLike, ks: Sequence[int]) -> Floats:
    """pass@k less its floor: values_TK, NaN where a value is missing.  Not cut off at 0, which
    would turn noise around the floor into skill.
    Raises ValueError where values and tasks or ks do not line up.
    """
    values = np.asarray(values_TK, np.float64)
    floor = guess_floor(num_choices_T, ks)
    if values.shape != floor.shape:
        raise ValueError(f"values of shape {values.shape} for a floor of shape {floor.shape}")
    return values - floor
