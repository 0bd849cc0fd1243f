"""Checkpoints of every family: our logits are those of Transformers, what we save loads there."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_models import (
    FAMILIES,
    VOCAB,
    random_hub_config,
    random_hub_model,
    to_older_style,
)

from proofloop.engine.models.checkpoint import load_model, read_config, save_model
from proofloop.engine.models.decoder import Cache, Decoder

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SEEDS = range(6)
TOLERANCE = 1e-5


def tokens(*shape: int) -> torch.Tensor:
    torch.manual_seed(7)
    return torch.randint(VOCAB, shape)


def whole(model: Decoder, tokens_BT: torch.Tensor) -> torch.Tensor:
    lengths = torch.full((len(tokens_BT),), tokens_BT.shape[1])
    return model.logits(model.encode_context(tokens_BT, lengths)[0])


def theirs_from(directory: Path, dtype: torch.dtype = torch.float32) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_logits_are_those_of_transformers(family: str, seed: int, tmp_path: Path) -> None:
    """Whole texts, a context and its extensions, token by token with a cache; both styles of
    config.json; and what we save again, loaded there."""
    torch.set_num_threads(1)
    theirs = random_hub_model(random_hub_config(family, seed), tmp_path)
    if seed % 2:
        to_older_style(tmp_path)
    ours = load_model(tmp_path)
    text_BT = tokens(3, 90)
    expected = theirs(text_BT).logits
    assert expected.std() > 0.3, "logits that tell something"
    torch.testing.assert_close(whole(ours, text_BT), expected, rtol=0, atol=TOLERANCE)

    lengths = torch.tensor([70, 33, 3])
    _, context = ours.encode_context(text_BT[:, :70], lengths)
    rest_GST = torch.stack([text_BT[g, n : n + 20] for g, n in enumerate(lengths.tolist())])
    rest_GST = rest_GST[:, None].repeat(1, 2, 1)
    rest_GST[:, 1] = rest_GST[:, 0].roll(1, dims=-1)  # another sample of the same context
    at_once = ours.logits(ours.extend(rest_GST, context))
    cache = Cache(ours.config, num_samples=6, capacity=20)
    cuts = [1] * 5 + [4, 11]
    steps = [ours.extend(part, context, cache) for part in rest_GST.split(cuts, dim=-1)]
    in_steps = ours.logits(torch.cat(steps, dim=2))
    for g, n in enumerate(lengths.tolist()):
        for s in range(2):
            alone = theirs(torch.cat((text_BT[g, :n], rest_GST[g, s]))[None]).logits[0, n:]
            torch.testing.assert_close(at_once[g, s], alone, rtol=0, atol=TOLERANCE)
            torch.testing.assert_close(in_steps[g, s], alone, rtol=0, atol=TOLERANCE)

    save_model(ours, tmp_path / "out", tokenizer_from=tmp_path)
    assert read_config(tmp_path / "out") == ours.config
    again = theirs_from(tmp_path / "out")
    assert type(again) is type(theirs)
    torch.testing.assert_close(again(text_BT).logits, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_bfloat16_agrees_within_its_rounding(family: str, tmp_path: Path) -> None:
    """Ours in bfloat16 is no further from float32 than Transformers' own bfloat16 is."""
    torch.set_num_threads(1)
    random_hub_model(random_hub_config(family, 1), tmp_path, dtype=torch.bfloat16)
    ours = load_model(tmp_path)
    text_BT = tokens(2, 60)
    exact = whole(ours, text_BT)
    torch.testing.assert_close(exact, theirs_from(tmp_path)(text_BT).logits, rtol=0, atol=TOLERANCE)
    in_their_bf16 = theirs_from(tmp_path, torch.bfloat16)(text_BT).logits.float()
    ours.to(torch.bfloat16)
    _, context = ours.encode_context(text_BT[:, :20], torch.tensor([20, 20]))
    cache = Cache(ours.config, num_samples=2, capacity=40)
    hidden = ours.extend(text_BT[:, None, 20:], context, cache)
    assert hidden.dtype == torch.bfloat16
    error = (ours.logits(hidden)[:, 0] - exact[:, 20:]).square().mean().sqrt()
    their_error = (in_their_bf16 - exact)[:, 20:].square().mean().sqrt()
    assert error <= 1.25 * their_error
    assert their_error < 0.2 * exact.std()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_a_file_comes_back_bit_for_bit_in_its_own_type(
    family: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    random_hub_model(random_hub_config(family, 2), tmp_path, dtype=dtype)
    save_model(load_model(tmp_path), tmp_path / "out", tokenizer_from=tmp_path, dtype=dtype)
    before = load_file(tmp_path / "model.safetensors")
    after = load_file(tmp_path / "out" / "model.safetensors")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype == dtype
        assert torch.equal(tensor, after[name]), name
    assert json.loads((tmp_path / "out/config.json").read_text())["dtype"] == str(dtype)[6:]


def test_gradients_are_those_of_transformers(tmp_path: Path) -> None:
    """With windows shorter than the text and a layer without rotation."""
    torch.set_num_threads(1)
    config = transformers.SmolLM3Config(
        vocab_size=VOCAB, hidden_size=24, intermediate_size=40, num_hidden_layers=3,
        num_attention_heads=3, num_key_value_heads=1, max_position_embeddings=96,
        no_rope_layer_interval=2, use_sliding_window=True, sliding_window=6,
        bos_token_id=0, eos_token_id=0, pad_token_id=None,
    )  # fmt: skip
    theirs = random_hub_model(config, tmp_path)
    ours = load_model(tmp_path)
    text_BT = tokens(2, 40)
    _, context = ours.encode_context(text_BT[:, :10], torch.tensor([10, 10]))
    ours.logits(ours.extend(text_BT[:, None, 10:], context)).square().mean().backward()
    theirs(text_BT).logits[:, 10:].square().mean().backward()
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name].grad, rtol=1e-4, atol=1e-6)
