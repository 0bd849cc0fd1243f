"""What does not load is refused before anything runs, in one line that names it."""

import json
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from proofloop.core.errors import ModelError
from proofloop.engine.models.checkpoint import copy_tokenizer, load_model, read_config, save_model
from proofloop.engine.models.config import DecoderConfig, YarnScaling
from proofloop.engine.models.fresh import fresh_model
from proofloop.engine.models.hub_config import hub_config
from proofloop.engine.models.weights import flatten, sha256
from proofloop.runs.models import resolve_model

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
QWEN3 = LLAMA | {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 8}


def config_at(directory: Path, **keys: Any) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(keys))
    return directory


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"hidden_act": "gelu"}, "hidden_act = 'gelu' is not supported"),
    ({"quantization_config": {"bits": 4}}, "quantization_config: quantised weights"),
    ({"final_logit_softcapping": 30.0}, "final_logit_softcapping: soft-capped logits"),
    ({"num_local_experts": 8}, "num_local_experts = 8: a mixture of experts"),
    ({"auto_map": {"AutoModel": "m.M"}}, "auto_map: the checkpoint brings code of its own"),
    ({"attention_sinks": 4}, "attention_sinks = 4: no key that LlamaForCausalLM computes by"),
    ({"sliding_window": 128}, "sliding_window = 128: no key that LlamaForCausalLM"),
    ({"qk_norm": True}, "qk_norm = True: no key"),
    ({"residual_multiplier": 0.2}, "residual_multiplier = 0.2: no key"),
    ({"rope_scaling": {"rope_type": "longrope", "factor": 2.0}}, "'longrope' is not supported"),
    ({"rope_scaling": {"type": "mrope", "mrope_section": [1]}}, "'mrope' is not supported"),
    ({"rope_scaling": {"type": "linear"}}, "missing required field `factor`"),
    ({"rope_scaling": {"type": "linear", "factor": 2.0, "odd": 1}}, "unknown field `odd`"),
    ({"rope_scaling": {"type": "linear", "factor": 0.5}}, "factor = 0.5, below 1"),
    ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor = 0.5"),
    ({"partial_rotary_factor": 0.5}, "partial_rotary_factor = 0.5"),
    ({"rope_parameters": {"rope_theta": 10.0}, "rope_theta": 20.0}, "rope_theta is 20 and"),
    (
        {"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {"rope_theta": 9.0}},
        "rope_scaling and rope_parameters differ",
    ),
    ({"architectures": ["MixtralForCausalLM"]}, "MixtralForCausalLM is not supported; supported"),
    ({"architectures": ["LlamaModel", "LlamaForCausalLM"]}, "is not supported"),
    ({"model_type": "mistral"}, "architectures says LlamaForCausalLM, model_type 'mistral'"),
    ({"hidden_size": None}, "hidden_size is missing"),
    ({"num_hidden_layers": 0}, "num_hidden_layers is 0"),
    ({"num_hidden_layers": "two"}, "num_hidden_layers"),
    ({"num_key_value_heads": 3}, "4 attention heads cannot share 3 key/value heads"),
    ({"head_dim": 7}, "a head of 7 dimensions"),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED, ids=[m[:40] for _, m in REFUSED])
def test_a_key_that_is_not_understood_is_refused(
    keys: dict[str, Any], message: str, tmp_path: Path
) -> None:
    config_at(tmp_path, **LLAMA | keys)
    with pytest.raises(ModelError) as refusal:
        read_config(tmp_path)
    assert message in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"layer_types": ["sliding_attention"] * 2}, "no sliding_window is in use"),
        ({"layer_types": ["full_attention"]}, "are not 2 of"),
        ({"layer_types": ["chunked_attention"] * 2}, "are not 2 of"),
        ({"sliding_window": 0, "use_sliding_window": True}, "sliding_window = 0"),
    ],
)
def test_windows_that_contradict_each_other_are_refused(
    keys: dict[str, Any], message: str, tmp_path: Path
) -> None:
    config_at(tmp_path, **QWEN3 | keys)
    with pytest.raises(ModelError, match=message):
        read_config(tmp_path)


def test_what_changes_nothing_is_passed_over(tmp_path: Path) -> None:
    """Keys that published files have: of tools, of sampling, switches that are off."""
    plain = read_config(config_at(tmp_path / "plain", **LLAMA))
    extra = {
        "_name_or_path": "x", "transformers_version": "4.38", "torch_dtype": "bfloat16",
        "pretraining_tp": 1, "attention_dropout": 0.0, "rope_interleaved": False,
        "is_llama_config": True, "transformers.js_config": {"dtype": "q4"}, "unsloth_fixed": True,
        "pruned_heads": {},
        "rope_scaling": None, "sliding_window": None, "mlp_bias": False, "use_cache": False,
        "eos_token_id": [1, 2], "initializer_range": 0.04, "hidden_act": "silu",
    }  # fmt: skip
    assert read_config(config_at(tmp_path / "more", **LLAMA | extra)) == plain
    without = {k: v for k, v in LLAMA.items() if k != "architectures"}
    assert read_config(config_at(tmp_path / "by type", **without)) == plain


def test_switches_that_are_off_switch_windows_off(tmp_path: Path) -> None:
    """As in the files of Qwen2.5 and of SmolLM3, which name windows that nobody uses."""
    plain = read_config(config_at(tmp_path, **QWEN3))
    for use in (False, None):
        config_at(tmp_path, **QWEN3, sliding_window=16, use_sliding_window=use, max_window_layers=1)
        assert read_config(tmp_path) == plain
    smollm3 = LLAMA | {"architectures": ["SmolLM3ForCausalLM"], "model_type": "smollm3"}
    config_at(tmp_path, **smollm3, max_window_layers=28, sliding_window=None, no_rope_layers=[1, 0])
    found = read_config(tmp_path)
    assert (found.sliding_layers, found.rope_layers) == ((), (True, False))
    assert (found.rope_theta, found.tie_word_embeddings) == (2e6, True)


def test_a_network_that_no_model_class_has_is_not_written() -> None:
    config = DecoderConfig(
        **{k: v for k, v in LLAMA.items() if isinstance(v, int)},
        head_dim=8, qk_norm=True, mlp_bias=True,
    )  # fmt: skip
    with pytest.raises(ModelError, match="no model class of Transformers"):
        hub_config(config)


def test_yarn_sharpens_attention_by_the_paper_or_as_the_file_says(tmp_path: Path) -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    found = read_config(config_at(tmp_path, **LLAMA, rope_scaling=yarn)).rope_scaling
    assert isinstance(found, YarnScaling)
    assert found.attention_factor == pytest.approx(0.1 * 1.3862943611 + 1)
    config_at(tmp_path, **LLAMA, rope_scaling=yarn | {"attention_factor": 0.5})
    found = read_config(tmp_path).rope_scaling
    assert isinstance(found, YarnScaling)
    assert found.attention_factor == 0.5


@pytest.fixture(name="checkpoint")
def _checkpoint(tmp_path: Path) -> Path:
    """A model of two layers, untied, in shards of at most 20 kB."""
    config = read_config(config_at(tmp_path / "from", **LLAMA))
    (tmp_path / "from" / "tokenizer.json").write_text("{}")
    directory = tmp_path / "checkpoint"
    model = fresh_model(config, 0)
    save_model(model, directory, tokenizer_from=tmp_path / "from", max_shard_bytes=20_000)
    return directory


def rewritten(path: Path, **changes: torch.Tensor | None) -> None:
    tensors = {**load_file(path), **changes}
    save_file({n: t for n, t in tensors.items() if t is not None}, path)


def shard_of(checkpoint: Path, name: str) -> Path:
    index = json.loads((checkpoint / "model.safetensors.index.json").read_text())
    return checkpoint / index["weight_map"][name]


NORM, HEAD = "model.norm.weight", "lm_head.weight"


def test_shards_come_back_bit_for_bit(checkpoint: Path, tmp_path: Path) -> None:
    shards = sorted(checkpoint.glob("model-*.safetensors"))
    assert len(shards) > 2
    assert all(s.stat().st_size <= 22_000 for s in shards)
    assert not (checkpoint / "model.safetensors").exists()
    model = load_model(checkpoint)
    save_model(model, checkpoint, tokenizer_from=checkpoint)  # in place, now in one file
    assert [p.name for p in checkpoint.glob("*.safetensors*")] == ["model.safetensors"]
    assert sha256(flatten(load_model(checkpoint))) == sha256(flatten(model))


def test_transformers_loads_the_shards(checkpoint: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    for name, tensor in load_model(checkpoint).state_dict().items():
        assert torch.equal(tensor, theirs.state_dict()[name]), name


def missing(at: Path) -> None:
    rewritten(shard_of(at, NORM), **{NORM: None})


def incomplete(at: Path) -> None:
    """By index and shard alike."""
    rewritten(shard_of(at, NORM), **{NORM: None})
    index = json.loads((at / "model.safetensors.index.json").read_text())
    del index["weight_map"][NORM]
    (at / "model.safetensors.index.json").write_text(json.dumps(index))


def unexpected(at: Path) -> None:
    rewritten(shard_of(at, NORM), **{"model.layers.2.mlp.up_proj.weight": torch.zeros(2, 2)})


def misshapen(at: Path) -> None:
    rewritten(shard_of(at, NORM), **{NORM: torch.zeros(31)})


def quantised(at: Path) -> None:
    rewritten(shard_of(at, NORM), **{NORM: torch.zeros(32, dtype=torch.int8)})


def not_a_number(at: Path) -> None:
    rewritten(shard_of(at, NORM), **{NORM: torch.full((32,), float("nan"))})


def truncated(at: Path) -> None:
    path = shard_of(at, HEAD)
    path.write_bytes(path.read_bytes()[:-100])


def garbled(at: Path) -> None:
    path = shard_of(at, HEAD)
    data = path.read_bytes()
    path.write_bytes(struct.pack("<Q", 1 << 60) + data[8:])


def gone(at: Path) -> None:
    shard_of(at, HEAD).unlink()


def outside(at: Path) -> None:
    index = json.loads((at / "model.safetensors.index.json").read_text())
    index["weight_map"][HEAD] = "../elsewhere.safetensors"
    (at / "model.safetensors.index.json").write_text(json.dumps(index))


def bad_index(at: Path) -> None:
    (at / "model.safetensors.index.json").write_text('{"weight_map": ')


def pickled(at: Path) -> None:
    for path in at.glob("model*"):
        path.unlink()
    torch.save({}, at / "pytorch_model-00001-of-00002.bin")


def none(at: Path) -> None:
    for path in at.glob("model*"):
        path.unlink()


DAMAGE = [
    (missing, f"has no tensor {NORM}, which model.safetensors.index.json says it has"),
    (incomplete, f"weights do not fit config.json: missing {NORM};"),
    (unexpected, "model.layers.2.mlp.up_proj.weight have no place in it"),
    (misshapen, f"{NORM} has shape [31], should have [32]"),
    (quantised, f"{NORM} is of type I8 (quantised?)"),
    (not_a_number, f"{NORM} has values that are not finite"),
    (truncated, "cannot read the weights"),
    (garbled, "cannot read the weights"),
    (gone, "named by model.safetensors.index.json, but not there"),
    (outside, "names a file outside its directory"),
    (bad_index, "model.safetensors.index.json: cannot be read"),
    (pickled, "weights in pickle, which can run any code, are not read"),
    (none, "no weights"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE, ids=[d.__name__ for d, _ in DAMAGE])
def test_damaged_weights_are_named(damage: Any, message: str, checkpoint: Path) -> None:
    damage(checkpoint)
    with pytest.raises(ModelError) as refusal:
        load_model(checkpoint)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_tied_head_that_differs_is_refused_and_one_that_does_not_is_taken(
    checkpoint: Path,
) -> None:
    save_model(load_model(checkpoint), checkpoint, tokenizer_from=checkpoint)
    config_at(checkpoint, **LLAMA, tie_word_embeddings=True)
    with pytest.raises(ModelError, match=r"ties lm_head\.weight to the embedding, but they differ"):
        load_model(checkpoint)
    path = checkpoint / "model.safetensors"
    rewritten(path, **{HEAD: load_file(path)["model.embed_tokens.weight"].clone()})
    assert load_model(checkpoint).config.tie_word_embeddings


def test_frequencies_that_older_files_hold_are_passed_over(checkpoint: Path) -> None:
    before = sha256(flatten(load_model(checkpoint)))
    save_model(load_model(checkpoint), checkpoint, tokenizer_from=checkpoint)
    inverse = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    rewritten(checkpoint / "model.safetensors", **inverse)
    assert sha256(flatten(load_model(checkpoint))) == before


def test_a_weight_beyond_float16_is_not_saved_as_infinity(checkpoint: Path, tmp_path: Path) -> None:
    model = load_model(checkpoint)
    with torch.no_grad():
        model.model.norm.weight[0] = 1e6
    with pytest.raises(ModelError, match=r"does not fit torch\.float16's range"):
        save_model(model, tmp_path / "out", tokenizer_from=checkpoint, dtype=torch.float16)


def test_the_tokenizers_files_and_the_ids_that_stop_come_along(
    checkpoint: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    config_at(source, **LLAMA, bos_token_id=1, eos_token_id=[2, 5])
    kept = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]
    kept += ["chat_template.jinja", "additional_chat_templates/tool_use.jinja", "merges.txt"]
    for name in kept:
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(f"{{}} {name}")
    (source / "README.md").write_text("not ours")
    advice = {"eos_token_id": [2, 5], "temperature": 0.6}
    (source / "generation_config.json").write_text(json.dumps(advice))
    save_model(load_model(checkpoint), out, tokenizer_from=source)
    for name in kept:
        assert (out / name).read_text() == f"{{}} {name}"
    assert not (out / "README.md").exists()
    assert json.loads((out / "generation_config.json").read_text()) == advice
    written = json.loads((out / "config.json").read_text())
    assert (written["bos_token_id"], written["eos_token_id"]) == (1, [2, 5])
    assert written["pad_token_id"] is None
    copy_tokenizer(out, out)  # its own source: nothing to do
    (source / "generation_config.json").unlink()
    save_model(load_model(checkpoint), tmp_path / "again", tokenizer_from=source)
    made = json.loads((tmp_path / "again/generation_config.json").read_text())
    assert made["eos_token_id"] == [2, 5]


def test_an_adapters_directory_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"give the base model as model\.path"):
        read_config(tmp_path)


@pytest.fixture(name="hub")
def _hub(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with one model, two revisions, and no way to the hub."""
    constants = pytest.importorskip("huggingface_hub.constants")
    repo = tmp_path / "hub" / "models--someone--tiny"
    for commit in ("a" * 40, "b" * 40):
        shutil.copytree(checkpoint, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
    (repo / "refs" / "v2").write_text("b" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return repo


def test_a_hub_id_is_its_snapshot_in_the_cache(hub: Path) -> None:
    assert resolve_model("someone/tiny") == hub / "snapshots" / ("a" * 40)
    assert resolve_model("someone/tiny@v2") == hub / "snapshots" / ("b" * 40)
    assert resolve_model("someone/tiny@" + "b" * 40) == hub / "snapshots" / ("b" * 40)
    assert load_model(resolve_model("someone/tiny")).config.vocab_size == 50
    for absent in ("someone/other", "someone/tiny@v3"):
        with pytest.raises(ModelError, match="as a hub id it cannot be had") as refusal:
            resolve_model(absent)
        assert "HF_HUB_OFFLINE" in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_a_hub_id_without_its_client_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"install `proofloop\[hf\]`"):
        resolve_model("someone/tiny")
    for path in ("./some/where", "a/b/c", "nowhere"):
        with pytest.raises(ModelError, match="no checkpoint directory"):
            resolve_model(path)
