"""Preference pairs: one answer that is to be preferred to another, and what is learned of them.

A pair is a bundle of two samples with one context, the chosen one first; bundles are never cut, so
that any micro-batching and any number of workers give the same gradient over one denominator, the
number of pairs.  Not here: the losses (`train.pair_losses`), where pairs come from (`runs.pairs`),
the loop (`train.loop_pairs`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from proofloop.core.task import TaskId
from proofloop.train.samples import Bundle, Sample
from proofloop.train.scoring import Question

LENGTH_UNIT = 100
"""Tokens; lengths in logits are in hundreds."""


class Answer(NamedTuple):
    """What follows a pair's context."""

    tokens: tuple[int, ...]
    """All of them, a stop token at the end where there is one."""
    sampled: tuple[bool, ...]
    """False for what tools or templates put between turns."""

    @property
    def length(self) -> int:
        """Tokens that the policy wrote."""
        return sum(self.sampled)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two answers to one prompt."""

    task_id: TaskId
    """Pairs of one prompt share it."""
    context: tuple[int, ...]
    chosen: Answer
    rejected: Answer

    @property
    def answers(self) -> tuple[Answer, Answer]:
        return self.chosen, self.rejected


def policy_question(pair: Pair, answer: Answer) -> Question:
    return Question(context=pair.context, tokens=answer.tokens)


def score_question(context: tuple[int, ...], tokens: tuple[int, ...]) -> Question:
    """What is said before a token that comes after the answer is of the whole answer."""
    return Question(context=context, tokens=(*tokens, _AFTER))


_AFTER = 0
"""Any token: it is foretold, never read."""


def policy_bundle(pair: Pair, references: Sequence[Sequence[float]] | None) -> Bundle:
    """For `dpo`: every sampled token trains.  `references`: log-probabilities of all tokens of
    either answer under the weights of the start."""
    return Bundle(
        samples=tuple(
            Sample(
                context=pair.context,
                tokens=answer.tokens,
                trained=answer.sampled,
                sampler_logprobs=(0.0,) * len(answer.tokens),
                advantages=(0.0,) * len(answer.tokens),
                reference_logprobs=None if references is None else tuple(references[i]),
            )
            for i, answer in enumerate(pair.answers)
        )
    )


def score_bundle(pair: Pair, length_slope: float) -> Bundle:
    """For `bradley_terry`: the state after each answer trains, and its place for an advantage holds
    the answer's offset, `length_slope` a hundred tokens."""
    return Bundle(samples=tuple(_scored(pair.context, a, length_slope) for a in pair.answers))


def _scored(context: tuple[int, ...], answer: Answer, length_slope: float) -> Sample:
    before = len(answer.tokens)
    return Sample(
        context=context,
        tokens=(*answer.tokens, _AFTER),
        trained=(*(False,) * before, True),
        sampler_logprobs=(0.0,) * (before + 1),
        advantages=(*(0.0,) * before, length_slope * answer.length / LENGTH_UNIT),
    )


def length_offset(pairs: Sequence[Pair]) -> float:
    """By how much a hundred tokens more raise the log odds of being chosen, length being all that
    is known: the maximum of the Bradley–Terry likelihood with r = slope x length, between -50 and
    50.  0 where the two answers of every pair are equally long.

    Held in the loss while scores are learned, these then explain what length does not: a product of
    experts, one of them biased on purpose (Clark et al. 2019, arXiv:1909.03683, section 3.2).
    """
    ahead_P = np.array([p.chosen.length - p.rejected.length for p in pairs]) / LENGTH_UNIT
    if not ahead_P.any():
        return 0.0

    def gradient(slope: float) -> float:
        return float((ahead_P / (1 + np.exp(slope * ahead_P))).sum())

    low, high = -50.0, 50.0
    if gradient(low) <= 0 or gradient(high) >= 0:  # one length always wins
        return low if gradient(0.0) < 0 else high
    return _root(gradient, low, high)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Of a falling function, by halving, to the last bit."""
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return middle
