"""One network definition: contexts run once, in pieces or whole, give the same hidden states."""

from pathlib import Path

import pytest
import torch

from proofloop.core.errors import ModelError
from proofloop.engine.models.checkpoint import load_model, read_config, save_model
from proofloop.engine.models.decoder import Cache, Decoder, DecoderConfig
from proofloop.engine.models.weights import adopt, flatten, sha256

SHAPES = {
    "llama": DecoderConfig(
        vocab_size=50, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, head_dim=8, max_position_embeddings=64,
    ),
    "grouped-query": DecoderConfig(
        vocab_size=50, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, head_dim=8, max_position_embeddings=64,
        attention_bias=True,
    ),
    "qk-norm, untied": DecoderConfig(
        vocab_size=50, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=64,
        qk_norm=True, tie_word_embeddings=False, rope_theta=1e6,
    ),
}  # fmt: skip


def random_model(config: DecoderConfig) -> Decoder:
    torch.manual_seed(0)
    model = Decoder(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(params=list(SHAPES), name="model")
def _model(request: pytest.FixtureRequest) -> Decoder:
    return random_model(SHAPES[request.param])


@torch.no_grad()
def test_context_and_extension_equal_one_whole_pass(model: Decoder) -> None:
    """Groups of unlike lengths, three samples each, against every sequence run by itself."""
    torch.manual_seed(1)
    contexts = [torch.randint(50, (n,)) for n in (7, 3, 5)]
    tokens_GST = torch.randint(50, (3, 3, 6))
    padded = torch.zeros(3, 7, dtype=torch.long)
    for g, c in enumerate(contexts):
        padded[g, : len(c)] = c
    _, context = model.encode_context(padded, torch.tensor([7, 3, 5]))
    hidden_GSTC = model.extend(tokens_GST, context)
    for g, c in enumerate(contexts):
        for s in range(3):
            whole = torch.cat((c, tokens_GST[g, s]))[None]
            alone, _ = model.encode_context(whole, torch.tensor([whole.shape[1]]))
            torch.testing.assert_close(hidden_GSTC[g, s], alone[0, len(c) :], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_token_by_token_equals_all_at_once(model: Decoder) -> None:
    torch.manual_seed(2)
    _, context = model.encode_context(torch.randint(50, (2, 4)), torch.tensor([4, 2]))
    tokens_GST = torch.randint(50, (2, 3, 5))
    at_once = model.extend(tokens_GST, context)
    cache = Cache(model.config, num_samples=6, capacity=5)
    steps = [model.extend(tokens_GST[..., t : t + 1], context, cache) for t in range(5)]
    torch.testing.assert_close(torch.cat(steps, dim=2), at_once, rtol=1e-4, atol=1e-5)


def test_gradients_flow_through_the_shared_context(model: Decoder) -> None:
    """The gradient over a group's shared context is the sum over its samples run alone."""
    torch.manual_seed(3)
    context_tokens, tokens_GST = torch.randint(50, (1, 4)), torch.randint(50, (1, 3, 5))

    def gradients(parts: list[torch.Tensor]) -> list[torch.Tensor]:
        model.zero_grad()
        for part in parts:
            _, context = model.encode_context(context_tokens, torch.tensor([4]))
            model.logits(model.extend(part, context)).square().sum().backward()
        return [p.grad.clone() for p in model.parameters() if p.grad is not None]

    together = gradients([tokens_GST])
    alone = gradients([tokens_GST[:, s : s + 1] for s in range(3)])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_logits_equal_those_of_transformers(model: Decoder, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    (tmp_path / "from").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "from" / name).write_text("{}")
    save_model(model, tmp_path / "out", tokenizer_from=tmp_path / "from")
    other = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokens = torch.randint(50, (2, 9))
    hidden, _ = model.encode_context(tokens, torch.tensor([9, 9]))
    difference = (model.logits(hidden) - other(tokens).logits).abs().max()
    assert float(difference) <= 1e-4 * float(model.logits(hidden).abs().max())


def test_a_checkpoint_comes_back_bit_for_bit(model: Decoder, tmp_path: Path) -> None:
    (tmp_path / "from").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "from" / name).write_text("{}")
    save_model(model, tmp_path / "out", tokenizer_from=tmp_path / "from")
    again = load_model(tmp_path / "out")
    assert again.config == model.config
    assert sha256(flatten(again)) == sha256(flatten(model))


def test_adopted_weights_are_shared_not_copied(model: Decoder) -> None:
    flat = flatten(model)
    other = Decoder(model.config)
    adopt(other, flat)
    before = sha256(flat)
    with torch.no_grad():
        next(iter(model.parameters())).add_(1.0)
    assert sha256(flat) != before
    for mine, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(ValueError, match="another size"):
        adopt(other, flat[:-1])


def test_damaged_checkpoints_are_named(tmp_path: Path, tiny_model: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]')
    with pytest.raises(ModelError, match="not a model configuration"):
        read_config(tmp_path)
    config = (tiny_model / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace("LlamaForCausalLM", "GPT2LMHeadModel"))
    with pytest.raises(ModelError, match="not supported"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 50)
    with pytest.raises(ModelError, match="cannot read the weights"):
        load_model(tmp_path)
