"""Rows about files become problems that their solutions pass, judged for real."""

import json
from pathlib import Path
from typing import Any

import pytest
from judging import score_of

from proofloop.cli import main
from proofloop.core.errors import DataError
from proofloop.core.file_tree import FileTree
from proofloop.envs.files import FilesEnvironment
from proofloop.verify import ProgramVerifier

ROW: dict[str, Any] = {
    "task_id": "sort",
    "prompt": "Sort the lines of words.txt into sorted.txt and delete words.txt.",
    "given": {"words.txt": "pear\nfig\n"},
    "wanted": {"sorted.txt": "fig\npear\n", "words.txt": None},
    "solution": "lines = sorted(open('words.txt'))\nopen('sorted.txt', 'w').writelines(lines)\n"
    "import os\nos.remove('words.txt')\n",
}
TOOL: dict[str, Any] = {
    "prompt": "Make an executable script bin/hi that greets, and an empty folder out.",
    "wanted": {"bin/hi": "#!/bin/sh\necho hi\n"},
    "executable": ["bin/hi"],
    "folders": ["out"],
    "language": "bash",
    "solution": "mkdir bin out\nprintf '#!/bin/sh\\necho hi\\n' > bin/hi\nchmod +x bin/hi\n",
}


def write(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    path = tmp_path / "files.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_solutions_pass_and_nothing_does_not(
    verifier: ProgramVerifier, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, ROW, TOOL)
    assert main(["validate", "files", "--data", str(path), "--tier", verifier.tier]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "files: 2 of 2 oracles earn 1",
        "files: 2 of 2 empty answers earn 0",
    ]
    environment = FilesEnvironment(path)
    tests = environment.find("files/sort").key.tests
    assert isinstance(tests, FileTree)
    assert not score_of(verifier, tests, "pass").passed
    assert not score_of(verifier, tests, ROW["solution"].replace("sorted(", "list(")).passed
    tool = environment.find("files/1")
    assert tool.task.messages[0].content.startswith("Write a Bash program. It is run in a folder")
    assert not score_of(verifier, tool.key.tests, TOOL["solution"].replace("+x", "-x")).passed


def test_the_key_is_not_in_the_question(tmp_path: Path) -> None:
    problem = FilesEnvironment(write(tmp_path, ROW)).find("files/sort")
    assert "fig" not in problem.task.messages[0].content


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"wanted": {}}, "wants no file"),
        ({"prompt": " "}, "prompt is empty"),
        ({"wanted": {"words.txt": "pear\nfig\n"}}, "satisfied by the given files"),
        ({"wanted": {"../x": ""}}, "no plain path"),
        ({"given": {"/x": ""}}, "no plain path"),
        ({"executable": ["words.txt"]}, "not among the wanted files"),
        ({"language": "perl"}, "no language 'perl'"),
        ({"wanted": {"a": 1}}, "expected"),
    ],
)
def test_a_row_that_does_not_fit_is_an_error_with_file_and_line(
    change: dict[str, Any], what: str, tmp_path: Path
) -> None:
    path = write(tmp_path, ROW, ROW | {"task_id": "other"} | change)
    with pytest.raises(DataError) as caught:
        FilesEnvironment(path)
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert what.lower() in str(caught.value).lower()
