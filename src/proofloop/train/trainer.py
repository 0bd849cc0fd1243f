"""The gradient of a share of a batch; every worker runs this file, `train.optimiser` the sum.

One global denominator of the whole batch (`train.aggregation`) makes the gradient the same for any
cut into micro-batches and any number of workers.

Axes: G bundles, S samples a bundle, T tokens after the context, P context positions, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from proofloop.core.errors import TrainingHalted
from proofloop.engine.models.choices import chosen_logprobs
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.hub_network import HubNetwork
from proofloop.engine.models.scalar_head import ScalarHead
from proofloop.engine.native.training import can_train, packed_hidden
from proofloop.train.kl import kl
from proofloop.train.losses import token_loss, value_loss
from proofloop.train.objective import Objective, PairLoss, PairObjective
from proofloop.train.packing import packed, packs
from proofloop.train.pair_losses import bradley_terry, dpo, pair_sums
from proofloop.train.samples import Bundle, Sample, micro_batches


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
    old_logprobs_GST: Tensor
    """The sampler's where samples name no others."""
    reference_logprobs_GST: Tensor | None
    weights_GS: Tensor
    old_values_GST: Tensor | None = None
    returns_GST: Tensor | None = None

    @property
    def lengths(self) -> Tensor:
        """Trained tokens (G * S,) of each sample."""
        return self.trained_GST.sum(dim=-1).flatten()

    def where(self, model: Decoder) -> "MicroBatch":
        """The same where the weights of `model` are."""
        device = next(model.parameters()).device
        if self.lengths_G.device == device:
            return self
        values: dict[str, Tensor | None] = {f.name: getattr(self, f.name) for f in fields(self)}
        return MicroBatch(**{n: v if v is None else v.to(device) for n, v in values.items()})  # type: ignore[arg-type]


class GradientStats(NamedTuple):
    """Sums over trained tokens, so that shares of a batch add up; `gap_max` is a maximum."""

    loss: float = 0.0
    """Weighted as in the batch's loss, before its denominator."""
    num_tokens: int = 0
    num_clipped: int = 0
    gap_sum: float = 0.0
    gap_max: float = 0.0
    """Largest |trainer - sampler| log-probability of a trained token, nats."""
    ratio_sum: float = 0.0
    ratio_squared_sum: float = 0.0
    """Of the probabilities' ratio, trainer to sampler."""
    kl_sum: float = 0.0
    """Of the estimates in the loss, nats."""
    value_loss: float = 0.0
    """Weighted as in the batch's loss, but for `train.value_weight`."""
    num_pairs: int = 0
    num_right_pairs: int = 0
    margin_sum: float = 0.0
    """By how much chosen answers are ahead (`train.pairs`)."""

    def __add__(self, other: "GradientStats") -> "GradientStats":  # type: ignore[override]
        return GradientStats(
            self.loss + other.loss,
            self.num_tokens + other.num_tokens,
            self.num_clipped + other.num_clipped,
            self.gap_sum + other.gap_sum,
            max(self.gap_max, other.gap_max),
            self.ratio_sum + other.ratio_sum,
            self.ratio_squared_sum + other.ratio_squared_sum,
            self.kl_sum + other.kl_sum,
            self.value_loss + other.value_loss,
            self.num_pairs + other.num_pairs,
            self.num_right_pairs + other.num_right_pairs,
            self.margin_sum + other.margin_sum,
        )


def check_logprob_gap(stats: GradientStats, bound: float) -> None:
    """Raises TrainingHalted where sampler and trainer are not the same policy."""
    mean = stats.gap_sum / max(1, stats.num_tokens)
    if mean > bound:
        raise TrainingHalted(
            f"sampler and trainer disagree: mean |Δ log-probability| {mean:.4f} nats over "
            f"{stats.num_tokens} tokens, bound {bound} (train.max_logprob_gap). The sampler "
            "probably runs other weights, in another precision or at another temperature; see "
            "`proofloop peek`"
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
    weights_GS = [[*(x.weight for x in b.samples), *[1.0] * (S - len(b.samples))] for b in bundles]
    old_GST = _others(bundles, logprobs_GST, lambda sample: sample.old_logprobs)
    return MicroBatch(
        contexts_GP=contexts_GP,
        lengths_G=torch.tensor([len(b.context) - 1 for b in bundles]),
        inputs_GST=inputs_GST,
        targets_GST=targets_GST,
        trained_GST=trained_GST,
        sampler_logprobs_GST=logprobs_GST,
        advantages_GST=advantages_GST,
        old_logprobs_GST=logprobs_GST if old_GST is None else old_GST,
        reference_logprobs_GST=_others(bundles, logprobs_GST, lambda s: s.reference_logprobs),
        weights_GS=torch.tensor(weights_GS),
        old_values_GST=_others(bundles, logprobs_GST, lambda s: s.old_values),
        returns_GST=_others(bundles, logprobs_GST, lambda s: s.returns),
    )


def _others(
    bundles: list[Bundle], like_GST: Tensor, read: Callable[[Sample], tuple[float, ...] | None]
) -> Tensor | None:
    """Numbers of tokens that all samples have, or none."""
    if read(bundles[0].samples[0]) is None:
        return None
    values_GST = torch.zeros_like(like_GST)
    for g, bundle in enumerate(bundles):
        for s, sample in enumerate(bundle.samples):
            values = read(sample)
            assert values is not None, "asked for all samples of a step, or for none"
            values_GST[g, s, : len(values)] = torch.tensor(values)
    return values_GST


def trained_logprobs(model: Decoder, batch: MicroBatch, temperature: float) -> Tensor:
    """Log-probabilities (N,) of the trained tokens under the sampling distribution, nats."""
    if isinstance(model, HubNetwork):
        targets_N = batch.targets_GST[batch.trained_GST]
        parts = (batch.contexts_GP, batch.lengths_G, batch.inputs_GST, batch.trained_GST)
        return model.token_logprobs(*parts, targets_N, temperature)
    return target_logprobs(model, trained_hidden(model, batch), batch, temperature)


def target_logprobs(
    model: Decoder, hidden_NC: Tensor, batch: MicroBatch, temperature: float
) -> Tensor:
    """Of the trained tokens, given the states that predict them."""
    targets_N = batch.targets_GST[batch.trained_GST]
    return chosen_logprobs(hidden_NC, model.lm_head.weight, targets_N, temperature)


def trained_hidden(model: Decoder, batch: MicroBatch) -> Tensor:
    """Final hidden states (N, C) that predict the trained tokens; by the kernel where it has all of
    the model, which runs no padding."""
    contexts_GP, inputs_GST = batch.contexts_GP, batch.inputs_GST
    if can_train(model, contexts_GP.shape[1] + inputs_GST.shape[2]):
        parts = (contexts_GP, batch.lengths_G, inputs_GST, batch.trained_GST)
        return packed_hidden(model, packed(*parts))
    _, context = model.encode_context(contexts_GP, batch.lengths_G)
    return model.extend(inputs_GST, context)[batch.trained_GST]


def accumulate(
    model: Decoder,
    bundles: list[Bundle],
    *,
    objective: Objective,
    denominator: int,
    temperature: float,
    max_positions: int,
    head: ScalarHead | None = None,
) -> GradientStats:
    """Adds the gradient of sum(weight * loss) / denominator over `bundles` to the parameters'
    `.grad`, those of `head` among them where the objective has values."""
    stats = GradientStats()
    padded = not packs(model)
    if isinstance(model, HubNetwork):  # shares no context
        bundles, padded = [Bundle(samples=(s,)) for b in bundles for s in b.samples], True
    for part in micro_batches(bundles, max_positions=max_positions, padded=padded):
        batch = collate(part).where(model)
        if head is None:
            logprobs_N, values_N = trained_logprobs(model, batch, temperature), None
        else:
            hidden_NC = trained_hidden(model, batch)
            logprobs_N = target_logprobs(model, hidden_NC, batch, temperature)
            values_N = head(hidden_NC)
        total, part_stats = batch_loss(objective, batch, logprobs_N, values_N)
        (total / denominator).backward()
        stats += part_stats
    return stats


def batch_loss(
    objective: Objective, batch: MicroBatch, logprobs_N: Tensor, values_N: Tensor | None = None
) -> tuple[Tensor, GradientStats]:
    """The weighted sum over a micro-batch's trained tokens, whose log-probabilities (and values,
    where the objective has them) are given."""
    if objective.pairs is not None:
        return pair_loss(objective.pairs, batch, logprobs_N, values_N)
    sampler_N, old_N, advantages_N = (
        values_GST[batch.trained_GST]
        for values_GST in (batch.sampler_logprobs_GST, batch.old_logprobs_GST, batch.advantages_GST)
    )
    lengths = batch.lengths
    losses = token_loss(objective, logprobs_N, old_N, advantages_N, lengths)
    loss_N, kl_sum = losses.loss, 0.0
    if objective.kl_in_loss:
        assert batch.reference_logprobs_GST is not None, "asked for before the batch was made"
        reference_N = batch.reference_logprobs_GST[batch.trained_GST]
        kl_N = kl(objective.kl_estimator, logprobs_N, reference_N)
        loss_N, kl_sum = loss_N + objective.kl_weight * kl_N, float(kl_N.detach().sum())
    weights_N = batch.weights_GS.flatten().repeat_interleave(lengths)
    values = logprobs_N.new_zeros(())
    if objective.has_values:
        assert values_N is not None, "the worker has a head"
        assert batch.old_values_GST is not None, "asked for before the batch was made"
        assert batch.returns_GST is not None, "made with them"
        old_values_N, returns_N = (
            values_GST[batch.trained_GST]
            for values_GST in (batch.old_values_GST, batch.returns_GST)
        )
        clip = objective.value_clip
        values = (value_loss(values_N, old_values_N, returns_N, clip=clip).loss * weights_N).sum()
    total = (loss_N * weights_N).sum() + objective.value_weight * values
    gaps_N = logprobs_N.detach() - sampler_N
    ratios_N = gaps_N.exp()
    gaps_N = gaps_N.abs()
    return total, GradientStats(
        loss=float(total.detach()),
        num_tokens=len(gaps_N),
        num_clipped=int(losses.clipped.sum()),
        gap_sum=float(gaps_N.sum()),
        gap_max=float(gaps_N.max()),
        ratio_sum=float(ratios_N.sum()),
        ratio_squared_sum=float(ratios_N.square().sum()),
        kl_sum=kl_sum,
        value_loss=float(values.detach()),
    )


def pair_loss(
    objective: PairObjective, batch: MicroBatch, logprobs_N: Tensor, values_N: Tensor | None
) -> tuple[Tensor, GradientStats]:
    """The sum over a micro-batch's pairs."""
    lengths = batch.lengths
    if objective.loss is PairLoss.DPO:
        own_GS = pair_sums(logprobs_N, lengths)
        reference_GST, reference_GS = batch.reference_logprobs_GST, torch.zeros_like(own_GS)
        if reference_GST is not None:
            reference_GS = pair_sums(reference_GST[batch.trained_GST], lengths)
        margins = dpo(objective, own_GS, reference_GS, lengths.unflatten(0, (-1, 2)))
    else:
        assert values_N is not None, "the worker has a head"
        offsets_N = batch.advantages_GST[batch.trained_GST]
        scores_GS, offsets_GS = pair_sums(values_N, lengths), pair_sums(offsets_N, lengths)
        margins = bradley_terry(objective, scores_GS, offsets_GS)
    total = margins.loss_G.sum()
    return total, GradientStats(
        loss=float(total.detach()),
        num_tokens=len(logprobs_N),
        num_pairs=len(margins.margin_G),
        num_right_pairs=int((margins.margin_G > 0).sum()),
        margin_sum=float(margins.margin_G.detach().sum()),
    )
