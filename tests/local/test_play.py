"""A person in the policy's place, as the terminal would have it."""

import io
from pathlib import Path

import pytest
from test_solve import TASK, make_checkout, state

from proofloop.cli.app import main
from proofloop.core.task import Split
from proofloop.runs.checks import load_recipe
from proofloop.runs.environments import build_environment, iter_problems


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


def _type(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_an_answer_that_fails_is_told_and_one_that_passes_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = build_environment(load_recipe(None, ["env.name=functions"]).env)
    (problem,) = iter_problems(environment, Split.HELDOUT, 1)
    _type(monkeypatch, f"def f(x):\n    return None\n.\n{problem.oracle}\n.\nnot read\n")
    assert main(["play", "functions"]) == 0
    said = capsys.readouterr()
    assert problem.task.messages[0].content.strip()[:20] in said.err
    assert "wrong answer, reward 0" in said.err
    assert "# try again" in said.err
    assert said.out == "passed after 2 answers: passed, reward 1\n"


def test_no_answer_is_no_pass(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _type(monkeypatch, "")
    assert main(["play", "functions", "--task", "3"]) == 1
    assert "no answer" in capsys.readouterr().err
    _type(monkeypatch, "x\n")
    assert main(["play", "functions", "--json"]) == 1
    assert '"verdict": "scored"' in capsys.readouterr().out


def test_a_person_solves_by_commands(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(checkout)
    _type(monkeypatch, "cat pkg/add.py\n\nsed -i 's/a - b/a + b/' pkg/add.py\nsubmit\nmore\n")
    code = main(["solve", str(checkout), "--task", TASK, "--model", "person"])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "return a - b" in said.err
    assert "nothing typed" in said.err
    assert "tests after:  1 passed" in said.out
    after = state(checkout)
    assert before.pop("refs") != after.pop("refs")
    assert before == after
