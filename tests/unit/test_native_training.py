"""Packed training: the decoder's numbers and gradients, without its padding."""

import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_native import SHAPES
from torch import Tensor

from proofloop.engine.models.choices import chosen_logprobs
from proofloop.engine.models.config import DecoderConfig
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.native.library import why_not
from proofloop.engine.native.training import can_train, packed_hidden
from proofloop.train.packing import packed, packed_texts

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no kernel: {why_not()}")
CAN = {name: shape for name, shape in SHAPES.items() if not shape.sliding_window}


def decoder(config: DecoderConfig, seed: int = 0) -> Decoder:
    """Weights large enough that no part of the network is close to doing nothing."""
    torch.manual_seed(seed)
    model = Decoder(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.2)
    return model


def gradients(model: Decoder, value: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    value.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def largest_gap(some: dict[str, Tensor], others: dict[str, Tensor]) -> float:
    """Of any weight's gradients, relative to that weight's largest."""
    assert some.keys() == others.keys()
    return max(float((some[n] - others[n]).abs().max() / others[n].abs().max()) for n in others)


@pytest.mark.parametrize("name", CAN)
@settings(deadline=None, max_examples=12)
@given(
    contexts=st.lists(st.integers(0, 70), min_size=1, max_size=3),
    lengths=st.lists(st.lists(st.integers(0, 101), min_size=1, max_size=3), min_size=3, max_size=3),
    seed=st.integers(0, 1000),
)
def test_groups_that_share_contexts(
    name: str, contexts: list[int], lengths: list[list[int]], seed: int
) -> None:
    """Against the decoder on every sample alone, its context in front of it."""
    if not any(map(any, lengths[: len(contexts)])):
        return
    model = decoder(CAN[name], seed)
    random.seed(seed)
    G, S = len(contexts), max(map(len, lengths))
    draw = torch.Generator().manual_seed(seed)
    vocab = model.config.vocab_size
    contexts_GP = torch.randint(vocab, (G, max(1, *contexts)), generator=draw)
    inputs_GST = torch.randint(vocab, (G, S, 101), generator=draw)
    trained_GST = torch.rand(G, S, 101, generator=draw) < 0.7
    for g in range(G):
        for s in range(S):
            n = lengths[g][s] if s < len(lengths[g]) else 0
            trained_GST[g, s, n:] = False
            if n:
                trained_GST[g, s, n - 1] = True
    assert can_train(model, 101 + 70)
    found = packed_hidden(
        model, packed(contexts_GP, torch.tensor(contexts), inputs_GST, trained_GST)
    )
    alone: list[Tensor] = []
    for g in range(G):
        for s in range(S):
            text = torch.cat((contexts_GP[g, : contexts[g]], inputs_GST[g, s]))[None]
            hidden, _ = model.encode_context(text, torch.tensor([text.shape[1]]))
            alone.append(hidden[0, contexts[g] :][trained_GST[g, s]])
    expected = torch.cat(alone)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    weights_NC = torch.randn(found.shape, generator=draw)
    ours = gradients(model, (found * weights_NC).sum())
    theirs = gradients(model, (expected * weights_NC).sum())
    assert largest_gap(ours, theirs) <= 1e-4


def test_texts() -> None:
    model = decoder(CAN["plain"])
    texts = [torch.randint(83, (n,)) for n in (1, 40, 7, 200)]
    found = packed_hidden(model, packed_texts(texts))
    alone = [model.encode_context(t[None], torch.tensor([len(t)]))[0][0] for t in texts]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-4, atol=1e-4)


def test_the_same_bits_again() -> None:
    model = decoder(CAN["norms of queries, untied"])
    texts = [torch.randint(83, (n,)) for n in (31, 64, 7)]

    def once() -> dict[str, Tensor]:
        return gradients(model, packed_hidden(model, packed_texts(texts)).square().sum())

    first, second = once(), once()
    assert all(torch.equal(first[n], second[n]) for n in first)


def test_frozen_weights_get_no_gradient() -> None:
    model = decoder(CAN["grouped queries, biases"])
    texts = [torch.randint(83, (30,))]
    whole = gradients(model, packed_hidden(model, packed_texts(texts)).square().sum())
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("q_proj.weight" in name)
    some = gradients(model, packed_hidden(model, packed_texts(texts)).square().sum())
    assert {n for n, g in some.items() if g.any()} == {n for n in whole if "q_proj.weight" in n}
    assert all(torch.equal(some[n], whole[n]) for n in some if "q_proj.weight" in n)


def test_without_gradients_nothing_is_kept() -> None:
    model = decoder(CAN["plain"])
    with torch.no_grad():
        assert packed_hidden(model, packed_texts([torch.arange(9)])).grad_fn is None


def test_what_the_kernel_leaves_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = next(shape for shape in SHAPES.values() if shape.sliding_window)
    assert windows.sliding_window is not None
    assert can_train(decoder(windows), windows.sliding_window)
    assert not can_train(decoder(windows), windows.sliding_window + 1)
    assert not can_train(decoder(CAN["plain"]).double(), 1)


@pytest.fixture(params=[1, 2**22], ids=["small chunks", "one chunk"])
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("proofloop.engine.models.choices.CHUNK_FLOATS", {"cpu": request.param})
    return


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_by_chunks(temperature: float) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(150, 12, requires_grad=True)
    weight = torch.randn(31, 12, requires_grad=True)
    chosen, weights = torch.randint(31, (150,)), torch.randn(150)
    found = chosen_logprobs(hidden, weight, chosen, temperature)
    logits = hidden @ weight.t() / temperature
    expected = logits.log_softmax(dim=-1)[torch.arange(150), chosen]
    torch.testing.assert_close(found, expected)
    ours = torch.autograd.grad((found * weights).sum(), (hidden, weight))
    theirs = torch.autograd.grad((expected * weights).sum(), (hidden, weight))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
