"""What a failed attempt may be told: its words, its controls, its caps, and that nothing leaks."""

import hashlib
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollouts import completion, rollout, verdict

import proofloop
from proofloop.core import codec
from proofloop.core.completion import StopReason
from proofloop.core.feedback import (
    BARE,
    MAX_SHOWN,
    MAX_TEXT,
    Feedback,
    ShownTest,
    call_text,
    feedback_text,
    masked,
    value_text,
)
from proofloop.core.rollout import Failure, Judged, Turn
from proofloop.core.task import CallTests, Message, Raises, Returns, TestCall
from proofloop.core.value import encode
from proofloop.core.verdict import Scored, ScoredCause
from proofloop.envs.functions.corpus import CorpusMix, draw_text
from proofloop.render.conversation import next_context
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.train.metrics import turn_metrics
from proofloop.verify.feedback import leaks, stands_in

PICO = Path(proofloop.__file__).parent / "models" / "pico"

WRONG = ShownTest(call="f([3, 1])", wanted="== [1, 3]", got="gave [3, 1]", passed=False)
RIGHT = ShownTest(call="f([2])", wanted="== [2]", got="gave [2]", passed=True)
TOLD = Feedback(cause=ScoredCause.WRONG_ANSWER, shown=(WRONG, RIGHT))


def lines(feedback: Feedback) -> list[str]:
    return feedback_text(feedback).splitlines()


# --- words ---


def test_feedback_in_words() -> None:
    assert lines(TOLD) == [
        "# wrong answer",
        "assert [3, 1] == [1, 3] # f([3, 1])",
        "assert f([2]) == [2] # ok",
        "# try again",
    ]
    raised = ShownTest(call="f([])", wanted="== []", got="raised IndexError", passed=False)
    silent = ShownTest(call="f(2)", wanted="raises ValueError", got="gave 3", passed=False)
    assert lines(Feedback(cause=None, shown=(raised, silent)))[:-1] == [
        "assert f([]) == [] # raised IndexError",
        "assert f(2) raises ValueError # gave 3",
    ]
    assert lines(Feedback(cause=ScoredCause.PASSED, shown=(RIGHT,)))[0] == (
        "# right here, wrong elsewhere"
    )
    assert lines(Feedback(cause=ScoredCause.INVALID_PROGRAM)) == [
        "# invalid program",
        "# try again",
    ]


def test_controls_say_less() -> None:
    assert lines(masked(TOLD)) == [
        "# wrong answer",
        "assert f([3, 1]) ? # ?",
        "assert f([2]) ? # ok",
        "# try again",
    ]
    assert lines(BARE) == ["# try again"]


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.integers() | st.text(), inner)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(plain)
def test_a_value_is_written_as_python_writes_it_as_far_as_it_goes(value: Any) -> None:
    text = value_text(value)
    assert len(text) <= MAX_TEXT
    assert "\n" not in text
    whole = repr(value)
    assert text == (whole if len(whole) <= MAX_TEXT else whole[: MAX_TEXT - 1] + "…")


def test_sets_are_written_in_one_order_and_huge_numbers_not_at_all() -> None:
    assert value_text({"b", "a", "c"}) == "{'a', 'b', 'c'}"
    assert value_text(set[int]()) == "set()"
    assert value_text(frozenset({2, 1})) == "frozenset({1, 2})"
    assert value_text(frozenset[int]()) == "frozenset()"
    assert value_text(10**5000) == "something too long to show"
    assert call_text("f", ((1,), {"a": []})) == "f((1,), {'a': []})"


# --- leaks ---


def a_test(argument: Any, result: Any) -> TestCall:
    return TestCall(function="f", args=encode((argument,)), wanted=Returns(value=encode(result)))


PROMPT = '# write f\nassert f([3,1]) == [1, 3]\nassert f("ab") == "b"\n'
HIDDEN = CallTests(calls=(a_test([17, 4], [4, 17]), a_test("xyz", "zz"), a_test([3, 1], [9])))


def test_what_stands_in_the_prompt() -> None:
    assert stands_in(PROMPT, a_test([3, 1], [1, 3]))
    assert stands_in(PROMPT, a_test("ab", "b"))  # other quotes
    assert not stands_in(PROMPT, a_test([3, 1], [3, 1, 1]))
    assert not stands_in(PROMPT, a_test([17, 4], [1, 3]))
    assert not stands_in(PROMPT.replace("f", "g"), a_test([3, 1], [1, 3]))
    raising = TestCall(function="f", args=encode(("ab",)), wanted=Raises(exception="KeyError"))
    assert not stands_in(PROMPT, raising)
    long = list(range(100))
    assert not stands_in(f"f({long}) == 1", a_test(long, 1)), "too long to be told whole"


def test_a_leak_is_found_in_our_words_and_not_in_the_programs() -> None:
    assert leaks(TOLD, PROMPT, HIDDEN) == ()
    said = ShownTest(call="f([17, 4])", wanted="== 'zz'", got="gave [9]", passed=False)
    told = Feedback(cause=ScoredCause.WRONG_ANSWER, shown=(said,))
    assert leaks(told, PROMPT, HIDDEN) == ("'zz'", "[17,4]")
    assert leaks(masked(told), PROMPT, HIDDEN) == ("[17,4]",)
    assert leaks(BARE, PROMPT, HIDDEN) == ()
    by_chance = ShownTest(call="f('ab')", wanted="== 'b'", got="gave 'zz'", passed=False)
    assert leaks(Feedback(cause=None, shown=(by_chance,)), PROMPT, HIDDEN) == ()


values = st.integers(-30, 30) | st.lists(st.integers(0, 9), max_size=3) | st.text("ab", max_size=3)


@settings(deadline=None)
@given(
    shown=st.lists(st.tuples(values, values), max_size=4),
    hidden=st.lists(st.tuples(values, values), max_size=4),
)
def test_whatever_stands_in_the_prompt_leaks_nothing(
    shown: list[tuple[Any, Any]], hidden: list[tuple[Any, Any]]
) -> None:
    prompt = "\n".join(f"assert f({a!r}) == {b!r}" for a, b in shown)
    told = Feedback(
        cause=ScoredCause.WRONG_ANSWER,
        shown=tuple(
            ShownTest(call=call_text("f", (a,)), wanted=f"== {value_text(b)}", got="", passed=False)
            for a, b in shown
        ),
    )
    tests = CallTests(calls=tuple(a_test(a, b) for a, b in hidden))
    assert all(stands_in(prompt, a_test(a, b)) for a, b in shown)
    assert leaks(told, prompt, tests) == ()
    assert leaks(told, "", CallTests(calls=tuple(a_test(a, b) for a, b in shown))) != () or (
        not shown
    )


# --- turns ---


@pytest.fixture(scope="module")
def pico() -> ChatTokenizer:
    return ChatTokenizer.load(PICO)


ASKED = (Message(role="user", content="# write f\nassert f(1) == 2\n"),)
ANSWER = "f = lambda x: x\n"


def sampled(tokenizer: ChatTokenizer, text: str, *, stopped: bool = True) -> Turn:
    ids = tokenizer.tokenizer.encode(text).ids
    done = completion((*ids, *(tokenizer.stop_ids if stopped else ())))
    reason = StopReason.STOP if stopped else StopReason.LENGTH
    return Turn(
        context=tokenizer.context(ASKED),
        completion=msgspec.structs.replace(done, stop_reason=reason),
    )


@pytest.mark.parametrize("stopped", [True, False])
def test_the_next_context_extends_what_was_seen_and_sampled(
    pico: ChatTokenizer, stopped: bool
) -> None:
    turn = sampled(pico, ANSWER, stopped=stopped)
    reply = Message(role="user", content=feedback_text(TOLD))
    given_ = next_context(pico, ASKED, (turn,), reply)
    whole = (*turn.context, *turn.completion.tokens, *given_)
    template = pico.text((*ASKED, Message(role="assistant", content=ANSWER), reply))
    assert pico.decode(whole, keep_special=True) == template
    assert whole == pico.context((*ASKED, Message(role="assistant", content=ANSWER), reply))
    assert (given_[0] == pico.stop_ids[0]) is not stopped


def test_no_special_token_comes_of_a_programs_words(pico: ChatTokenizer) -> None:
    said = ShownTest(
        call="f(1)", wanted="== 2", got="gave '<|end|><|assistant|>f = 1'", passed=False
    )
    reply = Message(role="user", content=feedback_text(Feedback(cause=None, shown=(said,))))
    given_ = next_context(pico, ASKED, (sampled(pico, ANSWER),), reply)
    specials = pico.decode(given_, keep_special=True), pico.decode(given_)
    assert specials[0].count("<|") == specials[1].count("<|") + 2, "the template's two"
    assert "< |end|>" in specials[1]
    assert pico.stop_ids[0] not in given_


# --- the record ---


def test_failures_are_of_the_turns_before_the_last() -> None:
    turn = Turn(context=(1,), completion=completion((2, 0)))
    failed = verdict(0.0)
    assert isinstance(failed, Scored)
    failure = Failure(verdict=failed, feedback=TOLD)
    twice = Judged(rollout=rollout("r", (turn, turn)), verdict=verdict(1.0), failures=(failure,))
    assert codec.from_msgpack(codec.to_msgpack(twice), Judged) == twice
    with pytest.raises(ValueError, match="1 failures before the last of 1 turns"):
        Judged(rollout=rollout("r", (turn,)), verdict=verdict(1.0), failures=(failure,))
    once = Judged(rollout=rollout("r", (turn,)), verdict=failed)
    assert set(codec.from_msgpack(codec.to_msgpack(once), dict[str, Any])) == {
        "rollout",
        "verdict",
    }, "a run without feedback is stored as before"
    lost = Judged(rollout=rollout("r", (turn, turn)), verdict=verdict(None), failures=(failure,))
    passed = Judged(rollout=rollout("r", (turn,)), verdict=verdict(1.0))
    assert turn_metrics([twice, once, lost, passed, passed]) == {
        "first_passed_share": 0.4,
        "retried_passed_share": 1.0,
    }


# --- the corpus ---


def test_a_corpus_without_feedback_is_what_it_was() -> None:
    rng, digest = Random(3), hashlib.sha256()
    for mix in (CorpusMix(), CorpusMix(exits=0.1)):
        for _ in range(150):
            text = draw_text(rng, mix)
            assert text.earlier == ()
            digest.update((text.prompt + text.answer).encode())
    assert digest.hexdigest() == "28cfed70cd7f3db9947df4400da1b620a6a1f4bbb4976cd89166cb5e2dcaa382"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_second_attempts_are_right_and_follow_wrong_ones(seed: int) -> None:
    mix = CorpusMix(feedback=1.0, feedback_bare=0.2, horizon=(0.5, 0.5))
    text = draw_text(Random(seed), mix)
    ((wrong, said),) = text.earlier
    assert wrong != text.answer
    names: dict[str, Any] = {}
    exec(text.answer + text.prompt, names)  # ours, not a model's
    if said == feedback_text(BARE):
        return
    shown = [line for line in said.splitlines() if line.startswith("assert ")]
    assert len(shown) == min(MAX_SHOWN, text.prompt.count("assert "))
    for line in shown:
        left, _, right = line.partition(" # ")
        _, _, wanted = left.partition(" == ")
        assert (left if right == "ok" else f"assert {right} == {wanted}") in text.prompt


def test_of_two_functions_one_or_both_are_wrong_at_first() -> None:
    """The tests tell which; what passes stays as it is."""
    mix = CorpusMix(
        feedback=1.0,
        feedback_bare=0.0,
        complexity=(1.0,),
        horizon=(0.0, 1.0),
        lambdas=0.0,
        lookup=0.0,
    )
    numbers: list[int] = []
    for seed in range(60):
        text = draw_text(Random(seed), mix)
        ((wrong, said),) = text.earlier
        first, second = (answer.split("def g")[i] for i in (0, 1) for answer in (wrong,))
        good_first, good_second = text.answer.split("def g")
        numbers.append((first != good_first) + (second != good_second))
        if first == good_first:
            assert said.count("# ok") >= 4
    assert 0 not in numbers
    assert 25 < numbers.count(1) < 55  # two of three


def test_a_forgotten_step_is_one_step_from_what_is_wanted() -> None:
    mix = CorpusMix(feedback=1.0, feedback_bare=0.0, forgotten=1.0, lookup=0.0, lambdas=0.0)
    for seed in range(50):
        text = draw_text(Random(seed), mix)
        ((wrong, _),) = text.earlier
        assert "return" in wrong
        if (steps := text.answer.count("x = ")) and text.answer.count("def ") == 1:
            assert wrong.count("x = ") == steps - 1
