"""Languages through the verbs, as a user meets them: rows of several languages, one from a recipe,
stages, tasks without a solution, and compilers that are not there."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from judging import score_of, verdict_of

from proofloop.cli import main
from proofloop.core.file_tree import FileTree, TreeFile
from proofloop.core.language import BUILT_IN, Language
from proofloop.core.task import OutputTest, ProgramTests
from proofloop.core.verdict import ScoredCause, Unscored, UnscoredCause
from proofloop.verify import ProgramVerifier

ROW: dict[str, Any] = {
    "question": "Add two numbers.",
    "inputs": ["1 2\n", "3 4\n"],
    "outputs": ["3\n", "7\n"],
}
C = '#include <stdio.h>\nint main(void) { int a, b; scanf("%d %d", &a, &b); printf("%d", a + b); }'
AWK = "env.languages={awk={file='main.awk', run='awk -f main.awk', probe='BEGIN {}'}}"
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")
needs_awk = pytest.mark.skipif(shutil.which("awk") is None, reason="no awk on this machine")


def data(tmp_path: Path, *rows: dict[str, Any]) -> str:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(ROW | row) + "\n" for row in rows))
    return str(path)


@needs_gcc
@needs_awk
def test_rows_of_several_languages(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = data(
        tmp_path,
        {"solution": "print(sum(map(int, input().split())))"},
        {"solution": C, "language": "c"},
        {"solution": "read a b; echo $((a + b))", "language": "bash"},
        {"solution": "{ print $1 + $2 }", "language": "awk"},
        {"solution": "{ print $1 + $2 + 1 }", "language": "awk"},
        {},
    )
    code = main(["validate", "stdio", "--data", file, "--set", AWK, "--json"])
    result = json.loads(capfd.readouterr().out)
    assert code == 1
    assert (result["num_tasks"], result["num_without_oracle"]) == (6, 1)
    assert (result["num_oracles_passed"], result["num_empty_rejected"]) == (4, 6)
    (failure,) = result["failures"]
    assert (failure["task_id"].split("@")[0], failure["answer"]) == ("stdio/4", "oracle")


def test_tasks_without_a_solution_are_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    solved = {"solution": "print(sum(map(int, input().split())))"}
    assert main(["validate", "stdio", "--data", data(tmp_path, solved, {}, {})]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "stdio: 1 of 1 oracles earn 1",
        "stdio: 2 of 3 tasks have no oracle",
        "stdio: 3 of 3 empty answers earn 0",
    ]


def test_an_audit_needs_solutions(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "stdio", "--data", data(tmp_path, {}, {})]) == 2
    assert "none of 2 tasks of stdio has a solution" in capfd.readouterr().err


@needs_gcc
def test_stages_of_a_recipe_and_of_a_row(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = data(tmp_path, {}, {"stages": {"compiles": 0.5, "passes": 0.5}})
    answers = [C, "int main(void) { return 0; }", "int main(void) { return 1; }", "int main("]
    completions = tmp_path / "completions.jsonl"
    completions.write_text(
        "".join(
            json.dumps({"task_id": f"stdio/{task}", "completion": answer}) + "\n"
            for task in (0, 1)
            for answer in answers
        )
    )
    weights = "env.stages={compiles=0.1, runs=0.2, passes=0.7}"
    arguments = ["verify", "--env", "stdio", "--data", file, "--completions", str(completions)]
    assert main([*arguments, "--set", "env.language=c", "--set", weights]) == 0
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    rewards = [row["reward"] for row in rows]
    assert rewards == pytest.approx([1.0, 0.3, 0.1, 0.0, 1.0, 0.5, 0.5, 0.0])
    assert [row["passed"] for row in rows] == [True, False, False, False] * 2


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"compile": "no-such-compiler main.c"},
            "C: no program 'no-such-compiler' on this machine",
        ),
        ({"compile": "false"}, "C: false does not compile the smallest program"),
        ({"compile": "true"}, "C: the smallest program does not run (exited: "),
        ({"compile": "cp -p main.c main"}, "C: the smallest program does not run (exited: "),
    ],
)
def test_a_missing_or_broken_compiler_is_one_line_before_anything_is_judged(
    given: dict[str, str], problem: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    languages = "{c={" + ", ".join(f"{k}='{v}'" for k, v in given.items()) + "}}"
    file = data(tmp_path, {"solution": C, "language": "c"})
    settings = ["--set", f"env.languages={languages}"]
    assert main(["validate", "stdio", "--data", file, *settings]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert problem in printed.err
    assert "env.languages.c" in printed.err
    assert len(printed.err.splitlines()) == 1
    completions = tmp_path / "completions.jsonl"
    completions.write_text(json.dumps({"task_id": "stdio/0", "completion": C}) + "\n")
    out = tmp_path / "out.jsonl"
    files = ["--completions", str(completions), "--out", str(out)]
    assert main(["verify", "--env", "stdio", "--data", file, *files, *settings]) == 2
    assert problem in capfd.readouterr().err
    assert not out.exists()


def test_a_compiler_that_the_sandbox_does_not_show(
    tmp_path: Path, verifier: ProgramVerifier, capfd: pytest.CaptureFixture[str]
) -> None:
    compiler = tmp_path / "my-cc"
    shutil.copyfile(shutil.which("cp") or "cp", compiler)
    compiler.chmod(0o755)
    given = f"file='main.sh', compile='{compiler} main.sh main', run='sh main.sh'"
    row = {"solution": "read a b; echo $((a + b))", "language": "mine"}
    arguments = ["validate", "stdio", "--data", data(tmp_path, row), "--tier", verifier.tier]
    assert main([*arguments, "--set", f"env.languages={{mine={{{given}}}}}"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert f"{compiler} cannot be started in the sandbox" in line
    assert "env.languages.mine.read" in line
    given += f", read=['{compiler}']"
    assert main([*arguments, "--set", f"env.languages={{mine={{{given}}}}}"]) == 0
    language = Language(
        name="x", title="X", file="x", compile=(str(compiler), "x", "y"), run=("sh", "{folder}/x")
    )
    tests = ProgramTests(tests=(OutputTest(stdin=b"", stdout=b"1"),), language=language)
    verdict = verdict_of(verifier, tests, "echo 1")
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.SANDBOX_LOST


def test_a_compiler_that_vanishes_is_nobody_s_zero(verifier: ProgramVerifier) -> None:
    language = Language(
        name="x", title="X", file="x", compile=("no-such-compiler",), run=("{folder}/x",)
    )
    tests = ProgramTests(tests=(OutputTest(stdin=b"", stdout=b"1"),), language=language)
    verdict = verdict_of(verifier, tests, "1")
    assert isinstance(verdict, Unscored)
    assert "no program 'no-such-compiler' on this machine" in verdict.detail


@needs_gcc
def test_what_a_compiler_says_is_in_the_verdict(verifier: ProgramVerifier) -> None:
    tests = ProgramTests(tests=(OutputTest(stdin=b"", stdout=b"1"),), language=BUILT_IN["c"])
    verdict = score_of(verifier, tests, "int main(void) { return undeclared; }")
    assert verdict.cause is ScoredCause.INVALID_PROGRAM
    assert verdict.detail.startswith("does not compile: main.c:1:")
    assert "undeclared" in verdict.detail
    assert verdict.parts["compiles"] == 0


def test_each_test_has_a_run_and_a_limit_of_its_own(verifier: ProgramVerifier) -> None:
    wanted = "".join(f"{i}\n" for i in range(50_000)).encode()
    big = b"7 " * 300_000
    tests = ProgramTests(
        tests=(OutputTest(stdin=b"50000", stdout=wanted), OutputTest(stdin=big, stdout=b"300000")),
        language=BUILT_IN["bash"],
    )
    answer = "read -n 6 n\nif [ $n = 50000 ]; then seq 0 49999; else wc -w | head -c 6; fi"
    verdict = score_of(verifier, tests, answer)
    assert verdict.parts["tests_passed"] == 1, verdict  # three words were read before `wc`
    assert verdict.detail == "test 2 of 2: wrong output"


def test_a_key_of_files_that_is_satisfied_already_is_unscored(verifier: ProgramVerifier) -> None:
    file = TreeFile(path="a", content=b"")
    for tests in (FileTree(given=(file,), wanted=(file,)), FileTree(given=(), wanted=())):
        verdict = verdict_of(verifier, tests, "pass")
        assert isinstance(verdict, Unscored)
        assert verdict.cause is UnscoredCause.INVALID_KEY


def test_a_program_works_on_files_from_standard_input(verifier: ProgramVerifier) -> None:
    tests = FileTree(
        given=(), wanted=(TreeFile(path="a/b", content=b"\x00\xff"),), stdin=b"\x00\xff"
    )
    answer = "import os, sys\nos.mkdir('a')\nopen('a/b', 'wb').write(sys.stdin.buffer.read())\n"
    verdict = score_of(verifier, tests, answer)
    assert verdict.passed, verdict
    assert verdict.parts == {"compiles": 1, "runs": 1, "tests_passed": 2, "tests_planned": 2}
