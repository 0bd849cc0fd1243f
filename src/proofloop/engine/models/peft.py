"""LoRA adapters in PEFT's format: adapter_config.json and adapter_model.safetensors."""

import math
from pathlib import Path
from typing import Any, cast

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from proofloop.core.codec import to_json
from proofloop.core.errors import ModelError
from proofloop.engine.models.config import TARGETS, LoraConfig
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.hub_config import read_json
from proofloop.engine.models.lora import Lora

CONFIG_NAME, WEIGHTS_NAME = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_HARMLESS = frozenset(
    {"peft_type", "task_type", "base_model_name_or_path", "revision", "inference_mode"}
    | {"auto_mapping", "peft_version", "lora_dropout", "megatron_core", "qalora_group_size"}
    | {"r", "lora_alpha", "target_modules", "use_rslora", "runtime_config", "layers_pattern"}
)
_PLAIN_STARTS = (True, False, "gaussian", "orthogonal", "eva")
"""Of `init_lora_weights`; others change the base's own weights."""


def save_adapter(
    lora: Lora, directory: Path, *, base: str, dtype: torch.dtype = torch.float32
) -> None:
    """base: the directory or hub id of the model that the adapter belongs to."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {
        f"{_PREFIX}{name}.lora_{letter}.weight": matrix.detach().to("cpu", dtype).contiguous()
        for name, a, b in lora.named_pairs()
        for letter, matrix in (("A", a), ("B", b))
    }
    save_file(tensors, directory / WEIGHTS_NAME, metadata={"format": "pt"})
    alpha = lora.config.alpha
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": lora.config.rank,
        "lora_alpha": int(alpha) if alpha == int(alpha) else alpha,
        "target_modules": sorted(lora.config.targets),
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "inference_mode": True,
        "modules_to_save": None,
        "use_dora": False,
        "use_rslora": False,
    }
    path = directory / CONFIG_NAME
    path.write_bytes(msgspec.json.format(to_json(settings), indent=2) + b"\n")


def read_adapter_config(directory: Path) -> LoraConfig:
    """Raises ModelError for anything but plain LoRA of a decoder's linear layers."""
    path = directory / CONFIG_NAME
    if not path.exists():
        raise ModelError(f"{directory}: no {CONFIG_NAME}; give an adapter's directory (PEFT)")
    raw = read_json(path)
    if raw.get("peft_type") != "LORA":
        raise ModelError(f"{path}: peft_type {raw.get('peft_type')!r} is not supported, only LORA")
    for key, value in raw.items():
        if key == "init_lora_weights":
            plain = value in _PLAIN_STARTS
        elif key == "bias":
            plain = value == "none"
        else:
            plain = key in _HARMLESS or not value
        if not plain:
            raise ModelError(
                f"{path}: {key} = {value!r} is not supported; only plain LoRA of linear layers is"
            )
    rank, alpha, targets = raw.get("r"), raw.get("lora_alpha"), raw.get("target_modules")
    if targets == "all-linear":
        targets = list(TARGETS)
    if isinstance(
        targets, list
    ):  # PEFT may name each layer's; that all are there, `load_adapter` sees
        targets = {str(target).rpartition(".")[2] for target in cast("list[Any]", targets)}
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise ModelError(f"{path}: r = {rank!r} and lora_alpha = {alpha!r} must be numbers above 0")
    if not isinstance(targets, set) or not targets or not targets <= set(TARGETS):
        raise ModelError(
            f"{path}: target_modules = {raw.get('target_modules')!r} is not supported; some of "
            f"{', '.join(TARGETS)} are"
        )
    chosen = tuple(target for target in TARGETS if target in targets)
    # rsLoRA (Kalajdzievski 2023) divides by the root of the rank.
    factor = math.sqrt(rank) if raw.get("use_rslora") else 1.0
    return LoraConfig(rank=rank, alpha=float(alpha) * factor, targets=chosen)


def load_adapter(lora: Lora, directory: Path) -> None:
    """Reads A and B in place.  Raises ModelError where they are not those of this decoder."""
    path = directory / WEIGHTS_NAME
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot read the adapter ({error})") from error
    expected = {
        f"{_PREFIX}{name}.lora_{letter}.weight": matrix
        for name, a, b in lora.named_pairs()
        for letter, matrix in (("A", a), ("B", b))
    }
    differing = sorted(tensors.keys() ^ expected.keys())
    if differing:
        what = "is missing" if differing[0] in expected else "has no place in this model"
        raise ModelError(f"{path}: {differing[0]} {what}; another base model or other targets?")
    for name, matrix in expected.items():
        if tensors[name].shape != matrix.shape or not tensors[name].isfinite().all():
            raise ModelError(
                f"{path}: {name} has shape {list(tensors[name].shape)}, should have "
                f"{list(matrix.shape)} of finite numbers; another base model?"
            )
        matrix.data.copy_(tensors[name])


def merge_adapter(model: Decoder, directory: Path) -> None:
    """Adds an adapter's update to the model's weights for good.  Raises ModelError."""
    lora = Lora(model, read_adapter_config(directory))
    load_adapter(lora, directory)
    lora.hold_base()
    lora.merge()
