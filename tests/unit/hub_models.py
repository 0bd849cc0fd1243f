"""Random small checkpoints of every family that loads, made by Transformers itself."""

import json
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import torch

VOCAB, POSITIONS = 61, 96


@dataclass(frozen=True)
class Family:
    config: str
    """Name of the configuration class in Transformers."""
    options: dict[str, list[Any]] = field(default_factory=dict)
    """Further keys, and what each may be."""


SCALINGS: list[dict[str, Any]] = [
    {"rope_type": "default"},
    {"rope_type": "linear", "factor": 3.0},
    {"rope_type": "dynamic", "factor": 2.0},
    {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    | {"original_max_position_embeddings": 16},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24},
    {"rope_type": "yarn", "factor": 6.0, "original_max_position_embeddings": 16}
    | {"beta_fast": 8.0, "beta_slow": 2.0, "mscale": 0.7, "mscale_all_dim": 1.3, "truncate": False},
]  # fmt: skip
LAYERS: list[list[str] | None] = [
    None,
    ["sliding_attention", "full_attention", "sliding_attention"],
]
SLIDING = {
    "use_sliding_window": [True, False],
    "sliding_window": [5, 40],
    "max_window_layers": [0, 1, 2],
}
FAMILIES = {
    "llama": Family("LlamaConfig", {"attention_bias": [False, True], "mlp_bias": [False, True]}),
    "mistral": Family("MistralConfig", {"sliding_window": [7, None, 30]}),
    "ministral": Family("MinistralConfig", {"sliding_window": [7], "layer_types": LAYERS}),
    "qwen2": Family("Qwen2Config", SLIDING),
    "qwen3": Family("Qwen3Config", SLIDING | {"attention_bias": [False, True]}),
    "smollm3": Family(
        "SmolLM3Config",
        {
            "no_rope_layer_interval": [2, 3, 4],
            "use_sliding_window": [False, True],
            "sliding_window": [6],
            "attention_bias": [False, True],
            "mlp_bias": [False, True],
        },
    ),
    "seed_oss": Family(
        "SeedOssConfig", {"attention_bias": [True, False], "attention_out_bias": [False, True]}
    ),
}


def random_hub_config(family: str, seed: int) -> Any:
    """A configuration object of Transformers."""
    import transformers

    rng = Random(f"{family} {seed}")
    kv = rng.choice([1, 2, 3])
    heads = kv * rng.choice([1, 2, 3])
    known = FAMILIES[family]
    keys = {
        "vocab_size": VOCAB,
        # Llama's class asks for a multiple of its heads, though heads have a width of their own.
        "hidden_size": heads * rng.choice([6, 8]),
        "intermediate_size": rng.choice([24, 40]),
        "num_hidden_layers": 3,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "head_dim": rng.choice([6, 10, 16]),
        "max_position_embeddings": POSITIONS,
        "rms_norm_eps": rng.choice([1e-5, 1e-6]),
        "tie_word_embeddings": rng.choice([True, False]),
        "rope_parameters": rng.choice(SCALINGS) | {"rope_theta": rng.choice([1e4, 5e5])},
        **dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), 0),
        **{key: rng.choice(values) for key, values in known.options.items()},
    }
    return getattr(transformers, known.config)(**keys)


def random_hub_model(config: Any, directory: Path, *, dtype: torch.dtype = torch.float32) -> Any:
    """A model of Transformers with random weights, saved in `directory`; its logits are of the
    size that trained models have."""
    import transformers

    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and "norm" in name:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
        else:
            outer = "embed" in name or "lm_head" in name
            torch.nn.init.normal_(parameter, std=0.2 if outer else 0.15)
        parameter.data = parameter.data.to(dtype)  # and no buffer, which stay exact
    save_hub_model(model, directory)
    return model.eval()


def save_hub_model(model: Any, directory: Path, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(directory, **options)
    (directory / "tokenizer.json").write_text("{}")


def to_older_style(directory: Path) -> None:
    """config.json as Transformers 4 wrote it."""
    path = directory / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    if rope["rope_type"] != "default":
        config["rope_scaling"] = rope | {"type": rope["rope_type"]}
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config))
