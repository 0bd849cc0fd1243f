"""Batched sampling with a network of Transformers, its cache, and our random numbers.

Contexts are left-padded, so that all rows grow at the same place; rows that have finished leave
where the cache can let them go.

Axes: N rows (samples), P context positions, V vocabulary.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from proofloop.core.completion import Request, SamplingParams
from proofloop.engine.models.hub_network import HubNetwork
from proofloop.engine.torch_batch import Draft, draw


def sample_hub(
    network: HubNetwork, requests: list[Request], sampling: SamplingParams, stop_ids: np.ndarray
) -> list[list[Draft]]:
    """One list a request, one draft a seed."""
    drafts = [[Draft(seed) for seed in request.seeds] for request in requests]
    live = [draft for group in drafts for draft in group]
    contexts = [request.context for request in requests for _ in request.seeds]
    longest, device = max(map(len, contexts)), next(network.parameters()).device
    next_NT = torch.zeros(len(live), longest, dtype=torch.long)
    mask_NL = torch.zeros(len(live), longest, dtype=torch.long)
    for row, context in enumerate(contexts):
        next_NT[row, longest - len(context) :] = torch.tensor(context)
        mask_NL[row, longest - len(context) :] = 1
    next_NT, mask_NL = next_NT.to(device), mask_NL.to(device)
    cache: Any = None
    for position in range(sampling.max_tokens):
        logits_NV, cache = _forward(network, next_NT, mask_NL, cache)
        seeds_N = np.array([draft.seed for draft in live], dtype=np.uint64)
        tokens_N, logprobs_N, entropies_N = draw(logits_NV, seeds_N, position, sampling)
        for draft, token, logprob, entropy in zip(
            live, tokens_N.tolist(), logprobs_N.tolist(), entropies_N.tolist(), strict=True
        ):
            draft.tokens.append(token)
            draft.logprobs.append(logprob)
            draft.entropies.append(entropy)
        on_N = torch.from_numpy(~np.isin(tokens_N.cpu().numpy(), stop_ids))
        if not on_N.any():
            break
        if not on_N.all():
            live = [draft for draft, on in zip(live, on_N.tolist(), strict=True) if on]
            rows = on_N.nonzero()[:, 0].to(device)
            cache.batch_select_indices(rows)
            mask_NL, tokens_N = mask_NL[rows], tokens_N[rows]
        next_NT = tokens_N[:, None]
        mask_NL = torch.cat((mask_NL, torch.ones_like(next_NT)), dim=1)
    return drafts


def _forward(
    network: HubNetwork, next_NT: Tensor, mask_NL: Tensor, cache: Any
) -> tuple[Tensor, Any]:
    """Logits (N, V) after each row's last token, and the cache with what is new."""
    options: dict[str, Any] = {"past_key_values": cache}
    if network.takes_positions:
        position_NL = (mask_NL.cumsum(dim=-1) - 1).clamp_min(0)
        options["position_ids"] = position_NL[:, -next_NT.shape[1] :]
    out = network.inner(input_ids=next_NT, attention_mask=mask_NL, use_cache=True, **options)
    return out.logits[:, -1].float(), out.past_key_values
