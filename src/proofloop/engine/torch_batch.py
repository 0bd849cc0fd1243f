"""Batched sampling in PyTorch, for whatever device and type of number the model has.

A request's context runs once for all its samples; rows that have finished are taken out of the
batch.

Axes: G groups (requests), S samples a group, N live samples, P context positions, V vocabulary.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from proofloop.core.completion import Request, SamplingParams
from proofloop.engine.models.arithmetic import arithmetic_of
from proofloop.engine.models.cache import Cache, KeyValue
from proofloop.engine.models.decoder import Context, Decoder
from proofloop.engine.randomness import uniforms

FILLER = -1


@dataclass(slots=True)
class Draft:
    """A completion while it grows."""

    seed: int
    tokens: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    entropies: list[float] = field(default_factory=list[float])


def sample(
    model: Decoder, requests: list[Request], sampling: SamplingParams, stop_ids: np.ndarray
) -> list[list[Draft]]:
    """One list a request, one draft a seed."""
    drafts = [[Draft(seed) for seed in r.seeds] for r in requests]
    batch = LiveBatch(model, requests, sampling.max_tokens)
    for position in range(sampling.max_tokens):
        logits_NV = batch.next_logits()
        live = [drafts[g][s] for g, s in batch.live]
        seeds_N = np.array([d.seed for d in live], dtype=np.uint64)
        tokens_N, logprobs_N, entropies_N = draw(logits_NV, seeds_N, position, sampling)
        for draft, token, logprob, entropy in zip(
            live, tokens_N.tolist(), logprobs_N.tolist(), entropies_N.tolist(), strict=True
        ):
            draft.tokens.append(token)
            draft.logprobs.append(logprob)
            draft.entropies.append(entropy)
        batch.advance(tokens_N, stopped_N=np.isin(tokens_N.cpu().numpy(), stop_ids))
        if not batch.live:
            break
    return drafts


def bytes_per_row(model: Decoder, request: Request) -> int:
    """Memory that a sample takes at its longest, at most: keys and values of its own tokens and, as
    if it shared it with nobody, of its context, half as much again while the grid shrinks or heads
    are repeated, and its share of what is made of the logits."""
    config = model.config
    weights = next(model.parameters()).dtype
    item = (arithmetic_of(model) or weights).itemsize
    positions = len(request.context) + request.sampling.max_tokens
    a_position = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * item
    return positions * a_position * 3 // 2 + _BYTES_PER_LOGIT * config.vocab_size


_BYTES_PER_LOGIT = 40
"""Logits, log-probabilities and probabilities in float32, these and their sums in float64, and
what filters sort."""


def free_bytes(device: torch.device) -> int | None:
    """Of a GPU's memory, what PyTorch has and does not use counted in; None for a CPU, which has
    other ways to get by."""
    if device.type != "cuda":
        return None
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def effective_logprobs(logits_NV: Tensor, sampling: SamplingParams) -> Tensor:
    """Log-probabilities (N, V) of the distribution that tokens are drawn from, nats: temperature,
    then the top_k likeliest, of these the fewest that hold top_p, then what has at least min_p
    times the likeliest's chance.  Equals stay together; -inf where nothing is left.
    """
    if sampling.temperature == 0:
        first_N1 = logits_NV.argmax(dim=-1, keepdim=True)
        return torch.full_like(logits_NV, -torch.inf).scatter(-1, first_N1, 0.0)
    logprobs_NV = (logits_NV / sampling.temperature).log_softmax(dim=-1)
    if 0 < sampling.top_k < logits_NV.shape[-1]:
        least_N1 = logprobs_NV.topk(sampling.top_k, dim=-1).values[:, -1:]
        logprobs_NV = logprobs_NV.masked_fill(logprobs_NV < least_N1, -torch.inf)
    if sampling.top_p < 1:
        sorted_NV = logprobs_NV.exp().sort(dim=-1, descending=True).values
        before_NV = sorted_NV.cumsum(dim=-1) - sorted_NV
        whole_N1 = sorted_NV.sum(dim=-1, keepdim=True)
        kept_NV = before_NV < sampling.top_p * whole_N1
        least_N1 = sorted_NV.masked_fill(~kept_NV, torch.inf).amin(dim=-1, keepdim=True)
        logprobs_NV = logprobs_NV.masked_fill(logprobs_NV.exp() < least_N1, -torch.inf)
    if sampling.min_p > 0:
        least_N1 = logprobs_NV.amax(dim=-1, keepdim=True) + np.log(sampling.min_p)
        logprobs_NV = logprobs_NV.masked_fill(logprobs_NV < least_N1, -torch.inf)
    if sampling.filters:
        logprobs_NV = logprobs_NV.log_softmax(dim=-1)
    return logprobs_NV


def draw(
    logits_NV: Tensor, seeds_N: np.ndarray, position: int, sampling: SamplingParams
) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens by inverse transform, their log-probabilities and the distribution's entropy."""
    drawn_N = torch.from_numpy(uniforms(seeds_N, position)).to(logits_NV.device)
    return draw_by(logits_NV, drawn_N, sampling)


def draw_by(
    logits_NV: Tensor, drawn_N: Tensor, sampling: SamplingParams
) -> tuple[Tensor, Tensor, Tensor]:
    """The same of given numbers in [0, 1), float64, which lie where the logits do."""
    logprobs_NV = effective_logprobs(logits_NV, sampling)
    probs_NV = logprobs_NV.exp()
    cumulative_NV = probs_NV.double().cumsum(dim=-1)
    thresholds_N = drawn_N * cumulative_NV[:, -1]
    tokens_N = torch.searchsorted(cumulative_NV, thresholds_N[:, None], right=True)[:, 0]
    tokens_N.clamp_(max=logits_NV.shape[-1] - 1)
    chosen_N = logprobs_NV.gather(-1, tokens_N[:, None])[:, 0]
    entropies_N = -(probs_NV * logprobs_NV.clamp_min(-100.0)).sum(dim=-1)
    return tokens_N, chosen_N, entropies_N


class LiveBatch:
    """The grid of samples still growing: G groups by S places, some of them fillers.

    Invariant: a cell of the grid is a live sample or a filler, a copy of some live cell whose
    outputs nobody reads; the cache holds the same layout.
    """

    def __init__(self, model: Decoder, requests: list[Request], max_tokens: int) -> None:
        self._model = model
        self._device = next(model.parameters()).device
        num_samples = max(len(r.seeds) for r in requests)
        # Contexts without their last token: that one starts every sample's own continuation.
        shared = [r.context[:-1] for r in requests]
        lengths_G = torch.tensor([len(c) for c in shared])
        tokens_GP = torch.zeros(len(shared), max(1, int(lengths_G.max())), dtype=torch.long)
        for g, context in enumerate(shared):
            tokens_GP[g, : len(context)] = torch.tensor(context, dtype=torch.long)
        _, self._context = model.encode_context(
            tokens_GP.to(self._device), lengths_G.to(self._device)
        )
        self._cache = Cache(model.config, len(requests) * num_samples, max_tokens)
        last_G = torch.tensor([r.context[-1] for r in requests], device=self._device)
        self._next_GS = last_G[:, None].repeat(1, num_samples)
        self._cells_GS = np.array(
            [[s if s < len(r.seeds) else FILLER for s in range(num_samples)] for r in requests]
        )
        self._request_G = np.arange(len(requests))

    def _there(self, values: np.ndarray) -> Tensor:
        """Where the model is."""
        return torch.from_numpy(values).to(self._device)

    @property
    def live(self) -> list[tuple[int, int]]:
        """(request, sample) of every live cell, row by row."""
        rows, places = np.nonzero(self._cells_GS != FILLER)
        return list(
            zip(
                self._request_G[rows].tolist(),
                self._cells_GS[rows, places].tolist(),
                strict=True,
            )
        )

    def next_logits(self) -> Tensor:
        """Logits (N, V) of the next token of every live cell, in the order of `live`."""
        hidden_GSTC = self._model.extend(self._next_GS[..., None], self._context, self._cache)
        live_GS = self._there(self._cells_GS != FILLER)
        return self._model.logits(hidden_GSTC[:, :, 0][live_GS])

    def advance(self, tokens_N: Tensor, stopped_N: np.ndarray) -> None:
        """Takes the sampled tokens in; stopped samples leave, and the grid shrinks with them."""
        live_GS = self._cells_GS != FILLER
        self._next_GS[self._there(live_GS)] = tokens_N
        cells_N = self._cells_GS[live_GS]
        cells_N[stopped_N] = FILLER
        self._cells_GS[live_GS] = cells_N
        num_live = int((self._cells_GS != FILLER).sum())
        if 0 < num_live <= 0.7 * self._cells_GS.size:
            self._compact()

    def _compact(self) -> np.ndarray | None:
        """The places of the cells that are left, in the old grid, row by row; None where nothing
        would be gained."""
        live_GS = self._cells_GS != FILLER
        rows = np.nonzero(live_GS.any(axis=1))[0]
        width = int(live_GS.sum(axis=1).max())
        if len(rows) * width > 0.7 * self._cells_GS.size:
            return None
        places_GS = np.zeros((len(rows), width), dtype=np.int64)
        cells_GS = np.full((len(rows), width), FILLER)
        for i, row in enumerate(rows):
            found = np.nonzero(live_GS[row])[0]
            places_GS[i, : len(found)] = found
            places_GS[i, len(found) :] = found[0]
            cells_GS[i, : len(found)] = self._cells_GS[row, found]
        old_width = self._cells_GS.shape[1]
        kept_N = (rows[:, None] * old_width + places_GS).ravel()
        self._cache.keep(self._there(kept_N))
        self._cells_GS = cells_GS
        self._request_G = self._request_G[rows]
        rows_G, places = self._there(rows), self._there(places_GS)
        self._next_GS = self._next_GS[rows_G[:, None], places]
        context = self._context
        self._context = Context(
            tuple(KeyValue(kv.keys[rows_G], kv.values[rows_G]) for kv in context.layers),
            context.lengths_G[rows_G],
            context.padding_GP[rows_G],
        )
        return kept_N
