"""The kernel: the decoder's numbers, the same in any company, drawn as they were asked for."""

import os
import stat
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from proofloop.core.completion import Request, SamplingParams
from proofloop.core.errors import ModelError, UserError
from proofloop.engine.local import LocalEngine, native_sampler
from proofloop.engine.models.config import DecoderConfig, Llama3Scaling
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.weights import flatten
from proofloop.engine.native import build, sampler
from proofloop.engine.native.build import KernelUnavailable
from proofloop.engine.native.library import why_not
from proofloop.engine.native.network import NativeNetwork, Rows, Space
from proofloop.engine.native.sampler import Sample
from proofloop.engine.torch_batch import effective_logprobs

pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no kernel: {why_not()}")


def config(**changes: object) -> DecoderConfig:
    plain: dict[str, object] = {
        "vocab_size": 83,
        "hidden_size": 40,
        "intermediate_size": 52,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "head_dim": 10,
        "max_position_embeddings": 256,
    }
    return DecoderConfig(**(plain | changes))  # type: ignore[arg-type]


SHAPES = {
    "plain": config(),
    "one head, wide": config(num_attention_heads=1, num_key_value_heads=1, head_dim=64),
    "grouped queries, biases": config(num_key_value_heads=2, attention_bias=True, head_dim=34),
    "norms of queries, untied": config(
        num_key_value_heads=1, qk_norm=True, tie_word_embeddings=False, rope_theta=1e6
    ),
    "windows, layers without rotation, all biases": config(
        num_key_value_heads=2,
        sliding_window=9,
        sliding_layers=(True, False),
        rope_layers=(False, True),
        attention_bias=True,
        attention_out_bias=True,
        mlp_bias=True,
    ),
    "a window in every layer, rotation scaled": config(
        sliding_window=16,
        sliding_layers=(True, True),
        rope_scaling=Llama3Scaling(
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=32,
        ),
    ),
    "deeper than a panel of sums": config(hidden_size=300, intermediate_size=520, head_dim=32),
}


def model_of(shape: DecoderConfig, seed: int = 0) -> Decoder:
    torch.manual_seed(seed)
    model = Decoder(shape)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3 if shape.hidden_size < 100 else 0.1)
    return model


def engine_of(model: Decoder, **options: object) -> LocalEngine:
    return LocalEngine(model, flatten(model), (0, 1), **options)  # type: ignore[arg-type]


def requests(num: int, *, samples: int = 4, max_tokens: int = 20) -> list[Request]:
    """Some with one beginning, two with one context."""
    rng = np.random.default_rng(0)
    shared = tuple(rng.integers(2, 83, 37).tolist())
    contexts = [
        (*shared[: int(rng.integers(0, 38))], *rng.integers(2, 83, int(rng.integers(1, 20))))
        for _ in range(num - 1)
    ]
    contexts.append(contexts[0])
    return [
        Request(
            context=tuple(map(int, context)),
            seeds=tuple(range(100 * i, 100 * i + samples)),
            sampling=SamplingParams(max_tokens=max_tokens),
        )
        for i, context in enumerate(contexts)
    ]


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_logits_are_the_decoders(shape: str) -> None:
    """Sequences of unlike lengths at once, each run in two pieces, over scattered pages."""
    model = model_of(SHAPES[shape])
    network = NativeNetwork(model)
    rng = np.random.default_rng(1)
    cache = np.full((20, network.page_floats), np.nan, np.float32)
    order = iter(rng.permutation(20).astype(np.int32))
    sequences = [rng.integers(0, 83, n).astype(np.int32) for n in (1, 16, 17, 45, 70)]
    tables = [np.array([next(order) for _ in range(-(-len(s) // 16))]) for s in sequences]
    found: list[list[np.ndarray]] = [[] for _ in sequences]
    for part in (0, 1):
        pieces = [np.arange(len(s))[: len(s) // 3] for s in sequences]
        if part:
            pieces = [np.arange(len(s))[len(s) // 3 :] for s in sequences]
        rows = Rows(
            np.concatenate([s[p] for s, p in zip(sequences, pieces, strict=True)]),
            np.concatenate(pieces).astype(np.int32),
            np.concatenate(
                [
                    np.full(len(p), t.ctypes.data, np.uint64)
                    for t, p in zip(tables, pieces, strict=True)
                ]
            ),
        )
        logits_NV = network.logits(rows, cache, Space())
        ends = np.cumsum([len(p) for p in pieces])
        for rows, mine in zip(np.split(logits_NV, ends[:-1]), found, strict=True):
            mine.append(rows)
    for sequence, mine in zip(sequences, found, strict=True):
        tokens = torch.from_numpy(sequence).long()[None]
        hidden, _ = model.encode_context(tokens, torch.tensor([len(sequence)]))
        wanted = model.logits(hidden[0])
        scale = float(wanted.abs().max())
        torch.testing.assert_close(
            torch.from_numpy(np.concatenate(mine)), wanted, rtol=0, atol=3e-6 * max(1.0, scale)
        )


@pytest.mark.parametrize(
    "shape", ["grouped queries, biases", "windows, layers without rotation, all biases"]
)
def test_a_sample_is_the_same_in_any_company_bit_for_bit(shape: str) -> None:
    """Alone, among others, over two threads, and with so few pages that samples wait and are
    computed again."""
    model = model_of(SHAPES[shape])
    batch = requests(7)
    network = NativeNetwork(model)
    page_bytes = 4 * network.page_floats
    together = engine_of(model).generate(batch)
    for others in (
        engine_of(model, num_threads=2),
        engine_of(model, cache_bytes=6 * page_bytes),
        engine_of(model, cache_bytes=23 * page_bytes, num_threads=3),
    ):
        assert others.generate(batch) == together
    alone = engine_of(model)
    for request, completions in zip(batch, together, strict=True):
        for seed, wanted in zip(request.seeds, completions, strict=True):
            single = msgspec.structs.replace(request, seeds=(seed,))
            assert alone.generate([single]) == [[wanted]]


@pytest.mark.parametrize("shape", SHAPES)
def test_threads_on_the_same_rows_draw_what_one_draws(
    shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(SHAPES[shape])
    alone = engine_of(model).generate(requests(5))
    monkeypatch.setattr(sampler, "TEAM_BYTES", 0)
    for num_threads in (2, 3):
        team = engine_of(model, num_threads=num_threads)
        assert team.generate(requests(5)) == alone
        assert team.generate(requests(5)[:1]) == alone[:1]


def test_the_kernel_draws_what_pytorch_draws() -> None:
    model = model_of(SHAPES["plain"])
    batch = requests(9)
    by_kernel = engine_of(model).generate(batch)
    by_torch = engine_of(model, kernel=False).generate(batch)
    for mine, theirs in zip(chain(*by_kernel), chain(*by_torch), strict=True):
        assert mine.tokens == theirs.tokens
        assert mine.stop_reason == theirs.stop_reason
        np.testing.assert_allclose(mine.logprobs, theirs.logprobs, atol=2e-5)
        np.testing.assert_allclose(mine.entropies, theirs.entropies, atol=2e-5)


def test_the_next_turn_finds_its_history() -> None:
    """A context that extends what was sampled runs no token twice, but for the last page's."""
    model = model_of(SHAPES["plain"])
    engine = engine_of(model)
    (request, *_) = requests(3, max_tokens=40)
    ((first, *_),) = engine.generate([request])
    longer = (*request.context, *first.tokens, 5, 6, 7)
    again = msgspec.structs.replace(request, context=longer)
    sampler = engine.sampler
    assert sampler is not None
    held = sampler._pages.known(longer)  # pyright: ignore[reportPrivateUsage]
    assert len(held) >= (len(request.context) + len(first.tokens) - 1) // 16
    for page in held:
        sampler._pages.release(page)  # pyright: ignore[reportPrivateUsage]
    assert engine.generate([again]) == engine_of(model).generate([again])


def test_other_weights_make_other_samples_at_once() -> None:
    model = model_of(SHAPES["plain"])
    flat = flatten(model)
    engine = LocalEngine(model, flat, (0, 1))
    batch = requests(3)
    before = engine.generate(batch)
    flat += 0.05 * torch.randn(flat.shape, generator=torch.Generator().manual_seed(0))
    after = engine.generate(batch)
    assert after != before
    assert after == LocalEngine(model, flat, (0, 1)).generate(batch)


SETTINGS = [
    SamplingParams(max_tokens=1, temperature=0.6),
    SamplingParams(max_tokens=1, top_k=5),
    SamplingParams(max_tokens=1, top_p=0.7),
    SamplingParams(max_tokens=1, min_p=0.2),
    SamplingParams(max_tokens=1, temperature=1.5, top_k=20, top_p=0.8, min_p=0.05),
    SamplingParams(max_tokens=1, top_k=1),
    SamplingParams(max_tokens=1, top_k=500, top_p=1e-9),
    SamplingParams(max_tokens=1, temperature=0.0),
]


@pytest.mark.parametrize("sampling", SETTINGS)
def test_filters_leave_what_a_plain_loop_leaves(sampling: SamplingParams) -> None:
    """2,000 first tokens: only kept ones, with their log-probabilities, and every likely one."""
    model = model_of(SHAPES["plain"])
    request = Request(context=(3, 4, 5), seeds=tuple(range(2000)), sampling=sampling)
    with torch.no_grad():
        hidden, _ = model.encode_context(torch.tensor([request.context]), torch.tensor([3]))
        logits_V = model.logits(hidden[0, -1]).double().numpy()
    wanted = kept_by_a_loop(logits_V, sampling)
    torched = effective_logprobs(torch.from_numpy(logits_V)[None], sampling)[0].numpy()
    assert {i for i, v in enumerate(torched) if np.isfinite(v)} == set(wanted)
    for kernel in (True, False):
        (completions,) = engine_of(model, kernel=kernel).generate([request])
        drawn = [c.tokens[0] for c in completions]
        assert set(drawn) <= set(wanted)
        for completion in completions:
            assert completion.logprobs[0] == pytest.approx(wanted[completion.tokens[0]], abs=3e-5)
        for token, logprob in wanted.items():
            share = np.exp(logprob)
            spread = np.sqrt(share * (1 - share) / len(drawn))
            assert abs(drawn.count(token) / len(drawn) - share) < 5 * spread + 1e-9
        entropy = -sum(np.exp(v) * v for v in wanted.values())
        assert completions[0].entropies[0] == pytest.approx(entropy, abs=1e-4)


def kept_by_a_loop(logits_V: np.ndarray, sampling: SamplingParams) -> dict[int, float]:
    """Log-probabilities of the tokens that are left, one at a time."""
    if sampling.temperature == 0:
        return {int(np.argmax(logits_V)): 0.0}
    weights = np.exp((logits_V - logits_V.max()) / sampling.temperature)
    ordered = sorted(range(len(weights)), key=lambda i: -weights[i])
    if sampling.top_k:
        ordered = ordered[: sampling.top_k]
    whole = sum(weights[i] for i in ordered)
    kept: list[int] = []
    for i in ordered:
        if sum(weights[j] for j in kept) >= sampling.top_p * whole:
            break
        kept.append(i)
    kept = [i for i in kept if weights[i] >= sampling.min_p * weights[ordered[0]]]
    total = sum(weights[i] for i in kept)
    return {i: float(np.log(weights[i] / total)) for i in kept}


def test_a_request_that_can_never_fit_is_the_users_to_mend() -> None:
    model = model_of(SHAPES["plain"])
    engine = engine_of(model, cache_bytes=1)
    with pytest.raises(UserError, match="need 4 pages of the cache, which has 1; lower sampling"):
        engine.generate([msgspec.structs.replace(requests(2)[0], context=tuple(range(2, 42)))])
    assert engine.generate(
        [Request(context=(5,), seeds=(1,), sampling=SamplingParams(max_tokens=8))]
    )


@pytest.mark.parametrize("kernel", [True, False])
def test_weights_that_are_not_numbers_are_named(kernel: bool) -> None:
    model = model_of(SHAPES["plain"])
    with torch.no_grad():
        model.model.norm.weight[3] = float("nan")
    with pytest.raises(ModelError, match="logits are not finite"):
        engine_of(model, kernel=kernel).generate(requests(2))


def test_a_cancelled_sample_gives_its_pages_back() -> None:
    model = model_of(SHAPES["plain"])
    sampler = native_sampler(model, (0,), cache_bytes=2**24, num_threads=1)
    assert sampler is not None
    pages = sampler._pages  # pyright: ignore[reportPrivateUsage]
    sampling = SamplingParams(max_tokens=100, temperature=3.0)
    one, two = (Sample.begin((4, 5, 6), seed, sampling) for seed in (1, 2))
    sampler.submit(one)
    sampler.submit(two)
    sampler.advance(4)
    sampler.cancel(one)
    assert one.num_sampled == 4
    while sampler.busy:
        sampler.advance()
    assert two.stopped
    assert pages.num_available == pages.num_pages


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 70), st.integers(1, 33), st.integers(2, 9))
def test_any_batch_through_any_cache(num: int, max_tokens: int, room: int) -> None:
    """However little fits at once, all ends, and as if there were room for everything."""
    model = _shared_model()
    page_bytes = 4 * NativeNetwork(model).page_floats
    seeds = tuple(range(num))
    request = Request(
        context=(7, 8, 9), seeds=seeds, sampling=SamplingParams(max_tokens=max_tokens)
    )
    (wanted,) = engine_of(model).generate([request])
    least = -(-(3 + max_tokens) // 16)
    engine = engine_of(model, cache_bytes=max(room, least) * page_bytes)
    assert engine.generate([request]) == [wanted]


_made: list[Decoder] = []


def _shared_model() -> Decoder:
    if not _made:
        _made.append(model_of(SHAPES["plain"]))
    return _made[0]


@pytest.fixture(name="fresh_build")
def _fresh_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build.library_path.cache_clear()
    yield tmp_path
    build.library_path.cache_clear()


def test_a_machine_without_a_compiler_samples_with_pytorch(
    fresh_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(fresh_build))
    with pytest.raises(KernelUnavailable, match=r"no C compiler .*install one"):
        build.library_path()


def test_a_compiler_that_fails_is_a_reason(
    fresh_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = fresh_build / "broken"
    broken.write_text("#!/bin/sh\necho 'no such machine' >&2; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    with pytest.raises(KernelUnavailable, match=r"cannot compile the kernels: no such machine"):
        build.library_path()
    assert not list(fresh_build.rglob("*.so"))


def test_a_library_that_others_can_write_is_built_anew(fresh_build: Path) -> None:
    path = build.library_path()
    assert fresh_build in path.parents
    path.write_bytes(b"somebody else's")
    path.chmod(0o777)
    build.library_path.cache_clear()
    assert build.library_path().read_bytes() != b"somebody else's"
    assert not stat.S_IMODE(os.stat(path).st_mode) & 0o022


def test_it_can_be_switched_off(fresh_build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del fresh_build
    monkeypatch.setenv(build.OFF, "1")
    with pytest.raises(KernelUnavailable, match="PROOFLOOP_NO_KERNEL is set"):
        build.library_path()
