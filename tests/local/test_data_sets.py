"""Rows of data sets, judged for real: who passes, who does not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proofloop.core.sandbox import Limits
from proofloop.core.task import Problem
from proofloop.core.verdict import Scored
from proofloop.envs.humaneval import HumanEvalEnvironment
from proofloop.envs.mbpp import MbppEnvironment
from proofloop.verify import ProgramVerifier, build_verifier

ALWAYS_EQUAL = (
    "class E:\n    __eq__ = __le__ = __bool__ = lambda *a: True\ndef {}(*a): return E()\n"
)


@pytest.fixture(scope="module")
def verifier() -> Iterator[ProgramVerifier]:
    with build_verifier(None, Limits(wall_s=2, cpu_s=1)) as built:
        yield built


def passed(verifier: ProgramVerifier, problem: Problem, answer: str) -> bool:
    verdict = verifier.verify(problem.task, problem.key, answer)
    assert isinstance(verdict, Scored), verdict
    return verdict.passed


def plus(name: str, body: str, inputs: list[list[Any]], **more: Any) -> dict[str, Any]:
    prompt = more.pop("prompt", f"def {name}(x):\n")
    row = {"task_id": f"HumanEval/{name}", "prompt": prompt, "entry_point": name}
    return row | {"canonical_solution": body, "base_input": inputs} | more


def test_evalplus_rows(verifier: ProgramVerifier, tmp_path: Path) -> None:
    rows = [
        plus("half", "    return x / 2\n", [[1], [3]], plus_input=[[0.1]], atol=0),
        plus("fib", "    return x if x < 2 else fib(x - 1) + fib(x - 2)\n", [[5], [9]]),
        plus("rev", "    x.reverse()\n    return x\n", [[[1, 2]], [[]]]),
        plus(
            "find_zero",
            "    return -x[0] / x[1]\n",
            [[[1, 2]]],
            atol=1e-4,
            prompt="def poly(xs, x):\n    return sum(c * x**i for i, c in enumerate(xs))\n\n"
            "def find_zero(x):\n",
        ),
    ]
    path = tmp_path / "plus.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    environment = HumanEvalEnvironment(path)
    half, fib, rev, root = (environment.find(row["task_id"]) for row in rows)
    for problem in (half, fib, rev, root):
        assert passed(verifier, problem, problem.oracle)
        assert not passed(verifier, problem, "    pass\n")
        name = problem.task.id.split("/")[1].split("@")[0]
        assert not passed(verifier, problem, ALWAYS_EQUAL.format(name))
    assert passed(verifier, half, "def half(x): return x * 0.5 + 1e-9\n")
    assert not passed(verifier, half, "def half(x): return x * 0.5 + 1e-3\n")
    assert not passed(verifier, half, "def half(x): return [x / 2]\n")
    assert not passed(verifier, fib, "def fib(x): return [5, 34][x > 5] + 1\n")
    assert passed(verifier, rev, "def rev(x): return x[::-1]\n")
    assert passed(verifier, root, "def find_zero(x): return -0.50001\n")
    assert not passed(verifier, root, "def find_zero(x): return -0.6\n")


def test_mbpp_rows(verifier: ProgramVerifier, tmp_path: Path) -> None:
    row = {
        "task_id": 2,
        "text": "Write a function to find the shared items of two lists.",
        "code": "def shared(a, b):\n    return set(a) & set(b)\n",
        "test_list": [
            "assert set(shared([3, 4], [4, 5])) == set([4])",
            "assert set(shared([1], [2])) == set()",
            "assert math.isclose(sum(shared([1], [1])), 1)",
        ],
        "test_setup_code": "import math",
    }
    path = tmp_path / "mbpp.jsonl"
    path.write_text(json.dumps(row) + "\n")
    problem = MbppEnvironment(path).find("MBPP/2")
    assert passed(verifier, problem, problem.oracle)
    assert passed(verifier, problem, "def shared(a, b): return [x for x in a if x in b]\n")
    assert not passed(verifier, problem, "def shared(a, b): return [4]\n")
    assert not passed(verifier, problem, ALWAYS_EQUAL.format("shared"))
    assert not passed(verifier, problem, "import os\nos._exit(0)\n")
