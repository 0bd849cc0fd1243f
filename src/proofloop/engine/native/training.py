"""The decoder's layers over packed tokens, forward and backward, for training on a CPU.

Sequences lie one after the other without padding, and those with one context share its tokens:
what is computed is what is needed, once.  Large products are PyTorch's; what stands between them,
in a framework a dozen passes over memory a layer, is one pass each of `train.c`.  Of a layer six
tensors a token are kept for the backward pass; norms and gates are computed again.  Where the
decoder `recomputes`, one is kept, its input, and all of the layer is computed again.  Where the
decoder's products are in bfloat16, so are these; what is kept and all between them is float32.

Axes: N packed tokens, R those whose hidden states are asked for, C model width, H query heads,
      D head width, I inner width, M segments.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from proofloop.engine.models.arithmetic import arithmetic_of
from proofloop.engine.models.config import DecoderConfig
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.native.library import kernel, why_not
from proofloop.engine.native.network import can_run


class Packed(NamedTuple):
    """Tokens one after the other, and who sees whom."""

    tokens_N: Tensor
    positions_N: Tensor
    """int32."""
    segments_M: NDArray[np.void]
    """Records of `library.SEGMENT`; those that share a context stand next to each other."""
    wanted_R: Tensor
    """Rows, ascending, whose hidden states are asked for."""


def can_train(decoder: Decoder, longest: int) -> bool:
    """Whether this file has all of the architecture, for sequences of at most `longest`."""
    config, weight = decoder.config, decoder.lm_head.weight
    window = config.sliding_window
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and arithmetic_of(decoder) in (None, torch.float32, torch.bfloat16)
        and can_run(config)
        and (window is None or longest <= window)
        and why_not() is None
    )


def packed_hidden(decoder: Decoder, packed: Packed) -> Tensor:
    """Final hidden states (R, C) of the wanted rows, with gradients to the decoder's weights."""
    trunk = dict(decoder.model.named_parameters())
    keeping = _Keeping(all=torch.is_grad_enabled(), inputs=decoder.recomputes)
    factors = arithmetic_of(decoder) or torch.float32
    setting = _Setting(decoder.config, packed, decoder.cos, decoder.sin, factors)
    found = _Layers.apply(setting, keeping, tuple(trunk), *trunk.values())
    return cast("Tensor", found)


class _Setting(NamedTuple):
    """All of a packed batch's pass but the weights."""

    config: DecoderConfig
    packed: Packed
    cos: Tensor
    sin: Tensor
    factors: torch.dtype
    """What products of layers are made of (`engine.models.arithmetic`)."""


class _Keeping(NamedTuple):
    """What is kept for the backward pass."""

    all: bool
    """If there will be one."""
    inputs: bool
    """Of layers their inputs only."""


class _Kept(NamedTuple):
    """Of one layer, for its backward pass."""

    x_NC: Tensor
    inverse_N: Tensor
    heads_NX: Tensor
    """Queries, keys and values (H + 2K) D, normed and rotated."""
    raw_NX: Tensor | None
    """Before their norms, where they have any."""
    q_inverse_NH: Tensor | None
    k_inverse_NK: Tensor | None
    mixed_NX: Tensor
    log_sums_NH: Tensor
    middle_NC: Tensor
    middle_inverse_N: Tensor
    both_NI: Tensor
    """Gate and up, 2 I."""


class _Layers(torch.autograd.Function):
    """All layers and the last norm as one step of autograd."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        setting: _Setting,
        keeping: _Keeping,
        names: tuple[str, ...],
        *weights: Tensor,
    ) -> Tensor:
        net = _Network(setting, dict(zip(names, weights, strict=True)))
        x_NC = net.weights["embed_tokens.weight"][net.packed.tokens_N]
        kept: list[_Kept | Tensor] = []
        for i in range(net.config.num_hidden_layers):
            input_NC = x_NC
            x_NC, layer = net.layer(i, input_NC)
            if keeping.all:
                kept.append(input_NC if keeping.inputs else layer)
        last_RC = x_NC[net.packed.wanted_R]
        hidden_RC, inverse_R = net.last_norm(last_RC)
        ctx.net, ctx.kept, ctx.last = net, kept, (last_RC, inverse_R)
        ctx.names = names
        return hidden_RC

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        net, kept = cast("_Network", ctx.net), cast("list[_Kept | Tensor]", ctx.kept)
        last_RC, inverse_R = ctx.last
        wanted = dict(zip(ctx.names, ctx.needs_input_grad[3:], strict=True))
        made = _Gradients(net.weights, wanted)
        d_last_RC = torch.empty_like(last_RC)
        gain = made.zeros("norm.weight")
        net.norm_back("norm.weight", last_RC, inverse_R, grads[0].contiguous(), d_last_RC, gain)
        d_NC = torch.zeros(len(net.packed.tokens_N), last_RC.shape[1])
        d_NC[net.packed.wanted_R] = d_last_RC
        for i in reversed(range(len(kept))):
            layer = kept.pop()
            if isinstance(layer, Tensor):
                _, layer = net.layer(i, layer)
            net.layer_back(i, layer, d_NC, made)
        if wanted["embed_tokens.weight"]:
            made.zeros("embed_tokens.weight").index_add_(0, net.packed.tokens_N, d_NC)
        return (None,) * 3 + tuple(made.given(name) for name in ctx.names)


class _Gradients:
    """Of the weights that want one."""

    def __init__(self, weights: dict[str, Tensor], wanted: dict[str, bool]) -> None:
        self._weights, self._wanted = weights, wanted
        self._made: dict[str, Tensor] = {}

    def zeros(self, name: str) -> Tensor:
        self._made[name] = torch.zeros_like(self._weights[name])
        return self._made[name]

    def linear(self, names: list[str], biases: list[str], x_NI: Tensor, d_NO: Tensor) -> None:
        """Of one product with the matrices `names`, one below the other, and their biases.  x_NI
        and d_NO: as products take them."""
        if any(self._wanted[name] for name in names):
            sizes = [len(self._weights[name]) for name in names]
            whole = torch.mm(d_NO.t(), x_NI).float()
            self._made |= dict(zip(names, whole.split(sizes), strict=True))
        if biases and any(self._wanted[name] for name in biases):
            sizes = [len(self._weights[name]) for name in biases]
            self._made |= dict(zip(biases, d_NO.float().sum(dim=0).split(sizes), strict=True))

    def given(self, name: str) -> Tensor | None:
        return self._made[name] if self._wanted[name] else None


_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_GATES = ("mlp.gate_proj", "mlp.up_proj")
_OUT = ("self_attn.o_proj",)
_DOWN = ("mlp.down_proj",)


class _Network:
    """One packed batch in one set of weights."""

    def __init__(self, setting: _Setting, weights: dict[str, Tensor]) -> None:
        self.config, self.packed, self._cos, self._sin, self._factors = setting
        config, self.weights = self.config, weights
        self._rounded: dict[str, Tensor] = {}
        self._kernel = kernel()
        heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
        self._sizes = (heads, kv_heads, config.head_dim)
        self._turning = heads + kv_heads
        room = self._kernel.attention_floats(*self._segments, config.head_dim)
        self._scratch = torch.empty(room)

    @property
    def _segments(self) -> tuple[int, int]:
        return len(self.packed.segments_M), self.packed.segments_M.ctypes.data

    def layer(self, i: int, x_NC: Tensor) -> tuple[Tensor, _Kept]:
        name = f"layers.{i}."
        normed_NC, inverse_N = self.norm(x_NC, self.weights[f"{name}input_layernorm.weight"])
        heads_NX = self._linear(name, _QKV, normed_NC)
        raw_NX, q_inverse_NH, k_inverse_NK = None, None, None
        if self.config.qk_norm:
            raw_NX = heads_NX.clone()
            q_inverse_NH, k_inverse_NK = self._norm_heads(name, raw_NX, heads_NX)
        if self.config.rotates(i):
            self._turn(heads_NX, back=False)
        if self._factors is torch.bfloat16:
            self._kernel.round_all(heads_NX.numel(), heads_NX.data_ptr())
        mixed_NX = x_NC.new_empty(len(x_NC), self._sizes[0] * self._sizes[2])
        log_sums_NH = x_NC.new_empty(len(x_NC), self._sizes[0])
        self._kernel.attention(
            *self._segments,
            *self._sizes,
            *_at(heads_NX, self._scratch, mixed_NX, log_sums_NH),
        )
        middle_NC = self._linear(name, _OUT, mixed_NX).add_(x_NC)
        post = self.weights[f"{name}post_attention_layernorm.weight"]
        normed_NC, middle_inverse_N = self.norm(middle_NC, post)
        both_NI = self._linear(name, _GATES, normed_NC)
        out_NC = self._linear(name, _DOWN, self._gated(both_NI)).add_(middle_NC)
        return out_NC, _Kept(
            x_NC=x_NC,
            inverse_N=inverse_N,
            heads_NX=heads_NX,
            raw_NX=raw_NX,
            q_inverse_NH=q_inverse_NH,
            k_inverse_NK=k_inverse_NK,
            mixed_NX=mixed_NX,
            log_sums_NH=log_sums_NH,
            middle_NC=middle_NC,
            middle_inverse_N=middle_inverse_N,
            both_NI=both_NI,
        )

    def layer_back(self, i: int, kept: _Kept, d_NC: Tensor, made: _Gradients) -> None:
        """d_NC: from what the layer's output brings to what its input does, in place."""
        name = f"layers.{i}."
        d_gated_NI = self._linear_back(name, _DOWN, self._gated(kept.both_NI), d_NC, made)
        inner = self.config.intermediate_size
        self._kernel.gated_backward(len(d_NC), inner, *_at(kept.both_NI, d_gated_NI))
        post = f"{name}post_attention_layernorm.weight"
        normed_NC, _ = self.norm(kept.middle_NC, self.weights[post])
        d_normed_NC = self._linear_back(name, _GATES, normed_NC, kept.both_NI, made)
        gain = made.zeros(post)
        self.norm_back(
            post, kept.middle_NC, kept.middle_inverse_N, d_normed_NC, d_NC, gain, add=True
        )
        d_mixed_NX = self._linear_back(name, _OUT, kept.mixed_NX, d_NC, made)
        d_heads_NX = torch.zeros_like(kept.heads_NX)
        self._kernel.attention_backward(
            *self._segments,
            *self._sizes,
            *_at(kept.heads_NX, kept.mixed_NX, kept.log_sums_NH),
            *_at(d_mixed_NX, self._scratch, d_heads_NX),
        )
        if self.config.rotates(i):
            self._turn(d_heads_NX, back=True)
        if kept.raw_NX is not None:
            self._norm_heads_back(name, kept, d_heads_NX, made)
        pre = f"{name}input_layernorm.weight"
        normed_NC, _ = self.norm(kept.x_NC, self.weights[pre])
        d_normed_NC = self._linear_back(name, _QKV, normed_NC, d_heads_NX, made)
        self.norm_back(pre, kept.x_NC, kept.inverse_N, d_normed_NC, d_NC, made.zeros(pre), add=True)

    def norm(self, x_NC: Tensor, gain_C: Tensor) -> tuple[Tensor, Tensor]:
        """Normed rows, as products take them, and the inverse of what each was divided by."""
        y_NC = torch.empty_like(x_NC, dtype=self._factors)
        return y_NC, self._norm_rows(x_NC, gain_C, y_NC)

    def last_norm(self, x_RC: Tensor) -> tuple[Tensor, Tensor]:
        y_RC = torch.empty_like(x_RC)
        return y_RC, self._norm_rows(x_RC, self.weights["norm.weight"], y_RC)

    def _norm_rows(self, x_NC: Tensor, gain_C: Tensor, y_NC: Tensor) -> Tensor:
        inverse_N = x_NC.new_empty(len(x_NC))
        self._norm(x_NC, gain_C, y_NC, inverse_N, groups=1, width=x_NC.shape[1], first=0)
        return inverse_N

    def norm_back(
        self,
        name: str,
        x_NC: Tensor,
        inverse_N: Tensor,
        d_NC: Tensor,
        to_NC: Tensor,
        gain_C: Tensor,
        *,
        add: bool = False,
    ) -> None:
        n, width = x_NC.shape
        x, gain, inverse, d, to, d_gain = _at(
            x_NC, self.weights[name], inverse_N, d_NC, to_NC, gain_C
        )
        self._kernel.norm_backward(
            n, 1, width, x, width, gain, inverse, d, width, to, width, d_gain, add
        )

    def _norm(
        self,
        x: Tensor,
        gain: Tensor,
        y: Tensor,
        inverse: Tensor,
        *,
        groups: int,
        width: int,
        first: int,
    ) -> None:
        """`groups` vectors of `width` in every row, from the number `first` on."""
        stride, eps = x.shape[1], self.config.rms_norm_eps
        at, to = (t.data_ptr() + t.element_size() * first for t in (x, y))
        gains, inverses = _at(gain, inverse)
        rounds = y.dtype is torch.bfloat16
        self._kernel.norm(
            len(x), groups, width, at, stride, gains, eps, to, stride, inverses, rounds
        )

    def _head_norms(self, name: str) -> Iterator[tuple[str, int, int]]:
        """Each head norm's weight, how many heads it has, and where they begin in a row."""
        heads, kv_heads, width = self._sizes
        yield f"{name}self_attn.q_norm.weight", heads, 0
        yield f"{name}self_attn.k_norm.weight", kv_heads, heads * width

    def _norm_heads(self, name: str, raw_NX: Tensor, heads_NX: Tensor) -> tuple[Tensor, ...]:
        inverses: list[Tensor] = []
        for weight, count, first in self._head_norms(name):
            inverse = raw_NX.new_empty(len(raw_NX), count)
            gain = self.weights[weight]
            self._norm(
                raw_NX, gain, heads_NX, inverse, groups=count, width=self._sizes[2], first=first
            )
            inverses.append(inverse)
        return tuple(inverses)

    def _norm_heads_back(
        self, name: str, kept: _Kept, d_heads_NX: Tensor, made: _Gradients
    ) -> None:
        assert kept.raw_NX is not None
        assert kept.q_inverse_NH is not None
        assert kept.k_inverse_NK is not None
        n, stride = d_heads_NX.shape
        parts = zip(self._head_norms(name), (kept.q_inverse_NH, kept.k_inverse_NK), strict=True)
        for (weight, count, first), inverse in parts:
            x, d = (t.data_ptr() + 4 * first for t in (kept.raw_NX, d_heads_NX))
            gain, inverses, d_gain = _at(self.weights[weight], inverse, made.zeros(weight))
            self._kernel.norm_backward(
                *(n, count, self._sizes[2], x, stride, gain, inverses),
                *(d, stride, d, stride, d_gain, False),
            )

    def _turn(self, heads_NX: Tensor, *, back: bool) -> None:
        n, stride = heads_NX.shape
        positions, cos, sin = _at(self.packed.positions_N, self._cos, self._sin)
        self._kernel.turn(
            *(n, self._turning, self._sizes[2], heads_NX.data_ptr(), stride),
            *(positions, cos, sin, back),
        )

    def _gated(self, both_NI: Tensor) -> Tensor:
        n, inner = len(both_NI), self.config.intermediate_size
        gated_NI = both_NI.new_empty(n, inner, dtype=self._factors)
        self._kernel.gated(n, inner, *_at(both_NI, gated_NI), self._factors is torch.bfloat16)
        return gated_NI

    def _joined(self, name: str, parts: tuple[str, ...]) -> Tensor:
        """As products take it.  What was rounded is kept for the backward pass."""
        found = self._rounded.get(f"{name}{parts[0]}")
        if found is not None:
            return found
        weights = [self._as_factor(self.weights[f"{name}{part}.weight"]) for part in parts]
        joined = weights[0] if len(weights) == 1 else torch.cat(weights)
        if self._factors is torch.bfloat16:
            self._rounded[f"{name}{parts[0]}"] = joined
        return joined

    def _biases(self, name: str, parts: tuple[str, ...]) -> list[str]:
        return [bias for part in parts if (bias := f"{name}{part}.bias") in self.weights]

    def _as_factor(self, x: Tensor) -> Tensor:
        return x.to(self._factors)

    def _linear(self, name: str, parts: tuple[str, ...], x_NI: Tensor) -> Tensor:
        """One product with matrices one below the other."""
        weight, x_NI = self._joined(name, parts), self._as_factor(x_NI)
        if biases := self._biases(name, parts):
            bias = self._as_factor(torch.cat([self.weights[b] for b in biases]))
            return torch.addmm(bias, x_NI, weight.t()).float()
        return torch.mm(x_NI, weight.t()).float()

    def _linear_back(
        self, name: str, parts: tuple[str, ...], x_NI: Tensor, d_NO: Tensor, made: _Gradients
    ) -> Tensor:
        names = [f"{name}{part}.weight" for part in parts]
        x_NI, d_NO = self._as_factor(x_NI), self._as_factor(d_NO)
        made.linear(names, self._biases(name, parts), x_NI, d_NO)
        return torch.mm(d_NO, self._joined(name, parts)).float()


def _at(*tensors: Tensor) -> list[int]:
    """Addresses; what the kernel reads and writes lies without gaps."""
    assert all(t.is_contiguous() for t in tensors)
    return [t.data_ptr() for t in tensors]
