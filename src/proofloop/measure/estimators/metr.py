"""METR's time horizon, as they compute it: a special case of `horizon`, for comparison.

Axes: T tasks, U distinct lengths, B resamples.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from proofloop.measure.estimators import clusters
from proofloop.measure.estimators.horizon import (
    NUM_RESAMPLES,
    SUCCESSES,
    HorizonFit,
    HorizonLink,
    Shape,
    checked_lengths,
    fit_link,
    shape_of,
)

RIDGE = 0.1


def metr_horizons(
    lengths_T: ArrayLike,
    num_samples_T: ArrayLike,
    num_passed_T: ArrayLike,
    families_T: ArrayLike,
    *,
    successes: Sequence[float] = SUCCESSES,
    ridge: float = RIDGE,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> HorizonFit:
    """METR's horizon (arXiv:2503.14499, appendix): a logit fit with weights and a ridge.

    A task weighs 1/sqrt(tasks of its family), all weights sum to 1, and half the squared slope per
    doubling of length is taken off the mean log-likelihood `ridge` times.  Families, tasks and runs
    are all drawn, as they do; those intervals are too wide (see `clusters`), and the ridge pulls
    h80 and h99 to shorter, the slope to flatter.  Theirs is 0 for an agent that never passes; here
    that is a mark.
    """
    data = clusters.counts(num_samples_T, num_passed_T, families_T)
    lengths = checked_lengths(lengths_T, data.num_tasks)
    weight_T = 1 / np.sqrt(np.bincount(data.family_T)[data.family_T])
    weight_T = weight_T / weight_T.sum() / (data.passed_T + data.failed_T)
    rows_US, row_T = clusters.rows_of(np.log(lengths))
    drawn = clusters.nested_counts(data, num_resamples, np.random.default_rng(seed))
    passed_BU, failed_BU = (clusters.summed(counts_BT * weight_T, row_T) for counts_BT in drawn)
    shape = shape_of(rows_US[:, 0], passed_BU[0], failed_BU[0])
    if shape is Shape.SEPARATED:
        shape = Shape.FITTED  # the ridge bounds the slope
    fitted = fit_link(rows_US[:, 0], passed_BU, failed_BU, HorizonLink.LOGIT, shape, data,
                  successes, np.array([0.0, ridge * np.log(2) ** 2]))  # fmt: skip
    return msgspec.structs.replace(fitted, aic=None)
