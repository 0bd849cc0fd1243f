"""What a decoder's architecture is: sizes, biases, position encoding, attention windows; and which
adapters it may get.  Loads no torch.

Field names follow Hugging Face's `config.json` (`engine.models.hub_config` reads and writes it).
"""

from dataclasses import dataclass, field
from enum import StrEnum


class Backend(StrEnum):
    """Whose network definition runs a checkpoint."""

    OWN = "own"
    TRANSFORMERS = "transformers"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearScaling:
    """Positions divided by `factor` (Chen et al. 2023, "Extending context window ...")."""

    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicScaling:
    """NTK scaling that begins beyond `max_position_embeddings`, which no run of ours passes: within
    it the frequencies are the plain ones."""

    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama3Scaling:
    """Llama 3.1's: low frequencies divided by `factor`, high ones kept, a ramp in between."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class YarnScaling:
    """YaRN (Peng et al. 2023): as above by number of rotations, and attention sharpened."""

    factor: float
    original_max_position_embeddings: int
    attention_factor: float
    """Of cos and sin alike."""
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True
    """Whether the ramp's ends are rounded to whole dimensions."""


RopeScaling = LinearScaling | DynamicScaling | Llama3Scaling | YarnScaling


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    """The architecture; field names follow Hugging Face's `config.json`."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    tie_word_embeddings: bool = True
    attention_bias: bool = False
    """Of the projections to queries, keys and values."""
    attention_out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    sliding_window: int | None = None
    """Positions that a token of a sliding layer sees, itself included."""
    sliding_layers: tuple[bool, ...] = ()
    """Which layers see no further than the window; empty: none."""
    rope_layers: tuple[bool, ...] = ()
    """Which layers rotate queries and keys; empty: all."""
    architecture: str = field(default="", compare=False)
    """Name of the model class in Transformers that it came as; "": the first that can express it.
    No part of what is computed."""

    def window(self, layer: int) -> int | None:
        return self.sliding_window if self.sliding_layers and self.sliding_layers[layer] else None

    def rotates(self, layer: int) -> bool:
        return not self.rope_layers or self.rope_layers[layer]


TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The linear layers of a decoder's layers; embedding and head stay as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    rank: int
    alpha: float
    """The update counts alpha / rank times."""
    targets: tuple[str, ...] = TARGETS

    @property
    def scale(self) -> float:
        return self.alpha / self.rank
