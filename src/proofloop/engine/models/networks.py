"""A checkpoint's network by a recipe's backend: our own definition, or Transformers'."""

from pathlib import Path

import torch

from proofloop.engine.models.checkpoint import (
    copy_tokenizer,
    load_model,
    read_config,
    save_model,
)
from proofloop.engine.models.config import Backend
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.fresh import fresh_model
from proofloop.engine.models.hub_network import (
    HubNetwork,
    empty_hub_network,
    hub_positions,
    load_hub_network,
    save_hub_network,
)


def load_network(directory: Path, backend: Backend) -> Decoder:
    """With its weights.  Raises ModelError."""
    return load_hub_network(directory) if backend is Backend.TRANSFORMERS else load_model(directory)


def empty_network(directory: Path, backend: Backend) -> Decoder:
    """Whose weights are about to be replaced.  Raises ModelError."""
    if backend is Backend.TRANSFORMERS:
        return empty_hub_network(directory)
    return Decoder(read_config(directory))


def random_network(directory: Path, backend: Backend, seed: int) -> Decoder:
    """With random weights.  Raises ModelError."""
    if backend is Backend.TRANSFORMERS:
        torch.manual_seed(seed)
        return empty_hub_network(directory)
    return fresh_model(read_config(directory), seed)


def positions_of(directory: Path, backend: Backend) -> int:
    """Raises ModelError."""
    if backend is Backend.TRANSFORMERS:
        return hub_positions(directory)
    return read_config(directory).max_position_embeddings


def save_network(
    model: Decoder,
    directory: Path,
    *,
    tokenizer_from: Path,
    dtype: torch.dtype = torch.float32,
    stop_ids: tuple[int, ...] = (),
) -> None:
    """Weights, configuration and tokenizer, as `save_model`.  Raises ModelError."""
    if isinstance(model, HubNetwork):
        save_hub_network(model, directory, dtype=dtype, stop_ids=stop_ids)
        copy_tokenizer(tokenizer_from, directory)
        return
    save_model(model, directory, tokenizer_from=tokenizer_from, dtype=dtype, stop_ids=stop_ids)
