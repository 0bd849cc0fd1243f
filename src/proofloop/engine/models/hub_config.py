"""`config.json` of Hugging Face checkpoints: read into a DecoderConfig, and written from one.

A key of the file is one that we compute by, one that changes nothing of the computation, or a
reason to refuse: nothing that could change a logit is ever passed over.  Both styles of the
position encoding are read: `rope_theta` and `rope_scaling` (Transformers 4), `rope_parameters` (5).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import msgspec

from proofloop.core.errors import ModelError
from proofloop.engine.models.config import DecoderConfig
from proofloop.engine.models.hub_rope import read_rope, rope_of

_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)
_SHARED = frozenset(
    {*_SIZES, "num_key_value_heads", "head_dim", "rms_norm_eps", "tie_word_embeddings"}
    | {"rope_theta", "rope_scaling", "rope_parameters", "hidden_act"}
)
_WINDOW = frozenset({"sliding_window"})
_LAYERED = frozenset({"sliding_window", "use_sliding_window", "max_window_layers", "layer_types"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """A model class of Transformers: which keys it computes by beside those that all share, and
    what it takes for those that a file leaves out."""

    keys: frozenset[str] = frozenset()
    defaults: Mapping[str, Any]
    attention_bias: bool = False
    """Where no key says."""
    qk_norm: bool = False
    rope_theta: float = 10_000.0
    """Where no key says."""

    @property
    def has_out_bias(self) -> bool:
        """`attention_bias` is of all four projections."""
        return "attention_bias" in self.keys and "attention_out_bias" not in self.keys


_UNTIED = {"tie_word_embeddings": False}
_QWEN = {**_UNTIED, "use_sliding_window": False, "sliding_window": 4096, "max_window_layers": 28}
FAMILIES: Mapping[str, _Family] = {
    "LlamaForCausalLM": _Family(keys=frozenset({"attention_bias", "mlp_bias"}), defaults=_UNTIED),
    "MistralForCausalLM": _Family(
        keys=_WINDOW | {"layer_types"},
        defaults=_UNTIED | {"num_key_value_heads": 8, "sliding_window": 4096},
    ),
    "MinistralForCausalLM": _Family(
        keys=_WINDOW | {"layer_types"},
        defaults=_UNTIED | {"num_key_value_heads": 8, "sliding_window": 4096},
    ),
    "Qwen2ForCausalLM": _Family(
        keys=_LAYERED, defaults=_QWEN | {"num_key_value_heads": 32}, attention_bias=True
    ),
    "Qwen3ForCausalLM": _Family(
        keys=_LAYERED | {"attention_bias"},
        defaults=_QWEN | {"num_key_value_heads": 32, "head_dim": 128},
        qk_norm=True,
    ),
    "SmolLM3ForCausalLM": _Family(
        keys=_LAYERED | {"attention_bias", "mlp_bias", "no_rope_layers", "no_rope_layer_interval"},
        defaults={"tie_word_embeddings": True, "num_key_value_heads": 4},
        rope_theta=2e6,
    ),
    "SeedOssForCausalLM": _Family(
        keys=frozenset({"attention_bias", "attention_out_bias", "mlp_bias"}),
        defaults=_UNTIED | {"num_key_value_heads": 8, "head_dim": 128, "attention_bias": True},
    ),
}
"""By the name of the model class, in the order in which one is chosen to write a new model as."""

_OF_OTHERS = (
    "architectures attention_dropout bad_words_ids bos_token_id "
    "chunk_size_feed_forward decoder_start_token_id diversity_penalty do_sample "
    "dtype early_stopping embd_pdrop encoder_no_repeat_ngram_size eos_token_id "
    "finetuning_task hidden_dropout id2label initializer_range is_llama_config "
    "label2id length_penalty max_length min_length model_max_length max_sequence_length model_type "
    "name_or_path no_repeat_ngram_size num_beam_groups num_beams "
    "num_return_sequences output_attentions output_hidden_states output_scores "
    "pad_token_id prefix pretraining_tp problem_type repetition_penalty "
    "resid_pdrop residual_dropout return_dict return_dict_in_generate "
    "sep_token_id task_specific_params temperature tokenizer_class top_k top_p "
    "torch_dtype transformers_version typical_p unk_token_id use_cache"
)
"""Keys of files and tools, of training with dropout (we train without), of how others sample."""

_REASONS = {
    "quantization_config": "quantised weights; give the checkpoint that they were made from",
    "auto_map": "the checkpoint brings code of its own, which is never run",
    "text_config": "a model of more than text",
    "vision_config": "a model of more than text",
    "attn_logit_softcapping": "soft-capped logits",
    "final_logit_softcapping": "soft-capped logits",
}


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
    theirs = {k: v for k, v in raw.items() if k in _SHARED | family.keys}
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
            return {"architectures": [name], "model_type": _model_type(name), **keys}
    raise ModelError(f"no model class of Transformers has this combination: {config}")


def _family(path: Path, raw: dict[str, Any]) -> tuple[str, _Family]:
    model_type = raw.get("model_type")
    by_type = {_model_type(name): name for name in FAMILIES}
    named = raw.get("architectures") or [by_type.get(str(model_type), f"model type {model_type}")]
    name = str(named[0]) if isinstance(named, list) and len(named) == 1 else str(named)
    if name not in FAMILIES:
        raise ModelError(
            f"{path}: {name} is not supported; supported: {', '.join(FAMILIES)} (decoders whose "
            "every layer is dense)"
        )
    if model_type not in (None, _model_type(name)):
        raise ModelError(
            f"{path}: architectures says {name}, model_type {model_type!r}; correct the wrong one"
        )
    return name, FAMILIES[name]


def _model_type(architecture: str) -> str:
    return (
        "seed_oss"
        if architecture.startswith("SeedOss")
        else (architecture.removesuffix("ForCausalLM").lower())
    )


def _refuse_unknown(path: Path, name: str, family: _Family, raw: Mapping[str, Any]) -> None:
    known = _SHARED | family.keys | set(_OF_OTHERS.split())
    for key, value in raw.items():
        off = value is None or value is False or value in ("", [], {})
        ours = key.startswith(("_", "transformers.", "unsloth")) or key.endswith("_version")
        fixed = key == "attention_bias" and value is family.attention_bias
        if key in known or off or ours or fixed:
            continue
        reason = _REASONS.get(key) or (
            "a mixture of experts" if "expert" in key else f"no key that {name} computes by here"
        )
        raise ModelError(
            f"{path}: {key} = {_short(value)}: {reason}. If it surely changes nothing of the "
            "computation, take it out of config.json"
            if key not in _REASONS
            else f"{path}: {key}: {reason}"
        )
    act = raw.get("hidden_act", "silu")
    if act not in ("silu", "swish"):
        raise ModelError(f"{path}: hidden_act = {_short(act)} is not supported; supported: silu")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _config(known: _Known, architecture: str, family: _Family) -> DecoderConfig:
    """Raises ValueError where keys are missing or contradict each other."""
    sizes = {key: cast("int | None", getattr(known, key)) for key in _SIZES}
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


def _rope_layers(known: _Known, family: _Family) -> tuple[bool, ...]:
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
    keys: dict[str, Any] = {key: getattr(config, key) for key in _SIZES}
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
    allowed = _SHARED | FAMILIES[architecture].keys
    return {k: v for k, v in keys.items() if k in allowed}
