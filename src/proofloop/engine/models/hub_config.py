"""`config.json` of Hugging Face checkpoints: read into a DecoderConfig, and written from one.

A key of the file is one that we compute by, one that changes nothing of the computation, or a
reason to refuse: nothing that could change a logit is ever passed over.  Both styles of the
position encoding are read: `rope_theta` and `rope_scaling` (Transformers 4), `rope_parameters` (5).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from proofloop.core.errors import ModelError
from proofloop.engine.models.config import DecoderConfig
from proofloop.engine.models.hub_families import (
    FAMILIES,
    OF_OTHERS,
    REASONS,
    SHARED,
    SIZES,
    Family,
    model_type_of,
)
from proofloop.engine.models.hub_rope import read_rope, rope_of


class _Known(msgspec.Struct):
    """The keys that define the network, with their types; `None` where the file leaves one out."""

    vocab_size: int | None = None
    hidden_size: int | None = None
    intermediate_size: int | None = None
    num_hidden_layers: int | None = None
    num_attention_heads: int | None = None
    max_position_embeddings: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    rms_norm_eps: float = 1e-6
    rope_theta: float | None = None
    rope_parameters: dict[str, Any] | None = None
    rope_scaling: dict[str, Any] | None = None
    tie_word_embeddings: bool = False
    hidden_act: str = "silu"
    attention_bias: bool | None = None
    attention_out_bias: bool = False
    mlp_bias: bool = False
    sliding_window: int | None = None
    use_sliding_window: bool | None = None
    max_window_layers: int = 28
    layer_types: tuple[str, ...] | None = None
    no_rope_layers: tuple[int, ...] | None = None
    no_rope_layer_interval: int = 4


def read_config(directory: Path) -> DecoderConfig:
    """Raises ModelError where config.json is missing, damaged, or asks for what we do not do."""
    path = directory / "config.json"
    raw = read_raw_config(directory)
    architecture, family = _family(path, raw)
    _refuse_unknown(path, architecture, family, raw)
    theirs = {k: v for k, v in raw.items() if k in SHARED | family.keys}
    try:
        known = msgspec.convert({**family.defaults, **theirs}, _Known)
        config = _config(known, architecture, family)
    except (msgspec.ValidationError, ValueError) as error:
        raise ModelError(f"{path}: not a model configuration ({error})") from error
    return config


def read_raw_config(directory: Path) -> dict[str, Any]:
    """The file as it stands.  Raises ModelError where it is missing or no JSON object."""
    if not (directory / "config.json").exists():
        hint = (
            "it has adapter_config.json: give the base model as model.path, this as model.adapter"
            if (directory / "adapter_config.json").exists()
            else "give a checkpoint directory in Hugging Face format"
        )
        raise ModelError(f"{directory}: no config.json; {hint}")
    return read_json(directory / "config.json")


def read_json(path: Path) -> dict[str, Any]:
    """Raises ModelError where it is missing or no JSON object."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{path}: not a model configuration ({error})") from error


def hub_config(config: DecoderConfig) -> dict[str, Any]:
    """The keys of a `config.json` by which Transformers, 4 or 5, computes the same.  Raises
    ModelError for a combination that no model class there has."""
    for name in sorted(FAMILIES, key=lambda name: name != config.architecture):
        keys = _written(config, name)
        known = msgspec.convert({**FAMILIES[name].defaults, **keys}, _Known)
        try:
            same = _config(known, name, FAMILIES[name]) == config
        except ValueError:
            same = False
        if same:
            return {"architectures": [name], "model_type": model_type_of(name), **keys}
    raise ModelError(f"no model class of Transformers has this combination: {config}")


def _family(path: Path, raw: dict[str, Any]) -> tuple[str, Family]:
    model_type = raw.get("model_type")
    by_type = {model_type_of(name): name for name in FAMILIES}
    named = raw.get("architectures") or [by_type.get(str(model_type), f"model type {model_type}")]
    name = str(named[0]) if isinstance(named, list) and len(named) == 1 else str(named)
    if name not in FAMILIES:
        raise ModelError(
            f"{path}: {name} is not supported; supported: {', '.join(FAMILIES)} (decoders whose "
            'every layer is dense). Set model.backend = "transformers" where Transformers has it'
        )
    if model_type not in (None, model_type_of(name)):
        raise ModelError(
            f"{path}: architectures says {name}, model_type {model_type!r}; correct the wrong one"
        )
    return name, FAMILIES[name]


def _refuse_unknown(path: Path, name: str, family: Family, raw: Mapping[str, Any]) -> None:
    known = SHARED | family.keys | set(OF_OTHERS.split())
    for key, value in raw.items():
        off = value is None or value is False or value in ("", [], {})
        ours = key.startswith(("_", "transformers.", "unsloth")) or key.endswith("_version")
        fixed = key == "attention_bias" and value is family.attention_bias
        if key in known or off or ours or fixed:
            continue
        reason = REASONS.get(key) or (
            "a mixture of experts" if "expert" in key else f"no key that {name} computes by here"
        )
        raise ModelError(
            f"{path}: {key} = {_short(value)}: {reason}. If it surely changes nothing of the "
            "computation, take it out of config.json"
            if key not in REASONS
            else f"{path}: {key}: {reason}"
        )
    act = raw.get("hidden_act", "silu")
    if act not in ("silu", "swish"):
        raise ModelError(f"{path}: hidden_act = {_short(act)} is not supported; supported: silu")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _config(known: _Known, architecture: str, family: Family) -> DecoderConfig:
    """Raises ValueError where keys are missing or contradict each other."""
    sizes = {key: cast("int | None", getattr(known, key)) for key in SIZES}
    for key, size in sizes.items():
        if size is None or size < 1:
            raise ValueError(f"{key} is {'missing' if size is None else size}")
    size = cast("dict[str, int]", sizes)
    heads = size["num_attention_heads"]
    kv = known.num_key_value_heads or heads
    width = known.head_dim or size["hidden_size"] // heads
    if heads % kv:
        raise ValueError(f"{heads} attention heads cannot share {kv} key/value heads evenly")
    if width % 2:
        raise ValueError(f"a head of {width} dimensions cannot be rotated in pairs")
    bias = family.attention_bias if known.attention_bias is None else known.attention_bias
    theta, scaling = read_rope(
        known.rope_scaling,
        known.rope_parameters,
        theta=known.rope_theta,
        default_theta=family.rope_theta,
        max_positions=size["max_position_embeddings"],
    )
    sliding = _sliding_layers(known, architecture)
    return DecoderConfig(
        **size,
        num_key_value_heads=kv,
        head_dim=width,
        rms_norm_eps=known.rms_norm_eps,
        rope_theta=theta,
        rope_scaling=scaling,
        tie_word_embeddings=known.tie_word_embeddings,
        attention_bias=bias,
        attention_out_bias=bias if family.has_out_bias else known.attention_out_bias,
        mlp_bias=known.mlp_bias,
        qk_norm=family.qk_norm,
        sliding_window=known.sliding_window if any(sliding) else None,
        sliding_layers=sliding if any(sliding) else (),
        rope_layers=_rope_layers(known, family),
        architecture=architecture,
    )


def _sliding_layers(known: _Known, architecture: str) -> tuple[bool, ...]:
    """Raises ValueError where the keys contradict each other: there Transformers' versions do."""
    n = cast("int", known.num_hidden_layers)
    window = known.sliding_window
    switched = "use_sliding_window" in FAMILIES[architecture].keys
    in_use = window is not None and (bool(known.use_sliding_window) or not switched)
    if window is not None and in_use and window < 1:
        raise ValueError(f"sliding_window = {window}")
    match architecture:
        case "Qwen2ForCausalLM" | "Qwen3ForCausalLM":
            implied = tuple(in_use and i >= known.max_window_layers for i in range(n))
        case "SmolLM3ForCausalLM":
            rotated = _rope_layers(known, FAMILIES[architecture]) or (True,) * n
            implied = tuple(in_use and not r for r in rotated)
        case _:
            implied = (in_use,) * n
    if known.layer_types is None:
        return implied
    names = {"full_attention": False, "sliding_attention": True}
    if len(known.layer_types) != n or not names.keys() >= set(known.layer_types):
        raise ValueError(
            f"layer_types = {_short(list(known.layer_types))} are not {n} of {', '.join(names)}"
        )
    listed = tuple(names[t] for t in known.layer_types)
    if any(listed) and not in_use:
        raise ValueError("layer_types has sliding_attention, but no sliding_window is in use")
    if architecture == "MistralForCausalLM" and listed != implied:
        raise ValueError("layer_types contradicts sliding_window, which is of all layers here")
    return listed


def _rope_layers(known: _Known, family: Family) -> tuple[bool, ...]:
    """Empty where all rotate."""
    n = cast("int", known.num_hidden_layers)
    if "no_rope_layers" not in family.keys:
        return ()
    listed = known.no_rope_layers
    if listed is None:
        every = known.no_rope_layer_interval
        listed = tuple(int((i + 1) % every != 0) for i in range(n))
    if len(listed) != n or not {0, 1} >= set(listed):
        raise ValueError(f"no_rope_layers = {_short(list(listed))} are not {n} of 0 and 1")
    return () if all(listed) else tuple(bool(r) for r in listed)


def _written(config: DecoderConfig, architecture: str) -> dict[str, Any]:
    """All keys that the family computes by, written out: none is left to its defaults."""
    n = config.num_hidden_layers
    sliding = config.sliding_layers or (False,) * n
    keys: dict[str, Any] = {key: getattr(config, key) for key in SIZES}
    keys |= {
        "num_key_value_heads": config.num_key_value_heads,
        "head_dim": config.head_dim,
        "rms_norm_eps": config.rms_norm_eps,
        "tie_word_embeddings": config.tie_word_embeddings,
        "hidden_act": "silu",
        **rope_of(config),
        "attention_bias": config.attention_bias,
        "attention_out_bias": config.attention_out_bias,
        "mlp_bias": config.mlp_bias,
        "sliding_window": config.sliding_window,
        "use_sliding_window": any(sliding),
        "max_window_layers": n,
        "layer_types": ["sliding_attention" if s else "full_attention" for s in sliding],
        "no_rope_layers": [int(config.rotates(i)) for i in range(n)],
    }
    if architecture == "MistralForCausalLM":
        del keys["layer_types"]  # it warns of them
    allowed = SHARED | FAMILIES[architecture].keys
    return {k: v for k, v in keys.items() if k in allowed}
