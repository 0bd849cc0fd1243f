"""Repositories as agents get them, and what becomes of their work."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_places import make_repository

from proofloop.agent.changes import changes, commit_changes
from proofloop.agent.repository import prepare, twins
from proofloop.agent.site import Site
from proofloop.agent.tools import STANDARD, json_call, use
from proofloop.core.errors import UserError
from proofloop.sandbox import ForkServerSandbox, open_sandbox


@pytest.fixture(scope="module")
def sandbox() -> Iterator[ForkServerSandbox]:
    with open_sandbox() as opened:
        yield opened


def shell_git(folder: Path, *arguments: str) -> str:
    who = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
           "GIT_COMMITTER_EMAIL": "a@b", "HOME": "/", "PATH": os.environ["PATH"]}  # fmt: skip
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=who).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Two commits and a remote; the later commit holds what nobody may see from the earlier."""
    folder = make_repository(tmp_path / "checkout")
    (folder / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("pkg/add.py")
    (folder / "out").symlink_to("/etc/passwd")
    (folder / "crlf.txt").write_bytes(b"a\r\nb\xff")
    (folder / ".gitattributes").write_text("tests export-ignore\n*.txt text\n")
    shell_git(folder, "init", "-q", "-b", "main")
    shell_git(folder, "remote", "add", "origin", "https://example.com/x.git")
    shell_git(folder, "add", "-A")
    shell_git(folder, "commit", "-qm", "one")
    (folder / "later.py").write_text("SOLUTION = 1\n")
    shell_git(folder, "add", "-A")
    shell_git(folder, "commit", "-qm", "two")
    return folder


def test_a_base_has_one_commit_and_nothing_of_the_rest(
    sandbox: ForkServerSandbox, checkout: Path, tmp_path: Path
) -> None:
    base = prepare(checkout, tmp_path / "base", commit="HEAD~1")
    assert (base.tree / "crlf.txt").read_bytes() == shell_git_bytes(checkout, "HEAD~1:crlf.txt")
    assert (base.tree / "tests" / "test_add.py").exists(), "attributes of archives do not count"
    assert (base.tree / "link").is_symlink()
    assert not (base.tree / "out").is_symlink(), "leads out"
    assert os.access(base.tree / "run.sh", os.X_OK)
    with contextlib.closing(sandbox.open_workspace(base.tree)) as workspace:
        site = Site(
            workspace=workspace, permissions=base.permissions(), environment=base.environment,
            test_command=base.test_command,
        )  # fmt: skip
        ask = (
            "git log --all --oneline | wc -l; git remote | wc -l; git status --short | wc -l;"
            "git log --all -p | grep -c SOLUTION; cd tests;"
            "python -c 'import pkg.add; print(pkg.add.__file__)'"
        )
        lines = use(STANDARD, site, json_call("shell", command=ask)).text.splitlines()
        assert lines[:4] == ["1", "0", "0", "0"], lines
        assert lines[4].endswith("/pkg/add.py"), lines
        assert "1 failed" in use(STANDARD, site, json_call("run_tests")).text


def shell_git_bytes(folder: Path, name: str) -> bytes:
    return subprocess.run(
        ["git", "-C", str(folder), "cat-file", "blob", name], check=True, capture_output=True
    ).stdout


def test_the_installed_twin_is_out_of_reach(
    sandbox: ForkServerSandbox, checkout: Path, tmp_path: Path
) -> None:
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    (site_packages,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    (site_packages / "pkg").mkdir()
    (site_packages / "pkg" / "__init__.py").write_text("")
    (site_packages / "pkg" / "add.py").write_text("SOLUTION = 1\n")
    (site_packages / "other.py").write_text("x = 7\n")
    (site_packages / "pytest.py").write_text("")  # as if it were installed
    base = prepare(checkout, tmp_path / "base", python=str(python))
    assert base.hidden == (str((site_packages / "pkg").resolve()),)
    with contextlib.closing(sandbox.open_workspace(base.tree)) as workspace:
        site = Site(
            workspace=workspace, permissions=base.permissions(), environment=base.environment
        )
        ask = (
            f"cat {site_packages}/pkg/add.py; grep -r SOLUTION {site_packages};"
            "python -c 'import other; print(other.x)';"
            "cd /; python -c 'import pkg.add; print(open(pkg.add.__file__).read())';"
            f"python -P -c 'import sys; sys.path[:0] = [\"{site_packages}\"]; import pkg.add'"
        )
        told = use(STANDARD, site, json_call("shell", command=ask)).text
    assert "SOLUTION" not in told
    assert "7\n" in told
    assert "return a - b" in told, told


def test_twins_are_found_by_name(tmp_path: Path) -> None:
    for name in ("a/x.py", "b.py", "b_other.py", "c.cpython-311-x86_64-linux-gnu.so", "d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "__editable___a_0_1_finder.py").write_text("")
    found = {Path(p).name for p in twins([str(tmp_path)], ["a", "b", "c", "d"])}
    assert found == {
        "a", "b.py", "c.cpython-311-x86_64-linux-gnu.so", "__editable___a_0_1_finder.py"
    }  # fmt: skip


def test_changes_become_a_branch_and_touch_nothing_else(
    sandbox: ForkServerSandbox, checkout: Path, tmp_path: Path
) -> None:
    base = prepare(checkout, tmp_path / "base")
    with contextlib.closing(sandbox.open_workspace(base.tree)) as workspace:
        site = Site(
            workspace=workspace, permissions=base.permissions(), environment=base.environment
        )
        script = """
            sed -i 's/a - b/a + b/' pkg/add.py; rm run.sh; mkdir new; echo hi > new/x.sh
            echo odd > "$(printf 'b\\tc\\n\\377"')"; mkfifo pipe
            chmod +x new/x.sh; ln -s x new/link; touch crlf.txt; git commit -qam mine
            python -c 'import pkg.add'; mkdir pkg/__pycache__; echo x > pkg/__pycache__/y.pyc
            """
        use(STANDARD, site, json_call("shell", command=script))
        found = changes(workspace, base.tree)
    assert [(f.path, f.content is None, f.is_executable) for f in found.files] == [
        ('b\tc\n\udcff"', False, False),
        ("new/x.sh", False, True),
        ("pkg/add.py", False, False),
        ("run.sh", True, False),
    ]  # fmt: skip
    assert found.left_out == ("new/link", "pipe")
    (checkout / "mine.txt").write_text("the user's, staged")
    (checkout / "other.txt").write_text("the user's, untracked")
    shell_git(checkout, "add", "mine.txt")
    before = shell_git(checkout, "status", "--porcelain", "--branch")
    commit = commit_changes(checkout, base.commit, "agent/one", found.files, "Add adds\n")
    assert shell_git(checkout, "status", "--porcelain", "--branch") == before
    shown = shell_git(checkout, "show", "--stat", "--format=%s %P", commit)
    assert shown.splitlines()[0] == f"Add adds {base.commit}"
    assert shell_git(checkout, "rev-parse", "agent/one").strip() == commit
    listed = shell_git(checkout, "ls-tree", "-r", commit)
    assert '"b\\tc\\n\\377\\""' in listed
    assert "100755 blob" in next(x for x in listed.splitlines() if x.endswith("new/x.sh"))
    assert "run.sh" not in listed
    assert "a + b" in shell_git(checkout, "show", f"{commit}:pkg/add.py")
    assert "120000 blob" in next(x for x in listed.splitlines() if x.endswith("link"))
    with pytest.raises(UserError, match="update-ref"):
        commit_changes(checkout, base.commit, "agent/one", found.files, "again")


def test_submodules_and_no_commits_are_refused(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rev-parse"):
        prepare(checkout, tmp_path / "none", commit="nowhere")
    id = shell_git(checkout, "rev-parse", "HEAD").strip()
    shell_git(checkout, "update-index", "--add", "--cacheinfo", f"160000,{id},vendored")
    shell_git(checkout, "commit", "-qm", "three")
    with pytest.raises(UserError, match="submodules"):
        prepare(checkout, tmp_path / "base")
