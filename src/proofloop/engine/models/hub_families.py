"""The model classes of Transformers that our decoder computes like, and their `config.json`.

What is no key of a class, and none that changes nothing, is refused (`engine.models.hub_config`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "max_position_embeddings",
)
SHARED = frozenset(
    {*SIZES, "num_key_value_heads", "head_dim", "rms_norm_eps", "tie_word_embeddings"}
    | {"rope_theta", "rope_scaling", "rope_parameters", "hidden_act"}
)
_WINDOW = frozenset({"sliding_window"})
_LAYERED = frozenset({"sliding_window", "use_sliding_window", "max_window_layers", "layer_types"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
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
FAMILIES: Mapping[str, Family] = {
    "LlamaForCausalLM": Family(keys=frozenset({"attention_bias", "mlp_bias"}), defaults=_UNTIED),
    "MistralForCausalLM": Family(
        keys=_WINDOW | {"layer_types"},
        defaults=_UNTIED | {"num_key_value_heads": 8, "sliding_window": 4096},
    ),
    "MinistralForCausalLM": Family(
        keys=_WINDOW | {"layer_types"},
        defaults=_UNTIED | {"num_key_value_heads": 8, "sliding_window": 4096},
    ),
    "Qwen2ForCausalLM": Family(
        keys=_LAYERED, defaults=_QWEN | {"num_key_value_heads": 32}, attention_bias=True
    ),
    "Qwen3ForCausalLM": Family(
        keys=_LAYERED | {"attention_bias"},
        defaults=_QWEN | {"num_key_value_heads": 32, "head_dim": 128},
        qk_norm=True,
    ),
    "SmolLM3ForCausalLM": Family(
        keys=_LAYERED | {"attention_bias", "mlp_bias", "no_rope_layers", "no_rope_layer_interval"},
        defaults={"tie_word_embeddings": True, "num_key_value_heads": 4},
        rope_theta=2e6,
    ),
    "SeedOssForCausalLM": Family(
        keys=frozenset({"attention_bias", "attention_out_bias", "mlp_bias"}),
        defaults=_UNTIED | {"num_key_value_heads": 8, "head_dim": 128, "attention_bias": True},
    ),
}
"""By the name of the model class, in the order in which one is chosen to write a new model as."""

OF_OTHERS = (
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

REASONS = {
    "quantization_config": "quantised weights; give the checkpoint that they were made from",
    "auto_map": "the checkpoint brings code of its own, which is never run",
    "text_config": "a model of more than text",
    "vision_config": "a model of more than text",
    "attn_logit_softcapping": "soft-capped logits",
    "final_logit_softcapping": "soft-capped logits",
}


def model_type_of(architecture: str) -> str:
    if architecture == "SeedOssForCausalLM":
        return "seed_oss"
    return architecture.removesuffix("ForCausalLM").lower()
