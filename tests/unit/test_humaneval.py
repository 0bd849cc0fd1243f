"""HumanEval rows: which problems they become, and what is wrong with those that become none."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from proofloop.core.errors import DataError, UserError
from proofloop.core.task import CheckProgram, Split
from proofloop.envs.humaneval import HumanEvalEnvironment

ROW: dict[str, Any] = {
    "task_id": "HumanEval/0",
    "prompt": 'def twice(x: int) -> int:\n    """Twice x."""\n',
    "entry_point": "twice",
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
}


def write(path: Path, *rows: dict[str, Any] | str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
def test_a_row_becomes_a_problem(name: str, tmp_path: Path) -> None:
    env = HumanEvalEnvironment(write(tmp_path / name, ROW))
    (stratum,) = env.strata(Split.HELDOUT)
    assert env.strata(Split.TRAIN) == (stratum,)
    assert env.num_tasks(Split.HELDOUT, stratum) == 1
    problem = env.problem(Split.HELDOUT, stratum, 0)
    assert problem.task.id.startswith("HumanEval/0@")
    assert problem.task.answer_prefix == ROW["prompt"]
    assert ROW["prompt"] in problem.task.messages[0].content
    assert problem.oracle == ROW["prompt"] + ROW["canonical_solution"]
    assert problem.key.task_id == problem.task.id
    assert isinstance(problem.key.tests, CheckProgram)
    assert problem.key.tests.check == ROW["test"]
    assert "return" not in problem.key.tests.setup
    compile(problem.key.tests.setup, "setup", "exec")


def test_a_task_does_not_hold_its_tests_or_solution(tmp_path: Path) -> None:
    task = HumanEvalEnvironment(write(tmp_path / "d.jsonl", ROW)).find("HumanEval/0").task
    assert "candidate(2)" not in repr(task)
    assert "2 * x" not in repr(task)


def test_an_id_is_found_with_and_without_its_hash_but_not_with_another(tmp_path: Path) -> None:
    env = HumanEvalEnvironment(write(tmp_path / "d.jsonl", ROW))
    problem = env.find("HumanEval/0")
    assert env.find(problem.task.id) == problem
    with pytest.raises(UserError, match="has changed"):
        env.find("HumanEval/0@0000000000000000")
    with pytest.raises(UserError, match="no task 'HumanEval/1'"):
        env.find("HumanEval/1")


def test_the_id_changes_with_the_tests(tmp_path: Path) -> None:
    other = ROW | {"test": "def check(candidate):\n    assert candidate(3) == 6\n"}
    ids = {
        HumanEvalEnvironment(write(tmp_path / f"{i}.jsonl", row)).find("HumanEval/0").task.id
        for i, row in enumerate((ROW, other))
    }
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("{", "not valid JSON"),
        ("", "an empty line"),
        ("[]", "Expected object, got array"),
        ({k: v for k, v in ROW.items() if k != "test"}, "neither test nor base_input"),
        (ROW | {"prompt": 3}, "Expected str, got int, at prompt"),
        (ROW | {"task_id": "HumanEval/1", "entry_point": "thrice"}, "does not define"),
        (ROW | {"task_id": "HumanEval/1", "test": "assert True"}, "does not define check"),
        (ROW | {"task_id": "a@b"}, "without '@'"),
        (ROW, "already on line 1"),
    ],
)
def test_a_row_that_does_not_fit_is_an_error_with_file_and_line(
    bad: dict[str, Any] | str, problem: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "d.jsonl", ROW, bad)
    with pytest.raises(DataError) as caught:
        HumanEvalEnvironment(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert problem in str(caught.value)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        HumanEvalEnvironment(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="holds no rows"):
        HumanEvalEnvironment(write(tmp_path / "empty.jsonl"))
    whole = write(tmp_path / "whole.jsonl.gz", ROW).read_bytes()
    for name, data in (("cut", whole[:-20]), ("foreign", b"not gzip at all")):
        path = tmp_path / f"{name}.jsonl.gz"
        path.write_bytes(data)
        with pytest.raises(DataError, match="damaged gzip"):
            HumanEvalEnvironment(path)


PLUS: dict[str, Any] = {
    "task_id": "HumanEval/7",
    "prompt": "def half(x):\n",
    "entry_point": "half",
    "canonical_solution": "    return x / 2\n",
    "base_input": [[1], [3]],
    "plus_input": [[0.1]],
    "atol": 0,
}


def test_rows_of_the_other_edition_hold_a_reference_and_inputs(tmp_path: Path) -> None:
    problem = HumanEvalEnvironment(write(tmp_path / "d.jsonl", PLUS)).find("HumanEval/7")
    assert isinstance(problem.key.tests, CheckProgram)
    assert "[[1], [3], [0.1]]" in problem.key.tests.check
    assert "x / 2" not in problem.task.messages[0].content
    with pytest.raises(DataError, match="base_input holds no inputs"):
        HumanEvalEnvironment(write(tmp_path / "e.jsonl", PLUS | {"base_input": []}))
