"""Solutions for `verdicts.py`: HumanEval tasks as twenty calls each, with right and wrong answers.

The calls are those of the data set's own assertions that compare with `==` on plain values, taken
round and round until there are twenty.
"""

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from proofloop.core.task import (
    AnswerKey,
    CallTests,
    Problem,
    Returns,
    TestCall,
)
from proofloop.core.value import EncodeError, encode
from proofloop.core.verdict import Scored, Tier
from proofloop.envs.humaneval import HumanEvalEnvironment
from proofloop.runs.environments import iter_problems
from proofloop.runs.verification import Attempt, judge
from proofloop.verify.audit import mutants

NUM_CALLS = 20

BOMBS = (
    "def $NAME(*args):\n    hoard = []\n    while True:\n        hoard += [bytearray(1 << 20)]\n",
    "def $NAME(*args):\n    while True:\n        print('y' * 8192)\n",
    "import os\ndef $NAME(*args):\n    while True:\n        try:\n            os.fork()\n"
    "        except OSError:\n            return None\n",
    "def $NAME(*args):\n    return [0] * 10 ** 10\n",
    "def $NAME(*args):\n    while True:\n        pass\n",
    "def $NAME(*args):\n    return $NAME(*args) + $NAME(*args)\n",
)


class Solution(msgspec.Struct, frozen=True):
    """A whole program, and the calls to judge it by."""

    problem: Problem
    name: str
    arguments: list[Any]
    results: list[Any]
    source: str
    is_right: bool

    def plain(self) -> dict[str, Any]:
        return {"name": self.name, "arguments": self.arguments, "results": self.results,
                "source": self.source}  # fmt: skip


def solutions_of(data: Path, num: int) -> list[Solution]:
    """Right and wrong ones in turn, as far as every verdict is what it should be."""
    environment = HumanEvalEnvironment(data)
    found: list[Solution] = []
    split = next(s for s in ("heldout", "train") if environment.strata(_split(s)))
    for problem in iter_problems(environment, _split(split), 164):
        pairs = _pairs(problem)
        if len({repr(result) for _, result in pairs}) < 2:
            continue
        pairs = [pairs[place % len(pairs)] for place in range(NUM_CALLS)]
        name = problem.key.tests.entry_point  # type: ignore[union-attr]
        calls = tuple(
            TestCall(function=name, args=encode(tuple(a)), wanted=Returns(value=encode(r)))
            for a, r in pairs
        )
        key = AnswerKey(task_id=problem.task.id, tests=CallTests(calls=calls))
        # Without the prompt as a prefix: the sources below are whole programs.
        task = msgspec.structs.replace(problem.task, answer_prefix="")
        asked = msgspec.structs.replace(problem, task=task, key=key)
        whole = problem.oracle
        for place, mutant in enumerate(("", *mutants(whole, {name}, at_most=3, seed=name))):
            source = whole if place == 0 else mutant.source  # type: ignore[union-attr]
            args, results = [a for a, _ in pairs], [r for _, r in pairs]
            found.append(Solution(asked, name, args, results, source, place == 0))
    attempts = [Attempt(s.problem, s.source) for s in found]
    verdicts = judge(attempts, tier=Tier.T1)
    kept = [
        s
        for s, v in zip(found, verdicts, strict=True)
        if isinstance(v, Scored) and v.passed == s.is_right and v.cause.value != "time_limit"
    ]
    right = [s for s in kept if s.is_right]
    wrong = [s for s in kept if not s.is_right]
    both = [s for pair in zip(right, wrong, strict=False) for s in pair]
    return (both * (num // max(1, len(both)) + 1))[:num]


def hanging(plain: Sequence[Solution], num: int) -> list[Solution]:
    """The same, with `num` that never end put among them."""
    mixed = list(plain)
    for place in range(num):
        at = (2 * place + 1) * len(plain) // (2 * num)
        source = f"def {plain[at].name}(*args):\n    while True:\n        pass\n"
        mixed.insert(at, msgspec.structs.replace(plain[at], source=source, is_right=False))
    return mixed


def _split(name: str) -> Any:
    from proofloop.core.task import Split

    return Split(name)


def _pairs(problem: Problem) -> list[tuple[list[Any], Any]]:
    """Arguments and results that are the same after a way through JSON."""
    check: str = problem.key.tests.check  # type: ignore[union-attr]
    pairs: list[tuple[list[Any], Any]] = []
    for node in ast.walk(ast.parse(check)):
        match node:
            case ast.Assert(
                test=ast.Compare(
                    left=ast.Call(func=ast.Name(id="candidate"), args=args, keywords=[]),
                    ops=[ast.Eq()],
                    comparators=[result],
                )
            ):
                try:
                    pair = [ast.literal_eval(arg) for arg in args], ast.literal_eval(result)
                    encode(tuple(pair[0])), encode(pair[1])
                except (ValueError, EncodeError):
                    continue
                if repr(json.loads(json.dumps(pair))) == repr(list(pair)):
                    pairs.append(pair)
            case _:
                pass
    return pairs
