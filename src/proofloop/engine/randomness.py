"""Random numbers that belong to a sample, not to a batch: a pure function of (seed, position)."""

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014, figure 16)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniforms(seeds_N: NDArray[np.uint64], position: int) -> NDArray[np.float64]:
    """One number in [0, 1) per seed; position t is the t-th output of the seed's own stream."""
    with np.errstate(over="ignore"):
        states = _mixed(seeds_N) + _GOLDEN * np.uint64(position + 1)
        bits = _mixed(states) >> np.uint64(11)
    return bits.astype(np.float64) * 2.0**-53
