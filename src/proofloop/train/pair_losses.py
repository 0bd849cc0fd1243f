"""Losses of preference pairs, of whole answers.

Axes: N trained tokens, G pairs, S = 2 answers of each: chosen, rejected.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from proofloop.train.objective import PairObjective


class Margins(NamedTuple):
    """Of G pairs."""

    loss_G: Tensor
    margin_G: Tensor
    """What the chosen answer is ahead by: beta times log ratios, or scores; nothing beside."""


def dpo(
    objective: PairObjective, logprobs_GS: Tensor, reference_GS: Tensor, lengths_GS: Tensor
) -> Margins:
    """-log sigma(beta (log pi/ref(chosen) - log pi/ref(rejected))), of whole answers (Rafailov
    et al. 2023, arXiv:2305.18290, eq. 7).

    `label_smoothing` e: a pair is taken to be the wrong way round with probability e (Mitchell
    2023, "A note on DPO with noisy preferences", eq. 3).  `length_normalised`: means per token
    in place of sums (Lambert et al. 2024, Tülu 3, arXiv:2411.15124, eq. 6); with
    `reference_free` (ref = 1) and `margin` gamma it is SimPO (Meng et al. 2024, arXiv:2405.14734,
    eq. 6).
    """
    ratios_GS = logprobs_GS if objective.reference_free else logprobs_GS - reference_GS
    if objective.length_normalised:
        ratios_GS = ratios_GS / lengths_GS
    margin_G = objective.beta * (ratios_GS[:, 0] - ratios_GS[:, 1])
    return Margins(_log_loss(margin_G - objective.margin, objective.label_smoothing), margin_G)


def bradley_terry(objective: PairObjective, scores_GS: Tensor, offsets_GS: Tensor) -> Margins:
    """-log sigma(r(chosen) - r(rejected) - margin): the likelihood of the choices where each answer
    wins with odds exp r (Bradley & Terry 1952; Ouyang et al. 2022, eq. 1; the margin as in Touvron
    et al. 2023, Llama 2, eq. 2).  `offsets`: what else is said to have decided, such as length,
    added to the scores while they are learned and left out of them after."""
    logit_GS = scores_GS + offsets_GS
    logit_G = logit_GS[:, 0] - logit_GS[:, 1] - objective.margin
    loss_G = _log_loss(logit_G, objective.label_smoothing)
    return Margins(loss_G, scores_GS[:, 0] - scores_GS[:, 1])


def _log_loss(logit_G: Tensor, smoothing: float) -> Tensor:
    return -(1 - smoothing) * F.logsigmoid(logit_G) - smoothing * F.logsigmoid(-logit_G)


def pair_sums(values_N: Tensor, lengths: Tensor) -> Tensor:
    """Sums (G, 2) over the tokens of each answer, given all of them one after another."""
    sums = torch.zeros(len(lengths), dtype=values_N.dtype, device=values_N.device)
    return sums.index_add(0, torch.repeat_interleave(lengths), values_N).unflatten(0, (-1, 2))
