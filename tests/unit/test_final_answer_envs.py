"""GSM8K and MATH rows: which problems they become, and what is wrong with those that do not."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proofloop.core.errors import DataError, UserError
from proofloop.core.task import AnswerKind, MathAnswer, Split
from proofloop.envs.data_file import DataFileEnvironment
from proofloop.envs.gsm8k import Gsm8kEnvironment
from proofloop.envs.math import MathEnvironment

Build = Callable[[Path], DataFileEnvironment[Any]]
GSM8K: dict[str, Any] = {"question": "What is 2 * 9?", "answer": "2 * 9 = <<2*9=18>>18\n#### 18"}
MATH: dict[str, Any] = {
    "problem": "What is $x$ if $2x = 1$?",
    "answer": "\\frac{1}{2}",
    "level": "Level 1",
}
BOTH = pytest.mark.parametrize(
    ("build", "row"), [(Gsm8kEnvironment, GSM8K), (MathEnvironment, MATH)]
)


def write(path: Path, *rows: dict[str, Any] | str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_rows_become_problems(suffix: str, tmp_path: Path) -> None:
    env = Gsm8kEnvironment(write(tmp_path / f"g.{suffix}", GSM8K))
    (stratum,) = env.strata(Split.HELDOUT)
    problem = env.problem(Split.HELDOUT, stratum, 0)
    assert problem.task.id.startswith("gsm8k/0@")
    assert problem.key.task_id == problem.task.id
    assert problem.key.tests == MathAnswer(gold="18", kind=AnswerKind.RATIONAL)
    assert problem.oracle == GSM8K["answer"]
    env = MathEnvironment(write(tmp_path / f"m.{suffix}", MATH))
    problem = env.problem(Split.TRAIN, env.strata(Split.TRAIN)[0], 0)
    assert problem.task.id.startswith("math/0@")
    assert problem.key.tests == MathAnswer(gold="\\frac{1}{2}", unknown="x")
    assert problem.oracle == "\\boxed{\\frac{1}{2}}"


@BOTH
def test_a_task_does_not_hold_its_answer(build: Build, row: dict[str, Any], tmp_path: Path) -> None:
    task = (
        build(write(tmp_path / "d.jsonl", row)).find(f"{build(tmp_path / 'd.jsonl').name}/0").task
    )
    assert row["answer"] not in repr(task)
    assert "18" not in repr(task.messages)


@BOTH
def test_an_id_is_found_with_and_without_its_hash_but_not_with_another(
    build: Build, row: dict[str, Any], tmp_path: Path
) -> None:
    env = build(write(tmp_path / "d.jsonl", row))
    problem = env.find(f"{env.name}/0")
    assert env.find(problem.task.id) == problem
    with pytest.raises(UserError, match="has changed"):
        env.find(f"{env.name}/0@0000000000000000")
    for unknown in ("1", "-1", "x", "²", "9" * 5000, ""):
        with pytest.raises(UserError, match="no task"):
            env.find(f"{env.name}/{unknown}")
    with pytest.raises(UserError, match="no task"):
        env.find("other/0")


@BOTH
def test_the_id_changes_with_the_answer(build: Build, row: dict[str, Any], tmp_path: Path) -> None:
    other = row | {"answer": row["answer"].replace("1", "7")}
    envs = [build(write(tmp_path / f"{i}.jsonl", r)) for i, r in enumerate((row, other))]
    assert len({env.find(f"{env.name}/0").task.id for env in envs}) == 2


@pytest.mark.parametrize(
    ("build", "good", "bad", "problem"),
    [
        (Gsm8kEnvironment, GSM8K, "{", "not valid JSON"),
        (Gsm8kEnvironment, GSM8K, "", "an empty line"),
        (Gsm8kEnvironment, GSM8K, {"question": "?"}, "missing required field answer"),
        (Gsm8kEnvironment, GSM8K, GSM8K | {"question": " "}, "question is empty"),
        (Gsm8kEnvironment, GSM8K, GSM8K | {"answer": "18"}, "#### once, not 0 times"),
        (Gsm8kEnvironment, GSM8K, GSM8K | {"answer": "#### 1\n#### 2"}, "#### once, not 2 times"),
        (
            Gsm8kEnvironment,
            GSM8K,
            GSM8K | {"answer": "#### eighteen"},
            "'eighteen' after ####",
        ),
        (Gsm8kEnvironment, GSM8K, GSM8K | {"answer": "#### 1,80"}, "not a number"),
        (MathEnvironment, MATH, "[]", "Expected object, got array"),
        (MathEnvironment, MATH, MATH | {"answer": 3}, "Expected str, got int, at answer"),
        (MathEnvironment, MATH, MATH | {"answer": " "}, "answer is empty"),
        (MathEnvironment, MATH, MATH | {"problem": ""}, "problem is empty"),
        (MathEnvironment, MATH, MATH | {"answer": "\\boxed{3}"}, "without \\boxed"),
        (MathEnvironment, MATH, MATH | {"answer": "\\frac{1}{2"}, "braces in pairs"),
        (MathEnvironment, MATH, MATH | {"answer": "9" * 2000}, "2000 characters"),
    ],
)
def test_a_row_that_does_not_fit_is_an_error_with_file_and_line(
    build: Build, good: dict[str, Any], bad: dict[str, Any] | str, problem: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "d.jsonl", good, bad)
    with pytest.raises(DataError) as caught:
        build(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert problem in str(caught.value)


@BOTH
def test_a_file_that_cannot_be_used_is_named(
    build: Build, row: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no such file"):
        build(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="holds no rows"):
        build(write(tmp_path / "empty.jsonl"))
