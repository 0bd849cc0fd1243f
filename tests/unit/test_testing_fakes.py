"""The shipped fakes keep an engine's promises."""

import math

import pytest

from proofloop.core.completion import Engine, Request, SamplingParams, StopReason
from proofloop.testing import ByteTokenizer, FixedClock, ScriptedEngine, UniformEngine

TOKENIZER = ByteTokenizer()


def request(text: str, *seeds: int, max_tokens: int = 64) -> Request:
    return Request(
        context=TOKENIZER.encode(text),
        seeds=seeds,
        sampling=SamplingParams(max_tokens=max_tokens),
    )


def test_scripted_engine_says_its_script_and_stops() -> None:
    engine: Engine = ScriptedEngine(
        lambda context, seed: TOKENIZER.encode(TOKENIZER.decode(context).upper() * seed),
        stop_token=TOKENIZER.stop_token,
    )
    ((once, twice),) = engine.generate([request("ab", 1, 2)])
    assert TOKENIZER.decode(once.tokens) == "AB"
    assert once.tokens[-1] == TOKENIZER.stop_token
    assert (once.stop_reason, once.logprobs) == (StopReason.STOP, (0.0, 0.0, 0.0))
    assert TOKENIZER.decode(twice.tokens) == "ABAB"
    ((cut,),) = engine.generate([request("ab", 2, max_tokens=4)])
    assert (TOKENIZER.decode(cut.tokens), cut.stop_reason) == ("ABAB", StopReason.LENGTH)


def test_uniform_engine_depends_on_context_and_seed_alone() -> None:
    engine: Engine = UniformEngine(vocab_size=8, stop_token=7)
    alone = engine.generate([request("a", 3)])[0][0]
    _, (neighbour, again) = engine.generate([request("b", 3, 4), request("a", 5, 3)])
    assert again == alone
    assert neighbour.tokens != alone.tokens


def test_uniform_engine_is_uniform_and_says_so() -> None:
    completions = UniformEngine(vocab_size=8, stop_token=7).generate([request("a", *range(2000))])
    tokens = [token for completion in completions[0] for token in completion.tokens]
    for token in range(8):
        # 16,000 tokens expected; five standard deviations of a share of 1/8.
        share = tokens.count(token) / len(tokens)
        assert abs(share - 1 / 8) < 5 * math.sqrt(1 / 8 * 7 / 8 / len(tokens))
    assert {p for c in completions[0] for p in c.logprobs} == {-math.log(8)}
    assert {(7 in c.tokens, c.stop_reason) for c in completions[0]} <= {
        (True, StopReason.STOP),
        (False, StopReason.LENGTH),
    }
    with pytest.raises(ValueError, match="vocabulary of 8"):
        UniformEngine(vocab_size=8, stop_token=8)


def test_byte_tokenizer_round_trip() -> None:
    text = "def f(x):\n    return 'ä≤'"
    assert TOKENIZER.decode((*TOKENIZER.encode(text), TOKENIZER.stop_token)) == text


def test_fixed_clock_stands_still_until_told() -> None:
    clock = FixedClock(5.0)
    assert (clock(), clock()) == (5.0, 5.0)
    clock.advance(2.5)
    assert clock() == 7.5
