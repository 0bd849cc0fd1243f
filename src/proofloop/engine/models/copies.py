"""A copy of a network to sample from where its products are made in less than its weights are in.

Rounding at every token what changes once a step would read and write all weights several times a
token, where sampling is bound by reading them once.  The copy holds the layers' matrices rounded
and those with one input joined; embedding, norms and head are the network's own.  What it computes
is what the network computes.
"""

import torch
from torch import Tensor, nn

from proofloop.engine.models.arithmetic import arithmetic_of, bias_of, compute_in
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.hub_network import HubNetwork


def rounds(model: Decoder) -> bool:
    """Whether `model` makes its products in another type than its weights are in."""
    arithmetic = arithmetic_of(model)
    own = not isinstance(model, HubNetwork)
    return own and arithmetic not in (None, model.lm_head.weight.dtype)


class RoundedCopy:
    """Means nothing before the first `refresh`."""

    def __init__(self, model: Decoder) -> None:
        arithmetic = arithmetic_of(model)
        assert arithmetic is not None, "of a network that rounds"
        self._joins: list[tuple[nn.Linear, list[nn.Linear]]] = []
        with torch.device("meta"):  # every tensor is replaced
            copy = Decoder(model.config)
        copy.model.embed_tokens, copy.lm_head = model.model.embed_tokens, model.lm_head
        copy.model.norm = model.model.norm
        copy.cos, copy.sin = model.cos, model.sin
        for own, theirs in zip(copy.stack, model.stack, strict=True):
            own.input_layernorm = theirs.input_layernorm
            own.post_attention_layernorm = theirs.post_attention_layernorm
            attention, mlp = theirs.self_attn, theirs.mlp
            if model.config.qk_norm:
                own.self_attn.q_norm, own.self_attn.k_norm = attention.q_norm, attention.k_norm
            inputs = [attention.q_proj, attention.k_proj, attention.v_proj]
            own.self_attn.q_proj, own.self_attn.k_proj, own.self_attn.v_proj = inputs
            own.self_attn.joined = self._rounded(inputs, arithmetic)
            own.self_attn.o_proj = self._rounded([attention.o_proj], arithmetic)
            own.mlp.gate_proj, own.mlp.up_proj = mlp.gate_proj, mlp.up_proj
            own.mlp.joined = self._rounded([mlp.gate_proj, mlp.up_proj], arithmetic)
            own.mlp.down_proj = self._rounded([mlp.down_proj], arithmetic)
        compute_in(copy, arithmetic)
        self.model = copy

    def _rounded(self, layers: list[nn.Linear], arithmetic: torch.dtype) -> nn.Linear:
        """Room for the layers, one below the other."""
        weight, biased = layers[0].weight, bias_of(layers[0]) is not None
        out = sum(layer.out_features for layer in layers)
        joined = nn.Linear(weight.shape[1], out, bias=biased, device="meta")
        joined.weight = _room(weight, arithmetic, out, weight.shape[1])
        if biased:
            joined.bias = _room(weight, arithmetic, out)
        self._joins.append((joined, layers))
        return joined

    @torch.no_grad()
    def refresh(self) -> None:
        """Rounds the network's weights as they are now."""
        for joined, layers in self._joins:
            sizes = [layer.out_features for layer in layers]
            parts = zip(layers, joined.weight.split(sizes), strict=True)
            for layer, rows in parts:
                rows.copy_(layer.weight)
            bias = bias_of(joined)
            if bias is not None:
                for layer, rows in zip(layers, bias.split(sizes), strict=True):
                    rows.copy_(layer.bias)


def _room(like: Tensor, dtype: torch.dtype, *shape: int) -> nn.Parameter:
    return nn.Parameter(like.new_empty(shape, dtype=dtype), requires_grad=False)
