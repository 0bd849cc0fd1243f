"""An interval for the mean of values in [0, 1] that asks nothing of their distribution."""

import numpy as np
from numpy.typing import ArrayLike

from proofloop.measure.estimators.interval import LEVEL

NUM_DRAWS = 20_000


def bounded_mean(values_T: ArrayLike, *, repeat: float = 1.0, seed: int = 0) -> tuple[float, float]:
    """95% interval of the mean of independent values in [0, 1].

    Upper end: the (1+level)/2 quantile of `sum w_i x_i + w_(T+1) * 1` for weights w drawn from a
    flat Dirichlet of T+1 places, that is the Bayesian bootstrap with one more task at the bound;
    lower end alike with the bound 0 (Gaffke 2005, Math. Methods Statist. 14; Learned-Miller &
    Thomas 2019, arXiv:1905.06208).  For values of 0 and 1 it is Clopper-Pearson.  It never fell
    short of its level in anyone's simulations and is proven to hold in special cases only; its
    price is width: it overcovers where values vary little.  `bootstrap_mean` is narrower.
    The quantiles come from `NUM_DRAWS` draws under `seed`.  `repeat` is for plans: the interval if
    every value had been seen so many times.
    Raises ValueError where there is no value or one lies outside of [0, 1].
    """
    x_T = np.asarray(values_T, np.float64)
    if x_T.size == 0 or not np.all((x_T >= 0) & (x_T <= 1)):
        raise ValueError("a bounded mean needs values in [0, 1], at least one")
    # Equal values share a weight: the sum of m flat places is one place of Gamma(m).
    x_U, count_U = np.unique(x_T, return_counts=True)
    rng = np.random.default_rng(seed)
    weight_DU = rng.gamma(count_U * repeat, size=(NUM_DRAWS, x_U.size))
    spare_D = rng.exponential(size=NUM_DRAWS)
    total_D, sum_D = weight_DU.sum(axis=1) + spare_D, weight_DU @ x_U
    low = float(np.quantile(sum_D / total_D, (1 - LEVEL) / 2))
    high = float(np.quantile((sum_D + spare_D) / total_D, (1 + LEVEL) / 2))
    return (0.0 if x_U[-1] == 0 else low), (1.0 if x_U[0] == 1 else high)
