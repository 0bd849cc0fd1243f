"""The sandbox for real: every tier that this machine gives."""

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofloop.core import value
from proofloop.core.errors import IsolationError, SandboxLost
from proofloop.core.sandbox import Call, Ending, Limits, Program
from proofloop.core.verdict import Tier
from proofloop.sandbox import ForkServerSandbox, open_sandbox, probe
from proofloop.sandbox.descendants import descendants
from proofloop.testing.sandbox_suite import Check, sandbox_suite, workspace_suite

_REPORTS = {report.tier: report for report in probe()}
_HELLO = Program(
    source="def f(x):\n    return x\n", calls=(Call(function="f", args=value.encode((1,))),)
)


@pytest.fixture(params=list(Tier), scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[ForkServerSandbox]:
    report = _REPORTS[request.param]
    if not report.available:
        pytest.skip(f"{report.tier}: {report.reason}")
    with open_sandbox(request.param) as opened:
        yield opened


def _evaluate(sandbox: ForkServerSandbox, source: str, limits: Limits | None = None) -> object:
    """What the program's `f()` returned."""
    program = Program(
        source=source,
        calls=(Call(function="f", args=value.encode(())),),
        limits=limits or Limits(),
    )
    execution = sandbox.run(program)
    assert execution.ending is Ending.COMPLETED, execution
    return value.decode(execution.claims[0].data)


def _server_pid(sandbox: ForkServerSandbox) -> int:
    sandbox.run(_HELLO)
    assert sandbox._server is not None
    return sandbox._server.pid


def _inside(sandbox: ForkServerSandbox) -> list[int]:
    """All processes of its fork-server, and those around it."""
    assert sandbox._server is not None
    container = sandbox._server._process.container
    root = sandbox._server.pid if container is None else _container_pid(*container)
    return [root, *descendants(root)]


def _container_pid(engine: str, name: str) -> int:
    command = [engine, "inspect", "--format", "{{.State.Pid}}", name]
    return int(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.parametrize("check", sandbox_suite(), ids=lambda check: check.__name__)
def test_conformance(sandbox: ForkServerSandbox, check: Check) -> None:
    if sandbox.tier is Tier.T3 and check in workspace_suite():
        with pytest.raises(IsolationError, match="not in containers"):
            check(sandbox)
        return
    check(sandbox)


def test_a_program_holds_only_its_own_descriptors(sandbox: ForkServerSandbox) -> None:
    source = """
        import os
        def f():
            held = []
            for fd in range(1024):
                try:
                    os.fstat(fd)
                except OSError:
                    continue
                held.append(fd)
            return held, dict(os.environ), os.getcwd()
        """
    held, environment, folder = _evaluate(sandbox, textwrap.dedent(source))  # type: ignore[misc]
    assert held == [0, 1, 2, 3]
    assert set(environment) <= {"PYTHONHASHSEED", "LC_ALL", "LD_BIND_NOW", "LD_LIBRARY_PATH"}
    assert folder == "/"


def test_a_program_reads_the_standard_library_and_nothing_else(
    sandbox: ForkServerSandbox, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("42")
    paths = [str(secret), __file__, sys.modules["proofloop.core.value"].__file__]
    paths += ["/etc/passwd", "/proc/self/mem", "/proc/self/environ", "/proc/1/cmdline", "/", "/tmp"]
    source = f"""
        import os, sys, string, json.tool
        def f():
            opened = []
            for path in {paths!r}:
                try:
                    os.open(path, os.O_RDONLY)
                except OSError:
                    continue
                opened.append(path)
            return opened, len(open(string.__file__).read()) > 1000, "proofloop" in sys.modules
        """
    assert _evaluate(sandbox, textwrap.dedent(source)) == ([], True, False)


def test_dangerous_calls_are_refused(sandbox: ForkServerSandbox) -> None:
    source = """
        import ctypes, fcntl, os, resource, signal, socket, threading
        libc = ctypes.CDLL(None, use_errno=True)
        attempts = {
            "socket": lambda: socket.socket(),
            "socketpair": lambda: socket.socketpair(),
            "fork": os.fork,
            "exec": lambda: os.execv("/bin/true", ["true"]),
            "thread": lambda: threading.Thread(target=print).start(),
            "kill others": lambda: os.kill(-1, signal.SIGKILL),
            "kill parent": lambda: os.kill(os.getppid() or 2, signal.SIGKILL),
            "own signal": lambda: fcntl.fcntl(3, fcntl.F_SETSIG, signal.SIGKILL),
            "signal owner": lambda: fcntl.fcntl(3, fcntl.F_SETOWN, os.getppid() or 1),
            "socket owner": lambda: fcntl.ioctl(3, 0x8901, b"1234"),
            "write": lambda: os.open("/tmp/x", os.O_WRONLY | os.O_CREAT),
            "mkdir": lambda: os.mkdir("/tmp/y"),
            "memfd": lambda: os.memfd_create("m"),
            "raise limit": lambda: resource.setrlimit(resource.RLIMIT_CPU, (9, 9)),
            "parent's limit": lambda: resource.prlimit(os.getppid() or 2, resource.RLIMIT_CPU),
        }
        raw = {"unshare": (272, 97), "bpf": (321, 280), "io_uring": (425, 425), "setns": (308, 268),
               "ptrace": (101, 117), "process_vm_readv": (310, 270), "clone3": (435, 435),
               "pidfd_getfd": (438, 438), "userfaultfd": (323, 282), "keyctl": (250, 219),
               "perf": (298, 241), "mount": (165, 40), "openat2": (437, 437)}
        def f():
            managed = []
            for name, attempt in attempts.items():
                try:
                    attempt()
                except (OSError, RuntimeError, ValueError):
                    continue
                managed.append(name)
            for name, numbers in raw.items():
                number = numbers[os.uname().machine == "aarch64"]
                ctypes.set_errno(0)
                if libc.syscall(number, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() not in (1, 38):
                    managed.append(name)
            managed += ["die with parent"] if libc.prctl(1, 0, 0, 0, 0) == 0 else []
            return managed
        """
    assert _evaluate(sandbox, textwrap.dedent(source)) == []


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 calls exist on x86_64 only")
def test_calls_by_another_numbering_kill_the_program(sandbox: ForkServerSandbox) -> None:
    source = "import ctypes\nctypes.CDLL(None).syscall(0x40000000 + 39)\n"
    execution = sandbox.run(Program(source=source, calls=_HELLO.calls))
    assert execution.ending is Ending.SIGNALLED
    assert "SIGSYS" in execution.detail


def test_left_over_daemons_die_with_the_program(sandbox: ForkServerSandbox) -> None:
    source = """
        import os, time
        def f():
            for _ in range(3):
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        os.setsid()
                        while True:
                            time.sleep(0.01)
                    os._exit(0)
            time.sleep(0.1)
            return os.getpid()
        """
    server = _server_pid(sandbox)
    before = set(_inside(sandbox))
    limits = Limits(num_processes=1000)  # the kernel counts all that the user has at T0
    assert type(_evaluate(sandbox, textwrap.dedent(source), limits)) is int
    assert _server_pid(sandbox) == server
    assert set(_inside(sandbox)) == before


def test_runs_leave_no_descriptor_and_no_process(sandbox: ForkServerSandbox) -> None:
    server = _server_pid(sandbox)
    descriptors, processes = len(os.listdir("/proc/self/fd")), descendants(server)
    for source in ("def f(x): return x", "import os; os._exit(1)", "f = 3", "1/0") * 10:
        sandbox.run(Program(source=source, calls=_HELLO.calls))
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert descendants(server) == processes


def test_a_child_that_cannot_be_confined_runs_nothing(sandbox: ForkServerSandbox) -> None:
    beyond = Limits(num_open_files=2**31 - 1)  # more than may be granted: setrlimit fails
    with pytest.raises(SandboxLost, match="could not be confined"):
        sandbox.run(Program(source="print(1)", calls=(), limits=beyond))
    assert sandbox.run(_HELLO).ending is Ending.COMPLETED


def test_a_killed_fork_server_is_lost_once_and_replaced(sandbox: ForkServerSandbox) -> None:
    _server_pid(sandbox)
    os.kill(_inside(sandbox)[-1], signal.SIGKILL)
    with pytest.raises(SandboxLost):
        sandbox.run(_HELLO)
    assert sandbox.run(_HELLO).ending is Ending.COMPLETED


def test_a_fork_server_is_recycled(
    sandbox: ForkServerSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _server_pid(sandbox)
    monkeypatch.setattr("proofloop.sandbox.pool.MAX_FORKS", 1)
    assert _server_pid(sandbox) != first
    assert not Path(f"/proc/{first}").exists()


def test_a_forked_copy_of_the_owner_gets_its_own_server(sandbox: ForkServerSandbox) -> None:
    server = _server_pid(sandbox)
    child = os.fork()
    if child == 0:
        passed = False
        try:
            passed = _server_pid(sandbox) != server
            sandbox.close()
        finally:
            os._exit(0 if passed else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert _server_pid(sandbox) == server


@pytest.mark.parametrize("tier", list(Tier))
def test_nothing_outlives_a_killed_owner(tier: Tier) -> None:
    if not _REPORTS[tier].available:
        pytest.skip(_REPORTS[tier].reason)
    script = f"""
        import os, time
        from proofloop.core.sandbox import Limits
        from proofloop.core.verdict import Tier
        from proofloop.sandbox import open_sandbox
        sandbox = open_sandbox(Tier.{tier})
        session = sandbox.open_session(Limits(wall_s=60.0))
        session.start("import time")
        session.load("import time; time.sleep(1000)")
        session._send()
        if os.fork() == 0:  # a copy that keeps the control channel open
            time.sleep(1000)
        print(*sandbox._server._process.container or ["up"], flush=True)
        time.sleep(1000)
        """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    with owner.stdout:
        assert select.select([owner.stdout], [], [], 30)[0]
        container = owner.stdout.readline().decode().split()
    below = descendants(owner.pid)
    copies = [p for p in below if b"-c" in Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0")]
    assert len(copies) == 1
    ours = set(below) - set(copies)
    if tier is Tier.T3:
        first = _container_pid(*container)
        ours |= {first, *descendants(first)}
    # The program, the server, at T1 what began, at T2 bubblewrap outside and in.
    assert len(ours) >= {Tier.T0: 2, Tier.T1: 3, Tier.T2: 5, Tier.T3: 3}[tier]
    owner.kill()
    owner.wait()
    try:
        deadline = time.monotonic() + 10
        while living := [p for p in ours if _lives(p)]:
            assert time.monotonic() < deadline, living
            time.sleep(0.01)
    finally:
        os.kill(copies[0], signal.SIGKILL)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("call", "answer", "refused"),
    [("(272, 97)", "1", ["T1", "T2"]), ("(444, 444)", "38", ["T0", "T1", "T2"])],
    ids=["no user namespaces", "no Landlock"],
)
def test_a_machine_that_cannot_gives_a_clear_refusal(
    call: str, answer: str, refused: list[str]
) -> None:
    """A system-call filter stands in for such a machine."""
    script = f"""
        import platform
        from proofloop.core.errors import IsolationError
        from proofloop.core.verdict import Tier
        from proofloop.sandbox import kernel, open_sandbox, seccomp
        program = seccomp._Program(platform.machine())
        program.deny({call}, 0x00050000 | {answer})
        kernel.forbid_new_privileges()
        kernel.install_filter(program.finish())
        refused = []
        for tier in (Tier.T0, Tier.T1, Tier.T2):
            try:
                open_sandbox(tier).close()
            except IsolationError as e:
                words = ("EPERM", "ENOSYS", "bwrap", "bubblewrap")
                assert "\\n" not in str(e) and any(word in str(e) for word in words), e
                refused.append(tier.value)
        assert refused == {refused}, refused
        try:
            best = open_sandbox().tier
        except IsolationError:
            best = None
        assert best is (None if "T0" in refused else Tier.T0), best
        """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


def test_writable_files_are_not_on_offer(sandbox: ForkServerSandbox) -> None:
    with pytest.raises(IsolationError, match="file_bytes"):
        sandbox.run(Program(source="", calls=(), limits=Limits(file_bytes=1)))


def test_a_session_answers_call_by_call(sandbox: ForkServerSandbox) -> None:
    with sandbox.open_session(Limits()) as session:
        assert session.start("n = 0\ndef f(x):\n    global n\n    n += x\n    return n\n")
        for index in range(5):
            claim = session.call(index, Call(function="f", args=value.encode((2,))))
            assert claim is not None
            assert value.decode(claim.data) == 2 * (index + 1)
    assert session.ending is Ending.COMPLETED


def test_a_kill_that_comes_just_after_the_end_harms_nobody(sandbox: ForkServerSandbox) -> None:
    _server_pid(sandbox)
    before = _inside(sandbox)
    server = before[-1]
    with sandbox.open_session(Limits()) as session:
        (program,) = set(_inside(sandbox)) - set(before)
        os.kill(server, signal.SIGSTOP)
        os.kill(program, signal.SIGKILL)
        while Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
        sandbox._current().kill(session._child)
        os.kill(server, signal.SIGCONT)
    assert _inside(sandbox)[-1] == server
    assert sandbox.run(_HELLO).ending is Ending.COMPLETED


def test_two_sessions_live_side_by_side(sandbox: ForkServerSandbox) -> None:
    source = "import os\ndef f(x):\n    os._exit(0) if x else None\n"
    with sandbox.open_session(Limits()) as one, sandbox.open_session(Limits()) as two:
        assert one.start(source)
        assert two.start(source)
        assert one.call(0, Call(function="f", args=value.encode((1,)))) is None
        assert one.ending is Ending.EXITED
        assert two.call(0, Call(function="f", args=value.encode((0,)))) is not None


def test_no_descriptor_of_another_program_can_be_opened(sandbox: ForkServerSandbox) -> None:
    """Two programs live at once where tests are code; Landlock does not speak of pipes."""
    source = """
def f():
    import os
    opened = []
    for pid in range(max(2, os.getpid() - 100), os.getpid() + 20):
        for fd in range(16) if pid != os.getpid() else ():
            try:
                os.open(f"/proc/{pid}/fd/{fd}", os.O_RDONLY | os.O_NONBLOCK)
                opened.append([pid, fd])
            except OSError:
                continue
    return opened
"""
    call = Call(function="f", args=value.encode(()))
    with sandbox.open_session(Limits()) as other, sandbox.open_session(Limits()) as program:
        assert other.start("print('not for others')\n")
        assert program.start(source)
        claim = program.call(0, call)
        assert claim is not None
        assert value.decode(claim.data) == []
