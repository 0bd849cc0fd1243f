"""MBPP rows: which problems they become, and what is wrong with those that become none."""

import json
from pathlib import Path
from typing import Any

import pytest

from proofloop.core.errors import DataError
from proofloop.core.task import CheckProgram, Split
from proofloop.envs.mbpp import MbppEnvironment

ROW: dict[str, Any] = {
    "task_id": 2,
    "text": "Write a function to find the shared items of two lists.",
    "code": "def shared(a, b):\n    return set(a) & set(b)\n",
    "test_list": [
        "assert set(shared([3, 4], [4, 5])) == {4}",
        "assert set(shared([1], [2])) == set()",
    ],
    "test_setup_code": "",
    "challenge_test_list": [],
}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_first_assertion_is_shown_and_all_decide(tmp_path: Path) -> None:
    problem = MbppEnvironment(write(tmp_path / "d.jsonl", ROW)).find("MBPP/2")
    assert problem.task.split is Split.HELDOUT
    prompt = problem.task.messages[0].content
    assert ROW["text"] in prompt
    assert ROW["test_list"][0] in prompt
    assert ROW["test_list"][1] not in prompt
    tests = problem.key.tests
    assert isinstance(tests, CheckProgram)
    assert tests.entry_point == "shared"
    assert tests.check.count("assert ") == 2
    assert problem.oracle == ROW["code"]


def test_the_sanitized_edition_is_read(tmp_path: Path) -> None:
    row = {
        "task_id": 3,
        "prompt": "Write a function.",
        "code": ROW["code"],
        "test_imports": ["import math"],
        "test_list": ROW["test_list"],
    }
    problem = MbppEnvironment(write(tmp_path / "d.jsonl", row)).find("MBPP/3")
    assert isinstance(problem.key.tests, CheckProgram)
    assert problem.key.tests.setup.startswith("import math\n")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"text": ""}, "neither text nor prompt"),
        ({"test_list": []}, "test_list holds no tests"),
        ({"test_list": ["assert shared("]}, "test_list is not Python"),
        ({"code": "def shared(:"}, "code is not Python"),
        ({"test_list": ["assert other(1)"]}, "no test calls a function that code defines"),
        ({"task_id": "a@b"}, "without '@'"),
        ({}, "already on line 1"),
    ],
)
def test_a_row_that_does_not_fit_is_an_error_with_file_and_line(
    change: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    bad = ROW | {"task_id": 5} | change if change else ROW
    path = write(tmp_path / "d.jsonl", ROW, bad)
    with pytest.raises(DataError) as caught:
        MbppEnvironment(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert problem in str(caught.value)
