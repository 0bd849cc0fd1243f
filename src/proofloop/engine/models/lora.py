"""Low-rank adapters (Hu et al. 2021): W = W0 + (alpha / rank) B A, of which only A and B train.

The network is not changed: its matrices hold the merged W, so sampler and trainer run the very
numbers that they run without adapters, and everything built for those holds.  What backward leaves
in a matrix's gradient G goes on to the adapters by the chain rule, dB = s G Aᵀ and dA = s Bᵀ G, and
is dropped at once: neither gradients nor optimiser moments of whole matrices are kept.
"""

import math

import torch
from torch import Tensor, nn

from proofloop.engine.models.config import LoraConfig
from proofloop.engine.models.decoder import Decoder


class Lora(nn.Module):
    """The adapters of one decoder.  Its parameters are the pairs A (rank, in), B (out, rank), in
    the order of the decoder's matrices; `engine.models.weights` makes them one flat vector."""

    def __init__(self, model: Decoder, config: LoraConfig, *, seed: int = 0) -> None:
        """Begins as no update at all: A as PEFT draws it, uniform within 1 / sqrt(in), B zero."""
        super().__init__()
        self.config = config
        self._weights = {
            name.removesuffix(".weight"): parameter
            for name, parameter in model.named_parameters()
            if name.endswith(".weight") and name.split(".")[-2] in config.targets
        }
        self._others = [p for p in model.parameters() if not self._is_target(p)]
        self._base: list[Tensor] = []
        self.pairs = nn.ParameterList()
        random = torch.Generator().manual_seed(seed)
        for weight in self._weights.values():
            out, into = weight.shape
            a = torch.empty(config.rank, into)
            a.uniform_(-1 / math.sqrt(into), 1 / math.sqrt(into), generator=random)
            self.pairs.append(a.to(weight.device))
            self.pairs.append(torch.zeros(out, config.rank, device=weight.device))

    def _is_target(self, parameter: Tensor) -> bool:
        return any(parameter is weight for weight in self._weights.values())

    def named_pairs(self) -> list[tuple[str, Tensor, Tensor]]:
        """Name of the linear layer, A, B."""
        pairs = list(self.pairs)
        return list(zip(self._weights, pairs[::2], pairs[1::2], strict=True))

    def hold_base(self) -> None:
        """Keeps the matrices as they are now as the W0 of every `merge`."""
        self._base = [weight.detach().clone() for weight in self._weights.values()]

    @torch.no_grad()
    def merge(self) -> None:
        """Writes W0 + s B A into the decoder's matrices, in place."""
        assert self._base, "hold_base comes first"
        for (name, a, b), base in zip(self.named_pairs(), self._base, strict=True):
            weight = self._weights[name].data
            if b.any():
                torch.addmm(base, b, a, alpha=self.config.scale, out=weight)
            else:
                weight.copy_(base)  # to the last bit: adding 0 would turn a -0

    def learn(self) -> None:
        """From now on backward through the decoder adds to the adapters' gradients, and to no
        others."""
        for parameter in self._others:
            parameter.requires_grad_(False)
        for name, a, b in self.named_pairs():
            self._weights[name].register_post_accumulate_grad_hook(_Projection(a, b, self.config))


class _Projection:
    """What becomes of one matrix's gradient."""

    def __init__(self, a: Tensor, b: Tensor, config: LoraConfig) -> None:
        self._a, self._b, self._scale = a, b, config.scale

    @torch.no_grad()
    def __call__(self, weight: Tensor) -> None:
        gradient, weight.grad = weight.grad, None
        assert gradient is not None, "called when there is one"
        for parameter in (self._a, self._b):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        assert self._a.grad is not None
        assert self._b.grad is not None
        self._a.grad.addmm_(self._b.T, gradient, alpha=self._scale)
        self._b.grad.addmm_(gradient, self._a.T, alpha=self._scale)
