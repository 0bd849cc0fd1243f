"""Log-probabilities of given tokens in given contexts, by the trainer's own arithmetic.

What a self-teacher says of a rollout (`train.distil`), or what any other weights would: whoever
asks chooses the weights by choosing whom to ask.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from proofloop.core.rollout import Rollout
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.scalar_head import ScalarHead
from proofloop.train.packing import packs
from proofloop.train.samples import Bundle, Sample, continuation_of, micro_batches
from proofloop.train.trainer import MicroBatch, collate, trained_hidden, trained_logprobs


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Tokens, and what stands before them; neither may be empty."""

    context: tuple[int, ...]
    tokens: tuple[int, ...]


def question_of(rollout: Rollout) -> Question:
    """All tokens after the first context, in their order (`continuation_of`)."""
    tokens = tuple(continuation_of(rollout).tokens)
    return Question(context=rollout.turns[0].context, tokens=tokens)


@torch.inference_mode()
def logprobs_of(
    model: Decoder, questions: list[Question], *, max_positions: int, temperature: float = 1.0
) -> list[tuple[float, ...]]:
    """One tuple a question, in order, one number a token: nats, each given all before it.

    Equal contexts are not shared: what is asked of, mostly differs.  Raises ValueError for an empty
    context, no tokens, or more positions than the model has.
    """
    return _asked(
        model,
        questions,
        lambda batch: trained_logprobs(model, batch, temperature),
        max_positions=max_positions,
    )


@torch.inference_mode()
def values_of(
    model: Decoder, head: ScalarHead, questions: list[Question], *, max_positions: int
) -> list[tuple[float, ...]]:
    """The same, of what `head` says of the state before each token."""
    return _asked(
        model,
        questions,
        lambda batch: head(trained_hidden(model, batch)),
        max_positions=max_positions,
    )


def _asked(
    model: Decoder,
    questions: list[Question],
    answer: Callable[[MicroBatch], Tensor],
    *,
    max_positions: int,
) -> list[tuple[float, ...]]:
    bundles = [_bundle(question) for question in questions]
    limit = model.config.max_position_embeddings
    longest = max((b.num_positions for b in bundles), default=0)
    if longest > limit:
        raise ValueError(f"asked for {longest} positions, the model has {limit}")
    places = {id(bundle): i for i, bundle in enumerate(bundles)}
    found: dict[int, tuple[float, ...]] = {}
    for part in micro_batches(bundles, max_positions=max_positions, padded=not packs(model)):
        values: list[float] = answer(collate(part).where(model)).tolist()
        for bundle in part:
            length = bundle.longest
            found[places[id(bundle)]], values = tuple(values[:length]), values[length:]
    return [found[i] for i in range(len(bundles))]


def _bundle(question: Question) -> Bundle:
    length = len(question.tokens)
    sample = Sample(
        context=question.context,
        tokens=question.tokens,
        trained=(True,) * length,
        sampler_logprobs=(0.0,) * length,
        advantages=(0.0,) * length,
    )
    return Bundle(samples=(sample,))
