"""Control arms: what they replace, what they leave, and that a coin is a coin."""

import math
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollouts import verdict

from proofloop.core.rollout import RolloutId
from proofloop.core.task import (
    AnswerKey,
    CallTests,
    CheckProgram,
    Composite,
    JsonAnswer,
    Part,
    Returns,
    SqlQuery,
    TaskId,
    TestCall,
    Tests,
    TextAnswer,
)
from proofloop.core.verdict import Scored, Verdict
from proofloop.runs.controls import controlled
from proofloop.runs.recipe import Control

RIGHT, WRONG = "def f(x):\n    return x + 1\n", "def g(x):\n    return 0\n"


def key(*functions: str) -> AnswerKey:
    calls = tuple(
        TestCall(function=name, args=b"", wanted=Returns(value=b"")) for name in functions
    )
    return AnswerKey(task_id=TaskId("task"), tests=CallTests(calls=calls))


ASKS_F = key("f")


def reward(
    control: Control,
    given: Verdict | None = None,
    *,
    seed: int = 0,
    name: str = "train-1-0-0",
    answer: str = RIGHT,
    key: AnswerKey = ASKS_F,
    naive: bool = False,
) -> float:
    result = controlled(
        given or verdict(0.0),
        control,
        seed=seed,
        rollout_id=RolloutId(name),
        key=key,
        answer=answer,
        passes_naively=lambda: naive,
    )
    assert isinstance(result, Scored)
    return result.reward


def coins(seed: int) -> list[float]:
    return [
        reward(Control.RANDOM, seed=seed, name=f"train-{step}-{slot}-{sample}")
        for step in range(1, 11)
        for slot in range(32)
        for sample in range(16)
    ]


def test_the_coin_is_fair_and_every_seed_throws_its_own() -> None:
    first, second = coins(0), coins(1)
    assert set(first) == {0.0, 1.0}
    four_sigma = 4 * 0.5 / math.sqrt(len(first))
    assert sum(first) / len(first) == pytest.approx(0.5, abs=four_sigma)
    same = sum(a == b for a, b in zip(first, second, strict=True)) / len(first)
    assert same == pytest.approx(0.5, abs=four_sigma)
    neighbours = sum(a == b for a, b in pairwise(first)) / (len(first) - 1)
    assert neighbours == pytest.approx(0.5, abs=four_sigma)
    assert first == coins(0)


@settings(deadline=None)
@given(name=st.text(), seed=st.integers(0, 2**31), answer=st.text(), earned=st.sampled_from([0, 1]))
def test_the_coin_knows_neither_answer_nor_verdict(
    name: str, seed: int, answer: str, earned: float
) -> None:
    thrown = reward(Control.RANDOM, verdict(earned), seed=seed, name=name, answer=answer)
    assert thrown == reward(Control.RANDOM, verdict(1 - earned), seed=seed, name=name, answer=WRONG)


@pytest.mark.parametrize(
    ("answer", "functions", "expected"),
    [
        (RIGHT, ("f",), 1.0),
        (WRONG, ("f",), 0.0),
        ("", ("f",), 0.0),
        ("f = lambda x: 0", ("f",), 1.0),
        ("import math\n\ndef f(x): return", ("f",), 1.0),
        ("def ff(x): return 0", ("f",), 0.0),
        ("# def f(x): return 0", ("f",), 0.0),
        ("class A:\n    def f(self): return 0", ("f",), 0.0),
        (RIGHT, ("f", "g"), 0.0),
        (RIGHT + WRONG, ("f", "g", "f"), 1.0),
    ],
)
@pytest.mark.parametrize("earned", [0.0, 1.0])
def test_format_asks_for_the_definitions_right_or_wrong(
    answer: str, functions: tuple[str, ...], expected: float, earned: float
) -> None:
    given = verdict(earned)
    assert reward(Control.FORMAT, given, answer=answer, key=key(*functions)) == expected


def test_format_asks_a_check_program_for_its_entry_point() -> None:
    tests = CheckProgram(setup="def helper(): ...", check="def check(c): ...", entry_point="g")
    check = AnswerKey(task_id=TaskId("task"), tests=tests)
    assert reward(Control.FORMAT, answer=WRONG, key=check) == 1
    assert reward(Control.FORMAT, answer=RIGHT, key=check) == 0


@pytest.mark.parametrize(
    ("tests", "formed", "formless"),
    [
        (TextAnswer(gold="x"), "\\boxed{y}", "y\nz"),
        (JsonAnswer(wanted="1"), "```json\n2\n```", "```\n1\n```\n```\n2\n```"),
        (SqlQuery(instances=()), "```sql\nSELECT 1\n```", "```sql\n\n```"),
        (
            Composite(parts=(Part(name="a", tests=TextAnswer(gold="x"), section="s"),)),
            "<s>y</s>",
            "y",
        ),
    ],
)
def test_format_asks_a_structured_answer_for_its_place(
    tests: Tests, formed: str, formless: str
) -> None:
    structured = AnswerKey(task_id=TaskId("task"), tests=tests)
    assert reward(Control.FORMAT, answer=formed, key=structured) == 1
    assert reward(Control.FORMAT, answer=formless, key=structured) == 0


@pytest.mark.parametrize("control", list(Control))
def test_unscored_stays_unscored(control: Control) -> None:
    lost = verdict(None)
    name = RolloutId("train-1-0-0")
    after = controlled(
        lost,
        control,
        seed=0,
        rollout_id=name,
        key=key("f"),
        answer=RIGHT,
        passes_naively=lambda: True,
    )
    assert after is lost


@pytest.mark.parametrize("passes", [False, True])
def test_the_naive_arm_takes_what_the_naive_reward_says(passes: bool) -> None:
    assert reward(Control.NAIVE, verdict(1.0 - passes), naive=passes) == passes


@pytest.mark.parametrize("control", [Control.RANDOM, Control.FORMAT, Control.NAIVE])
@pytest.mark.parametrize("earned", [0.0, 1.0])
def test_only_the_reward_is_replaced(control: Control, earned: float) -> None:
    before = verdict(earned)
    changed = False
    for sample, answer in enumerate([RIGHT, WRONG] * 8):
        name = RolloutId(f"train-1-0-{sample}")
        after = controlled(
            before,
            control,
            seed=0,
            rollout_id=name,
            key=key("f"),
            answer=answer,
            passes_naively=lambda sample=sample: sample % 2 == 0,
        )
        assert isinstance(after, Scored)
        changed |= after.reward != earned
        assert msgspec.structs.replace(after, reward=earned) == before
    assert changed


def test_without_a_control_the_verdict_stays() -> None:
    assert reward(Control.NONE, verdict(1.0), answer=WRONG) == 1
