"""Losses of single tokens; sums and denominators are the trainer's.

All take log-probabilities in nats under the trained and the sampling policy, and advantages, of
one shape, and give losses of that shape: sum(loss) / (number of trained tokens in the whole batch)
is what is descended.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from proofloop.train.config import LossKind

CISPO_CAP = 5.0
CLIP_LOW, CLIP_HIGH, DUAL_CLIP = 0.2, 0.28, 10.0


class TokenLoss(NamedTuple):
    """Losses, and where the importance weight was cut."""

    loss: Tensor
    clipped: Tensor


def cispo(logprobs: Tensor, sampler_logprobs: Tensor, advantages: Tensor) -> TokenLoss:
    """-sg(min(ratio, cap)) A log p: every token keeps its gradient, only its weight is bounded
    (MiniMax-M1, 2025, eq. 4; cap 5 as in ScaleRL)."""
    ratio = (logprobs - sampler_logprobs).exp().detach()
    return TokenLoss(-ratio.clamp(max=CISPO_CAP) * advantages * logprobs, ratio > CISPO_CAP)


def clip_higher(logprobs: Tensor, sampler_logprobs: Tensor, advantages: Tensor) -> TokenLoss:
    """PPO's clipped surrogate with the decoupled range 0.2 / 0.28 (DAPO, 2025, eq. 10) and, for
    negative advantages, the dual clip at 10 (Ye et al. 2020, eq. 5)."""
    ratio = (logprobs - sampler_logprobs).exp()
    clipped_ratio = ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH)
    surrogate = torch.minimum(ratio * advantages, clipped_ratio * advantages)
    bounded = torch.where(advantages < 0, surrogate.clamp(min=DUAL_CLIP * advantages), surrogate)
    return TokenLoss(-bounded, bounded != ratio * advantages)


def likelihood(logprobs: Tensor, sampler_logprobs: Tensor, advantages: Tensor) -> TokenLoss:
    """-A log p, whoever sampled: with advantage 1 the negative log-likelihood of supervised
    fine-tuning.  No importance weight, so nothing is ever cut."""
    return TokenLoss(-advantages * logprobs, torch.zeros_like(logprobs, dtype=torch.bool))


LOSSES: dict[LossKind, Callable[[Tensor, Tensor, Tensor], TokenLoss]] = {
    LossKind.CISPO: cispo,
    LossKind.CLIP_HIGHER: clip_higher,
    LossKind.LIKELIHOOD: likelihood,
}
