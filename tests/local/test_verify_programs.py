"""Programs from standard input to standard output, judged for real on every tier."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proofloop.core.errors import DataError
from proofloop.core.sandbox import Limits
from proofloop.core.task import (
    AnswerKey,
    OutputTest,
    ProgramTests,
    Split,
    Stratum,
    Task,
    TaskId,
)
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause, Verdict
from proofloop.envs.stdio import StdioEnvironment
from proofloop.sandbox import probe
from proofloop.verify import ProgramVerifier, build_verifier
from proofloop.verify.programs import same_output

_REPORTS = {report.tier: report for report in probe()}
TASK = Task(
    id=TaskId("card@0"),
    env="cards",
    split=Split.HELDOUT,
    stratum=Stratum(family="card", complexity=0, horizon=1),
    messages=(),
)
SUMS = ProgramTests(
    tests=tuple(
        OutputTest(stdin=f"{a} {b}\n".encode(), stdout=f"{a + b}\n".encode())
        for a, b in ((1, 2), (-5, 5), (10**20, 1))
    )
)


@pytest.fixture(params=list(Tier), scope="module")
def verifier(request: pytest.FixtureRequest) -> Iterator[ProgramVerifier]:
    report = _REPORTS[request.param]
    if not report.available:
        pytest.skip(f"{report.tier}: {report.reason}")
    with build_verifier(request.param, Limits(wall_s=1.5, cpu_s=1)) as built:
        yield built


def verdict_of(verifier: ProgramVerifier, tests: ProgramTests, answer: str) -> Verdict:
    return verifier.verify(TASK, AnswerKey(task_id=TASK.id, tests=tests), answer)


@pytest.mark.parametrize(
    "answer",
    [
        "print(sum(map(int, input().split())))",
        "a, b = map(int, open(0).read().split())\nprint(a + b, end='')",
        "import sys\nfor line in sys.stdin:\n    x, y = line.split()\n"
        "    sys.stdout.write(str(int(x) + int(y)) + '  \\n\\n')",
        "import os\nos.write(1, str(sum(map(int, os.read(0, 99).split()))).encode())",
        "import atexit\nout = []\natexit.register(lambda: print(*out))\n"
        "out.append(sum(map(int, input().split())))",
        "def main():\n    print(sum(map(int, input().split())))\n"
        "if __name__ == '__main__':\n    main()",
        "import sys\nprint('debug', file=sys.stderr)\nprint(sum(map(int, input().split())))\n"
        "sys.exit()",
        "Thus:\n```python\nprint(sum(map(int, input().split())))\n```\n",
    ],
)
def test_a_right_program_passes(verifier: ProgramVerifier, answer: str) -> None:
    verdict = verdict_of(verifier, SUMS, answer)
    assert isinstance(verdict, Scored)
    assert verdict.passed, verdict
    assert verdict.parts == {"tests_passed": 3, "tests_planned": 3}


@pytest.mark.parametrize(
    ("answer", "cause", "num_passed"),  # no cause where the kernel's mood decides
    [
        ("", ScoredCause.NO_ANSWER, 0),
        ("print(3)", ScoredCause.WRONG_ANSWER, 1),
        ("a, b = map(int, input().split())\nprint(a + b, a)", ScoredCause.WRONG_ANSWER, 0),
        ("a, b = map(int, input().split())\nprint(a, a + b)", ScoredCause.WRONG_ANSWER, 0),
        ("print(3)\nprint(0)\nprint(10**20 + 1)", ScoredCause.WRONG_ANSWER, 0),
        ("import sys\nsys.exit(0)", ScoredCause.WRONG_ANSWER, 0),
        ("print(sum(map(int, input().split())))\nraise SystemExit(1)", ScoredCause.CRASH, 0),
        ("print(sum(map(int, input().split())))\n1 / 0", ScoredCause.EXCEPTION, 0),
        ("print(float(sum(map(int, input().split()))))", ScoredCause.WRONG_ANSWER, 0),
        ("def f(:", ScoredCause.EXCEPTION, 0),
        ("while True: pass", ScoredCause.TIME_LIMIT, 0),
        ("import time\ntime.sleep(60)", ScoredCause.TIME_LIMIT, 0),
        ("while True: print('3')", ScoredCause.OUTPUT_LIMIT, 0),
        ("x = []\nwhile True: x.append(bytearray(10**7))", None, 0),
        ("import os\nos.kill(os.getpid(), 9) or os.abort()", None, 0),
        ("import os\nos.closerange(0, 64)\n", None, 0),
        ("import os\nos.write(3, b'passed' * 99)\n", None, 0),
        ("import os\nprint(os.listdir('/'), open('/etc/passwd').read())", None, 0),
        ("print('PASSED 3 tests')\nimport os\nos._exit(0)", ScoredCause.WRONG_ANSWER, 0),
    ],
)
def test_a_wrong_program_earns_nothing(
    verifier: ProgramVerifier, answer: str, cause: ScoredCause | None, num_passed: int
) -> None:
    verdict = verdict_of(verifier, SUMS, answer)
    assert isinstance(verdict, Scored), verdict
    assert (verdict.reward, verdict.passed) == (0.0, False)
    assert cause is None or verdict.cause is cause, verdict
    assert verdict.parts["tests_passed"] == num_passed


def test_input_that_fills_pipes_and_input_that_is_not_read(verifier: ProgramVerifier) -> None:
    big = b"7 " * 700_000
    tests = ProgramTests(
        tests=(OutputTest(stdin=big, stdout=b"4900000"), OutputTest(stdin=b"", stdout=b"0"))
    )
    right = verdict_of(verifier, tests, "print(sum(map(int, open(0).read().split())))")
    lazy = verdict_of(verifier, tests, "print(4900000)")
    assert isinstance(right, Scored)
    assert right.passed, right
    assert isinstance(lazy, Scored)
    assert lazy.parts["tests_passed"] == 1


def test_a_long_output_that_is_wanted_fits(verifier: ProgramVerifier) -> None:
    wanted = "".join(f"{i}\n" for i in range(100_000)).encode()
    tests = ProgramTests(tests=(OutputTest(stdin=b"100000", stdout=wanted),))
    verdict = verdict_of(verifier, tests, "print(*range(int(input())), sep='\\n')")
    assert isinstance(verdict, Scored)
    assert verdict.passed, verdict


def test_a_key_without_tests_is_unscored(verifier: ProgramVerifier) -> None:
    verdict = verdict_of(verifier, ProgramTests(tests=()), "print(1)")
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.INVALID_KEY


@pytest.mark.parametrize(
    ("wanted", "printed", "float_tol", "same"),
    [
        (b"1\n2\n", b"1 \n2\n\n\n", None, True),
        (b"1\n2\n", b"1\r\n2", None, True),
        (b"1\n2\n", b"1 2", None, False),
        (b"1 2", b"1\n2", 1e-6, False),
        (b"1", b" 1", None, False),
        (b"", b"\n", None, True),
        (b"\n1", b"1", None, False),
        (b"0.5", b"0.5000001", None, False),
        (b"0.5", b"0.5000001", 1e-6, True),
        (b"x 0.5", b"x 0.51", 1e-6, False),
        (b"100000000.0", b"100000001", 1e-6, True),
        (b"7", b"7.0", 1e-6, False),
        (b"10.5", b"1_0.5", 1e-6, False),
        (b"0.5", b"nan", 1e-6, False),
        (b"1.5", b"inf", 1e-6, False),
        (b"0.5 0.5", b"0.5", 1e-6, False),
        (b"yes", b"Yes", 1e-6, False),
    ],
)
def test_what_is_the_same_output(
    wanted: bytes, printed: bytes, float_tol: float | None, same: bool
) -> None:
    assert same_output(wanted, printed, float_tol) is same


ROW: dict[str, Any] = {
    "question": "Add two numbers.",
    "inputs": ["1 2\n", "3 4\n"],
    "outputs": ["3\n", "7\n"],
    "solution": "print(sum(map(int, input().split())))",
}


def test_rows_become_problems_that_their_solutions_pass(
    verifier: ProgramVerifier, tmp_path: Path
) -> None:
    apps = {
        "problem_id": 17,
        "question": "Add.",
        "input_output": json.dumps({"inputs": ROW["inputs"], "outputs": ROW["outputs"]}),
        "solutions": json.dumps([ROW["solution"]]),
    }
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (ROW, apps)))
    environment = StdioEnvironment(path)
    for address in ("stdio/0", "stdio/17"):
        problem = environment.find(address)
        for answer, passes in ((problem.oracle, True), ("print(3)", False)):
            verdict = verifier.verify(problem.task, problem.key, answer)
            assert isinstance(verdict, Scored)
            assert verdict.passed is passes
        assert "7" not in problem.task.messages[0].content


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"question": ""}, "neither question nor prompt"),
        ({"outputs": ["3\n"]}, "2 inputs and 1 outputs"),
        ({"inputs": [], "outputs": []}, "0 inputs and 0 outputs"),
        ({"solution": ""}, "no solution"),
        ({"solutions": "[", "solution": ""}, "does not decode"),
        ({"input_output": "{"}, "does not decode"),
        ({"input_output": {"inputs": [[1]], "outputs": [[1]]}}, "does not decode"),
        ({"input_output": {"inputs": ["1"], "outputs": ["1"], "fn_name": "f"}}, "a function (f)"),
    ],
)
def test_a_row_that_does_not_fit_is_an_error_with_file_and_line(
    change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (ROW, ROW | change)))
    with pytest.raises(DataError) as caught:
        StdioEnvironment(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert problem in str(caught.value)
