"""An agent at a project's hidden tests, judged by the verifier."""

from contextlib import closing
from pathlib import Path

import pytest
from agent_places import native_tokenizer, permissions, scripted
from test_agent import _call

from proofloop.agent.asks import Asks
from proofloop.agent.changes import changes
from proofloop.agent.dialects import NativeCalls
from proofloop.agent.drive import drive
from proofloop.agent.episode import episode
from proofloop.agent.limits import EpisodeLimits
from proofloop.agent.projects import on_project, since_handed_out
from proofloop.agent.site import Site
from proofloop.core.episode import Episode
from proofloop.core.project import InlineTree, PlannedTest, ProjectTests, TreeFile
from proofloop.core.sandbox import Workspace
from proofloop.core.task import AnswerKey, Message, Split, Stratum, Task, TaskId
from proofloop.sandbox import open_sandbox
from proofloop.verify import build_verifier

TESTS = ProjectTests(
    tree=InlineTree(
        files=(
            TreeFile(path="pkg/__init__.py", content=b""),
            TreeFile(path="pkg/add.py", content=b"def add(a, b):\n    return a - b\n"),
        )
    ),
    allowed=("pkg/**",),
    modules=(
        TreeFile(
            path="tests/test_hidden.py",
            content=b"from pkg.add import add\n\n\ndef test_add():\n    assert add(2, 3) == 5\n",
        ),
    ),
    planned=(PlannedTest(node_id="tests/test_hidden.py::test_add"),),
)
TASK = Task(
    id=TaskId("t@0"), env="e", split=Split.TRAIN,
    stratum=Stratum(family="f", complexity=1, horizon=1),
    messages=(Message(role="user", content="add() subtracts."),),
)  # fmt: skip
MEND = _call("edit", path="pkg/add.py", old="a - b", new="a + b")
LIMITS = EpisodeLimits(max_turn_tokens=600, context_tokens=20_000)


def _done(says: list[str]) -> Episode:
    tokenizer = native_tokenizer()
    with open_sandbox() as sandbox:

        def begin(workspace: Workspace) -> Asks:
            site = Site(workspace=workspace, permissions=permissions())
            return episode(
                TASK.messages, site=site, dialect=NativeCalls(), tokenizer=tokenizer, limits=LIMITS
            )

        (done,) = drive(scripted(tokenizer, says), [on_project(sandbox, TESTS, begin)])
    assert isinstance(done, Episode)
    return done


@pytest.mark.parametrize(
    ("says", "passes"),
    [
        ([MEND, _call("submit")], True),
        ([_call("submit")], False),
        # What it leaves where it may not write is not judged, and so does no harm and no good.
        ([_call("shell", command="mkdir tests; echo 'def test_add(): pass' > tests/test_hidden.py; "
                                 "echo x = 1 > try.py"), MEND, _call("submit")], True),
        ([_call("shell", command="echo 'import os; os._exit(0)' > conftest.py"), _call("submit")],
         False),
    ],
)  # fmt: skip
def test_what_it_changed_is_judged(says: list[str], passes: bool) -> None:
    done = _done(says)
    with build_verifier() as verifier:
        verdict = verifier.verify(
            TASK, AnswerKey(task_id=TASK.id, tests=TESTS), done.rollout.answer
        )
    assert getattr(verdict, "passed", None) is passes, verdict
    assert "try.py" not in done.rollout.answer


def test_hidden_tests_are_nowhere_to_be_found() -> None:
    command = "find . -type f; grep -rlF 'add(2, 3)' . /tmp /var /etc 2>/dev/null; echo end"
    done = _done([_call("shell", command=command), _call("run_tests"), _call("submit")])
    lines = done.trajectory.steps[0].results[0].text.splitlines()
    assert sorted(lines) == ["./pkg/__init__.py", "./pkg/add.py", "end"]
    assert "test_hidden" not in done.trajectory.steps[1].results[0].text


def test_a_right_answer_may_be_what_the_shared_tree_holds(tmp_path: Path) -> None:
    """Tasks on one tree hand out their own version of a file; the tree itself is the solution."""
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "add.py").write_text("def add(a, b):\n    return a + b\n")
    (tmp_path / "pkg" / "other.py").write_text("")
    given = (TreeFile(path="pkg/add.py", content=b"def add(a, b):\n    return a - b\n"),)
    with open_sandbox() as sandbox, closing(sandbox.open_workspace(tmp_path)) as workspace:
        workspace.write(given[0].path, given[0].content)

        def found() -> dict[str, bytes | None]:
            since = since_handed_out(workspace, changes(workspace, tmp_path), given)
            return {file.path: file.content for file in since.files}

        assert found() == {}
        mended = (tmp_path / "pkg" / "add.py").read_bytes()
        workspace.write("pkg/add.py", mended)
        workspace.write("pkg/new.py", b"x")
        assert found() == {"pkg/add.py": mended, "pkg/new.py": b"x"}
