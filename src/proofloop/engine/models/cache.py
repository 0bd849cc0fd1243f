"""Keys and values of what was sampled so far, for sampling a token at a time.

Axes: N samples (a group's one after the other), G groups, S samples a group, K key/value heads,
      T new positions, L cached positions, D head width.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from proofloop.engine.models.config import DecoderConfig


class KeyValue(NamedTuple):
    """Keys and values of one layer, rotated."""

    keys: Tensor
    values: Tensor


class Cache:
    """Keys and values of the tokens sampled so far, per sample; grows by one position a step.

    One block of memory a layer, samples first, so that adding a position writes in place, reading
    is a view, and only what is used moves when samples leave.
    """

    def __init__(self, config: DecoderConfig, num_samples: int, capacity: int) -> None:
        self._shape = (2, num_samples, config.num_key_value_heads, capacity, config.head_dim)
        self._layers_2NKLD: list[Tensor] = []  # a layer's, from its first token on
        self.length = 0

    def places(self, num_new: int, device: torch.device) -> tuple[Tensor, int]:
        """Positions of the next tokens among a sample's own, and how many `append` returns."""
        end = self.length + num_new
        return torch.arange(self.length, end, device=device), end

    def advance(self, num_new: int) -> None:
        """After every layer has appended."""
        self.length += num_new

    def append(self, layer: int, new: KeyValue) -> KeyValue:
        """Adds GSKTD tensors after the cached positions; returns all positions so far."""
        if layer == len(self._layers_2NKLD):  # of the first keys' type, and where they are
            self._layers_2NKLD.append(new.keys.new_empty(self._shape))
        block, samples = self._layers_2NKLD[layer], new.keys.shape[:2]
        end = self.length + new.keys.shape[-2]
        block[0, :, :, self.length : end] = new.keys.flatten(0, 1)
        block[1, :, :, self.length : end] = new.values.flatten(0, 1)
        keys, values = block[:, :, :, :end].unflatten(1, samples)
        return KeyValue(keys, values)

    def keep(self, samples_N: Tensor) -> None:
        """Keeps these samples, in this order; a sample may be kept more than once."""
        for i, old in enumerate(self._layers_2NKLD):
            new = old.new_empty(2, len(samples_N), *old.shape[2:])
            new[:, :, :, : self.length] = old[:, :, :, : self.length].index_select(1, samples_N)
            self._layers_2NKLD[i] = new


class FixedCache(Cache):
    """Of one shape whatever it holds: what no token has been written to is zeros, which the masks
    hide, and the place of the next token lies on the device."""

    def __init__(
        self, config: DecoderConfig, num_samples: int, capacity: int, device: torch.device
    ) -> None:
        super().__init__(config, num_samples, capacity)
        self._capacity = capacity
        self._place_1 = torch.zeros(1, dtype=torch.long, device=device)

    def places(self, num_new: int, device: torch.device) -> tuple[Tensor, int]:
        assert num_new == 1, "a token at a time"
        return self._place_1, self._capacity

    def advance(self, num_new: int) -> None:
        self._place_1 += num_new

    def append(self, layer: int, new: KeyValue) -> KeyValue:
        if layer == len(self._layers_2NKLD):
            self._layers_2NKLD.append(new.keys.new_zeros(self._shape))
        block, samples = self._layers_2NKLD[layer], new.keys.shape[:2]
        block[0].index_copy_(2, self._place_1, new.keys.flatten(0, 1))
        block[1].index_copy_(2, self._place_1, new.values.flatten(0, 1))
        keys, values = block.unflatten(1, samples)
        return KeyValue(keys, values)

    def keep(self, samples_N: Tensor) -> None:
        for i, block in enumerate(self._layers_2NKLD):
            self._layers_2NKLD[i] = block.index_select(1, samples_N)

    def grow(self, capacity: int) -> None:
        for i, old in enumerate(self._layers_2NKLD):
            two, num_samples, heads, _, width = old.shape
            new = old.new_zeros(two, num_samples, heads, capacity, width)
            new[:, :, :, : self._capacity] = old
            self._layers_2NKLD[i] = new
        self._capacity = capacity

    @property
    def capacity(self) -> int:
        return self._capacity
