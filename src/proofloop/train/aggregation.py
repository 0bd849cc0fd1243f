"""From losses of tokens to the loss of a batch: what a token weighs, and one global denominator.

Both are settled before anything is cut into micro-batches or dealt out to workers, so that any cut
gives the same gradient.  Tokens that do not train count nowhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from proofloop.train.config import Aggregation
from proofloop.train.samples import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """The samples of an update by group, and what the sum of weight x loss is divided by."""

    groups: list[list[Sample]]
    denominator: int


def weigh(
    groups: Sequence[Sequence[Sample]], aggregation: Aggregation, *, max_tokens: int
) -> Weighed:
    """With T_i the trained tokens of sequence i, over all B sequences of P prompts (a rollout whose
    context began anew is as many sequences as it has contexts):

    - `tokens`: sum of all / sum of T_i.  Long answers weigh more (DAPO, 2025, eq. 8).
    - `sequences`: mean over sequences of their token means (GRPO, Shao et al. 2024, eq. 3).
      Long wrong answers are punished less a token.
    - `prompts`: mean over prompts of the token means of their group (ScaleRL, Khatri et al. 2025).
    - `constant`: sum of all / (B x max_tokens): up to that factor the sum over each sequence, which
      is the unbiased policy gradient (Dr. GRPO, Liu et al. 2025, section 3.2).
    """
    lengths = [[s.num_trained_tokens for s in group] for group in groups]
    num_sequences = sum(map(len, lengths))
    match aggregation:
        case Aggregation.TOKENS:
            return Weighed(groups=[list(g) for g in groups], denominator=sum(map(sum, lengths)))
        case Aggregation.CONSTANT:
            denominator = num_sequences * max_tokens
            return Weighed(groups=[list(g) for g in groups], denominator=denominator)
        case Aggregation.SEQUENCES:
            weighed = [[replace(s, weight=1 / s.num_trained_tokens) for s in g] for g in groups]
            return Weighed(groups=weighed, denominator=num_sequences)
        case Aggregation.PROMPTS:
            weighed = [
                [replace(s, weight=1 / sum(own)) for s in g]
                for g, own in zip(groups, lengths, strict=True)
            ]
            return Weighed(groups=weighed, denominator=len(groups))
        case _:
            assert_never(aggregation)
