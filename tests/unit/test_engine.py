"""The local engine: exact log-probabilities, a completion is its own sample's business."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from proofloop.core.completion import Request, SamplingParams, StopReason
from proofloop.core.errors import UserError
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten, sha256
from proofloop.engine.randomness import uniforms
from proofloop.render.tokenizer import ChatTokenizer


@pytest.fixture(name="engine")
def _engine(tiny_model: Path) -> LocalEngine:
    torch.set_num_threads(1)
    model = load_model(tiny_model)
    return LocalEngine(model, flatten(model), ChatTokenizer.load(tiny_model).stop_ids)


def requests(num: int, *, max_tokens: int = 24, temperature: float = 1.0) -> list[Request]:
    rng = np.random.default_rng(0)
    return [
        Request(
            context=tuple(rng.integers(4, 300, size=int(rng.integers(1, 30))).tolist()),
            seeds=tuple(range(1000 * i, 1000 * i + 4 + i % 3)),
            sampling=SamplingParams(max_tokens=max_tokens, temperature=temperature),
        )
        for i in range(num)
    ]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_logprobs_are_those_of_the_sampling_distribution(
    engine: LocalEngine, temperature: float
) -> None:
    """Against a second implementation: each sequence whole, by itself, without cache."""
    batch = requests(5, temperature=temperature)
    for request, completions in zip(batch, engine.generate(batch), strict=True):
        for completion in completions:
            tokens = torch.tensor([request.context + completion.tokens])
            with torch.no_grad():
                hidden, _ = engine.model.encode_context(tokens, torch.tensor([tokens.shape[1]]))
                logprobs = (engine.model.logits(hidden[0]) / temperature).log_softmax(-1)
            n = len(request.context)
            expected = logprobs[n - 1 : -1].gather(-1, tokens[0, n:, None])[:, 0]
            torch.testing.assert_close(
                torch.tensor(completion.logprobs), expected, rtol=0, atol=1e-4
            )
            spread = -(logprobs.exp() * logprobs).sum(-1)[n - 1 : -1]
            torch.testing.assert_close(
                torch.tensor(completion.entropies), spread, rtol=0, atol=1e-3
            )


def test_a_completion_does_not_depend_on_its_neighbours(engine: LocalEngine) -> None:
    batch = requests(9)
    together = engine.generate(batch)
    for request, completions in zip(batch, together, strict=True):
        (alone,) = engine.generate([request])
        single = [
            engine.generate([msgspec.structs.replace(request, seeds=(s,))]) for s in request.seeds
        ]
        for mine, apart, only in zip(completions, alone, single, strict=True):
            assert mine.tokens == apart.tokens == only[0][0].tokens


def test_completions_end_with_the_stop_token_or_at_the_limit(engine: LocalEngine) -> None:
    (stop,) = engine._stop_ids.tolist()  # pyright: ignore[reportPrivateUsage]
    seen = set[StopReason]()
    for completions in engine.generate(requests(30, max_tokens=60)):
        for c in completions:
            seen.add(c.stop_reason)
            assert stop not in c.tokens[:-1]
            if c.stop_reason is StopReason.STOP:
                assert c.tokens[-1] == stop
            else:
                assert len(c.tokens) == 60
                assert c.tokens[-1] != stop
    assert seen == {StopReason.STOP, StopReason.LENGTH}


def test_seeds_decide(engine: LocalEngine) -> None:
    request = requests(1)[0]
    (first,), (second,) = engine.generate([request]), engine.generate([request])
    assert [c.tokens for c in first] == [c.tokens for c in second]
    assert len({c.tokens for c in first}) == len(first)


def test_first_tokens_follow_the_distribution(engine: LocalEngine) -> None:
    """4000 draws: total variation distance to the exact distribution below its noise level."""
    context = requests(1)[0].context
    request = Request(
        context=context, seeds=tuple(range(4000)), sampling=SamplingParams(max_tokens=1)
    )
    (completions,) = engine.generate([request])
    counts = np.bincount([c.tokens[0] for c in completions], minlength=320) / 4000
    with torch.no_grad():
        hidden, _ = engine.model.encode_context(
            torch.tensor([context]), torch.tensor([len(context)])
        )
        exact = engine.model.logits(hidden[0, -1]).softmax(-1).numpy()
    expected_distance = np.sqrt(exact * (1 - exact) / 4000 * 2 / np.pi).sum() / 2
    assert np.abs(counts - exact).sum() / 2 < 1.5 * expected_distance


def test_uniforms_are_uniform_and_independent_across_positions() -> None:
    seeds = np.arange(20_000, dtype=np.uint64)
    first, second = uniforms(seeds, 0), uniforms(seeds, 1)
    assert 0 <= first.min() < first.max() < 1
    assert abs(first.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.03


def test_the_version_is_the_hash_of_the_weights_that_generate(engine: LocalEngine) -> None:
    before = engine.version()
    assert engine.generate(requests(1))[0][0].policy == before
    with torch.no_grad():
        next(iter(engine.model.parameters())).mul_(1.01)
    assert engine.version() != before
    assert engine.version().sha256 == sha256(flatten(engine.model))


def test_too_long_a_context_is_the_users_to_mend(engine: LocalEngine) -> None:
    long = Request(context=(5,) * 500, seeds=(0,), sampling=SamplingParams(max_tokens=64))
    with pytest.raises(UserError, match=r"lower sampling\.max_tokens"):
        engine.generate([long])


@pytest.mark.parametrize("kernel", [True, False])
def test_a_stop_string_ends_a_completion_at_the_token_that_completes_it(
    tiny_model: Path, kernel: bool
) -> None:
    model = load_model(tiny_model)
    tokenizer = ChatTokenizer.load(tiny_model)

    def text_of(tokens: Sequence[int]) -> str:
        return tokenizer.decode(tuple(tokens))

    engine = LocalEngine(model, flatten(model), tokenizer.stop_ids, text_of=text_of, kernel=kernel)
    free = requests(6, max_tokens=60)
    stops = ("e", "x =", "\n ")
    ended = 0
    for request, before in zip(free, engine.generate(free), strict=True):
        sampling = msgspec.structs.replace(request.sampling, stop=stops)
        (after,) = engine.generate([msgspec.structs.replace(request, sampling=sampling)])
        for whole, cut in zip(before, after, strict=True):
            n = len(cut.tokens)
            assert cut.tokens == whole.tokens[:n]
            assert cut.logprobs == pytest.approx(whole.logprobs[:n], abs=1e-4)
            assert len(cut.entropies) == n
            holds = [any(s in text_of(cut.tokens[: i + 1]) for s in stops) for i in range(n)]
            if cut.stop_reason is StopReason.STOP_STRING:
                ended += 1
                assert holds.index(True) == n - 1
            else:
                assert not any(holds)
                assert cut.tokens == whole.tokens
    assert ended > 3


def test_stop_strings_need_a_tokenizer(engine: LocalEngine) -> None:
    sampling = SamplingParams(stop=("a",))
    with pytest.raises(UserError, match=r"sampling\.stop: this engine was made without"):
        engine.generate([Request(context=(5,), seeds=(1,), sampling=sampling)])
