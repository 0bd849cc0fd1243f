"""Checkpoint directories in Hugging Face format: config.json, model.safetensors, tokenizer."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from proofloop.core.codec import to_json
from proofloop.core.errors import ModelError
from proofloop.engine.models.decoder import Decoder, DecoderConfig

_SUPPORTED = {
    "LlamaForCausalLM": {},
    "Qwen2ForCausalLM": {"attention_bias": True},
    "Qwen3ForCausalLM": {"qk_norm": True},
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


class _HubConfig(msgspec.Struct):
    """The parts of a `config.json` that define the network; other keys are other tools'."""

    architectures: list[str]
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    max_position_embeddings: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    rms_norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_parameters: dict[str, Any] | None = None
    rope_scaling: dict[str, Any] | None = None
    tie_word_embeddings: bool = False


def read_config(directory: Path) -> DecoderConfig:
    """Raises ModelError where config.json is missing, damaged or of another architecture."""
    path = directory / "config.json"
    try:
        hub = msgspec.json.decode(path.read_bytes(), type=_HubConfig)
    except FileNotFoundError:
        raise ModelError(
            f"{directory}: no config.json; give a checkpoint directory in Hugging Face format"
        ) from None
    except msgspec.DecodeError as error:
        raise ModelError(f"{path}: not a model configuration ({error})") from error
    rope = hub.rope_parameters or {"rope_type": "default"}
    special = next((_SUPPORTED[a] for a in hub.architectures if a in _SUPPORTED), None)
    if special is None or hub.rope_scaling or rope.get("rope_type", "default") != "default":
        raise ModelError(
            f"{path}: {', '.join(hub.architectures)} with this position encoding is not "
            f"supported; supported: {', '.join(_SUPPORTED)} with plain rotary embeddings"
        )
    return DecoderConfig(
        vocab_size=hub.vocab_size,
        hidden_size=hub.hidden_size,
        intermediate_size=hub.intermediate_size,
        num_hidden_layers=hub.num_hidden_layers,
        num_attention_heads=hub.num_attention_heads,
        num_key_value_heads=hub.num_key_value_heads or hub.num_attention_heads,
        head_dim=hub.head_dim or hub.hidden_size // hub.num_attention_heads,
        max_position_embeddings=hub.max_position_embeddings,
        rms_norm_eps=hub.rms_norm_eps,
        rope_theta=float(rope.get("rope_theta", hub.rope_theta)),
        tie_word_embeddings=hub.tie_word_embeddings,
        **special,
    )


def load_model(directory: Path) -> Decoder:
    """Raises ModelError where weights are missing, damaged or do not fit the configuration."""
    config = read_config(directory)
    path = directory / "model.safetensors"
    try:
        weights = {name: t.float() for name, t in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot read the weights ({error})") from error
    if config.tie_word_embeddings:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    model = Decoder(config)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"{path}: weights do not fit config.json ({error})") from error
    return model


def save_model(
    model: Decoder, directory: Path, *, tokenizer_from: Path, dtype: torch.dtype = torch.float32
) -> None:
    """Writes a directory that Transformers loads, tokenizer files copied from another one."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = {n: t.to(dtype).contiguous() for n, t in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del weights["lm_head.weight"]
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_bytes(
        msgspec.json.format(to_json(_hub_config(model.config, dtype)), indent=2) + b"\n"
    )
    copy_tokenizer(tokenizer_from, directory)


def copy_tokenizer(source: Path, directory: Path) -> None:
    """Into `directory`, which is made; nothing to do where it is the source itself."""
    if source != directory:
        directory.mkdir(parents=True, exist_ok=True)
        for name in TOKENIZER_FILES:
            shutil.copyfile(source / name, directory / name)


def _hub_config(config: DecoderConfig, dtype: torch.dtype) -> dict[str, Any]:
    architecture = next(
        name
        for name, special in _SUPPORTED.items()
        if special.get("qk_norm", False) == config.qk_norm
        and special.get("attention_bias", False) == config.attention_bias
    )
    return {
        "architectures": [architecture],
        "model_type": architecture.removesuffix("ForCausalLM").lower(),
        "hidden_act": "silu",
        "dtype": str(dtype).removeprefix("torch."),
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "max_position_embeddings": config.max_position_embeddings,
        "rms_norm_eps": config.rms_norm_eps,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tie_word_embeddings,
        "attention_bias": config.attention_bias,
        "use_cache": True,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
