"""Rotary position embedding (Su et al. 2021) and its scalings to longer texts, as tables.

The order of the float32 operations is that of Transformers (`modeling_rope_utils`), so that a
checkpoint's logits agree to the last digits.  D: head width.
"""

import math
from typing import assert_never

import torch
from torch import Tensor

from proofloop.engine.models.config import (
    DecoderConfig,
    DynamicScaling,
    LinearScaling,
    Llama3Scaling,
    YarnScaling,
)


def rotary_tables(config: DecoderConfig) -> tuple[Tensor, Tensor]:
    """cos and sin (positions, D), halves repeated as in Llama's published weights."""
    inverse, factor = _frequencies(config)
    angles = torch.outer(torch.arange(config.max_position_embeddings).float(), inverse)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos() * factor, angles.sin() * factor


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021, eq. 34) in the half-split layout."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


def yarn_attention_factor(factor: float, mscale: float = 1.0, mscale_all_dim: float = 0.0) -> float:
    """0.1 ln(factor) + 1 (Peng et al. 2023, eq. 22), or DeepSeek's ratio of two such."""

    def sharpened(scale: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0

    if mscale and mscale_all_dim:
        return sharpened(mscale) / sharpened(mscale_all_dim)
    return sharpened(1.0)


def _frequencies(config: DecoderConfig) -> tuple[Tensor, float]:
    """Angles per position (D/2), and what cos and sin are multiplied by."""
    powers = config.rope_theta ** (torch.arange(0, config.head_dim, 2).float() / config.head_dim)
    plain = 1.0 / powers
    match config.rope_scaling:
        case None | DynamicScaling():
            return plain, 1.0
        case LinearScaling(factor=factor):
            return plain / factor, 1.0
        case Llama3Scaling() as scaling:
            return _llama3(plain, scaling), 1.0
        case YarnScaling() as scaling:
            return _yarn(powers, config, scaling), scaling.attention_factor
        case _:
            assert_never(config.rope_scaling)


def _llama3(plain: Tensor, scaling: Llama3Scaling) -> Tensor:
    original = scaling.original_max_position_embeddings
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    lengths = 2 * math.pi / plain
    scaled = torch.where(lengths > original / low, plain / scaling.factor, plain)
    smooth = (original / lengths - low) / (high - low)
    between = (1 - smooth) * scaled / scaling.factor + smooth * scaled
    is_between = (lengths >= original / high) & (lengths <= original / low)
    return torch.where(is_between, between, scaled)


def _yarn(powers: Tensor, config: DecoderConfig, scaling: YarnScaling) -> Tensor:
    def dimension(rotations: float) -> float:
        """At which a whole text of the original length turns so often."""
        turns = scaling.original_max_position_embeddings / (rotations * 2 * math.pi)
        return config.head_dim * math.log(turns) / (2 * math.log(config.rope_theta))

    low, high = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, config.head_dim - 1)
    if low == high:
        high += 0.001
    ramp = (torch.arange(config.head_dim // 2).float() - low) / (high - low)
    kept = 1 - ramp.clamp(0, 1)
    return 1.0 / (scaling.factor * powers) * (1 - kept) + 1.0 / powers * kept
