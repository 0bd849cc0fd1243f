"""The numbers that a network's products are made in, and what its backward pass keeps.

In bfloat16 weights and inputs of matrix products are rounded, each once, and products add up as the
hardware does (in float32).  All else is float32: the weights that are rounded (masters), the stream
that layers add to, norms, rotations, softmax and, with the head, log-probabilities.  The gradient
of a rounded weight is rounded once and added up in float32.  Explicit casts instead of
`torch.autocast`, whose lists of what is rounded differ from device to device.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Out = TypeVar("Out")


class Arithmetic(nn.Module):
    """A part of a network with matrix products."""

    arithmetic: torch.dtype | None = None
    """What products are made in; None: whatever weights and inputs are in."""
    joined: nn.Linear | None = None
    """In place of the layers of `joined_product`, one below the other (`engine.models.copies`)."""

    def rounded(self, x: Tensor) -> Tensor:
        return x if self.arithmetic is None else x.to(self.arithmetic)

    def exact(self, x: Tensor) -> Tensor:
        """In float32, where products are made in less."""
        return x if self.arithmetic is None else x.float()

    def product(self, x: Tensor, layer: nn.Linear) -> Tensor:
        if self.arithmetic is None:
            return layer(x)
        bias = bias_of(layer)
        rounded = None if bias is None else self.rounded(bias)
        return F.linear(self.rounded(x), self.rounded(layer.weight), rounded)

    def joined_product(self, x: Tensor, layers: Sequence[nn.Linear]) -> Tensor:
        """The outputs of layers with the same input, side by side.  One product: on a CPU, joining
        the weights costs less than more small products."""
        if self.joined is not None:
            return self.product(x, self.joined)
        weight = torch.cat([self.rounded(layer.weight) for layer in layers])
        biases = [self.rounded(bias) for layer in layers if (bias := bias_of(layer)) is not None]
        return F.linear(self.rounded(x), weight, torch.cat(biases) if biases else None)


def bias_of(layer: nn.Linear) -> Tensor | None:
    """PyTorch declares it as if every layer had one."""
    return cast("Tensor | None", layer.bias)


def compute_in(model: nn.Module, arithmetic: torch.dtype | None) -> None:
    """Sets what every product of `model`'s layers is made in."""
    for part in model.modules():
        if isinstance(part, Arithmetic):
            part.arithmetic = arithmetic


def arithmetic_of(model: nn.Module) -> torch.dtype | None:
    """What its layers' products are made in; None: what the weights are in."""
    found = (part.arithmetic for part in model.modules() if isinstance(part, Arithmetic))
    return next(found, None)


def run_layer(layer: Callable[..., Out], again: bool, *inputs: object) -> Out:
    """`layer(*inputs)`.  `again`: what lies between inputs and outputs is not kept for the backward
    pass, which runs the layer once more; the gradient is the same to the last bit."""
    if not (again and torch.is_grad_enabled()):
        return layer(*inputs)
    found = checkpoint(layer, *inputs, use_reentrant=False, preserve_rng_state=False)
    return cast("Out", found)
