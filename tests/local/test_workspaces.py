"""Workspaces for real, on both tiers: what commands can do, and what they cannot."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from proofloop.core.errors import SandboxLost
from proofloop.core.sandbox import Command, Ending, Execution, Limits, Policy, Workspace
from proofloop.core.verdict import Tier
from proofloop.sandbox import ForkServerSandbox, open_sandbox, parcel, probe
from proofloop.sandbox.descendants import descendants
from proofloop.sandbox.workspace import KeptWorkspace

_REPORTS = {report.tier: report for report in probe()}
_LIMITS = Limits(
    wall_s=20.0,
    cpu_s=10,
    memory_bytes=1 << 30,
    num_processes=32,
    num_open_files=256,
    file_bytes=64 << 20,
)
_INTERPRETER = str(Path(sys.base_prefix).resolve())


@pytest.fixture(params=[Tier.T0, Tier.T1, Tier.T2], scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[ForkServerSandbox]:
    report = _REPORTS[request.param]
    if not report.available:
        pytest.skip(f"{report.tier}: {report.reason}")
    with open_sandbox(request.param) as opened:
        yield opened


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    (folder / "tests" / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("as it was")
    (folder / "tests" / "secret.txt").write_text("42")
    (folder / "tests" / "deep" / "more.txt").write_text("43")
    (folder / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("a.txt")
    return folder


@pytest.fixture
def workspace(sandbox: ForkServerSandbox, base: Path) -> Iterator[Workspace]:
    with contextlib.closing(sandbox.open_workspace(base)) as opened:
        yield opened


def _state(folder: Path) -> dict[str, object]:
    return {
        str(path): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            path.is_file() and path.read_bytes(),
        )
        for path in folder.rglob("*")
    }


def _shell(
    workspace: Workspace, script: str, limits: Limits = _LIMITS, **policy: object
) -> Execution:
    rules = Policy(limits=limits, **policy)  # type: ignore[arg-type]
    return workspace.run(Command(argv=("sh", "-c", textwrap.dedent(script)), policy=rules))


def _says(workspace: Workspace, script: str, **policy: object) -> str:
    """What a script that must succeed prints."""
    execution = _shell(workspace, script, **policy)
    assert (execution.ending, execution.exit_status) == (Ending.EXITED, 0), execution
    return execution.output.decode()


def _python(workspace: Workspace, source: str, **policy: object) -> Execution:
    limits = policy.pop("limits", _LIMITS)
    rules = Policy(limits=limits, read=(_INTERPRETER,), **policy)  # type: ignore[arg-type]
    argv = (os.path.realpath(sys.executable), "-I", "-S", "-c", textwrap.dedent(source))
    return workspace.run(Command(argv=argv, policy=rules))


# --- what a workspace is ---


def test_a_base_shows_through_and_is_never_changed(
    sandbox: ForkServerSandbox, workspace: Workspace, base: Path
) -> None:
    before = _state(base)
    script = """
        cat a.txt; echo new > a.txt; rm tests/secret.txt
        mv tests/deep moved 2>/dev/null || cp -r tests/deep moved
        chmod 600 run.sh; mkdir out; echo x > out/y; ln -s /etc/passwd out/z
        """
    assert _says(workspace, script) == "as it was"
    assert _says(workspace, "cat a.txt moved/more.txt") == "new\n43"
    assert workspace.read("a.txt", max_bytes=100) == b"new\n"
    assert workspace.read("tests/secret.txt", max_bytes=100) is None
    assert _state(base) == before
    with contextlib.closing(sandbox.open_workspace(base)) as other:
        assert other.read("a.txt", max_bytes=100) == b"as it was"


def test_files_are_written_read_and_listed(workspace: Workspace) -> None:
    workspace.write("src/deep/main.sh", b"#!/bin/sh\necho hello\n", executable=True)
    workspace.write("a.txt", b"over")
    workspace.write("empty", b"")
    assert _says(workspace, "cat a.txt; src/deep/main.sh") == "overhello\n"
    assert workspace.read("src/deep/main.sh", max_bytes=21) == b"#!/bin/sh\necho hello\n"
    assert workspace.read("src/deep/main.sh", max_bytes=20) is None
    assert workspace.read("empty", max_bytes=0) == b""
    assert workspace.read("src", max_bytes=100) is None
    assert workspace.read("nothing/here", max_bytes=100) is None
    entries = workspace.entries(max_entries=20)
    assert entries is not None
    kinds = {entry.path: (entry.kind, entry.is_executable) for entry in entries}
    assert [entry.path for entry in entries] == sorted(kinds)
    assert kinds["src/deep/main.sh"] == ("file", True)
    assert kinds["a.txt"] == ("file", False)
    assert kinds["link"][0] == "link"
    assert kinds["tests/deep"][0] == "folder"
    assert workspace.entries(max_entries=len(entries) - 1) is None


def test_large_files_cross_both_ways(workspace: Workspace) -> None:
    data = os.urandom(5 << 20)
    workspace.write("large", data)
    assert _says(workspace, "cp large copy; cmp large copy && echo same") == "same\n"
    assert workspace.read("copy", max_bytes=5 << 20) == data


def test_a_command_gets_its_input_environment_folder_and_report(workspace: Workspace) -> None:
    script = 'cat; echo "$GIVEN:$HOME:$PWD" >&2; echo reported >&3; exit 7'
    count = Command(argv=("wc", "-c"), policy=Policy(limits=_LIMITS), stdin=b"x" * 300_000)
    assert workspace.run(count).output == b"300000\n"
    deaf = Command(argv=("true",), policy=Policy(limits=_LIMITS), stdin=b"x" * 300_000)
    assert workspace.run(deaf).exit_status == 0
    execution = workspace.run(
        Command(
            argv=("sh", "-c", script),
            policy=Policy(limits=_LIMITS, env=(("GIVEN", "é"),)),
            stdin=b"in",
            folder="tests",
            with_report=True,
        )
    )
    assert (execution.ending, execution.exit_status) == (Ending.EXITED, 7), execution
    given, home, folder = execution.errors.decode().strip().split(":")
    assert (execution.output, given, execution.report) == (b"in", "é", b"reported\n")
    assert folder == f"{home}/tests"


def test_nothing_of_ours_reaches_a_command(workspace: Workspace) -> None:
    os.environ["PROOFLOOP_TEST_SECRET"] = "secret"
    try:
        environment = dict(line.split("=", 1) for line in _says(workspace, "env").splitlines())
    finally:
        del os.environ["PROOFLOOP_TEST_SECRET"]
    assert set(environment) <= {"PATH", "HOME", "LANG", "TMPDIR", "PWD", "SHLVL", "_", "OLDPWD"}
    source = """
        import os
        held = []
        for fd in range(1024):
            try:
                os.fstat(fd)
            except OSError:
                continue
            held.append(fd)
        print(held)
        """
    assert _python(workspace, source).output == b"[0, 1, 2]\n"


@pytest.mark.parametrize(
    ("argv", "folder", "status"),
    [
        (("no-such-program",), ".", 127),
        (("./no-such-program",), ".", 127),
        (("./a.txt",), ".", 126),
        (("/tmp",), ".", 126),
        (("true",), "no-such-folder", 127),
        (("true",), "a.txt", 127),
        (("nul\0byte",), ".", 126),
    ],
)
def test_what_cannot_be_executed_ends_as_in_a_shell(
    workspace: Workspace, argv: tuple[str, ...], folder: str, status: int
) -> None:
    execution = workspace.run(Command(argv=argv, policy=Policy(limits=_LIMITS), folder=folder))
    assert (execution.ending, execution.exit_status) == (Ending.EXITED, status), execution
    assert execution.errors.startswith(b"proofloop: ")


def test_the_way_it_ended_is_told(workspace: Workspace) -> None:
    assert _shell(workspace, "kill -TERM $$").ending is Ending.SIGNALLED
    assert _shell(workspace, "kill -KILL $$").ending is Ending.MEMORY_LIMIT
    assert _shell(workspace, "exit 255").exit_status == 255
    assert _shell(workspace, "sleep 5 & exit 3").exit_status == 3


# --- limits ---


def test_time_ends_what_sleeps_and_what_spins(workspace: Workspace) -> None:
    limits = Limits(wall_s=0.5, cpu_s=5, num_processes=8)
    execution = _shell(workspace, "echo before; sleep 60", limits)
    assert (execution.ending, execution.output) == (Ending.TIME_LIMIT, b"before\n"), execution
    assert 0.4 < execution.wall_s < 10
    limits = Limits(wall_s=60.0, cpu_s=1)
    execution = _shell(workspace, "while :; do :; done", limits)
    assert execution.ending is Ending.TIME_LIMIT, execution
    assert execution.cpu_s > 0.4


def test_processor_time_counts_for_the_whole_tree(workspace: Workspace) -> None:
    limits = Limits(wall_s=60.0, cpu_s=2, num_processes=16)
    spin = "(while :; do :; done) & " * 4
    execution = _shell(workspace, f"{spin} wait", limits)
    assert execution.ending is Ending.TIME_LIMIT, execution
    assert execution.cpu_s < 6, execution


def test_a_flood_on_any_stream_ends_it(workspace: Workspace) -> None:
    limits = Limits(wall_s=30.0, cpu_s=10, num_processes=4, output_bytes=1000, result_bytes=500)
    for stream, sizes in ((1, (1000, 0, 0)), (2, (0, 1000, 0)), (3, (0, 0, 500))):
        argv = ("sh", "-c", f"exec yes >&{stream}")
        command = Command(argv=argv, policy=Policy(limits=limits), with_report=True)
        execution = workspace.run(command)
        assert execution.ending is Ending.OUTPUT_LIMIT, execution
        found = tuple(map(len, (execution.output, execution.errors, execution.report)))
        assert found == sizes


def _channel(workspace: Workspace) -> socket.socket:
    assert isinstance(workspace, KeptWorkspace)
    return workspace._channel


def test_an_order_to_end_a_command_that_has_ended_is_no_matter(workspace: Workspace) -> None:
    """The client may find too much output just when the program ends for want of a reader."""
    assert _says(workspace, "echo before") == "before\n"
    _channel(workspace).sendall(parcel.pack({"do": "kill"}))
    assert _says(workspace, "echo after") == "after\n"
    _channel(workspace).sendall(parcel.pack({"do": "kill"}))
    assert workspace.entries(max_entries=10) is not None


def test_memory_is_limited_for_one_and_for_all(workspace: Workspace) -> None:
    limits = Limits(wall_s=30.0, cpu_s=20, memory_bytes=200 << 20, num_processes=32)
    execution = _python(workspace, "len(bytearray(10 ** 9))", limits=limits)
    assert execution.exit_status == 1, execution
    assert b"MemoryError" in execution.errors, execution
    source = """
        import os, time
        for _ in range(20):
            if not os.fork():
                kept = bytearray(b'x') * (60 << 20)
                time.sleep(30)
        time.sleep(30)
        """
    execution = _python(workspace, source, limits=limits)
    assert execution.ending is Ending.MEMORY_LIMIT, execution
    source = """
        import mmap, time
        kept = mmap.mmap(-1, 400 << 20)
        for i in range(0, len(kept), 4096):
            kept[i] = 1
        time.sleep(30)
        """
    assert _python(workspace, source, limits=limits).ending is Ending.MEMORY_LIMIT


def test_a_fork_bomb_is_contained(sandbox: ForkServerSandbox, workspace: Workspace) -> None:
    limits = Limits(wall_s=3.0, cpu_s=3, num_processes=20)
    for script in ("b() { b | b & }; b; sleep 60", "while :; do sleep 60 & done"):
        _shell(workspace, script, limits)
        assert _says(workspace, "echo alive") == "alive\n"
    one = Limits(wall_s=10.0, cpu_s=3, num_processes=1)
    execution = _shell(workspace, "(echo in a child)", one)
    assert b"in a child" not in execution.output, execution


def test_who_watches_goes_before_what_is_watched(
    sandbox: ForkServerSandbox, workspace: Workspace
) -> None:
    """Where we may say so; a bomb's processes would keep it from the processor else."""
    may = True
    trial = subprocess.Popen(["sleep", "60"])
    try:
        os.sched_setscheduler(trial.pid, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        may = False
    finally:
        trial.kill()
        trial.wait()
    keepers = [pid for pid in descendants(os.getpid()) if os.sched_getscheduler(pid) == os.SCHED_RR]
    assert bool(keepers) is (may and sandbox.tier is not Tier.T0)
    execution = _python(workspace, "import os; print(os.sched_getscheduler(0))")
    assert execution.output == b"0\n", execution


def test_a_disk_fills_for_its_own_workspace_alone(sandbox: ForkServerSandbox) -> None:
    limits = Limits(wall_s=60.0, cpu_s=20, num_processes=8, file_bytes=1 << 30)
    with contextlib.closing(sandbox.open_workspace(disk_bytes=8 << 20)) as full:
        fill = """
            i=0
            while head -c 1000000 /dev/zero > f$i; do i=$((i+1)); [ $i -gt 400 ] && exit 9; done
            exit 5
            """
        execution = _shell(full, fill, limits)
        if sandbox.tier is not Tier.T0:
            assert execution.exit_status == 5, execution
            assert b"No space left" in execution.errors
        else:
            assert execution.ending is Ending.OUTPUT_LIMIT, execution
        with pytest.raises(OSError, match="No space left"):
            full.write("more", bytes(1 << 20))
        entries = full.entries(max_entries=1000)
        assert entries
        assert sum(e.size_bytes for e in entries) < 512 << 20
        with contextlib.closing(sandbox.open_workspace(disk_bytes=8 << 20)) as other:
            assert _shell(other, "head -c 7000000 /dev/zero > f", limits).exit_status == 0
        _shell(full, "rm f*", limits)
        full.write("more", bytes(1 << 20))


def test_names_fill_for_their_own_workspace_alone(sandbox: ForkServerSandbox) -> None:
    source = """
        import os
        os.mkdir('d')
        for i in range(1_000_000):
            open(f'd/{i}', 'x').close()
        """
    with contextlib.closing(sandbox.open_workspace(disk_bytes=4 << 20)) as full:
        execution = _python(full, source)
        if sandbox.tier is not Tier.T0:
            assert b"No space left" in execution.errors, execution
        else:
            assert execution.ending is Ending.OUTPUT_LIMIT, execution
        assert full.entries(max_entries=100) is None
        with contextlib.closing(sandbox.open_workspace(disk_bytes=4 << 20)) as other:
            other.write("x", b"y")


def test_one_file_is_as_large_as_the_limits_say(workspace: Workspace) -> None:
    limits = Limits(wall_s=10.0, cpu_s=5, num_processes=4, file_bytes=1000)
    execution = _shell(workspace, "head -c 5000 /dev/zero > f", limits)
    assert execution.exit_status != 0
    assert workspace.read("f", max_bytes=10_000) == bytes(1000)


# --- no way out ---


def test_the_rest_of_the_machine_is_out_of_sight(
    sandbox: ForkServerSandbox, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "ours").write_text("ours")
    for path in (
        tmp_path / "ours", Path.home(), Path(__file__), "/etc/shadow", "/etc/hostname", "/var/log",
        "/sys", "/root", "/proc/1/environ", "/proc/1/maps", f"/proc/{os.getpid()}/environ",
    ):  # fmt: skip
        assert _shell(workspace, f"cat {path} 2>&1 || ls {path}/").exit_status != 0, path
    for path in (
        tmp_path / "new", "/etc/new", "/usr/new", "/dev/new", "/new", "/dev/shm/../new",
        "/proc/self/oom_score_adj", "/proc/sys/kernel/core_pattern",
    ):  # fmt: skip
        assert _shell(workspace, f"echo x > {path}").exit_status != 0, path
    assert not (tmp_path / "new").exists()


def test_modes_and_times_of_others_stay(workspace: Workspace, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("at T0 an ordinary user's files are not kept from this: decision 0008")
    (tmp_path / "ours").write_text("ours")
    for path in (tmp_path / "ours", "/dev/null", "/usr/bin", "/usr/bin/env"):
        for change in ("chmod $(stat -c %a {0}) {0}", "touch -r {0} {0}"):  # to what they are
            execution = _shell(workspace, change.format(path))
            assert execution.exit_status != 0, (path, change)


def test_only_its_own_processes_are_seen(sandbox: ForkServerSandbox, workspace: Workspace) -> None:
    execution = _shell(workspace, "ls /proc")
    if sandbox.tier is not Tier.T0:
        names = set(execution.output.decode().split())
        assert {n for n in names if n.isdigit()} <= {str(n) for n in range(1, 12)}, execution
        assert names <= {"self", "thread-self", *map(str, range(1, 12))}
        assert (
            _shell(workspace, "cat /proc/1/maps /proc/1/environ /proc/1/fd/* /proc/1/mem").output
            == b""
        )
    else:
        assert execution.output == b""


def test_nobody_else_can_be_signalled(workspace: Workspace) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        try:
            for target in (bystander.pid, os.getpid(), os.getppid(), 1, "-1"):
                execution = _shell(
                    workspace, f"trap '' TERM; kill -TERM {target}; kill -USR1 {target}"
                )
                assert execution.ending in (Ending.EXITED, Ending.SIGNALLED), execution
            time.sleep(0.1)
            assert bystander.poll() is None
        finally:
            bystander.kill()
    assert _says(workspace, "echo still here") == "still here\n"


_CALLS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, number, *args):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in args])
    if result >= 0 or ctypes.get_errno() not in (1, 38):
        print(name, result, ctypes.get_errno())
attempt('unshare', 272, 0x10000000)
attempt('clone', 56, 0x10000000 | 17, 0, 0, 0, 0)
attempt('mount', 165, 0, 0, 0, 0, 0)
attempt('ptrace', 101, 0, 0, 0, 0)
attempt('keyctl', 250, 0, 0)
attempt('bpf', 321, 0, 0, 0)
attempt('io_uring_setup', 425, 1, 0)
attempt('userfaultfd', 323, 0)
attempt('perf_event_open', 298, 0, 0, -1, -1, 0)
attempt('memfd_create', 319, 0, 0)
attempt('shmget', 29, 0, 4096, 0o1600)
attempt('setns', 308, 0, 0)
attempt('pivot_root', 155, 0, 0)
attempt('chroot', 161, 0)
attempt('socket inet', 41, 2, 1, 0)
attempt('socket unix', 41, 1, 1, 0)
attempt('socket netlink', 41, 16, 3, 0)
attempt('socketpair datagram', 53, 1, 2, 0, 0)
attempt('setuid', 105, 0)
attempt('process_vm_readv', 310, 1, 0, 0, 0, 0, 0)
attempt('personality', 135, 0)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="system-call numbers of x86_64")
def test_calls_that_reach_beyond_are_refused(workspace: Workspace) -> None:
    execution = _python(workspace, _CALLS)
    assert (execution.output, execution.exit_status) == (b"", 0), execution


def test_no_network_unless_the_policy_says_so(workspace: Workspace) -> None:
    import socket

    source = """
        import socket
        try:
            socket.create_connection(('127.0.0.1', {port}), 5).sendall(b'hello')
            print('connected')
        except OSError as e:
            print('refused')
        """
    with socket.create_server(("127.0.0.1", 0)) as server:
        text = source.format(port=server.getsockname()[1])
        assert _python(workspace, text).output == b"refused\n"
        assert _python(workspace, text, network=True).output == b"connected\n"


@pytest.mark.parametrize(
    "trick",
    [
        "ln -s /etc/passwd x",
        "ln -s /proc/self/environ x",
        "ln -s . x; ln -s x/a.txt y",
        "mkfifo x",
        "mkdir x",
        "rm -rf tests; ln -s / tests",
        "mknod x c 1 3",
    ],
)
def test_nothing_left_in_the_way_leads_us_out(workspace: Workspace, trick: str) -> None:
    _shell(workspace, trick)
    for path in ("x", "x/y", "tests/etc/passwd", "x/etc/passwd", "y"):
        assert workspace.read(path, max_bytes=1 << 20) is None, path
    before = Path("/etc/passwd").read_bytes()
    for path in ("x", "x/etc/passwd", "tests/etc/new"):
        with contextlib.suppress(OSError):
            workspace.write(path, b"ours")
    assert Path("/etc/passwd").read_bytes() == before
    assert not Path("/etc/new").exists()
    assert workspace.entries(max_entries=100) is not None


@pytest.mark.parametrize("path", ["../x", "/etc/new", "a/../../x", "", ".", "a.txt/x"])
def test_paths_stay_within(workspace: Workspace, path: str) -> None:
    with pytest.raises(OSError):
        workspace.write(path, b"x")
    assert workspace.read(path, max_bytes=100) is None


def test_a_link_is_not_written_through(workspace: Workspace) -> None:
    _says(workspace, "ln -sf tests/secret.txt a.txt; ln tests/secret.txt hard")
    with pytest.raises(OSError):
        workspace.write("a.txt", b"through")
    workspace.write("hard", b"new")
    assert workspace.read("tests/secret.txt", max_bytes=10) == b"42"


def test_odd_names_and_depths_are_told_or_refused(workspace: Workspace) -> None:
    _says(workspace, "printf x > \"$(printf 'new\\nline\\377')\"; mkdir -p 'sp ace/é'")
    entries = workspace.entries(max_entries=100)
    assert entries is not None
    odd = next(e.path for e in entries if e.path.startswith("new"))
    assert os.fsencode(odd) == b"new\nline\xff"
    assert workspace.read(odd, max_bytes=10) == b"x"
    source = """
        import os
        for i in range(3000):
            os.mkdir('d' * 20)
            os.chdir('d' * 20)
        open('deep', 'w').close()
        """
    assert _python(workspace, source).exit_status == 0
    assert workspace.entries(max_entries=100_000) is None


# --- the policy of a phase ---


def test_hidden_files_are_not_read_and_come_back(workspace: Workspace) -> None:
    hidden = ("tests", "run.sh", "nothing/here")
    execution = _shell(workspace, "cat tests/secret.txt run.sh; ls tests; cat a.txt", hidden=hidden)
    assert execution.output == b"as it was", execution
    _shell(
        workspace,
        "chmod -R 777 tests run.sh; rm -rf tests run.sh; mkdir tests; echo fake > tests/secret.txt;"
        "echo fake > run.sh; mv tests elsewhere; ln -s a.txt tests",
        hidden=hidden,
    )
    assert workspace.read("tests/secret.txt", max_bytes=10) == b"42"
    assert workspace.read("tests/deep/more.txt", max_bytes=10) == b"43"
    assert _says(workspace, "./run.sh; cat tests/secret.txt") == "ran\n42"


def test_closing_a_folder_does_not_keep_it_from_being_hidden(workspace: Workspace) -> None:
    _says(workspace, "chmod 0 tests/deep tests")
    script = "chmod 700 tests tests/deep; cat tests/secret.txt tests/deep/more.txt"
    execution = _shell(workspace, script, hidden=("tests/secret.txt", "tests/deep"))
    assert execution.output == b"", execution
    assert workspace.read("tests/secret.txt", max_bytes=10) == b"42"


def test_a_hidden_file_under_a_folder_in_the_way(workspace: Workspace) -> None:
    _says(workspace, "chmod 500 tests/deep tests")
    hidden = ("tests/deep", "tests/secret.txt")
    script = "cat tests/deep/more.txt tests/secret.txt; chmod 700 tests; mv tests t; echo x > tests"
    execution = _shell(workspace, script, hidden=hidden)
    assert execution.output == b"", execution
    assert _says(workspace, "echo goes on") == "goes on\n"


def test_writing_is_held_to_the_folders_of_the_policy(workspace: Workspace) -> None:
    _says(workspace, "mkdir out; ln -s tests way")
    for write, path, wanted in (
        (("out",), "out/x", True),
        (("out",), "x", False),
        (("out",), "tests/secret.txt", False),
        (("way",), "tests/x", False),
        (("nothing",), "x", False),
        ((), "x", False),
        ((), "$TMPDIR/x", False),
        (("out",), "$TMPDIR/x", True),
    ):
        status = _shell(workspace, f"echo x >> {path}", write=write).exit_status
        assert (status == 0) is wanted, (write, path)
    for script in ("rm a.txt", "mv a.txt b", "mv a.txt out/b", "truncate -s 0 a.txt", "mkdir new",
                   "ln -s a new", "mkfifo new"):  # fmt: skip
        assert _shell(workspace, script, write=("out",)).exit_status != 0, script
    assert workspace.read("a.txt", max_bytes=100) == b"as it was"
    assert workspace.read("tests/secret.txt", max_bytes=100) == b"42"


def test_executing_is_held_to_the_policy(sandbox: ForkServerSandbox, workspace: Workspace) -> None:
    _says(workspace, "cp /bin/true mine; cp /bin/true $TMPDIR/mine")
    assert _shell(workspace, "./mine && $TMPDIR/mine && ./run.sh").exit_status == 0
    for script in ("./mine", "$TMPDIR/mine", "./run.sh", "cp mine other; ./other"):
        execution = _shell(workspace, script, execute=False)
        assert execution.exit_status == 126, execution
    if sandbox.tier is not Tier.T0:
        loader = "/lib64/ld-linux-x86-64.so.2"
        if os.path.exists(loader):
            assert _shell(workspace, f"{loader} ./mine", execute=False).exit_status != 0
    assert _shell(workspace, "sh run.sh", execute=False).output == b"ran\n"


def test_more_of_the_host_is_shown_read_only(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown" / "x").write_text("shown")
    (tmp_path / "beside").write_text("beside")
    read = (str(tmp_path / "shown"),)
    assert _says(workspace, f"cat {tmp_path}/shown/x", read=read) == "shown"
    script = f"echo y > {tmp_path}/shown/x; rm {tmp_path}/shown/x; cat {tmp_path}/beside"
    assert _shell(workspace, script, read=read).output == b""
    assert (tmp_path / "shown" / "x").read_text() == "shown"
    assert _shell(workspace, f"cat {tmp_path}/shown/x").exit_status != 0
    assert _says(workspace, "echo x > $TMPDIR/f; cat $TMPDIR/f", read=read) == "x\n"


def test_a_path_that_is_not_there_cannot_be_shown(workspace: Workspace) -> None:
    for path in ("/no/such/path", "relative", "/", "/proc/self"):
        with pytest.raises(ValueError, match="Policy"):
            _shell(workspace, "true", read=(path,))
    for policy in ({"write": ("../x",)}, {"hidden": ("/x/..",)}):
        with pytest.raises(ValueError, match="Policy"):
            _shell(workspace, "true", **policy)
    with pytest.raises(ValueError, match="argv"):
        workspace.run(Command(argv=(), policy=Policy()))
    assert _says(workspace, "echo usable") == "usable\n"


# --- toolchains ---


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc here")
def test_a_c_program_is_compiled_and_run(workspace: Workspace) -> None:
    source = (
        b'#include <stdio.h>\nint main(void) { int x; scanf("%d", &x); printf("%d\\n", 2 * x); }\n'
    )
    workspace.write("main.c", source)
    compiled = workspace.run(
        Command(argv=("gcc", "-O1", "-o", "main", "main.c"), policy=Policy(limits=_LIMITS))
    )
    assert (compiled.ending, compiled.exit_status) == (Ending.EXITED, 0), compiled
    ran = workspace.run(Command(argv=("./main",), policy=Policy(limits=_LIMITS), stdin=b"21"))
    assert ran.output == b"42\n", ran
    workspace.write("main.c", b"int main( {")
    compiled = workspace.run(
        Command(argv=("gcc", "-o", "main", "main.c"), policy=Policy(limits=_LIMITS))
    )
    assert (compiled.ending, compiled.exit_status) == (Ending.EXITED, 1), compiled


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_a_javascript_program_runs(workspace: Workspace) -> None:
    limits = Limits(
        wall_s=60.0, cpu_s=20, memory_bytes=1 << 30, num_processes=32, num_open_files=64
    )
    source = (
        "const cp = require('child_process'); console.log(cp.execSync('echo 41').toString() - -1)"
    )
    argv = ("node", "-e", source)
    execution = workspace.run(Command(argv=argv, policy=Policy(limits=limits)))
    assert execution.output == b"42\n", execution


def test_an_interpreter_is_shown_through_the_policy(workspace: Workspace) -> None:
    prefix = str(Path(sys.prefix))
    policy = Policy(limits=_LIMITS, read=tuple({prefix, _INTERPRETER}))
    argv = (sys.executable, "-c", "import pytest, json; print(pytest.__name__, json.dumps([1]))")
    execution = workspace.run(Command(argv=argv, policy=policy))
    assert execution.output == b"pytest [1]\n", execution
    workspace.write(
        "test_x.py",
        b"import subprocess\n\ndef test_x(tmp_path):\n    subprocess.run(['true'], check=True)\n",
    )
    argv = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_x.py")
    execution = workspace.run(Command(argv=argv, policy=policy))
    assert b"1 passed" in execution.output, execution


# --- nothing is left ---


def test_processes_left_behind_end_with_their_command(
    sandbox: ForkServerSandbox, base: Path
) -> None:
    sandbox.open_workspace().close()
    server, _ = _idle(sandbox)
    workspace = sandbox.open_workspace(base)
    before = set(descendants(server))
    source = """
        import os, time
        for leave in range(3):
            if not os.fork():
                os.setsid()
                if not os.fork():
                    for fd in (0, 1, 2):
                        os.close(fd)
                    while True:
                        time.sleep(0.01)
                        open('alive', 'w').close()
                os._exit(0)
        time.sleep(0.2)
        """
    assert _python(workspace, source).exit_status == 0
    assert set(descendants(server)) == before
    _says(workspace, "rm alive")
    time.sleep(0.1)
    assert workspace.read("alive", max_bytes=1) is None
    workspace.close()


def _idle(sandbox: ForkServerSandbox) -> tuple[int, set[int]]:
    """The server and what is below it, once no workspace is left."""
    assert sandbox._keepers is not None
    server = sandbox._keepers.pid
    # From T1 on the first process of its pid namespace; at T2 that of bubblewrap's, and ours there.
    wanted = {Tier.T0: 0, Tier.T1: 1, Tier.T2: 3}[sandbox.tier]
    deadline = time.monotonic() + 10
    while len(found := descendants(server)) != wanted and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(found) == wanted, found
    return server, set(found)


def test_a_lost_keeper_is_our_loss_and_the_next_one_works(
    sandbox: ForkServerSandbox, base: Path
) -> None:
    sandbox.open_workspace(base).close()
    server, before = _idle(sandbox)
    victim = sandbox.open_workspace(base)
    keepers = set(descendants(server)) - before
    timer = threading.Timer(0.3, lambda: [os.kill(pid, signal.SIGKILL) for pid in keepers])
    timer.start()
    with pytest.raises(SandboxLost):
        _shell(victim, "sleep 30")
    timer.join()
    for use in (
        lambda: victim.read("a.txt", max_bytes=9),
        lambda: victim.write("x", b""),
        lambda: victim.entries(max_entries=9),
        lambda: _shell(victim, "true"),
    ):
        with pytest.raises(SandboxLost):
            use()
    victim.close()
    with contextlib.closing(sandbox.open_workspace(base)) as fresh:
        assert _says(fresh, "cat a.txt") == "as it was"
    assert _idle(sandbox) == (server, before)


def test_a_lost_server_is_replaced(sandbox: ForkServerSandbox) -> None:
    workspace = sandbox.open_workspace()
    assert sandbox._keepers is not None
    inside = descendants(sandbox._keepers.pid)
    for pid in (sandbox._keepers.pid, *inside[:1]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with pytest.raises(SandboxLost):
        _shell(workspace, "sleep 30")
    workspace.close()
    with contextlib.suppress(SandboxLost):
        sandbox.open_workspace().close()
    with contextlib.closing(sandbox.open_workspace()) as fresh:
        assert _says(fresh, "echo fresh") == "fresh\n"


_OWNER = """
import sys, time
from pathlib import Path
from proofloop.core.sandbox import Command, Limits, Policy
from proofloop.core.verdict import Tier
from proofloop.sandbox import open_sandbox

sandbox = open_sandbox(Tier(sys.argv[1]))
workspace = sandbox.open_workspace(Path(sys.argv[2]))
workspace.write("large", bytes(1 << 20))
print(sandbox._keepers.pid, flush=True)
limits = Limits(wall_s=60.0, num_processes=8, file_bytes=1 << 20)
leave = ("sh", "-c", "setsid sleep 50 & sleep 50")
workspace.run(Command(argv=leave, policy=Policy(limits=limits)))
"""


def test_nothing_outlives_a_killed_owner(
    sandbox: ForkServerSandbox, base: Path, tmp_path: Path
) -> None:
    mounts = Path("/proc/self/mountinfo").read_text()
    temporary = tmp_path / "temporary"
    temporary.mkdir(mode=0o711)
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, sandbox.tier.value, str(base)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    ) as owner:
        assert owner.stdout is not None
        server = int(owner.stdout.readline())
        deadline = time.monotonic() + 10
        while len(tree := [server, *descendants(server)]) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(tree) >= 5
        owner.kill()
    deadline = time.monotonic() + 15
    while any(map(_lives, tree)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in tree if _lives(pid)]
    assert list(temporary.iterdir()) == []
    assert Path("/proc/self/mountinfo").read_text() == mounts


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]
    except OSError:
        return False


def test_folders_of_the_dead_are_removed_at_the_next_start(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir(mode=0o711)
    stale = temporary / f"proofloop-workspaces-{os.geteuid()}-0123456789abcdef"
    (stale / "7" / "workspace").mkdir(parents=True)
    (stale / "7" / "workspace" / "f").write_text("x")
    other = temporary / "proofloop-workspaces-of-another-kind"
    other.mkdir()
    code = _OWNER.partition("print(")[0]
    argv = [sys.executable, "-c", code, "T0", str(Path(__file__).parent)]
    subprocess.run(argv, check=True, env={**os.environ, "TMPDIR": str(temporary)}, timeout=60)
    assert list(temporary.iterdir()) == [other]


def test_a_hundred_are_open_at_once(sandbox: ForkServerSandbox, base: Path) -> None:
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(contextlib.closing(sandbox.open_workspace(base)))
            for _ in range(100)
        ]
        for i, workspace in enumerate(opened):
            workspace.write("a.txt", str(i).encode())
        for i, workspace in enumerate(opened):
            assert workspace.read("a.txt", max_bytes=9) == str(i).encode()
        assert _says(opened[70], "cat a.txt") == "70"
    assert (base / "a.txt").read_text() == "as it was"


def test_a_forked_copy_of_ours_has_no_say(workspace: Workspace) -> None:
    pid = os.fork()
    if pid == 0:
        workspace.close()
        os._exit(0)
    os.waitpid(pid, 0)
    assert _says(workspace, "cat a.txt") == "as it was"


def test_opening_and_closing_leaks_nothing(sandbox: ForkServerSandbox, base: Path) -> None:
    sandbox.open_workspace(base).close()
    _idle(sandbox)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with contextlib.closing(sandbox.open_workspace(base)) as workspace:
            _shell(workspace, "echo x > y")
    _idle(sandbox)
    assert len(os.listdir("/proc/self/fd")) == before


_ORDINARY = """
import contextlib, sys
from pathlib import Path
from proofloop.core.sandbox import Command, Ending, Limits, Policy
from proofloop.core.verdict import Tier
from proofloop.sandbox import open_sandbox

base = Path(sys.argv[2])
limits = Limits(wall_s=30.0, cpu_s=5, num_processes=5, file_bytes=1 << 20)
count = "i=0; while sleep 20 & do i=$((i+1)); [ $i -gt 50 ] && break; echo $i; done"
with open_sandbox(Tier(sys.argv[1])) as sandbox:
    with contextlib.closing(sandbox.open_workspace(base)) as workspace:
        for script, wanted in (
            ("cat a.txt; echo new > a.txt; cat a.txt", b"as it wasnew\\n"),
            ("cat " + sys.argv[2] + "/a.txt", b""),
            (count, b"1\\n2\\n3\\n4\\n"),
            ("echo goes on", b"goes on\\n"),
        ):
            command = Command(argv=("sh", "-c", script), policy=Policy(limits=limits))
            execution = workspace.run(command)
            assert execution.output == wanted, execution
            assert execution.ending is Ending.EXITED, execution
print("done")
"""


def test_an_ordinary_user_gets_the_same(sandbox: ForkServerSandbox, tmp_path: Path) -> None:
    """In an interpreter of the system, with a copy of the package: ours may lie in root's home."""
    if os.geteuid() != 0:
        pytest.skip("we are one already, in every test")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    python = shutil.which(version, path="/usr/local/bin:/usr/bin")
    if python is None:
        pytest.skip(f"no {version} of the system, which any user may run")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        place = Path(name)
        package = Path(__file__).parents[2] / "src" / "proofloop"
        for part in ("core", "sandbox"):
            shutil.copytree(package / part, place / "proofloop" / part)
        shutil.copy(package / "__init__.py", place / "proofloop")
        shutil.copytree(Path(msgspec.__file__).parent, place / "msgspec")
        (place / "base").mkdir()
        (place / "base" / "a.txt").write_text("as it was")
        for path in (place, *place.rglob("*")):
            os.chown(path, 64_000, 64_000)
        environment = {"PYTHONPATH": str(place), "PATH": os.environ["PATH"], "TMPDIR": str(place)}
        ran = subprocess.run(
            [python, "-c", _ORDINARY, sandbox.tier.value, str(place / "base")],
            user=64_000,
            group=64_000,
            extra_groups=[],
            env=environment,
            capture_output=True,
            timeout=120,
        )
        assert ran.stdout == b"done\n", ran.stderr.decode()
        assert not list(place.glob("proofloop-workspaces*"))


def test_parts_of_the_host_can_be_hidden(workspace: Workspace, tmp_path: Path) -> None:
    """Its content, whatever names it goes by; all else beside it stays."""
    site = tmp_path / "site"
    for name in ("twin", "other"):
        (site / name).mkdir(parents=True)
        (site / name / "code.py").write_text(f"{name} = 1\n")
    (site / "link").symlink_to(site / "twin")
    script = f"""
        cat {site}/other/code.py
        cat {site}/twin/code.py {site}/link/code.py {site}/other/../twin/code.py && echo leaked
        ls {site}; cp -r {site}/twin got
        test -e got/code.py && echo leaked
        true
        """
    shown = _says(workspace, script, read=(str(site),), hidden=(str(site / "twin"),))
    assert "other = 1" in shown
    assert "twin = 1" not in shown
    assert "leaked" not in shown
    assert "other\n" in shown
