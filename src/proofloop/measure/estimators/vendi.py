"""Vendi score: how many unlike things a set holds, by a similarity that need not be all or nothing.

Axes: A right answers of one task, V n-grams.
"""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from proofloop.measure.estimators.diversity import DiversityChange, paired_change

Floats = NDArray[np.float64]

_TOLERANCE = 1e-8


def vendi_score(kernel_AA: ArrayLike) -> float:
    """`exp(-sum l_i log l_i)` over the eigenvalues l_i of kernel/n (Friedman & Dieng 2023, TMLR,
    def. 3.1).  1 where all are alike, n where none are; with the kernel of class identity it is
    the Hill number of order 1 of the sample.  Grows with n: compare by `vendi_at`.
    Raises ValueError for a kernel that is not square, symmetric, positive semidefinite and 1 on
    its diagonal.
    """
    kernel = np.asarray(kernel_AA, np.float64)
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or kernel.size == 0:
        raise ValueError(f"a kernel is a square of similarities, got shape {kernel.shape}")
    if not np.allclose(kernel, kernel.T, atol=_TOLERANCE) or not np.allclose(np.diag(kernel), 1.0):
        raise ValueError("a kernel must be symmetric, with ones on its diagonal")
    values = np.linalg.eigvalsh(kernel / len(kernel))
    if values[0] < -_TOLERANCE:
        raise ValueError(f"a kernel must be positive semidefinite; smallest eigenvalue {values[0]}")
    return float(np.exp(special.entr(np.clip(values, 0, None)).sum()))


def vendi_at(kernel_AA: ArrayLike, size: int, *, num_draws: int = 200, seed: int = 0) -> float:
    """Mean Vendi score of `size` of the n things, so that unequal n compare; over all subsets it is
    the unbiased estimate of what `size` fresh ones would score, here over `num_draws` of them.
    Raises ValueError for a size outside 1 … n.
    """
    kernel = np.asarray(kernel_AA, np.float64)
    n = len(kernel)
    if not 1 <= size <= n:
        raise ValueError(f"subsets go down: 1 <= size <= {n}, got {size}")
    whole = vendi_score(kernel)
    if size == n:
        return whole
    rng = np.random.default_rng(seed)
    scores = [
        vendi_score(kernel[np.ix_(chosen, chosen)])
        for chosen in (rng.choice(n, size, replace=False) for _ in range(num_draws))
    ]
    return float(np.mean(scores))


def vendi_change(
    base: Sequence[ArrayLike], trained: Sequence[ArrayLike], size: int, *, seed: int = 0
) -> DiversityChange | None:
    """Vendi score of `size` right answers, trained minus base, from a kernel a task on either
    side (of all its right answers; an empty one for none), paired on tasks that have `size`.

    Intervals resample tasks.  None where fewer than two tasks remain.
    """
    values = [
        np.array(
            [vendi_at(k, size, seed=seed) if np.shape(k)[:1] >= (size,) else np.nan for k in side]
        )
        for side in (base, trained)
    ]
    return paired_change(values[0], values[1], span=size - 1.0)


def class_kernel(classes_A: Sequence[Hashable]) -> Floats:
    """1 where two things are of one class, else 0."""
    return np.array([[float(a == b) for b in classes_A] for a in classes_A])


def ngram_kernel(tokens_A: Sequence[Sequence[Hashable]], n: int = 2) -> Floats:
    """Cosine of counts of n-grams; texts too short for one are alike among themselves only."""
    if n < 1:
        raise ValueError(f"n-grams need n >= 1, got {n}")
    bags = [
        Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)) for tokens in tokens_A
    ]
    place = {gram: number for number, gram in enumerate({g for bag in bags for g in bag})}
    # One more column for what has no n-gram at all: it would have no direction.
    counts_AV = np.zeros((len(bags), len(place) + 1))
    for row, bag in zip(counts_AV, bags, strict=True):
        for gram, count in bag.items():
            row[place[gram]] = count
        row[-1] = float(not bag)
    unit_AV = counts_AV / np.linalg.norm(counts_AV, axis=1, keepdims=True)
    return unit_AV @ unit_AV.T
