"""Any causal language model of Transformers, behind the decoder's own interface.

For architectures that our definition does not cover (`model.backend = "transformers"`).  The same
trainer, the same sampling: what differs is that every sample runs its context again, and that
logits are made of all positions of a row from its context's end on.  Slow, and right.

Axes: G groups, S samples a group, P context positions, T new positions, V vocabulary; R = G * S.
"""

import copy
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from proofloop.core.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSizes:
    """What the rest of the program asks of a network's configuration."""

    vocab_size: int
    max_position_embeddings: int


class Contexts(NamedTuple):
    """Right-padded; nothing is run before the samples are."""

    tokens_GP: Tensor
    lengths_G: Tensor


class HubNetwork(nn.Module):
    """`encode_context`, `extend` and `logits` as of `decoder.Decoder`; here `extend` gives logits
    for hidden states, because what a class makes of them (caps, scales) is its own."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner = model.eval()  # no dropout: what trains is what was sampled
        text = model.config.get_text_config()
        positions = getattr(text, "max_position_embeddings", None)
        self.config = HubSizes(
            vocab_size=int(text.vocab_size), max_position_embeddings=int(positions or 2**20)
        )

    def named_tensors(self) -> dict[str, Tensor]:
        """The parameters by the names of their checkpoint, in the order of `parameters()`."""
        return {name.removeprefix("inner."): p for name, p in self.named_parameters()}

    def encode_context(self, tokens_GP: Tensor, lengths_G: Tensor) -> tuple[Tensor, Contexts]:
        return tokens_GP, Contexts(tokens_GP, lengths_G)

    def extend(self, tokens_GST: Tensor, context: Contexts, cache: None = None) -> Tensor:
        """Logits GSTV after every new token, each given its group's context and its own sample."""
        G, S, T = tokens_GST.shape
        lengths_R = context.lengths_G.repeat_interleave(S)
        first = int(lengths_R.min())
        longest = int(lengths_R.max()) + T
        rows_RL = tokens_GST.new_zeros(G * S, longest)
        P = min(context.tokens_GP.shape[1], longest)
        rows_RL[:, :P] = context.tokens_GP[:, :P].repeat_interleave(S, dim=0)
        places_RT = lengths_R[:, None] + torch.arange(T, device=rows_RL.device)
        rows_RL.scatter_(1, places_RT, tokens_GST.flatten(0, 1))
        position_L = torch.arange(longest, device=rows_RL.device)
        mask_RL = (position_L < lengths_R[:, None] + T).long()
        out = self.inner(
            input_ids=rows_RL,
            attention_mask=mask_RL,
            use_cache=False,
            logits_to_keep=position_L[first:],
        )
        logits_RLV = out.logits.float()
        if logits_RLV.shape[1] == longest:  # a class that does not know logits_to_keep
            logits_RLV = logits_RLV[:, first:]
        places_RTV = (places_RT - first)[..., None].expand(-1, -1, logits_RLV.shape[-1])
        return logits_RLV.gather(1, places_RTV).unflatten(0, (G, S))

    def logits(self, hidden: Tensor) -> Tensor:
        return hidden


def empty_hub_network(directory: Path) -> HubNetwork:
    """With weights that mean nothing: they are about to be replaced.  Raises ModelError."""
    transformers = _transformers()
    with _quiet(directory):
        config = transformers.AutoConfig.from_pretrained(directory, trust_remote_code=False)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return HubNetwork(model)


def load_hub_network(directory: Path) -> HubNetwork:
    """Weights in float32, from safetensors only; no code of the checkpoint's runs.  Raises
    ModelError, also where Transformers would make up weights that are not there."""
    transformers = _transformers()
    with _quiet(directory):
        model, report = transformers.AutoModelForCausalLM.from_pretrained(
            directory,
            dtype=torch.float32,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
        )
    for what in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        names = sorted(map(str, report.get(what) or ()))
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise ModelError(
                f"{directory}: weights do not fit config.json: {what.replace('_keys', '')} "
                f"{', '.join(names[:3])}{more}; fetch the files again"
            )
    return HubNetwork(model)


def save_hub_network(
    model: HubNetwork, directory: Path, *, dtype: torch.dtype, stop_ids: tuple[int, ...]
) -> None:
    """By Transformers' own `save_pretrained`, which writes the names and shapes of its classes."""
    inner = model.inner if dtype == torch.float32 else copy.deepcopy(model.inner).to(dtype)
    config = inner.generation_config
    if config is not None and stop_ids:
        known = config.eos_token_id
        known = known if isinstance(known, list) else [] if known is None else [known]
        config.eos_token_id = [*known, *(s for s in stop_ids if s not in known)]
    inner.save_pretrained(directory, safe_serialization=True)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise ModelError(
            'model.backend: "transformers" needs the package; install `proofloop[hf]`'
        ) from None
    return transformers


@contextmanager
def _quiet(directory: Path) -> Generator[None]:
    """What goes wrong in Transformers becomes one line."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # of whatever class of its
        first = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"{directory}: Transformers does not load it ({type(error).__name__}: {first}). Code "
            "that a checkpoint brings along is not run; a newer Transformers may have the class"
        ) from error
