"""Fixtures that several tiers use."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint directory with a real tokenizer and random weights, made in seconds."""
    from proofloop.engine.models.checkpoint import save_model
    from proofloop.runs.pretraining import (
        NetworkConfig,
        PretrainRecipe,
        build_network,
        build_tokenizer,
    )

    directory = tmp_path_factory.mktemp("tiny")
    network = NetworkConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
    )
    build_tokenizer(PretrainRecipe(network=network), directory, num_documents=500)
    model = build_network(network, seed=0)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2 and "embed" not in name:
            parameter.data.mul_(6.0)  # far from uniform, so that distributions differ by context
    save_model(model, directory, tokenizer_from=directory)
    return directory
