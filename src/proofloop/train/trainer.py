"""The gradient of a share of a batch; every worker runs this file, `train.optimiser` the sum.

One global denominator, the number of trained tokens of the whole batch, makes the gradient the
same for any cut into micro-batches and any number of workers.

Axes: G bundles, S samples a bundle, T tokens after the context, P context positions, V vocabulary.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from proofloop.core.errors import TrainingHalted
from proofloop.engine.models.decoder import Decoder
from proofloop.train.config import LossKind
from proofloop.train.losses import LOSSES
from proofloop.train.samples import Bundle, micro_batches


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """Bundles as tensors; inputs are the context's last token and all tokens but the last."""

    contexts_GP: Tensor
    lengths_G: Tensor
    inputs_GST: Tensor
    targets_GST: Tensor
    trained_GST: Tensor
    sampler_logprobs_GST: Tensor
    advantages_GST: Tensor


class GradientStats(NamedTuple):
    """Sums over trained tokens, so that shares of a batch add up; `gap_max` is a maximum."""

    loss: float = 0.0
    num_tokens: int = 0
    num_clipped: int = 0
    gap_sum: float = 0.0
    gap_max: float = 0.0
    """Largest |trainer - sampler| log-probability of a trained token, nats."""

    def __add__(self, other: "GradientStats") -> "GradientStats":  # type: ignore[override]
        return GradientStats(
            self.loss + other.loss,
            self.num_tokens + other.num_tokens,
            self.num_clipped + other.num_clipped,
            self.gap_sum + other.gap_sum,
            max(self.gap_max, other.gap_max),
        )


def check_logprob_gap(stats: GradientStats, bound: float) -> None:
    """Raises TrainingHalted where sampler and trainer are not the same policy."""
    mean = stats.gap_sum / max(1, stats.num_tokens)
    if mean > bound:
        raise TrainingHalted(
            f"sampler and trainer disagree: mean |Δ log-probability| {mean:.4f} nats over "
            f"{stats.num_tokens} tokens, bound {bound} (train.max_logprob_gap). The sampler "
            "probably runs other weights or another temperature; see `proofloop peek`"
        )


def collate(bundles: list[Bundle]) -> MicroBatch:
    """Right-padded tensors; padding is never trained."""
    G, S = len(bundles), max(len(b.samples) for b in bundles)
    T = max(b.longest for b in bundles)
    P = max(1, max(len(b.context) - 1 for b in bundles))
    contexts_GP = torch.zeros(G, P, dtype=torch.long)
    inputs_GST = torch.zeros(G, S, T, dtype=torch.long)
    targets_GST = torch.zeros(G, S, T, dtype=torch.long)
    trained_GST = torch.zeros(G, S, T, dtype=torch.bool)
    logprobs_GST = torch.zeros(G, S, T)
    advantages_GST = torch.zeros(G, S, T)
    for g, bundle in enumerate(bundles):
        contexts_GP[g, : len(bundle.context) - 1] = torch.tensor(bundle.context[:-1])
        for s, sample in enumerate(bundle.samples):
            n = len(sample.tokens)
            inputs_GST[g, s, :n] = torch.tensor((bundle.context[-1], *sample.tokens[:-1]))
            targets_GST[g, s, :n] = torch.tensor(sample.tokens)
            trained_GST[g, s, :n] = torch.tensor(sample.trained)
            logprobs_GST[g, s, :n] = torch.tensor(sample.sampler_logprobs)
            advantages_GST[g, s, :n] = torch.tensor(sample.advantages)
    return MicroBatch(
        contexts_GP=contexts_GP,
        lengths_G=torch.tensor([len(b.context) - 1 for b in bundles]),
        inputs_GST=inputs_GST,
        targets_GST=targets_GST,
        trained_GST=trained_GST,
        sampler_logprobs_GST=logprobs_GST,
        advantages_GST=advantages_GST,
    )


def trained_logprobs(model: Decoder, batch: MicroBatch, temperature: float) -> Tensor:
    """Log-probabilities (N,) of the trained tokens under the sampling distribution, nats."""
    _, context = model.encode_context(batch.contexts_GP, batch.lengths_G)
    hidden_GSTC = model.extend(batch.inputs_GST, context)
    logits_NV = model.logits(hidden_GSTC[batch.trained_GST]) / temperature
    targets_N = batch.targets_GST[batch.trained_GST]
    return logits_NV.log_softmax(dim=-1).gather(-1, targets_N[:, None])[:, 0]


def accumulate(
    model: Decoder,
    bundles: list[Bundle],
    *,
    loss: LossKind,
    denominator: int,
    temperature: float,
    max_positions: int,
) -> GradientStats:
    """Adds the gradient of sum(loss) / denominator over `bundles` to the parameters' `.grad`."""
    stats = GradientStats()
    for part in micro_batches(bundles, max_positions=max_positions):
        batch = collate(part)
        logprobs_N = trained_logprobs(model, batch, temperature)
        sampler_N = batch.sampler_logprobs_GST[batch.trained_GST]
        advantages_N = batch.advantages_GST[batch.trained_GST]
        token_loss = LOSSES[loss](logprobs_N, sampler_N, advantages_N)
        total = token_loss.loss.sum()
        (total / denominator).backward()
        gaps_N = (logprobs_N.detach() - sampler_N).abs()
        stats += GradientStats(
            loss=float(total.detach()),
            num_tokens=len(gaps_N),
            num_clipped=int(token_loss.clipped.sum()),
            gap_sum=float(gaps_N.sum()),
            gap_max=float(gaps_N.max()),
        )
    return stats
