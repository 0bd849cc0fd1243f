"""`verify`, `tasks` and `validate` as a user runs them, with real programs in the real sandbox."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from proofloop.cli import main
from proofloop.core.task import Environment, Split
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.runs.environments import iter_problems

HUMANEVAL = Path(__file__).parents[2].parent / "shared" / "data" / "humaneval.jsonl.gz"
KEYS = ["task_id", "index", "verdict", "reward", "passed", "cause", "detail", "tier", "integrity"]


def write(path: Path, rows: list[Any]) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def rows_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def completions(environment: Environment, num_tasks: int) -> list[dict[str, str]]:
    """Per task: the oracle, an empty answer, and one that returns something else."""
    rows: list[dict[str, str]] = []
    for problem in iter_problems(environment, Split.HELDOUT, num_tasks):
        wrong = "def f(x):\n    return (x, 'wrong')\n"
        for answer in (problem.oracle, "", wrong):
            rows.append({"task_id": problem.task.id, "completion": answer})
    return rows


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_one_row_out_per_row_in_in_the_same_order(
    suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = completions(FunctionsEnvironment(), 9)
    file, out = write(tmp_path / f"c{suffix}", rows), tmp_path / f"v{suffix}"
    code = main(["verify", "--env", "functions", "--completions", str(file), "--out", str(out)])
    printed = capfd.readouterr()
    assert (code, printed.out) == (0, "")
    assert printed.err.startswith("9 of 27 rows passed")
    data = gzip.decompress(out.read_bytes()) if suffix.endswith(".gz") else out.read_bytes()
    verdicts = rows_of(data.decode())
    assert [v["index"] for v in verdicts] == list(range(27))
    assert [v["task_id"] for v in verdicts] == [r["task_id"] for r in rows]
    assert all(sorted(v) == sorted(KEYS) for v in verdicts)
    assert [v["reward"] for v in verdicts] == [1.0, 0.0, 0.0] * 9
    assert [v["passed"] for v in verdicts] == [True, False, False] * 9
    assert {v["verdict"] for v in verdicts} == {"scored"}
    assert {v["cause"] for v in verdicts} == {"passed", "no_answer", "wrong_answer"}
    assert {v["tier"] for v in verdicts} <= {"T0", "T1"}
    assert {v["integrity"] for v in verdicts} == {"strong"}
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_without_out_rows_go_to_standard_output_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = completions(FunctionsEnvironment(), 1)
    file = write(tmp_path / "c.jsonl", rows)
    assert main(["verify", "--env", "functions", "--completions", str(file)]) == 0
    assert [row["reward"] for row in rows_of(capfd.readouterr().out)] == [1.0, 0.0, 0.0]


def test_a_file_without_rows_gives_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path / "c.jsonl", [])
    assert main(["verify", "--env", "functions", "--completions", str(file)]) == 0
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ('{"task_id": "x"}', "missing required field completion"),
        ('{"task_id": "x", "completion": 3}', "Expected str, got int, at completion"),
        ("{", "not valid JSON"),
        ("", "an empty line"),
        ('{"task_id": "functions/heldout/int-c1-h1/x", "completion": ""}', "no task"),
        ('{"task_id": "functions/heldout/int-c1-h1/0@00", "completion": ""}', "has changed"),
    ],
)
def test_a_malformed_row_is_refused_before_anything_is_executed(
    bad: str, problem: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "c.jsonl", [*completions(FunctionsEnvironment(), 1), bad])
    out = tmp_path / "v.jsonl"
    code = main(["verify", "--env", "functions", "--completions", str(file), "--out", str(out)])
    printed = capfd.readouterr()
    assert code == 2
    assert printed.out == ""
    assert printed.err.startswith(f"proofloop: error: {file}, line 4: ")
    assert problem in printed.err
    assert printed.err.count("\n") == 1
    assert not out.exists()


def test_an_output_file_that_cannot_be_written_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "c.jsonl", completions(FunctionsEnvironment(), 1))
    out = tmp_path / "no" / "v.jsonl"
    code = main(["verify", "--env", "functions", "--completions", str(file), "--out", str(out)])
    assert code == 2
    assert str(out) in capfd.readouterr().err


def test_tasks_hold_no_answers_and_are_what_verify_takes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["tasks", "functions", "-n", "4", "--set", "env.families=['list']"]) == 0
    tasks = rows_of(capfd.readouterr().out)
    assert len(tasks) == 4
    expected = ["task_id", "split", "family", "complexity", "horizon", "messages", "answer_prefix"]
    assert all(sorted(task) == sorted(expected) for task in tasks)
    rows = [{"task_id": task["task_id"], "completion": "def f(x): pass"} for task in tasks]
    file = write(tmp_path / "c.jsonl", rows)
    assert main(["verify", "--env", "functions", "--completions", str(file)]) == 0
    assert [row["passed"] for row in rows_of(capfd.readouterr().out)] == [False] * 4


def test_oracles_of_functions_pass_and_empty_answers_fail(
    capfd: pytest.CaptureFixture[str],
) -> None:
    flags = ["--set", "env.complexity=[1,4]", "--set", "env.horizon=[1,3]", "--tasks", "24"]
    assert main(["validate", "functions", *flags, "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["num_tasks"] == result["num_oracles_passed"] == 24
    assert result["num_empty_rejected"] == 24
    assert result["failures"] == []


def test_a_broken_oracle_is_reported_and_fails(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    row = {
        "task_id": "Mine/0",
        "prompt": 'def twice(x):\n    """Twice x."""\n',
        "entry_point": "twice",
        "canonical_solution": "    return 3 * x\n",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    }
    file = write(tmp_path / "d.jsonl", [row])
    assert main(["validate", "humaneval", "--data", str(file)]) == 1
    printed = capfd.readouterr()
    assert "0 of 1 oracles earn 1" in printed.out
    assert "Mine/0@" in printed.err
    assert "wrong_answer" in printed.err


@pytest.mark.skipif(not HUMANEVAL.exists(), reason=f"no HumanEval data at {HUMANEVAL}")
def test_all_164_reference_solutions_earn_1_and_empty_ones_0(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["validate", "humaneval", "--data", str(HUMANEVAL), "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["num_tasks"] == result["num_oracles_passed"] == 164
    assert result["num_empty_rejected"] == 164


@pytest.mark.skipif(not HUMANEVAL.exists(), reason=f"no HumanEval data at {HUMANEVAL}")
def test_humaneval_completions_continue_the_prompt(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [json.loads(line) for line in gzip.decompress(HUMANEVAL.read_bytes()).splitlines()]
    answers = [
        {"task_id": row["task_id"], "completion": completion}
        for row in (rows[0], rows[32], rows[38], rows[50])
        for completion in (row["canonical_solution"], "    return None\n")
    ]
    file = write(tmp_path / "c.jsonl", answers)
    flags = ["--data", str(HUMANEVAL), "--completions", str(file)]
    assert main(["verify", "--env", "humaneval", *flags]) == 0
    verdicts = rows_of(capfd.readouterr().out)
    assert [v["passed"] for v in verdicts] == [True, False] * 4


@pytest.mark.parametrize(
    ("env", "row", "right", "wrong"),
    [
        ("gsm8k", {"question": "2 * 9?", "answer": "#### 18"}, "A: 18", "17, no, \\boxed{18.5}"),
        ("math", {"problem": "1 / 2?", "answer": "\\frac12"}, "\\boxed{0.5}", "\\boxed{1/2x}"),
    ],
)
def test_final_answers_are_judged_by_their_data_file(
    env: str,
    row: dict[str, str],
    right: str,
    wrong: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = str(write(tmp_path / "d.jsonl", [row]))
    answers = [{"task_id": f"{env}/0", "completion": text} for text in (right, wrong, "")]
    file = str(write(tmp_path / "c.jsonl", answers))
    assert main(["verify", "--env", env, "--data", data, "--completions", file]) == 0
    verdicts = rows_of(capfd.readouterr().out)
    assert [v["reward"] for v in verdicts] == [1.0, 0.0, 0.0]
    assert verdicts[0]["cause"] == "passed"
    assert verdicts[2]["cause"] == "no_answer"
    assert main(["validate", env, "--data", data]) == 0
    assert capfd.readouterr().out.splitlines()[0] == f"{env}: 1 of 1 oracles earn 1"
