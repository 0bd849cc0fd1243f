"""How far the policy has gone from the weights that the run started with, and what that costs.

With x a token that the policy p sampled, q the starting weights, and r = q(x) / p(x), Schulman's
estimators of KL(p || q) ("Approximating KL divergence", 2020, joschu.net/blog/kl-approx.html) are

    k1 = -log r            unbiased, of either sign
    k2 = (log r)^2 / 2     biased, little where p and q are near; never negative
    k3 = r - 1 - log r     unbiased, never negative

An unbiased value is not an unbiased gradient.  With samples of p itself, on average over them
(Tang and Munos 2025, arXiv:2506.09477; Liu et al. 2025, arXiv:2510.01555):

    in the loss    k1: 0, it teaches nothing     k2: that of KL(p || q)     k3: that of KL(q || p)
    in the reward  k1: that of KL(p || q)        k2, k3: neither's

`k1` in the loss is therefore refused when a recipe is loaded.  In the reward the sum over a
rollout's sampled tokens is taken off, before any baseline.
"""

from typing import assert_never

from torch import Tensor

from proofloop.train.config import KlEstimator


def kl(estimator: KlEstimator, logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Estimates of a token each, nats; of one shape."""
    log_r = reference_logprobs - logprobs
    match estimator:
        case KlEstimator.K1:
            return -log_r
        case KlEstimator.K2:
            return log_r.square() / 2
        case KlEstimator.K3:
            return log_r.exp() - 1 - log_r
        case _:
            assert_never(estimator)
