"""Batched sampling in steps of one shape, which a GPU can record once and replay (CUDA graphs).

A step of a small batch is some thousand kernels of microseconds each, and starting them one by one
takes longer than running them.  Here a step touches nothing but the device: numbers are drawn
beforehand, tokens and their log-probabilities stay there, and the host looks at them every `LOOK`
tokens, to let stopped samples leave.  When the grid has shrunk or keys need more room, shapes are
new, and the step is recorded anew.  What is sampled is what `torch_batch.sample` samples.

Axes: G groups, S samples a group, N = G * S cells, T tokens, V vocabulary, as in `torch_batch`.
"""

import os
from collections.abc import Callable

import numpy as np
import torch

from proofloop.core.completion import Request, SamplingParams
from proofloop.engine.models.cache import FixedCache
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.randomness import uniforms
from proofloop.engine.torch_batch import FILLER, Draft, LiveBatch, draw_by

LOOK = 16
"""Tokens between two looks of the host."""
ROOM = 128
"""Tokens that keys have room for at first; doubled when it is full."""
NO_GRAPHS = "PROOFLOOP_NO_GRAPHS"
"""Environment variable: steps are run as they are, not recorded."""


@torch.inference_mode()
def sample_fixed(
    model: Decoder, requests: list[Request], sampling: SamplingParams, stop_ids: np.ndarray
) -> list[list[Draft]]:
    """As `torch_batch.sample`."""
    drafts = [[Draft(seed) for seed in r.seeds] for r in requests]
    batch = _FixedBatch(model, requests, sampling)
    told, run = 0, None
    for position in range(sampling.max_tokens):
        if position == batch.cache.capacity:
            batch.cache.grow(min(2 * position, sampling.max_tokens))
            run = None
        if run is None:  # the first of its shape: makes what a recording may not make
            batch.step()
            run = recorded(batch.step, batch.device) or batch.step
        else:
            run()
        if (position + 1) % LOOK == 0 or position + 1 == sampling.max_tokens:
            if batch.tell(drafts, told, position + 1, stop_ids):
                run = None
            told = position + 1
            if not batch.live:
                break
    return drafts


def recorded(step: Callable[[], None], device: torch.device) -> Callable[[], None] | None:
    """`step` as one thing to start; None where there is nothing to record it with, or where it
    cannot be: the step itself does the same.  Recording runs nothing."""
    if device.type != "cuda" or os.environ.get(NO_GRAPHS):
        return None
    graph = torch.cuda.CUDAGraph()
    try:
        torch.cuda.synchronize(device)
        with torch.cuda.graph(graph):
            step()
    except RuntimeError:
        torch.cuda.synchronize(device)
        return None
    return graph.replay


class _FixedBatch(LiveBatch):
    """A grid whose step has one shape until cells are taken out."""

    def __init__(self, model: Decoder, requests: list[Request], sampling: SamplingParams) -> None:
        super().__init__(model, requests, sampling.max_tokens)
        self.device, self._sampling = self._device, sampling
        room = min(ROOM, sampling.max_tokens)
        self.cache = FixedCache(model.config, self._cells_GS.size, room, self._device)
        self._cache = self.cache
        width = self._cells_GS.shape[1]
        seeds_N = np.array(
            [(*r.seeds, *r.seeds[:1] * (width - len(r.seeds))) for r in requests], dtype=np.uint64
        ).ravel()
        drawn_TN = np.stack([uniforms(seeds_N, t) for t in range(sampling.max_tokens)])
        self._drawn_TN = self._there(drawn_TN)
        self._position_1 = torch.zeros(1, dtype=torch.long, device=self._device)
        self._make_room()

    def _make_room(self) -> None:
        shape = self._drawn_TN.shape
        self._tokens_TN = torch.zeros(shape, dtype=torch.long, device=self._device)
        self._logprobs_TN = torch.zeros(shape, device=self._device)
        self._entropies_TN = torch.zeros(shape, device=self._device)

    def step(self) -> None:
        """One token for every cell, fillers included; nothing leaves the device."""
        hidden_GSTC = self._model.extend(self._next_GS[..., None], self._context, self._cache)
        logits_NV = self._model.logits(hidden_GSTC[:, :, 0].flatten(0, 1))
        drawn_N = self._drawn_TN.index_select(0, self._position_1)[0]
        found = draw_by(logits_NV, drawn_N, self._sampling)
        kept = (self._tokens_TN, self._logprobs_TN, self._entropies_TN)
        for all_TN, new_N in zip(kept, found, strict=True):
            all_TN.index_copy_(0, self._position_1, new_N[None])
        self._next_GS.copy_(found[0].view_as(self._next_GS))
        self._position_1 += 1

    def tell(self, drafts: list[list[Draft]], told: int, upto: int, stop_ids: np.ndarray) -> bool:
        """Adds the tokens from `told` to `upto` to their drafts and lets those leave that have
        stopped; True where that changes the grid."""
        tokens_TN, logprobs_TN, entropies_TN = (
            made_TN[told:upto].cpu().numpy()
            for made_TN in (self._tokens_TN, self._logprobs_TN, self._entropies_TN)
        )
        cells_N = self._cells_GS.ravel().copy()
        live = self.live
        for (g, s), cell in zip(live, np.nonzero(cells_N != FILLER)[0].tolist(), strict=True):
            stops = np.nonzero(np.isin(tokens_TN[:, cell], stop_ids))[0]
            end = int(stops[0]) + 1 if len(stops) else upto - told
            drafts[g][s].tokens += tokens_TN[:end, cell].tolist()
            drafts[g][s].logprobs += logprobs_TN[:end, cell].tolist()
            drafts[g][s].entropies += entropies_TN[:end, cell].tolist()
            if len(stops):
                cells_N[cell] = FILLER
        self._cells_GS = cells_N.reshape(self._cells_GS.shape)
        return bool(self.live) and self._shrunk()

    def _shrunk(self) -> bool:
        kept_N = self._compact()
        if kept_N is None:
            return False
        self._drawn_TN = self._drawn_TN.index_select(1, self._there(kept_N))
        self._make_room()
        return True
