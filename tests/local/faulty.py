"""A mixed bag of answers whose verdicts are known, for tests that break things underneath."""

from typing import NamedTuple

from proofloop.core import value
from proofloop.core.task import (
    AnswerKey,
    CallTests,
    CheckProgram,
    OutputTest,
    Problem,
    ProgramTests,
    Returns,
    Split,
    Stratum,
    Task,
    TaskId,
    TestCall,
)
from proofloop.core.verdict import Scored, Unscored, UnscoredCause, Verdict
from proofloop.runs.verification import Attempt

TASK = Task(
    id=TaskId("fault@0"),
    env="fault",
    split=Split.HELDOUT,
    stratum=Stratum(family="list", complexity=1, horizon=1),
    messages=(),
)


def _key(tests: CallTests | CheckProgram | ProgramTests) -> AnswerKey:
    return AnswerKey(task_id=TASK.id, tests=tests)


KEY = _key(
    CallTests(
        calls=tuple(
            TestCall(
                function="f",
                args=value.encode((n,)),
                wanted=Returns(value=value.encode([n, 2 * n])),
            )
            for n in range(6)
        )
    )
)
_CHECK = _key(
    CheckProgram(
        setup="", check="def check(f):\n    assert f(3) == [3, 6]\n", entry_point="f"
    )
)  # fmt: skip
_SCRIPT = _key(ProgramTests(tests=(OutputTest(stdin=b"3", stdout=b"9"),)))


class Answer(NamedTuple):
    source: str
    passes: bool
    key: AnswerKey = KEY
    takes_time: bool = False

    @property
    def attempt(self) -> Attempt:
        return Attempt(Problem(task=TASK, key=self.key, oracle=""), self.source)


_RIGHT = "def f(x):\n    return [x, 2 * x]\n"
ANSWERS = {
    "right": Answer(_RIGHT, True),
    "right, slowly": Answer(_RIGHT.replace("x)", "x, n=[0] * 200_000)", 1), True),
    "right, by a check": Answer(_RIGHT, True, _CHECK),
    "wrong": Answer("def f(x):\n    return [x, x]\n", False),
    "wrong, by a check": Answer("def f(x):\n    return [x, x]\n", False, _CHECK),
    "raising": Answer("def f(x):\n    return x[0]\n", False),
    "exiting": Answer("import os\ndef f(x):\n    os._exit(0)\n", False),
    "crashing": Answer("import ctypes\ndef f(x):\n    ctypes.string_at(0)\n", False),
    "hanging": Answer("def f(x):\n    while True: pass\n", False, takes_time=True),
    "script": Answer("print(int(input()) ** 2)\n", True, _SCRIPT),
    "broken key": Answer(_RIGHT, False, _key(CallTests(calls=()))),
}  # fmt: skip
_BAG = ("right", "wrong", "right, slowly", "raising", "right, by a check", "exiting", "right",
        "crashing", "wrong, by a check", "right")  # fmt: skip


def attempts(num: int) -> list[str]:
    """Names of `num` answers; one in thirty hangs."""
    return ["hanging" if i % 30 == 7 else _BAG[i % len(_BAG)] for i in range(num)]


def check(name: str, verdict: Verdict, *, may_be_unscored: bool = True) -> bool:
    """Whether it is Unscored; raises AssertionError where it is wrong."""
    if isinstance(verdict, Unscored):
        assert may_be_unscored, (name, verdict)
        assert verdict.cause is UnscoredCause.SANDBOX_LOST, (name, verdict)
        return True
    assert isinstance(verdict, Scored)
    assert verdict.passed is ANSWERS[name].passes, (name, verdict)
    assert verdict.reward == float(ANSWERS[name].passes), (name, verdict)
    return False
