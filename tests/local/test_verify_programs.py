"""Programs from standard input to standard output, judged for real on every tier."""

import json
from pathlib import Path
from typing import Any

import pytest
from judging import verdict_of

from proofloop.core.errors import DataError
from proofloop.core.task import (
    OutputTest,
    ProgramTests,
)
from proofloop.core.verdict import Scored, Unscored, UnscoredCause
from proofloop.envs.stdio import StdioEnvironment
from proofloop.verify import ProgramVerifier
from proofloop.verify.programs import same_output


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
