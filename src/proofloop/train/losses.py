"""Losses of single tokens; weights and denominators are `train.aggregation`'s.

All take log-probabilities in nats under the trained policy and under the one that ratios are
against (the sampler's; the trainer's own at the start of the step where `train.correction` tells
the two apart), and advantages, of one shape (N,), and give losses of that shape.
"""

from typing import NamedTuple, assert_never

import torch
from torch import Tensor

from proofloop.train.config import LossKind
from proofloop.train.objective import Objective


class TokenLoss(NamedTuple):
    """Losses, and where the importance weight was cut."""

    loss: Tensor
    clipped: Tensor


def token_loss(
    objective: Objective,
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    lengths: Tensor,
) -> TokenLoss:
    """The loss that the recipe names.  `lengths`: how many of the N tokens each sequence has, the
    sequences one after the other."""
    low, high = objective.clip_low, objective.clip_high
    match objective.loss:
        case LossKind.CISPO:
            return cispo(logprobs, old_logprobs, advantages, cap=objective.cispo_cap)
        case LossKind.CLIP:
            ratio = (logprobs - old_logprobs).exp()
            return clip(ratio, advantages, low=low, high=high, dual=objective.dual_clip)
        case LossKind.GSPO:
            ratio = sequence_ratio(logprobs, old_logprobs, lengths)
            return clip(ratio, advantages, low=low, high=high, dual=objective.dual_clip)
        case LossKind.POLICY_GRADIENT | LossKind.LIKELIHOOD:
            return log_likelihood(logprobs, advantages)
        case _:
            assert_never(objective.loss)


def cispo(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, *, cap: float) -> TokenLoss:
    """-sg(min(ratio, cap)) A log p: every token keeps its gradient, only its weight is bounded
    (MiniMax-M1, 2025, eq. 4; cap 5 as in ScaleRL)."""
    ratio = (logprobs - old_logprobs).exp().detach()
    return TokenLoss(-ratio.clamp(max=cap) * advantages * logprobs, ratio > cap)


def clip(
    ratio: Tensor, advantages: Tensor, *, low: float, high: float, dual: float = 0.0
) -> TokenLoss:
    """-min(ratio A, clip(ratio, 1 - low, 1 + high) A): PPO's surrogate (Schulman et al. 2017,
    eq. 7) with a range of two ends (DAPO, 2025, eq. 10) and, for negative advantages and `dual`
    above 0, never below dual A (Ye et al. 2020, eq. 5)."""
    clipped_ratio = ratio.clamp(1 - low, 1 + high)
    surrogate = torch.minimum(ratio * advantages, clipped_ratio * advantages)
    if dual:
        bounded = surrogate.clamp(min=dual * advantages)
        surrogate = torch.where(advantages < 0, bounded, surrogate)
    return TokenLoss(-surrogate, surrogate != ratio * advantages)


def sequence_ratio(logprobs: Tensor, old_logprobs: Tensor, lengths: Tensor) -> Tensor:
    """For every token the geometric mean of its sequence's ratios, with the gradient of all of
    them (Zheng et al. 2025, GSPO, arXiv:2507.18071, eq. 7)."""
    sequence_N = torch.repeat_interleave(lengths)
    sums_S = logprobs.new_zeros(len(lengths))
    sums_S = sums_S.index_add(0, sequence_N, logprobs - old_logprobs)
    return (sums_S / lengths.clamp(min=1)).exp()[sequence_N]


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, *, clip: float) -> TokenLoss:
    """(V - R)² / 2, or that of V cut to old - clip … old + clip where it is larger: a value is not
    led further than that from where it was at the start of the step by one batch (Schulman et al.
    2017, eq. 9; cut as in Huang et al. 2022, "The 37 implementation details of PPO", number 9).
    clip 0: never cut."""
    plain = (values - returns).square() / 2
    if not clip:
        return TokenLoss(plain, torch.zeros_like(plain, dtype=torch.bool))
    held = old_values + (values - old_values).clamp(-clip, clip)
    cut = (held - returns).square() / 2
    return TokenLoss(torch.maximum(plain, cut), cut > plain)


def log_likelihood(logprobs: Tensor, advantages: Tensor) -> TokenLoss:
    """-A log p, whoever sampled: on policy the policy gradient (Williams 1992), and with advantage
    1 the negative log-likelihood of supervised fine-tuning.  Nothing is ever cut."""
    return TokenLoss(-advantages * logprobs, torch.zeros_like(logprobs, dtype=torch.bool))
