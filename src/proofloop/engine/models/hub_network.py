"""Any causal language model of Transformers, for what our own definition does not cover.

`model.backend = "transformers"` asks for it.  Trainer, losses and random numbers are the same; but
every sample runs its context again, padded, and logits are made of all positions after it.

Axes: G groups, S samples a group, R = G * S rows, P context positions, T new positions, L both,
      N wanted tokens, V vocabulary.
"""

import copy
import inspect
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from proofloop.core.errors import ModelError
from proofloop.engine.models.config import DecoderConfig
from proofloop.engine.models.decoder import Decoder


class HubNetwork(Decoder):
    """A network of Transformers in place of our own; of the decoder's interface it has what the
    trainer and the sampler ask for: `config`, parameters, `token_logprobs`, and `inner` itself."""

    def __init__(self, model: Any) -> None:
        nn.Module.__init__(self)  # without the network of the base class
        self.inner = model.eval()  # no dropout: what trains is what was sampled
        self.config = _sizes(model)
        known = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in known
        self._keeps_some = "logits_to_keep" in known

    def token_logprobs(
        self,
        contexts_GP: Tensor,
        lengths_G: Tensor,
        inputs_GST: Tensor,
        wanted_GST: Tensor,
        targets_N: Tensor,
        temperature: float,
    ) -> Tensor:
        """Log-probabilities (N,) of the wanted targets, nats: inputs follow their group's context,
        which is right-padded; each sample's row is context, inputs, padding."""
        G, S, T = inputs_GST.shape
        lengths_R = lengths_G.repeat_interleave(S)
        first, L = int(lengths_R.min()), int(lengths_R.max()) + T
        P = min(contexts_GP.shape[1], L)
        rows_RL = inputs_GST.new_zeros(G * S, L)
        rows_RL[:, :P] = contexts_GP[:, :P].repeat_interleave(S, dim=0)
        places_RT = lengths_R[:, None] + torch.arange(T, device=rows_RL.device)
        rows_RL.scatter_(1, places_RT, inputs_GST.flatten(0, 1))
        position_L = torch.arange(L, device=rows_RL.device)
        mask_RL = (position_L < lengths_R[:, None] + T).long()
        some = {"logits_to_keep": position_L[first:]} if self._keeps_some else {}
        logits_RLV = self.inner(
            input_ids=rows_RL, attention_mask=mask_RL, use_cache=False, **some
        ).logits
        wanted_RT = wanted_GST.flatten(0, 1)
        places_N = (places_RT - (first if self._keeps_some else 0))[wanted_RT]
        rows_N = wanted_RT.nonzero()[:, 0]
        logits_NV = logits_RLV[rows_N, places_N].float() / temperature
        return logits_NV.log_softmax(dim=-1).gather(-1, targets_N[:, None])[:, 0]


def named_tensors(model: Decoder) -> dict[str, Tensor]:
    """The parameters by the names of their checkpoint, in the order of `parameters()`."""
    return {name.removeprefix("inner."): p for name, p in model.named_parameters()}


def hub_positions(directory: Path) -> int:
    """Positions that the network has.  Raises ModelError."""
    transformers = _transformers()
    with _quiet(directory):
        config = transformers.AutoConfig.from_pretrained(directory, trust_remote_code=False)
    return _positions(config.get_text_config())


def _positions(text: Any) -> int:
    """Without a limit of its own (ALiBi, state spaces): as many as anybody asks for."""
    return int(getattr(text, "max_position_embeddings", None) or 2**20)


def _sizes(model: Any) -> DecoderConfig:
    """What the rest of the program asks of a configuration; nothing is built by it."""
    text = model.config.get_text_config()
    heads = int(getattr(text, "num_attention_heads", None) or 1)
    hidden = int(text.hidden_size)
    return DecoderConfig(
        vocab_size=int(text.vocab_size),
        hidden_size=hidden,
        intermediate_size=int(getattr(text, "intermediate_size", None) or 4 * hidden),
        num_hidden_layers=int(text.num_hidden_layers),
        num_attention_heads=heads,
        num_key_value_heads=int(getattr(text, "num_key_value_heads", None) or heads),
        head_dim=int(getattr(text, "head_dim", None) or hidden // heads),
        max_position_embeddings=_positions(text),
        tie_word_embeddings=bool(getattr(text, "tie_word_embeddings", False)),
        architecture=type(model).__name__,
    )


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
