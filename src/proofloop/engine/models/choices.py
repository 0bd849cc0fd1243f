"""Log-probabilities of chosen tokens without ever holding the logits of all positions.

Axes: N positions, C model width, V vocabulary.
"""

from typing import Any, cast

import torch
from torch import Tensor

CHUNK_FLOATS = {"cpu": 2**19}
"""Logits held at once: on a CPU such that they stay in a core's cache."""
_DEFAULT_FLOATS = 2**26


def chosen_logprobs(
    hidden_NC: Tensor, weight_VC: Tensor, chosen_N: Tensor, temperature: float
) -> Tensor:
    """log softmax(hidden weight^T / temperature) at the chosen tokens (N,), nats, in float32.

    The backward pass computes the logits again, a chunk at a time, instead of keeping them: for a
    vocabulary of 150,000 they would be 600 kB a position.
    """
    return cast("Tensor", _Chosen.apply(hidden_NC, weight_VC, chosen_N, temperature))


class _Chosen(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, hidden_NC: Tensor, weight_VC: Tensor, chosen_N: Tensor, temperature: float
    ) -> Tensor:
        weight = weight_VC.float()
        logprobs_N = torch.empty(len(hidden_NC), dtype=torch.float32, device=hidden_NC.device)
        log_sums_N = torch.empty_like(logprobs_N)
        for part in _chunks(hidden_NC, weight_VC):
            logits = torch.mm(hidden_NC[part].float(), weight.t()).div_(temperature)
            log_sums_N[part] = logits.logsumexp(dim=-1)
            logprobs_N[part] = logits.gather(1, chosen_N[part, None])[:, 0] - log_sums_N[part]
        ctx.save_for_backward(hidden_NC, weight_VC, chosen_N, log_sums_N)
        ctx.temperature = temperature
        return logprobs_N

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden_NC, weight_VC, chosen_N, log_sums_N = cast("tuple[Tensor, ...]", ctx.saved_tensors)
        weight, d_N = weight_VC.float(), grads[0] / ctx.temperature
        d_hidden_NC = torch.empty_like(hidden_NC)
        d_weight_VC = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
        for part in _chunks(hidden_NC, weight_VC):
            hidden = hidden_NC[part].float()
            logits = torch.mm(hidden, weight.t()).div_(ctx.temperature)
            d_logits = logits.sub_(log_sums_N[part, None]).exp_().mul_(-d_N[part, None])
            d_logits.scatter_add_(1, chosen_N[part, None], d_N[part, None])
            d_hidden_NC[part] = torch.mm(d_logits, weight).to(hidden_NC.dtype)
            if d_weight_VC is not None:
                d_weight_VC.addmm_(d_logits.t(), hidden)
        if d_weight_VC is not None:
            d_weight_VC = d_weight_VC.to(weight_VC.dtype)
        return d_hidden_NC, d_weight_VC, None, None


def _chunks(hidden_NC: Tensor, weight_VC: Tensor) -> list[slice]:
    room = CHUNK_FLOATS.get(hidden_NC.device.type, _DEFAULT_FLOATS)
    size = max(64, room // len(weight_VC))
    return [slice(i, i + size) for i in range(0, len(hidden_NC), size)]
