"""The kernels in bfloat16: every number that is multiplied is rounded once, and nothing else is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_native import SHAPES, engine_of, model_of, requests
from torch import Tensor

from proofloop.engine.models.arithmetic import bias_of, compute_in
from proofloop.engine.models.decoder import Decoder, Layer
from proofloop.engine.models.rotary import rotate
from proofloop.engine.native import sampler
from proofloop.engine.native.library import why_not
from proofloop.engine.native.network import NativeNetwork, Rows, Space
from proofloop.engine.native.training import can_train, packed_hidden
from proofloop.train.packing import packed_texts

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no kernel: {why_not()}")


def rounded(x: Tensor) -> Tensor:
    """To bfloat16 and back; its gradient as if nothing had been done."""
    return x + (x.bfloat16().float() - x).detach()


def product(x: Tensor, layer: torch.nn.Linear) -> Tensor:
    bias = bias_of(layer)
    made = F.linear(rounded(x), rounded(layer.weight), None if bias is None else rounded(bias))
    return rounded(made)


def hidden_of(model: Decoder, tokens_T: Tensor) -> Tensor:
    """Final hidden states (T, C) of one sequence, written down plainly."""
    config, T = model.config, len(tokens_T)
    x = model.model.embed_tokens(tokens_T)
    back_TT = torch.arange(T)[:, None] - torch.arange(T)
    for i, layer in enumerate(model.stack):
        seen_TT = (back_TT >= 0) & (back_TT < (config.window(i) or T + 1))
        x = x + product(
            mixed(model, layer, layer.input_layernorm(x), seen_TT, i), layer.self_attn.o_proj
        )
        normed, mlp = layer.post_attention_layernorm(x), layer.mlp
        gated = F.silu(product(normed, mlp.gate_proj)) * product(normed, mlp.up_proj)
        x = x + product(gated, mlp.down_proj)
    return model.model.norm(x)


def mixed(model: Decoder, layer: Layer, x: Tensor, seen_TT: Tensor, i: int) -> Tensor:
    attention, D, T = layer.self_attn, model.config.head_dim, len(x)

    def heads(linear: torch.nn.Linear) -> Tensor:
        return product(x, linear).unflatten(-1, (-1, D)).transpose(0, 1)

    q, k, v = heads(attention.q_proj), heads(attention.k_proj), heads(attention.v_proj)
    if model.config.qk_norm:
        q, k = attention.q_norm(q), attention.k_norm(k)
    if model.config.rotates(i):
        q, k = (rotate(one, model.cos[:T], model.sin[:T]) for one in (q, k))
    times = len(q) // len(k)
    k, v = (one.repeat_interleave(times, dim=0) for one in (rounded(k), v))
    scores = rounded(q) @ k.transpose(-1, -2) * D**-0.5
    weights = scores.masked_fill(~seen_TT, float("-inf")).softmax(dim=-1)
    return (weights @ v).transpose(0, 1).flatten(1)


def network_of(name: str, num_layers: int = 1) -> Decoder:
    """Weights as a trained network has them, whose few layers let no rounding go another way."""
    model = model_of(
        replace(SHAPES[name], num_hidden_layers=num_layers, **layers_of(name, num_layers))
    )
    for parameter in model.parameters():
        parameter.data.mul_(0.5)
    compute_in(model, torch.bfloat16)
    return model


def layers_of(name: str, num_layers: int) -> dict[str, tuple[bool, ...]]:
    shape = SHAPES[name]
    per_layer = {"sliding_layers": shape.sliding_layers, "rope_layers": shape.rope_layers}
    return {key: value[:num_layers] for key, value in per_layer.items() if value}


def close(found: Tensor, wanted: Tensor) -> float:
    """The share of rows that agree to float32's last digits.  The others' sums, made in another
    order, were rounded the other way somewhere; they agree to bfloat16's."""
    scale = float(wanted.abs().max())
    gaps = (found - wanted).abs().amax(dim=-1)
    assert float(gaps.max()) < 0.02 * scale
    return float((gaps < 3e-6 * scale).float().mean())


@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_logits(name: str) -> None:
    model = network_of(name)
    network, rng = NativeNetwork(model), np.random.default_rng(1)
    sequences = [rng.integers(0, 83, n).astype(np.int32) for n in (1, 16, 17, 45, 70)]
    pages = iter(rng.permutation(20).astype(np.int32))
    tables = [np.array([next(pages) for _ in range(-(-len(s) // 16))]) for s in sequences]
    rows = Rows(
        np.concatenate(sequences),
        np.concatenate([np.arange(len(s), dtype=np.int32) for s in sequences]),
        np.repeat(
            np.array([t.ctypes.data for t in tables], np.uint64), [len(s) for s in sequences]
        ),
    )
    cache = np.full((20, network.page_floats), np.nan, np.float32)
    found = torch.from_numpy(network.logits(rows, cache, Space()))
    texts = [torch.from_numpy(s).long() for s in sequences]
    wanted = model.logits(torch.cat([hidden_of(model, text) for text in texts]))
    assert close(found, wanted) > 0.8
    compute_in(model, None)
    exact = model.logits(
        torch.cat([model.encode_context(t[None], torch.tensor([len(t)]))[0][0] for t in texts])
    )
    assert close(found, exact) < 0.1


@pytest.mark.parametrize("name", [n for n in SHAPES if not SHAPES[n].sliding_window])
def test_hidden_states_and_gradients_of_training(name: str) -> None:
    model = network_of(name)
    texts = [torch.randint(83, (n,)) for n in (1, 40, 7, 100)]
    assert can_train(model, 100)
    found = packed_hidden(model, packed_texts(texts))
    wanted = torch.cat([hidden_of(model, text) for text in texts])
    assert close(found.detach(), wanted.detach()) > 0.8
    weights = torch.randn(wanted.shape)
    ours = torch.autograd.grad((found * weights).sum(), list(model.model.parameters()))
    theirs = torch.autograd.grad((wanted * weights).sum(), list(model.model.parameters()))
    for mine, other in zip(ours, theirs, strict=True):
        # Theirs is not rounded on its way back: some ten roundings of at most 2^-9 each.
        assert float((mine - other).norm() / other.norm()) < 10 * 2**-9


def test_a_sample_is_the_same_in_any_company(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit: alone, over threads that share rows or do not, and where pages run out."""
    model = network_of("grouped queries, biases", 2)
    page_bytes = 4 * NativeNetwork(model).page_floats
    compute_in(model, None)
    assert 4 * NativeNetwork(model).page_floats == 2 * page_bytes
    compute_in(model, torch.bfloat16)
    batch = requests(7)
    together = engine_of(model).generate(batch)
    assert engine_of(model, num_threads=2).generate(batch) == together
    assert engine_of(model, cache_bytes=6 * page_bytes).generate(batch) == together
    alone = engine_of(model)
    for request, completions in zip(batch, together, strict=True):
        assert alone.generate([request]) == [completions]
    monkeypatch.setattr(sampler, "TEAM_BYTES", 0)
    assert engine_of(model, num_threads=3).generate(batch) == together


def test_what_is_no_number_stays_none() -> None:
    model = network_of("plain")
    model.stack[0].mlp.up_proj.weight.data[3, 5] = float("nan")
    with pytest.raises(Exception, match="not finite"):
        engine_of(model).generate(requests(2))
