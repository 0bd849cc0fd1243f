"""A Decoder's weights as the kernel wants them, and the three things that it does with them.

Axes: N rows (tokens, or growing samples), C model width, V vocabulary; widths padded to whole
panels inside.
"""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from proofloop.engine.models.arithmetic import arithmetic_of
from proofloop.engine.models.config import DecoderConfig
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.decoder import Layer as DecoderLayer
from proofloop.engine.native.library import Layer, Model, Team, kernel

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
_KNOWN = frozenset(
    {
        *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
        *("num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings"),
        *("rms_norm_eps", "rope_theta", "rope_scaling", "rope_layers", "tie_word_embeddings"),
        *("attention_bias", "attention_out_bias", "mlp_bias", "qk_norm"),
        *("sliding_window", "sliding_layers", "architecture"),
    }
)
"""What of an architecture the kernel has; a new field of DecoderConfig stands here once it does."""


def can_run(config: DecoderConfig) -> bool:
    """Whether the kernel has all of this architecture."""
    return {f.name for f in fields(config)} <= _KNOWN


class Rows(NamedTuple):
    """Tokens, each with its place in its sequence; those of one sequence in the order of their
    positions, no earlier one missing."""

    tokens_N: Ints
    positions_N: Ints
    tables_N: NDArray[np.uint64]
    """Addresses of the numbers of each row's pages."""


class Space:
    """Memory that calls use again and again, for one thread or for a team of them."""

    def __init__(self, num_threads: int = 1) -> None:
        self.team = Team(size=num_threads)
        self._threads = ThreadPoolExecutor(num_threads) if num_threads > 1 else None
        self._floats: dict[str, Floats] = {}

    def together(self, call: Callable[[int], int | None]) -> int | None:
        """`call(member)` in every thread of the team at once, which must not raise: others wait.
        What the first returned."""
        if self._threads is None:
            return call(0)
        return next(iter(list(self._threads.map(call, range(self.team.size)))))

    def floats(self, use: str, size: int) -> Floats:
        """At least `size`, of any content."""
        if len(self._floats.get(use, ())) < size:
            self._floats[use] = np.empty(size, np.float32)
        return self._floats[use]


class NativeNetwork:
    """Packed copies of the weights, taken anew by `refresh`, in float32 or, where the decoder's
    products are made in it when this is made (`engine.models.arithmetic`), in bfloat16."""

    def __init__(self, decoder: Decoder) -> None:
        """Raises KernelUnavailable."""
        self._kernel = kernel()
        self.block: int = self._kernel.block_size()
        self._panel: int = self._kernel.panel_size()
        self._decoder = decoder
        self.config = decoder.config
        self._rounds = arithmetic_of(decoder) is torch.bfloat16
        self._keep: list[Tensor] = []
        self._packed: dict[str, Tensor] = {}
        self._layers = (Layer * self.config.num_hidden_layers)()
        self._model = Model()
        self.refresh()

    def padded(self, width: int) -> int:
        return -(-width // self._panel) * self._panel

    @property
    def page_floats(self) -> int:
        """Of the cache, in all layers, for `block` positions: memory of so many floats."""
        config = self.config
        per_position = 2 * config.num_key_value_heads * config.head_dim
        return config.num_hidden_layers * per_position * self.block // (2 if self._rounds else 1)

    @torch.no_grad()
    def refresh(self) -> None:
        """Takes the decoder's weights as they are now."""
        config, decoder = self.config, self._decoder
        self._keep.clear()
        layers = cast("list[DecoderLayer]", decoder.model.layers)
        for i, (layer, own) in enumerate(zip(layers, self._layers, strict=True)):
            attention, mlp = layer.self_attn, layer.mlp
            queries = (attention.q_proj, attention.k_proj, attention.v_proj)
            own.input_norm = self._plain(layer.input_layernorm.weight)
            own.post_norm = self._plain(layer.post_attention_layernorm.weight)
            own.qkv = self._pack(f"{i}.qkv", torch.cat([p.weight for p in queries]))
            if config.attention_bias:
                own.qkv_bias = self._padded(torch.cat([p.bias for p in queries]))
            if config.qk_norm:
                own.q_norm = self._plain(attention.q_norm.weight)
                own.k_norm = self._plain(attention.k_norm.weight)
            own.o = self._pack(f"{i}.o", attention.o_proj.weight)
            if config.attention_out_bias:
                own.o_bias = self._padded(attention.o_proj.bias)
            own.gate_up = self._pack(f"{i}.gate_up", mlp.gate_proj.weight, mlp.up_proj.weight)
            own.down = self._pack(f"{i}.down", mlp.down_proj.weight)
            if config.mlp_bias:
                own.gate_up_bias = self._padded(mlp.gate_proj.bias, mlp.up_proj.bias)
                own.down_bias = self._padded(mlp.down_proj.bias)
            own.rotary = config.rotates(i)
            own.window = config.window(i) or 0
        model = self._model
        model.num_layers, model.width = config.num_hidden_layers, config.hidden_size
        model.num_heads, model.num_kv_heads = config.num_attention_heads, config.num_key_value_heads
        model.head_dim, model.inner = config.head_dim, config.intermediate_size
        model.vocab, model.rounds = config.vocab_size, self._rounds
        model.eps, model.scale = config.rms_norm_eps, config.head_dim**-0.5
        model.embedding = self._plain(decoder.model.embed_tokens.weight)
        model.final_norm = self._plain(decoder.model.norm.weight)
        model.head = self._pack("head", decoder.lm_head.weight, rounds=False)
        model.cos, model.sin = self._plain(decoder.cos), self._plain(decoder.sin)
        model.layers = ctypes.addressof(self._layers)

    def _plain(self, weight: Tensor) -> int:
        """Its address; where it is the decoder's own memory nothing is copied."""
        kept = weight.detach().float().contiguous()
        self._keep.append(kept)
        return kept.data_ptr()

    def _padded(self, *biases: Tensor) -> int:
        """As `_pack` lays their weights out."""
        joined = torch.zeros(sum(self.padded(len(b)) for b in biases))
        at = 0
        for bias in biases:
            rounded = bias.detach().bfloat16() if self._rounds else bias.detach()
            joined[at : at + len(bias)] = rounded.float()
            at += self.padded(len(bias))
        return self._plain(joined)

    def _pack(self, name: str, *weights: Tensor, rounds: bool | None = None) -> int:
        """Weights (out, in), each in whole panels, one after the other; `rounds`: in bfloat16, if
        not said as the layers are."""
        rounds = self._rounds if rounds is None else rounds
        pack = self._kernel.pack_rounded if rounds else self._kernel.pack
        sizes = [
            self.padded(out) * (self.padded(into) // 2 if rounds else into)
            for out, into in (w.shape for w in weights)
        ]
        packed = self._packed.get(name)
        if packed is None or len(packed) != sum(sizes):
            packed = self._packed[name] = torch.empty(sum(sizes))
        address = packed.data_ptr()
        for weight, size in zip(weights, sizes, strict=True):
            source = weight.detach().float().contiguous()
            pack(source.data_ptr(), *source.shape, address)
            address += packed.element_size() * size
        return packed.data_ptr()

    @property
    def packed_bytes(self) -> int:
        """What of the weights is read for every token."""
        return sum(packed.nbytes for packed in self._packed.values())

    def remember(self, rows: Rows, cache: Floats, space: Space) -> None:
        """Tokens into the cache."""
        self._forward(rows, cache, space, hidden_NC=None)

    def logits(self, rows: Rows, cache: Floats, space: Space) -> Floats:
        """As `remember`, and what comes next: (N, V)."""
        n, vocab = len(rows.tokens_N), self.config.vocab_size
        hidden_NC = np.empty((n, self.padded(self.config.hidden_size)), np.float32)
        self._forward(rows, cache, space, hidden_NC)
        logits_NV = np.empty((n, self.padded(vocab)), np.float32)
        hidden, logits = _at(hidden_NC), _at(logits_NV)
        space.together(
            lambda member: self._kernel.logits_of(self._model, space.team, n, hidden, logits)
        )
        return logits_NV[:, :vocab]

    def _forward(self, rows: Rows, cache: Floats, space: Space, hidden_NC: Floats | None) -> None:
        n = len(rows.tokens_N)
        scratch = self._scratch(space, n, int(rows.positions_N.max(initial=0)))
        given = (_at(rows.tokens_N), _at(rows.positions_N), _at(rows.tables_N))
        room = (_at(cache), _at(scratch), None if hidden_NC is None else _at(hidden_NC))
        space.together(
            lambda member: self._kernel.forward(self._model, space.team, member, n, *given, *room)
        )

    def decode(
        self,
        rows_N: NDArray[np.void],
        num_steps: int,
        stop_ids: Ints,
        cache: Floats,
        space: Space,
    ) -> int:
        """Up to `num_steps` tokens for every row, in place.  How many were drawn."""
        n, members = len(rows_N), space.team.size
        farthest = int(rows_N["position"].max(initial=0)) + num_steps
        scratch = self._scratch(space, n, farthest)
        more = space.floats("more", self._kernel.decode_floats(self._model, n))
        tokens_MN, positions_MN, which_MN = np.empty((3, members, n), np.int32)
        tables_MN = np.empty((members, n), np.uint64)
        asked = (_at(rows_N), n, num_steps, _at(stop_ids), len(stop_ids))
        room = (_at(cache), _at(scratch), _at(more))
        own = [
            tuple(_at(array[m]) for array in (tokens_MN, positions_MN, tables_MN, which_MN))
            for m in range(members)
        ]
        drawn = space.together(
            lambda m: self._kernel.decode(self._model, space.team, m, *asked, *room, *own[m])
        )
        assert drawn is not None
        return drawn

    def _scratch(self, space: Space, n: int, farthest: int) -> Floats:
        size = self._kernel.scratch_floats(self._model, space.team, n, farthest + 1)
        return space.floats("scratch", size)


def _at(array: NDArray[np.generic]) -> int:
    return array.ctypes.data
