"""One policy, two lines: what tools are denied, the kernel denies to commands."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_places import permissions

from proofloop.agent.permissions import Permissions, matches
from proofloop.agent.site import Site
from proofloop.agent.tools import STANDARD, json_call, use
from proofloop.core.sandbox import Entry
from proofloop.core.verdict import Tier
from proofloop.sandbox import ForkServerSandbox, open_sandbox, probe

FILES = ("README", "setup.py", "pkg/a.py", "pkg/b.txt", "pkg/sub/c.py", "tests/test_a.py",
         "tests/data/d.txt")  # fmt: skip
RULES = (
    {},
    {"no_write": ("tests/**",)},
    {"no_write": ("**/*.py",)},
    {"write": ("pkg/**",)},
    {"write": ("pkg/*.py", "new/**"), "no_write": ("pkg/b*",)},
    {"write": ()},
    {"no_read": ("pkg/sub/**", "setup.py")},
    {"read": ("pkg/**", "README"), "write": ("pkg/sub/**",)},
    {"read": ("tests/*",)},
)
_REPORTS = {report.tier: report for report in probe()}


@pytest.fixture(params=[Tier.T0, Tier.T1], scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[ForkServerSandbox]:
    report = _REPORTS[request.param]
    if not report.available:
        pytest.skip(f"{report.tier}: {report.reason}")
    with open_sandbox(request.param) as opened:
        yield opened


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}\n")
    return folder


@pytest.mark.parametrize("rules", RULES, ids=str)
def test_the_kernel_denies_what_tools_are_denied(
    sandbox: ForkServerSandbox, base: Path, rules: dict[str, tuple[str, ...]]
) -> None:
    allowed = permissions(**rules)
    with contextlib.closing(sandbox.open_workspace(base)) as workspace:
        site = Site(workspace=workspace, permissions=allowed)
        reads = "".join(f"cat {name} || echo no {name};" for name in FILES)
        told = use(STANDARD, site, json_call("shell", command=reads)).text
        for name in FILES:
            assert (f"content of {name}" in told) == (not allowed.may_read(name)), (name, told)
            viewed = use(STANDARD, site, json_call("view", path=name))
            assert viewed.is_denied == bool(allowed.may_read(name))
        writes = "".join(f"echo changed >> {name}; rm -f {name};" for name in FILES)
        use(STANDARD, site, json_call("shell", command=f"{writes} echo x > tests/new.txt; true"))
        use(STANDARD, site, json_call("shell", command="mv tests moved; mv pkg/sub pkg/moved"))
        for name in FILES:
            if allowed.may_write(name) or allowed.may_read(name):
                kept = workspace.read(name, max_bytes=99)
                assert kept == f"content of {name}\n".encode(), name
        if allowed.may_write("tests/new.txt"):
            assert workspace.read("tests/new.txt", max_bytes=99) is None


def test_what_may_be_written_can_be(sandbox: ForkServerSandbox, base: Path) -> None:
    with contextlib.closing(sandbox.open_workspace(base)) as workspace:
        site = Site(workspace=workspace, permissions=permissions(no_write=("tests/**",)))
        command = "echo 1 > pkg/new.py; mkdir pkg/deep; echo 2 > pkg/deep/x; echo 3 > README; true"
        use(STANDARD, site, json_call("shell", command=command))
        for name, content in (("pkg/new.py", b"1\n"), ("pkg/deep/x", b"2\n"), ("README", b"3\n")):
            assert workspace.read(name, max_bytes=9) == content
        use(STANDARD, site, json_call("edit", path="top.txt", old="", new="4"))
        assert workspace.read("top.txt", max_bytes=9) == b"4"


def test_rules_that_cannot_be_looked_up_close_the_shell(
    sandbox: ForkServerSandbox, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proofloop.agent.site.MAX_ENTRIES", 3)
    with contextlib.closing(sandbox.open_workspace(base)) as workspace:
        site = Site(workspace=workspace, permissions=permissions(no_write=("tests/**",)))
        for call in (json_call("shell", command="echo > tests/x"), json_call("run_tests")):
            assert use(STANDARD, site, call).is_denied
        assert len(site.denied) == 2
        assert workspace.read("tests/x", max_bytes=9) is None
        free = Site(workspace=workspace, permissions=permissions())
        assert use(STANDARD, free, json_call("shell", command="echo ok")).text == "ok"


def test_there_is_no_network_and_no_variable_of_ours(
    sandbox: ForkServerSandbox, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KEY", "s3cret")
    source = (
        "import os, socket\nprint('AGENT_KEY' in os.environ)\ntry:\n"
        "    socket.create_connection(('127.0.0.1', 9), 1)\nexcept OSError as e: print(e.errno)\n"
    )
    with contextlib.closing(sandbox.open_workspace(base)) as workspace:
        workspace.write("ask.py", source.encode())
        site = Site(workspace=workspace, permissions=permissions())
        told = use(STANDARD, site, json_call("shell", command="python3 ask.py")).text
        if "not found" in told:
            pytest.skip("the system has no python3")
        lines = told.splitlines()
        assert lines[0] == "False"
        assert lines[1] != "111", "refused would mean that it was asked"


@pytest.mark.parametrize(
    ("pattern", "path", "wanted"),
    [
        ("**", "a/b", True), ("*", "a", True), ("*", "a/b", False), ("a/**", "a", True),
        ("a/**", "a/b/c", True), ("a/**", "ab", False), ("**/x.py", "x.py", True),
        ("**/x.py", "a/b/x.py", True), ("**/x.py", "a/yx.py", False), ("a/*/c", "a/b/c", True),
        ("a/*/c", "a/b/b/c", False), ("a/**/c", "a/c", True), ("a/**/c", "a/b/b/c", True),
        ("a.c", "abc", False), ("a?c", "abc", True), ("a?c", "a/c", False),
    ],
)  # fmt: skip
def test_globs(pattern: str, path: str, wanted: bool) -> None:
    assert matches(pattern, path) is wanted


@pytest.mark.parametrize(
    ("command", "denied"),
    [
        ("curl x", True), ("  curl x", True), ("ls; curl x", True), ("ls && curl x", True),
        ("ls | curl -d @-", True), ("(curl x)", True), ("echo $(curl x)", True),
        ("ls\ncurl x", True), ("echo curl x", False), ("ls curl", False), ("git push origin", True),
        ("git status", False),
    ],
)  # fmt: skip
def test_commands_are_denied_wherever_they_begin(command: str, denied: bool) -> None:
    rules = Permissions(no_commands=("curl *", "git push*"))
    assert bool(rules.may_run(command)) is denied
    assert not Permissions(commands=("git *", "ls")).may_run("git log")
    assert Permissions(commands=("git *", "ls")).may_run("ls /")


def test_a_rule_for_a_file_that_is_not_there_yet_closes_its_folder() -> None:
    entries = [Entry(path=p, kind=k, size_bytes=1, is_executable=False)  # type: ignore[arg-type]
               for p, k in (("a", "folder"), ("a/x", "file"), ("b", "folder"))]  # fmt: skip
    assert Permissions(write=("a/*",)).policy(entries).write == ("a",)
    assert Permissions(no_write=("a/x",)).policy(entries).write == ("b",)
    assert Permissions(no_read=("a/x",)).policy(entries).hidden == ("a/x",)
    assert Permissions().policy(entries).write == (".",)
