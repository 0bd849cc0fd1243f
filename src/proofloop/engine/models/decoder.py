"""The decoder that sampler and trainer share: Llama, Mistral, Qwen and SmolLM style dense models.

One group of samples shares one context.  `encode_context` runs it once; `extend` runs any number
of continuations against it, in training (all tokens at once, with gradients through the shared
context) and in sampling (one token at a time) by the same arithmetic.

Axes: G groups, S samples a group, P context positions, T new positions, L cached positions,
      H query heads, K key/value heads, D head width, C model width, V vocabulary.
"""

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proofloop.engine.models.arithmetic import Arithmetic, run_layer
from proofloop.engine.models.cache import Cache, KeyValue
from proofloop.engine.models.config import DecoderConfig
from proofloop.engine.models.rotary import rotary_tables, rotate


class Context(NamedTuple):
    """A batch of contexts, run once: right-padded, one per group."""

    layers: tuple[KeyValue, ...]  # each GKPD
    lengths_G: Tensor
    padding_GP: Tensor  # additive mask: 0 or -inf


class Masks(NamedTuple):
    """What new tokens may see, as numbers added to scores: 0 or -inf."""

    context: Tensor  # broadcasts to (G, 1, S * T, P)
    own_TL: Tensor


class Attention(Arithmetic):
    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.config = config
        self.window = config.window(layer)
        self._rotates = config.rotates(layer)
        heads, kv, width = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        bias = config.attention_bias
        self.q_proj = nn.Linear(config.hidden_size, heads * width, bias=bias)
        self.k_proj = nn.Linear(config.hidden_size, kv * width, bias=bias)
        self.v_proj = nn.Linear(config.hidden_size, kv * width, bias=bias)
        out_bias = config.attention_out_bias
        self.o_proj = nn.Linear(heads * width, config.hidden_size, bias=out_bias)
        if config.qk_norm:
            self.q_norm = nn.RMSNorm(width, eps=config.rms_norm_eps)
            self.k_norm = nn.RMSNorm(width, eps=config.rms_norm_eps)

    def project(self, x: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, KeyValue]:
        """x (…, T, C) -> queries (…, H, T, D), keys and values (…, K, T, D)."""
        heads = self.joined_product(x, (self.q_proj, self.k_proj, self.v_proj))
        heads = heads.unflatten(-1, (-1, self.config.head_dim))
        heads = heads.transpose(-2, -3)  # (…, H + 2K, T, D)
        H, K = self.config.num_attention_heads, self.config.num_key_value_heads
        # `split`, not slices: its gradient is one copy, a slice's is zeros of the whole and a sum.
        turning, values = heads.split((H + K, K), dim=-3)
        turning = self.exact(turning)
        if self.config.qk_norm:
            q, k = turning.split((H, K), dim=-3)
            turning = torch.cat((self.q_norm(q), self.k_norm(k)), dim=-3)
        if self._rotates:
            turning = rotate(turning, cos, sin)
        q, k = self.rounded(turning).split((H, K), dim=-3)
        return q, KeyValue(k, values)

    def over_context(
        self, x_GPC: Tensor, cos: Tensor, sin: Tensor, band_PP: Tensor | None = None
    ) -> tuple[Tensor, KeyValue]:
        """Causal attention within contexts; right padding needs no mask under causality.

        band_PP: what a sliding window shows, for contexts that are longer than it.
        """
        q, own = self.project(x_GPC, cos, sin)
        y = F.scaled_dot_product_attention(
            q, *self._repeated(own), attn_mask=band_PP, is_causal=band_PP is None
        )
        return self.product(y.transpose(-2, -3).flatten(-2), self.o_proj), own

    def over_extension(
        self,
        x_GSTC: Tensor,
        cos: Tensor,
        sin: Tensor,
        context: KeyValue,
        masks: Masks,
        cache: tuple[Cache, int] | None,
    ) -> Tensor:
        """Attention of new tokens over their group's context and their own sample's tokens.

        Two score blocks under one softmax, so the context's keys are read once a group and
        never copied per sample.
        """
        q_GSHTD, own = self.project(x_GSTC, cos, sin)
        if cache is not None:
            own = cache[0].append(cache[1], own)
        keys_GHPD, values_GHPD = self._repeated(context)
        own_keys, own_values = self._repeated(own)
        G, S, H, T, D = q_GSHTD.shape
        q_GSHTD = q_GSHTD * D**-0.5
        q_GHND = q_GSHTD.transpose(1, 2).reshape(G, H, S * T, D)
        over_context = q_GHND @ keys_GHPD.transpose(-1, -2) + masks.context
        over_own = q_GSHTD @ own_keys.transpose(-1, -2) + masks.own_TL
        P, L = over_context.shape[-1], over_own.shape[-1]
        over_own = over_own.transpose(1, 2).reshape(G, H, S * T, L)
        # The masks are float32, and with them the scores from here on.
        weights = torch.cat((over_context, over_own), dim=-1).softmax(dim=-1)
        context_weights, own_weights = self.rounded(weights).split((P, L), dim=-1)
        y_GHND = context_weights @ values_GHPD
        own_weights = own_weights.reshape(G, H, S, T, L).transpose(1, 2)
        y = y_GHND.reshape(G, H, S, T, D).transpose(1, 2) + own_weights @ own_values
        return self.product(y.transpose(-2, -3).flatten(-2), self.o_proj)

    def _repeated(self, kv: KeyValue) -> KeyValue:
        """Key/value heads repeated to the number of query heads (grouped-query attention)."""
        times = self.config.num_attention_heads // self.config.num_key_value_heads
        if times == 1:
            return kv
        return KeyValue(
            kv.keys.repeat_interleave(times, dim=-3), kv.values.repeat_interleave(times, dim=-3)
        )


class MLP(Arithmetic):
    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        bias = config.mlp_bias
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=bias)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=bias)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.joined_product(x, (self.gate_proj, self.up_proj)).chunk(2, dim=-1)
        return self.product(F.silu(gate) * up, self.down_proj)


class Layer(nn.Module):
    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.mlp = MLP(config)

    def over_context(
        self, x_GPC: Tensor, cos: Tensor, sin: Tensor, band_PP: Tensor | None
    ) -> tuple[Tensor, KeyValue]:
        y, own = self.self_attn.over_context(self.input_layernorm(x_GPC), cos, sin, band_PP)
        x = x_GPC + y
        x = x + self.mlp(self.post_attention_layernorm(x))
        # Laid out once, or every step of sampling would lay it out again.
        return x, KeyValue(own.keys.contiguous(), own.values.contiguous())

    def over_extension(
        self,
        x_GSTC: Tensor,
        cos: Tensor,
        sin: Tensor,
        context: KeyValue,
        masks: Masks,
        cache: tuple[Cache, int] | None,
    ) -> Tensor:
        normed = self.input_layernorm(x_GSTC)
        x = x_GSTC + self.self_attn.over_extension(normed, cos, sin, context, masks, cache)
        return x + self.mlp(self.post_attention_layernorm(x))


class Trunk(nn.Module):
    """Embedding, layers and final norm; named as in Hugging Face's checkpoints."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config, i) for i in range(config.num_hidden_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.rms_norm_eps)


class Decoder(nn.Module):
    """A causal language model; parameters carry the names of Hugging Face's checkpoints."""

    cos: Tensor
    sin: Tensor
    recomputes = False
    """Whether the backward pass runs layers again instead of keeping what they held inside."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        cos, sin = rotary_tables(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    @property
    def stack(self) -> list[Layer]:
        return cast("list[Layer]", self.model.layers)

    def encode_context(self, tokens_GP: Tensor, lengths_G: Tensor) -> tuple[Tensor, Context]:
        """Runs right-padded contexts once.  Returns final hidden states GPC and the Context."""
        P = tokens_GP.shape[1]
        cos, sin = self.cos[:P], self.sin[:P]
        x = self.model.embed_tokens(tokens_GP)
        band_PP = self._band(P, tokens_GP.device)
        kept: list[KeyValue] = []
        for layer in self.stack:
            band = None if layer.self_attn.window is None else band_PP
            x, own = run_layer(layer.over_context, self.recomputes, x, cos, sin, band)
            kept.append(own)
        beyond_GP = torch.arange(P, device=x.device) >= lengths_G[:, None]
        return self.model.norm(x), Context(tuple(kept), lengths_G, _hidden(beyond_GP, x.dtype))

    def _band(self, P: int, device: torch.device) -> Tensor | None:
        """True where a sliding layer sees; None where the window hides nothing."""
        window = self.config.sliding_window
        if window is None or window >= P:
            return None
        back_PP = torch.arange(P, device=device)[:, None] - torch.arange(P, device=device)
        return (back_PP >= 0) & (back_PP < window)

    def extend(self, tokens_GST: Tensor, context: Context, cache: Cache | None = None) -> Tensor:
        """Final hidden states GSTC of new tokens that follow their group's context.

        With a cache, tokens follow what the cache holds and are added to it.
        """
        T, device = tokens_GST.shape[-1], tokens_GST.device
        new_T, L = (torch.arange(T, device=device), T) if cache is None else cache.places(T, device)
        positions_GT = context.lengths_G[:, None] + new_T
        cos, sin = self.cos[positions_GT], self.sin[positions_GT]  # GTD
        cos, sin = cos[:, None, None], sin[:, None, None]
        ahead_TL = torch.arange(L, device=device) > new_T[:, None]
        padding_GP = context.padding_GP
        full = Masks(padding_GP[:, None, None], _hidden(ahead_TL, padding_GP.dtype))
        sliding = self._within_window(full, positions_GT, new_T, tokens_GST.shape[1])
        x = self.model.embed_tokens(tokens_GST)
        for i, layer in enumerate(self.stack):
            masks = full if layer.self_attn.window is None else sliding
            place = None if cache is None else (cache, i)
            run, again = layer.over_extension, self.recomputes and cache is None
            x = run_layer(run, again, x, cos, sin, context.layers[i], masks, place)
        if cache is not None:
            cache.advance(T)
        return self.model.norm(x)

    def _within_window(
        self, masks: Masks, positions_GT: Tensor, new_T: Tensor, num_samples: int
    ) -> Masks:
        """The masks of sliding layers; the same where the window hides nothing."""
        P, L = masks.context.shape[-1], masks.own_TL.shape[-1]
        window = self.config.sliding_window
        if window is None or window >= P + L:
            return masks
        hidden = float("-inf")
        own_L, context_P = (torch.arange(n, device=new_T.device) for n in (L, P))
        own_TL = masks.own_TL.masked_fill(new_T[:, None] - own_L >= window, hidden)
        behind_GTP = positions_GT[..., None] - context_P >= window
        context = masks.context.masked_fill(behind_GTP[:, None], hidden)
        return Masks(context.repeat(1, 1, num_samples, 1), own_TL)

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, C) -> (…, V), in float32 whatever the rest is in."""
        return F.linear(hidden.float(), self.lm_head.weight.float())


def _hidden(where: Tensor, dtype: torch.dtype) -> Tensor:
    """An additive mask: -inf where True."""
    return torch.zeros(where.shape, dtype=dtype, device=where.device).masked_fill_(
        where, float("-inf")
    )
