"""Rows as LiveCodeBench writes them: tests in JSON or packed, programs or methods, no solution."""

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from proofloop.core import value
from proofloop.core.errors import DataError
from proofloop.core.task import CallTests, Keeps, Problem, ProgramTests, Returns
from proofloop.envs.livecodebench import Unreadable, read_cases
from proofloop.envs.stdio import StdioEnvironment

PUBLIC = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
PRIVATE = [{"input": "3 4\n", "output": "7\n", "testtype": "stdin"}]
ROW: dict[str, Any] = {
    "question_title": "Sum",
    "question_content": "Add two numbers.",
    "platform": "atcoder",
    "question_id": "abc_a",
    "contest_date": "2024-01-01T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": json.dumps(PUBLIC),
    "private_test_cases": json.dumps(PRIVATE),
    "metadata": "{}",
}
METHOD = ROW | {
    "question_content": "Add.",
    "starter_code": "class Solution:\n    def add(self, a: List[int], b: int) -> float:\n        ",
    "public_test_cases": json.dumps(
        [{"input": "[1]\n2", "output": "3.5", "testtype": "functional"}]
    ),
    "private_test_cases": "",
    "metadata": json.dumps({"func_name": "add"}),
}


def packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def problem(tmp_path: Path, row: dict[str, Any], **settings: Any) -> Problem:
    path = tmp_path / "lcb.jsonl"
    path.write_text(json.dumps(row) + "\n")
    return StdioEnvironment(path, **settings).find("stdio/abc_a")


def test_public_and_private_tests_decide_together(tmp_path: Path) -> None:
    found = problem(tmp_path, ROW)
    tests = found.key.tests
    assert isinstance(tests, ProgramTests)
    assert [(t.stdin, t.stdout) for t in tests.tests] == [(b"1 2\n", b"3\n"), (b"3 4\n", b"7\n")]
    assert found.oracle is None
    assert found.task.messages[0].content == (
        "Write a Python program that reads from standard input and prints to standard output.\n\n"
        "Add two numbers."
    )


def test_the_language_changes_the_question_and_the_task(tmp_path: Path) -> None:
    plain, cpp = problem(tmp_path, ROW), problem(tmp_path, ROW, language="cpp")
    tests = cpp.key.tests
    assert isinstance(tests, ProgramTests)
    assert tests.language.name == "cpp"
    assert cpp.task.messages[0].content.startswith("Write a C++ program that reads")
    assert plain.task.id != cpp.task.id
    own = problem(tmp_path, ROW | {"language": "c"}, language="cpp").key.tests
    assert isinstance(own, ProgramTests)
    assert own.language.name == "c"


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_packed_tests_are_read_and_nothing_is_unpickled(protocol: int) -> None:
    text = json.dumps(PRIVATE)
    cases = read_cases(json.dumps(PUBLIC), packed(pickle.dumps(text, protocol)))
    assert [(case.input, case.output) for case in cases] == [("1 2\n", "3\n"), ("3 4\n", "7\n")]
    long = json.dumps([PRIVATE[0] | {"input": "9 " * 100_000}])
    assert read_cases("", packed(pickle.dumps(long, protocol)))[0].input == "9 " * 100_000
    assert read_cases("", packed(text.encode()))[0].output == "7\n"


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("unpickled").touch, ())


@pytest.mark.parametrize(
    ("private", "what"),
    [
        (packed(pickle.dumps(_Evil())), "which we do not load"),
        (packed(pickle.dumps(PRIVATE)), "which we do not load"),
        (packed(pickle.dumps(3)), "which we do not load"),
        (packed(b"\x80\x04\x8c\x08short"), "a damaged Python pickle"),
        (packed(b"\x80\x04."), "something else than a text"),
        (packed(b"nonsense"), "private_test_cases"),
        (packed(json.dumps(PRIVATE).encode())[:40], "neither JSON nor base64|cut short"),
        ("%%%", "neither JSON nor base64 of zlib"),
        ('[{"input": "1"}]', "output"),
        ("[", "private_test_cases"),
    ],
)
def test_tests_that_cannot_be_read_say_why(
    private: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unreadable, match=what):
        read_cases("", private)
    assert not (tmp_path / "unpickled").exists()


def test_functional_tests_are_calls_of_a_method(tmp_path: Path) -> None:
    found = problem(tmp_path, METHOD)
    tests = found.key.tests
    assert isinstance(tests, CallTests)
    made, call = tests.calls
    assert (made.function, made.wanted) == ("Solution", Keeps(name="solution"))
    assert call.function == "solution.add"
    assert value.decode(call.args) == ([1], 2)
    assert isinstance(call.wanted, Returns)
    assert value.decode(call.wanted.value) == 3.5
    assert "class Solution" in found.task.messages[0].content


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"question_content": ""}, "says what is asked"),
        ({"public_test_cases": "", "private_test_cases": ""}, "0 inputs and 0 outputs"),
        ({"private_test_cases": packed(pickle.dumps([1]))}, "which we do not load"),
        ({"language": "cobol"}, "no language 'cobol'; known: python, c"),
        ({"public_test_cases": [PUBLIC[0] | {"testtype": "x"}]}, "tests of kinds stdin, x"),
        ({"public_test_cases": [PUBLIC[0] | {"testtype": "functional"}],
          "private_test_cases": ""}, "no func_name"),
        (METHOD | {"metadata": "{"}, "metadata: not JSON"),
        (METHOD | {"language": "c"}, "functional tests call Python, not c"),
        (METHOD | {"public_test_cases": [{"input": "1 2", "output": "3",
                                          "testtype": "functional"}]},
         "an argument a line and a result"),
        ({"stages": {"compiles": 2}}, "add up to 1"),
    ],
)  # fmt: skip
def test_a_row_that_does_not_fit_is_an_error_with_file_and_line(
    change: dict[str, Any], what: str, tmp_path: Path
) -> None:
    path = tmp_path / "lcb.jsonl"
    other = ROW | change | {"question_id": "other"}
    path.write_text("".join(json.dumps(row) + "\n" for row in (ROW, other)))
    with pytest.raises(DataError) as caught:
        StdioEnvironment(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert what in str(caught.value)
