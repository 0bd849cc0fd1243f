"""A network of random weights: what a model is before anything has trained it."""

import torch

from proofloop.engine.models.decoder import Decoder, DecoderConfig


def fresh_model(config: DecoderConfig, seed: int) -> Decoder:
    """Matrices normal(0, 0.02), residual outputs scaled down by depth, biases zero."""
    torch.manual_seed(seed)
    model = Decoder(config)
    depth_scale = (2 * config.num_hidden_layers) ** -0.5
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            residual = name.endswith(("o_proj.weight", "down_proj.weight"))
            torch.nn.init.normal_(parameter, std=0.02 * (depth_scale if residual else 1.0))
        elif name.endswith(".bias"):
            torch.nn.init.zeros_(parameter)
    return model
