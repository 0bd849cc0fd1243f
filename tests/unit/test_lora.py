"""Adapters: the gradient that a second implementation has, PEFT's format both ways."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from proofloop.core.errors import ModelError
from proofloop.engine.models.checkpoint import save_model
from proofloop.engine.models.config import TARGETS, DecoderConfig, LoraConfig
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.fresh import fresh_model
from proofloop.engine.models.lora import Lora
from proofloop.engine.models.peft import (
    load_adapter,
    merge_adapter,
    read_adapter_config,
    save_adapter,
)
from proofloop.engine.models.weights import adopt, flatten, sha256

CONFIG = DecoderConfig(
    vocab_size=50, hidden_size=24, intermediate_size=40, num_hidden_layers=2,
    num_attention_heads=3, num_key_value_heads=1, head_dim=8, max_position_embeddings=64,
    qk_norm=True,
)  # fmt: skip
SOME = LoraConfig(rank=3, alpha=5.0, targets=("q_proj", "v_proj", "down_proj"))
ALL = LoraConfig(rank=2, alpha=8.0)


def adapted(config: LoraConfig, seed: int = 3) -> tuple[Decoder, Lora]:
    """A model with adapters that do something, merged."""
    model = fresh_model(CONFIG, 0)
    lora = Lora(model, config, seed=seed)
    lora.hold_base()
    torch.manual_seed(seed)
    for _, _, b in lora.named_pairs():
        nn.init.normal_(b, std=0.05)
    lora.merge()
    return model, lora


def loss_of(model: Decoder) -> Tensor:
    torch.manual_seed(9)
    context_GP, tokens_GST = torch.randint(50, (2, 6)), torch.randint(50, (2, 3, 7))
    _, context = model.encode_context(context_GP, torch.tensor([6, 4]))
    return model.logits(model.extend(tokens_GST, context)).square().mean()


class _Sum(nn.Module):
    """The textbook's form: W0 + s B A, differentiated by autograd."""

    def __init__(self, a: Tensor, b: Tensor, scale: float) -> None:
        super().__init__()
        self.a, self.b, self.scale = nn.Parameter(a), nn.Parameter(b), scale

    def forward(self, base: Tensor) -> Tensor:
        return base + self.scale * self.b @ self.a


@pytest.mark.parametrize("config", [SOME, ALL], ids=["some layers", "all"])
def test_gradients_are_those_of_the_sum_itself(config: LoraConfig) -> None:
    """Over two micro-batches, which add up."""
    model, lora = adapted(config)
    lora.learn()
    value = loss_of(model)
    value.backward()
    loss_of(model).backward()
    assert all(p.grad is None for p in model.parameters()), "no gradient of a matrix is kept"

    plain = fresh_model(CONFIG, 0)
    sums = dict[str, _Sum]()
    for name, a, b in lora.named_pairs():
        sums[name] = _Sum(a.detach().clone(), b.detach().clone(), config.scale)
        parametrize.register_parametrization(plain.get_submodule(name), "weight", sums[name])
    expected = loss_of(plain)
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    (2 * expected).backward()
    for name, a, b in lora.named_pairs():
        torch.testing.assert_close(a.grad, sums[name].a.grad, rtol=1e-4, atol=1e-8)
        torch.testing.assert_close(b.grad, sums[name].b.grad, rtol=1e-4, atol=1e-8)
        assert a.grad is not None
        assert a.grad.abs().max() > 0


def test_it_begins_as_no_update_to_the_last_bit() -> None:
    model = fresh_model(CONFIG, 0)
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if "q_proj" in n)[0, 0] = -0.0
    before = sha256(flatten(model))
    lora = Lora(model, ALL)
    lora.hold_base()
    lora.merge()
    assert sha256(flatten(model)) == before
    assert all(a.std() > 0 for _, a, _ in lora.named_pairs())


def test_the_flat_vector_holds_adapters_only() -> None:
    model, lora = adapted(SOME)
    flat = flatten(lora)
    assert flat.numel() == sum(p.numel() for p in lora.parameters())
    # 2 layers: q 24x24, v 8x24, down 24x40, each with 3 columns and rows
    assert flat.numel() == 2 * 3 * ((24 + 24) + (8 + 24) + (24 + 40))
    weights = flatten(model)
    other = Lora(model, SOME, seed=8)
    adopt(other, flat)
    before = sha256(weights)
    with torch.no_grad():
        flat.mul_(2.0)
    assert torch.equal(other.named_pairs()[0][1], lora.named_pairs()[0][1])
    lora.merge()  # into the flat vector of the weights, in place
    assert sha256(weights) != before


def test_an_adapter_comes_back_and_merges_to_the_same_weights(tmp_path: Path) -> None:
    model, lora = adapted(ALL)
    save_adapter(lora, tmp_path, base="someone/tiny")
    assert read_adapter_config(tmp_path) == ALL
    again = fresh_model(CONFIG, 0)
    merge_adapter(again, tmp_path)
    assert sha256(flatten(again)) == sha256(flatten(model))
    twin = Lora(fresh_model(CONFIG, 0), ALL, seed=77)
    load_adapter(twin, tmp_path)
    assert sha256(flatten(twin)) == sha256(flatten(lora))


@pytest.mark.filterwarnings("ignore")
def test_peft_loads_what_we_save_and_we_what_it_saves(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft", reason="peft is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    model, lora = adapted(SOME)
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "tokenizer.json").write_text("{}")
    save_model(fresh_model(CONFIG, 0), tmp_path / "base", tokenizer_from=tmp_path / "from")
    save_adapter(lora, tmp_path / "adapter", base=str(tmp_path / "base"))

    def base() -> Any:
        return transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")

    tokens = torch.randint(50, (2, 30))
    with torch.no_grad():
        ours = model.logits(model.encode_context(tokens, torch.tensor([30, 30]))[0])
        theirs = peft.PeftModel.from_pretrained(base(), tmp_path / "adapter")
        torch.testing.assert_close(theirs(tokens).logits, ours, rtol=0, atol=1e-5)
        settings = peft.LoraConfig(
            r=4, lora_alpha=6, target_modules="all-linear", task_type="CAUSAL_LM", use_rslora=True
        )
        made = peft.get_peft_model(base(), settings)
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                nn.init.normal_(parameter, std=0.05)
        made.save_pretrained(tmp_path / "theirs")
        merged = fresh_model(CONFIG, 0)
        merge_adapter(merged, tmp_path / "theirs")
        mine = merged.logits(merged.encode_context(tokens, torch.tensor([30, 30]))[0])
        torch.testing.assert_close(mine, made(tokens).logits, rtol=0, atol=1e-5)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"peft_type": "IA3"}, "peft_type 'IA3' is not supported"),
    ({"use_dora": True}, "use_dora = True is not supported"),
    ({"bias": "all"}, "bias = 'all' is not supported"),
    ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
    ({"rank_pattern": {"q_proj": 4}}, "rank_pattern"),
    ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa'"),
    ({"layers_to_transform": [0]}, "layers_to_transform"),
    ({"r": 0}, "r = 0"),
    ({"lora_alpha": None}, "lora_alpha = None"),
    ({"target_modules": ["q_proj", "lm_head"]}, "target_modules"),
    ({"target_modules": ".*q_proj"}, "target_modules"),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED, ids=[m[:30] for _, m in REFUSED])
def test_other_adapters_are_refused(keys: dict[str, Any], message: str, tmp_path: Path) -> None:
    save_adapter(adapted(ALL)[1], tmp_path, base="x/y")
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))
    with pytest.raises(ModelError) as refusal:
        read_adapter_config(tmp_path)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_damaged_adapters_are_named(tmp_path: Path) -> None:
    model, lora = adapted(ALL)
    save_adapter(lora, tmp_path / "whole", base="x/y")
    first = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
    tensors = load_file(tmp_path / "whole" / "adapter_model.safetensors")
    assert set(tensors) == {
        f"base_model.model.model.layers.{i}.{part}.{t}.lora_{letter}.weight"
        for i in range(2)
        for t in TARGETS
        for part in ["mlp" if t in ("gate_proj", "up_proj", "down_proj") else "self_attn"]
        for letter in "AB"
    }
    cases: dict[str, dict[str, Tensor] | bytes | None] = {
        f"{first} is missing": {n: t for n, t in tensors.items() if n != first},
        "extra has no place in this model": tensors | {"extra": torch.zeros(1)},
        "has shape [2, 23], should have [2, 24]": tensors | {first: torch.zeros(2, 23)},
        "of finite numbers": tensors | {first: torch.full((2, 24), float("inf"))},
        "cannot read the adapter": b"{}",
        "no adapter_config.json": None,
    }
    for message, content in cases.items():
        directory = tmp_path / "damaged"
        shutil.copytree(tmp_path / "whole", directory)
        path = directory / "adapter_model.safetensors"
        if content is None:
            (directory / "adapter_config.json").unlink()
        elif isinstance(content, bytes):
            path.write_bytes(content)
        else:
            save_file(content, path)
        with pytest.raises(ModelError) as refusal:
            merge_adapter(model, directory)
        assert message in str(refusal.value)
        assert "\n" not in str(refusal.value)
        shutil.rmtree(directory)
