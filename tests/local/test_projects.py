"""Project suites for real: trees in folders, the interpreter, what a run can see, whose fault."""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from judging import score_of, verdict_of

from proofloop.core.codec import from_json, to_json
from proofloop.core.errors import UserError
from proofloop.core.project import FolderTree, InlineTree, PlannedTest, ProjectTests, TreeFile
from proofloop.core.sandbox import Limits
from proofloop.core.task import Composite, Part, TextAnswer
from proofloop.core.verdict import Integrity, ScoredCause, Unscored, UnscoredCause
from proofloop.verify import ProgramVerifier, build_verifier
from proofloop.verify.cards.projects import SUITE
from proofloop.verify.projects.interpreter import interpreter
from proofloop.verify.projects.tree import folder_tree


@pytest.fixture(scope="module")
def best() -> Iterator[ProgramVerifier]:
    with build_verifier(None, Limits()) as built:
        yield built


def suite(tests: ProjectTests, **changes: object) -> ProjectTests:
    return msgspec.structs.replace(tests, **changes)


def test_a_folder_may_be_the_tree_of_many_tasks(best: ProgramVerifier, tmp_path: Path) -> None:
    assert isinstance(SUITE.tests, ProjectTests)
    assert isinstance(SUITE.tests.tree, InlineTree)
    for file in (*SUITE.tests.tree.files, TreeFile(path="deep/er/x.txt", content=b"x")):
        (tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file.path).write_bytes(file.content)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    tests = suite(SUITE.tests, tree=folder_tree(tmp_path))
    assert score_of(best, tests, SUITE.gold).passed
    assert not score_of(best, tests, "def add(a, b): ...\n").passed
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    (tmp_path / "helpers.py").write_text("WORDS = 'other'\n")
    verdict = verdict_of(best, tests, SUITE.gold)
    assert isinstance(verdict, Unscored)
    assert "has changed since its tasks were made" in verdict.detail
    missing = suite(tests, tree=FolderTree(folder=str(tmp_path / "none"), digest="0"))
    assert isinstance(verdict_of(best, missing, SUITE.gold), Unscored)


def test_a_tree_holds_no_links(tmp_path: Path) -> None:
    (tmp_path / "x").symlink_to("/etc/passwd")
    with pytest.raises(UserError, match="a link"):
        folder_tree(tmp_path)


def test_keys_survive_storage_and_verdicts_say_how_far_to_trust_them(best: ProgramVerifier) -> None:
    tests = from_json(to_json(SUITE.tests), ProjectTests)
    assert tests == SUITE.tests
    verdict = score_of(best, tests, SUITE.gold)
    assert verdict.integrity is Integrity.WEAK
    assert verdict.parts == {
        "tests_passed": 7.0, "tests_planned": 7.0, "twins_failed": 7.0, "twins_planned": 7.0,
    }  # fmt: skip
    plain = Part(name="word", tests=TextAnswer(gold="yes"), section="word")
    parts = Composite(parts=(plain, Part(name="suite", tests=SUITE.tests, section="code")))
    answer = f"<word>yes</word>\n<code>\n{SUITE.gold}</code>"
    assert score_of(best, parts, answer).integrity is Integrity.WEAK
    assert score_of(best, Composite(parts=(plain,)), answer).integrity is Integrity.STRONG


SEES = """import os
import sys


def test_it(tmp_path_factory):
    from seen import x
    assert x == 1
"""


def seen(code: str) -> ProjectTests:
    return ProjectTests(
        tree=InlineTree(
            files=(
                TreeFile(path="src/json.py", content=b"raise ImportError('shadowed')\n"),
                TreeFile(path="src/markdown.py", content=b"OWN = True\n"),
                TreeFile(path="conftest.py", content=b"import builtins\nbuiltins.ours = 1\n"),
                TreeFile(path="pytest.ini", content=b"[pytest]\naddopts = --collect-only\n"),
            )
        ),
        allowed=("src/seen.py",),
        modules=(TreeFile(path="tests/test_it.py", content=SEES.encode()),),
        planned=(PlannedTest(node_id="tests/test_it.py::test_it"),),
        import_paths=("src",),
    )


@pytest.mark.parametrize(
    "check",
    [
        "import json; assert json.loads('1') == 1",  # the standard library comes first
        "import markdown; assert markdown.OWN",  # then the project, then what is installed
        "assert ours",  # the pristine tree's own conftest is the tests'
        "import sys; assert 'site' not in sys.modules; assert sys.dont_write_bytecode",
        "import sys; assert not any(n.split('.')[0] == 'proofloop' for n in sys.modules)",
        "import sys; assert sys.argv == ['']",
        "import os; assert not any('/main' in v or 'TOKEN' in k for k, v in os.environ.items())",
        "import os; assert os.environ['PYTHONHASHSEED'] == '0'",
        "import random; a = random.random(); import random as r; assert a != r.random()",
        "import os, stat\nfor fd in range(4, 64):\n    try: mode = os.fstat(fd).st_mode\n"
        "    except OSError: continue\n"
        "    assert stat.S_ISCHR(mode), (fd, mode)",  # /dev/null, which pytest opens
        "open('tests/test_it.py').read() and 1 / 0",  # nothing in it
        "import pathlib; assert not list(pathlib.Path('.').rglob('*.pyc'))",
    ],
)
def test_what_a_run_sees(best: ProgramVerifier, check: str) -> None:
    tests = seen(check)
    assert score_of(best, tests, f"{check}\nx = 1\n").passed
    assert score_of(best, tests, f"{check}\nx = 2\n").cause is ScoredCause.WRONG_ANSWER


def test_the_same_answer_has_the_same_verdict(best: ProgramVerifier) -> None:
    """And draws the same numbers: a key's and an answer's own."""
    tests = seen("")
    coin = "import random\nx = random.choice([0, 1])\n"
    first = [score_of(best, tests, coin + f"# {i}\n").passed for i in range(6)]
    again = [score_of(best, tests, coin + f"# {i}\n").passed for i in range(6)]
    assert first == again
    assert len(set(first)) == 2


def test_a_runner_that_cannot_start_is_our_fault(best: ProgramVerifier) -> None:
    tests = suite(seen(""), plugins=("no_such_plugin",))
    verdict = verdict_of(best, tests, "x = 1\n")
    assert isinstance(verdict, Unscored)
    assert verdict.detail.endswith("No module named 'no_such_plugin'")
    verdict = verdict_of(best, suite(seen(""), python="/no/such/python"), "x = 1\n")
    assert isinstance(verdict, Unscored)
    assert "cannot be run as the tests' interpreter" in verdict.detail
    verdict = verdict_of(best, suite(seen(""), planned=()), "x = 1\n")
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.INVALID_KEY
    small = msgspec.structs.replace(seen("").limits, memory_bytes=1 << 22)
    assert isinstance(verdict_of(best, suite(seen(""), limits=small), "x = 1\n"), Unscored)


def test_an_interpreter_without_pytest_is_refused_in_one_line(tmp_path: Path) -> None:
    bare = tmp_path / "bare" / "bin"
    bare.mkdir(parents=True)
    (bare.parent / "pyvenv.cfg").write_text(
        f"home = {Path(sys.base_prefix) / 'bin'}\ninclude-system-site-packages = false\n"
    )
    (bare / "python").symlink_to(Path(sys.executable).resolve())
    with pytest.raises(UserError, match=r"has no pytest.*pip install"):
        interpreter(str(bare / "python"))
    assert interpreter("").executable == sys.executable
