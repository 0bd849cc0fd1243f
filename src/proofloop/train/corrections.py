"""Corrections for a trainer that does not rate tokens quite as the sampler did.

Other kernels, another precision or staler weights make the sampler's distribution another one than
the trainer's.  The trainer rates the sampled tokens itself at the start of the step; with k the
ratio of its probability to the sampler's, what is trained is a weight of k times the loss, whose
own ratio is against the trainer's earlier self and no longer against the sampler.  What is masked
leaves numerator and denominator.

Axes: T tokens of one sequence that the policy sampled.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from proofloop.train.config import Correction
from proofloop.train.objective import Objective
from proofloop.train.samples import Sample

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Corrected(NamedTuple):
    """Of one sequence's sampled tokens."""

    weights_T: Floats
    kept_T: Bools
    capped_T: Bools


def correct(objective: Objective, log_k_T: Floats) -> Corrected:
    """Weights and masks from log ratios of trainer to sampler, nats.

    - `token`: min(k, cap), nothing masked.  Truncated importance sampling (Yao et al. 2025, "Your
      efficient RL framework secretly brings you off-policy RL training"; cap 2).
    - `sequence`: whole sequences are masked whose geometric mean of k leaves [low, high]; no
      weights (the masking that TRL and SkyRL call by that name).
    - `icepop`: tokens are masked whose k leaves [low, high], the others weighted by it (Ling team
      2025, "Every step evolves", arXiv:2510.18855; 0.5 to 5).  The paper's masked tokens stay in
      the denominator, ours do not.
    """
    k_T = np.exp(log_k_T)
    ones_T, every_T = np.ones_like(k_T), np.ones(len(k_T), dtype=np.bool_)
    match objective.correction:
        case Correction.NONE:
            return Corrected(ones_T, every_T, ~every_T)
        case Correction.TOKEN:
            cap = objective.correction_cap
            return Corrected(np.minimum(k_T, cap), every_T, k_T > cap)
        case Correction.SEQUENCE:
            mean = float(np.exp(log_k_T.mean()))
            kept = objective.sequence_low <= mean <= objective.sequence_high
            return Corrected(ones_T, every_T & kept, ~every_T)
        case Correction.ICEPOP:
            kept_T = (objective.icepop_low <= k_T) & (k_T <= objective.icepop_high)
            return Corrected(k_T, kept_T, ~every_T)
        case _:
            assert_never(objective.correction)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectionStats:
    """Over all tokens that were to train, before any were masked."""

    num_tokens: int = 0
    num_masked: int = 0
    num_capped: int = 0
    gap_sum: float = 0.0
    gap_max: float = 0.0
    """|trainer - sampler| log-probability, nats."""


def corrected_samples(
    objective: Objective,
    groups: Sequence[Sequence[Sample]],
    trainer_logprobs: Sequence[Sequence[Sequence[float]]],
) -> tuple[list[list[Sample]], CorrectionStats]:
    """The samples as they train, given the trainer's own log-probabilities of all their tokens
    (trained or not); those without a trained token left are gone, and so are empty groups."""
    after: list[list[Sample]] = []
    log_ks: list[Floats] = []
    verdicts: list[Corrected] = []
    for group, of_group in zip(groups, trainer_logprobs, strict=True):
        kept_samples: list[Sample] = []
        for sample, own in zip(group, of_group, strict=True):
            log_ks.append(np.subtract(own, sample.sampler_logprobs)[np.array(sample.trained)])
            verdicts.append(correct(objective, log_ks[-1]))
            if verdicts[-1].kept_T.any():
                kept_samples.append(_sample(sample, own, verdicts[-1]))
        if kept_samples:
            after.append(kept_samples)
    gaps = np.abs(np.concatenate(log_ks)) if log_ks else np.zeros(0)
    return after, CorrectionStats(
        num_tokens=len(gaps),
        num_masked=sum(int((~v.kept_T).sum()) for v in verdicts),
        num_capped=sum(int(v.capped_T.sum()) for v in verdicts),
        gap_sum=float(gaps.sum()),
        gap_max=float(gaps.max(initial=0.0)),
    )


def _sample(sample: Sample, own: Sequence[float], verdict: Corrected) -> Sample:
    """A loss is as long as its advantage, so weights go into advantages."""
    trained = np.array(sample.trained)
    weights, kept = np.zeros(len(trained)), np.zeros(len(trained), dtype=np.bool_)
    weights[trained], kept[trained] = verdict.weights_T, verdict.kept_T
    return replace(
        sample,
        trained=tuple(kept.tolist()),
        sampler_logprobs=tuple(np.where(kept, sample.sampler_logprobs, 0.0).tolist()),
        advantages=tuple(np.where(kept, weights * sample.advantages, 0.0).tolist()),
        old_logprobs=tuple(np.where(kept, own, 0.0).tolist()),
    )
