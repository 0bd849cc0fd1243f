"""A micro-batch as packed tokens: what is real, one after the other, each context once.

Axes: G bundles, S samples a bundle, T tokens after the context, N packed tokens, M segments.
"""

from itertools import accumulate

import numpy as np
import torch
from torch import Tensor

from proofloop.engine.models.arithmetic import arithmetic_of
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.native.library import SEGMENT, why_not
from proofloop.engine.native.training import Packed


def packs(model: Decoder | None = None) -> bool:
    """Whether this machine's trainers run without padding; given one, that of `model`."""
    if why_not() is not None:
        return False
    if model is None:
        return True
    on_cpu = next(model.parameters()).device.type == "cpu"
    return on_cpu and arithmetic_of(model) in (None, torch.float32)


def packed(
    contexts_GP: Tensor, lengths_G: Tensor, inputs_GST: Tensor, trained_GST: Tensor
) -> Packed:
    """Contexts are shared by their bundle's samples; a sample ends with its last trained token.
    Wanted are the rows that predict trained tokens, in the order of `trained_GST`."""
    T = trained_GST.shape[-1]
    ends_GS = (trained_GST * torch.arange(1, T + 1)).amax(dim=-1).tolist()
    tokens: list[Tensor] = []
    positions: list[Tensor] = []
    wanted: list[Tensor] = []
    segments: list[tuple[int, int, int, int]] = []
    upto = torch.arange(contexts_GP.shape[1] + T, dtype=torch.int32)
    at = 0
    for g, length in enumerate(lengths_G.tolist()):
        context = at
        if length:
            tokens.append(contexts_GP[g, :length])
            positions.append(upto[:length])
            segments.append((at, length, 0, 0))
            at += length
        for s, end in enumerate(ends_GS[g]):
            if not end:
                continue
            tokens.append(inputs_GST[g, s, :end])
            positions.append(upto[length : length + end])
            wanted.append(trained_GST[g, s, :end].nonzero()[:, 0] + at)
            segments.append((at, end, context, length))
            at += end
    return Packed(
        tokens_N=torch.cat(tokens),
        positions_N=torch.cat(positions),
        segments_M=np.array(segments, SEGMENT),
        wanted_R=torch.cat(wanted),
    )


def packed_texts(texts: list[Tensor]) -> Packed:
    """Texts that share nothing, all of whose rows are wanted."""
    lengths = [len(text) for text in texts]
    starts = [0, *accumulate(lengths)]
    segments = [(start, n, 0, 0) for start, n in zip(starts, lengths, strict=False)]
    return Packed(
        tokens_N=torch.cat(texts),
        positions_N=torch.cat([torch.arange(n, dtype=torch.int32) for n in lengths]),
        segments_M=np.array(segments, SEGMENT),
        wanted_R=torch.arange(starts[-1]),
    )
