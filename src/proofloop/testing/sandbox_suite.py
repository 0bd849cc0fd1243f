"""What every sandbox must do, as a list of named checks for plug-ins to run.

    @pytest.mark.parametrize("check", sandbox_suite(), ids=lambda c: c.__name__)
    def test_my_sandbox(check): check(my_sandbox)

Each check raises AssertionError with what was seen.
"""

import contextlib
import importlib
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

from proofloop.core import value
from proofloop.core.sandbox import (
    Call,
    ClaimKind,
    Command,
    Ending,
    Execution,
    Limits,
    Policy,
    Program,
    Sandbox,
    Script,
    Workspace,
)

Check = Callable[[Sandbox], None]
_TIGHT = Limits(wall_s=1.0, cpu_s=1)
_TREE = Limits(wall_s=10.0, cpu_s=5, num_processes=8, file_bytes=1 << 20)
_ONE = (Call(function="f", args=value.encode((3,))),)


def sandbox_suite() -> tuple[Check, ...]:
    """All of it."""
    return (*program_suite(), *workspace_suite())


def program_suite() -> tuple[Check, ...]:
    """For a sandbox without workspaces, which refuses them with an IsolationError."""
    return (
        answers_every_call_in_order,
        reports_what_a_call_raised,
        keeps_output_as_data,
        says_when_a_source_does_not_load,
        says_when_a_function_is_missing,
        refuses_results_outside_the_grammar,
        ends_what_exits,
        ends_what_loops,
        ends_what_sleeps,
        ends_what_floods,
        survives_what_bombs_memory,
        keeps_nothing_between_programs,
        gives_each_program_the_same_randomness,
        finds_the_shared_libraries,
        names_its_tier,
        runs_a_script_on_its_input,
        says_how_a_script_ended,
    )


def workspace_suite() -> tuple[Check, ...]:
    return (
        keeps_files_from_command_to_command,
        leaves_a_base_as_it_was,
        says_how_a_command_ended,
        holds_commands_to_their_policy,
        shows_commands_nothing_else,
        leads_us_through_no_link,
        ends_what_a_command_leaves_behind,
        keeps_answers_from_what_comes_after,
        plants_decoys,
    )


def _run(sandbox: Sandbox, source: str, calls: tuple[Call, ...] = _ONE) -> Execution:
    return sandbox.run(Program(source=source, calls=calls, limits=_TIGHT))


def _result(execution: Execution) -> object:
    assert execution.ending is Ending.COMPLETED, execution
    assert execution.claims[0].kind is ClaimKind.RETURNED, execution
    return value.decode(execution.claims[0].data)


def answers_every_call_in_order(sandbox: Sandbox) -> None:
    calls = tuple(Call(function="f", args=value.encode((i, "é\ud800"))) for i in range(200))
    execution = _run(sandbox, "def f(x, y):\n    return [x, y]\n", calls)
    assert execution.ending is Ending.COMPLETED, execution
    results = [value.decode(claim.data) for claim in execution.claims]
    assert results == [[i, "é\ud800"] for i in range(200)]


def reports_what_a_call_raised(sandbox: Sandbox) -> None:
    execution = _run(sandbox, "def f(x):\n    return {}[x]\n", _ONE * 2)
    assert execution.ending is Ending.COMPLETED, execution
    assert [(c.kind, c.data) for c in execution.claims] == [(ClaimKind.RAISED, b"KeyError")] * 2


def keeps_output_as_data(sandbox: Sandbox) -> None:
    source = "import sys\ndef f(x):\n    print('out', end='')\n    print('err', file=sys.stderr)\n"
    execution = _run(sandbox, source)
    assert sorted(execution.output) == sorted(b"outerr\n"), execution


def says_when_a_source_does_not_load(sandbox: Sandbox) -> None:
    for source, name in (("def f(:", "SyntaxError"), ("1/0", "ZeroDivisionError")):
        execution = _run(sandbox, source)
        assert (execution.ending, execution.detail) == (Ending.LOAD_FAILED, name), execution
        assert not execution.claims


def says_when_a_function_is_missing(sandbox: Sandbox) -> None:
    assert _run(sandbox, "g = 1").claims[0].kind is ClaimKind.UNDEFINED


def refuses_results_outside_the_grammar(sandbox: Sandbox) -> None:
    for result in ("object()", "range(3)", "type('I', (int,), {})(3)", "'x' * 10 ** 6"):
        execution = _run(sandbox, f"def f(x):\n    return {result}\n")
        assert execution.claims[0].kind is ClaimKind.UNENCODABLE, (result, execution)


def ends_what_exits(sandbox: Sandbox) -> None:
    for leave in ("raise SystemExit(0)", "import os; os._exit(0)"):
        execution = _run(sandbox, f"def f(x):\n    {leave}\n")
        assert execution.ending is Ending.EXITED, execution
        assert not execution.claims


def ends_what_loops(sandbox: Sandbox) -> None:
    source = "def f(x):\n    if x: return x\n    while True: pass\n"
    loop = Call(function="f", args=value.encode((0,)))
    execution = _run(sandbox, source, (*_ONE, loop, *_ONE))
    assert execution.ending is Ending.TIME_LIMIT, execution
    assert len(execution.claims) == 1, execution


def ends_what_sleeps(sandbox: Sandbox) -> None:
    execution = _run(sandbox, "import time\ntime.sleep(100)\n")
    assert execution.ending is Ending.TIME_LIMIT, execution
    assert 0.9 < execution.wall_s < 10, execution


def ends_what_floods(sandbox: Sandbox) -> None:
    execution = _run(sandbox, "while True: print('y' * 1000)\n")
    assert execution.ending is Ending.OUTPUT_LIMIT, execution
    assert len(execution.output) == _TIGHT.output_bytes


def survives_what_bombs_memory(sandbox: Sandbox) -> None:
    execution = _run(sandbox, "def f(x):\n    return len(bytearray(10 ** 10))\n")
    raised = bool(execution.claims) and execution.claims[0].data == b"MemoryError"
    assert raised or execution.ending is Ending.MEMORY_LIMIT, execution


def keeps_nothing_between_programs(sandbox: Sandbox) -> None:
    _run(sandbox, "import builtins, math\nbuiltins.len = math.pi = 7\ndef f(x): return 1\n")
    execution = _run(sandbox, "import math\ndef f(x):\n    return [len('abc'), math.pi > 3.5]\n")
    assert _result(execution) == [3, False]


def gives_each_program_the_same_randomness(sandbox: Sandbox) -> None:
    source = "import random\ndef f(x):\n    return [random.random(), hash('a'), list({'a', 'b'})]\n"
    assert _result(_run(sandbox, source)) == _result(_run(sandbox, source))


def finds_the_shared_libraries(sandbox: Sandbox) -> None:
    """Extension modules of the standard library that need libraries of the system, where this
    interpreter has them."""
    present: list[str] = []
    for name in ("_sqlite3", "_ssl", "_lzma", "_bz2", "_ctypes", "_hashlib"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
            present.append(name)
    source = f"def f(x):\n    for name in {present!r}:\n        __import__(name)\n    return x\n"
    assert _result(_run(sandbox, source)) == 3


def names_its_tier(sandbox: Sandbox) -> None:
    assert _run(sandbox, "").tier is sandbox.tier


def runs_a_script_on_its_input(sandbox: Sandbox) -> None:
    stdin = b"x" * 300_000 + b"\nend"
    source = "import sys\nfor line in sys.stdin: print(len(line), file=sys.stdout)\n1 / len(line)"
    execution = sandbox.run_script(Script(source=source, stdin=stdin, limits=_TIGHT))
    assert (execution.ending, execution.exit_status) == (Ending.EXITED, 0), execution
    assert execution.output == b"300001\n3\n", execution


def says_how_a_script_ended(sandbox: Sandbox) -> None:
    for source, ending, status, num_claims in (
        ("print(1)", Ending.EXITED, 0, 0),
        ("raise SystemExit(3)", Ending.EXITED, 3, 0),
        ("print(1)\n{}[0]", Ending.EXITED, 1, 1),
        ("while True: pass", Ending.TIME_LIMIT, None, 0),
        ("while True: print(1)", Ending.OUTPUT_LIMIT, None, 0),
    ):
        execution = sandbox.run_script(Script(source=source, stdin=b"", limits=_TIGHT))
        assert (execution.ending, execution.exit_status) == (ending, status), execution
        assert len(execution.claims) == num_claims, execution


# --- workspaces ---


@contextlib.contextmanager
def _workspace(sandbox: Sandbox) -> Generator[tuple[Workspace, Path]]:
    """One over a base with `a.txt` and `tests/secret.txt`, and that base."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        (base / "tests").mkdir(parents=True)
        (base / "a.txt").write_text("as it was")
        (base / "tests" / "secret.txt").write_text("42")
        with contextlib.closing(sandbox.open_workspace(base)) as workspace:
            yield workspace, base


def _shell(workspace: Workspace, script: str, policy: Policy | None = None) -> Execution:
    policy = policy or Policy(limits=_TREE)
    return workspace.run(Command(argv=("sh", "-c", script), policy=policy))


def keeps_files_from_command_to_command(sandbox: Sandbox) -> None:
    with _workspace(sandbox) as (workspace, _):
        workspace.write("bin/greet", b"#!/bin/sh\necho hello $(cat name)\n", executable=True)
        assert _shell(workspace, "printf you > name").exit_status == 0
        assert _shell(workspace, "bin/greet").output == b"hello you\n"
        assert workspace.read("name", max_bytes=3) == b"you"
        assert workspace.read("name", max_bytes=2) is None
        entries = workspace.entries(max_entries=10)
        assert entries is not None
        assert [entry.path for entry in entries] == [
            "a.txt", "bin", "bin/greet", "name", "tests", "tests/secret.txt",
        ]  # fmt: skip
        assert workspace.entries(max_entries=5) is None


def leaves_a_base_as_it_was(sandbox: Sandbox) -> None:
    with _workspace(sandbox) as (workspace, base):
        script = "cat a.txt; echo new > a.txt; rm -r tests; mkdir tests; cat a.txt"
        assert _shell(workspace, script).output == b"as it wasnew\n"
        assert (base / "a.txt").read_text() == "as it was"
        assert (base / "tests" / "secret.txt").read_text() == "42"
        with contextlib.closing(sandbox.open_workspace(base)) as other:
            assert other.read("a.txt", max_bytes=100) == b"as it was"


def says_how_a_command_ended(sandbox: Sandbox) -> None:
    tight = Limits(wall_s=1.0, cpu_s=1, num_processes=4)
    flood = Limits(wall_s=20.0, cpu_s=10, num_processes=4)
    with _workspace(sandbox) as (workspace, _):
        for script, limits, ending, status in (
            ("echo out; echo err >&2; exit 3", _TREE, Ending.EXITED, 3),
            ("no-such-program", _TREE, Ending.EXITED, 127),
            ("kill -TERM $$", _TREE, Ending.SIGNALLED, None),
            ("sleep 60", tight, Ending.TIME_LIMIT, None),
            ("exec yes", flood, Ending.OUTPUT_LIMIT, None),
        ):
            execution = _shell(workspace, script, Policy(limits=limits))
            assert (execution.ending, execution.exit_status) == (ending, status), execution
        assert _shell(workspace, "echo out; echo err >&2").errors == b"err\n"
        argv = ("sh", "-c", "cat; echo report >&3")
        command = Command(
            argv=argv, policy=Policy(limits=_TREE), stdin=b"in", folder="tests", with_report=True
        )
        execution = workspace.run(command)
        assert (execution.output, execution.report) == (b"in", b"report\n"), execution
        assert execution.tier is sandbox.tier


def holds_commands_to_their_policy(sandbox: Sandbox) -> None:
    with _workspace(sandbox) as (workspace, _):
        hidden = Policy(limits=_TREE, hidden=("tests",))
        execution = _shell(workspace, "cat tests/secret.txt; cat a.txt", hidden)
        assert execution.output == b"as it was", execution
        assert _shell(workspace, "cat tests/secret.txt").output == b"42"
        held = Policy(limits=_TREE, write=("tests",))
        assert _shell(workspace, "echo x > tests/x", held).exit_status == 0
        for script in ("echo x > a.txt", "rm a.txt", "mv a.txt tests/a", "echo x > new"):
            assert _shell(workspace, script, held).exit_status != 0, script
        workspace.write("run", b"#!/bin/sh\necho ran\n", executable=True)
        assert _shell(workspace, "./run").output == b"ran\n"
        assert _shell(workspace, "./run", Policy(limits=_TREE, execute=False)).output == b""
        given = Policy(limits=_TREE, env=(("GIVEN", "1"),))
        assert _shell(workspace, "echo $GIVEN", given).output == b"1\n"


def shows_commands_nothing_else(sandbox: Sandbox) -> None:
    with _workspace(sandbox) as (workspace, base):
        for path in (base / "a.txt", Path(__file__), Path("/etc/shadow"), Path("/proc/1/environ")):
            execution = _shell(workspace, f"cat {path}")
            assert (execution.output, execution.exit_status) == (b"", 1), execution
        shown = Policy(limits=_TREE, read=(str(base),))
        script = f"cat {base}/a.txt; echo x > {base}/a.txt"
        execution = _shell(workspace, script, shown)
        assert execution.output == b"as it was", execution
        assert (base / "a.txt").read_text() == "as it was"


def leads_us_through_no_link(sandbox: Sandbox) -> None:
    with _workspace(sandbox) as (workspace, base):
        script = f"ln -s {base}/a.txt link; ln -s {base} folder; mkfifo pipe"
        assert _shell(workspace, script).exit_status == 0
        for path in ("link", "folder/a.txt", "pipe", "../a.txt", str(base / "a.txt")):
            assert workspace.read(path, max_bytes=100) is None, path
        for path in ("link", "folder/a.txt", "folder/new", "../new", str(base / "new")):
            try:
                workspace.write(path, b"ours")
            except OSError:
                continue
            raise AssertionError(f"{path} was written")
        assert (base / "a.txt").read_text() == "as it was"
        assert not (base / "new").exists()


def ends_what_a_command_leaves_behind(sandbox: Sandbox) -> None:
    with _workspace(sandbox) as (workspace, _):
        script = "setsid sh -c 'while :; do echo > alive; sleep 0.01; done' & sleep 0.2"
        assert _shell(workspace, script).exit_status == 0
        assert _shell(workspace, "rm alive").exit_status == 0
        time.sleep(0.1)
        assert workspace.read("alive", max_bytes=10) is None


def keeps_answers_from_what_comes_after(sandbox: Sandbox) -> None:
    leaves = "import os\nn = 0\ndef f(x):\n    global n\n    n += 1\n    if n > 3: os._exit(0)\n"
    for _ in range(5):
        program = Program(source=leaves, calls=_ONE * 3, after=_ONE * 2, limits=_TIGHT)
        execution = sandbox.run(program)
        assert (execution.ending, len(execution.claims)) == (Ending.EXITED, 3), execution
    program = Program(source="def f(x): return x", calls=_ONE, after=_ONE * 2, limits=_TIGHT)
    execution = sandbox.run(program)
    assert execution.ending is Ending.COMPLETED, execution
    assert [value.decode(claim.data) for claim in execution.claims] == [3, 3, 3]


def plants_decoys(sandbox: Sandbox) -> None:
    decoys = value.encode([741, "lure"])
    seen = "os.environ.get('EXPECTED_OUTPUTS'), 'hidden_tests' in sys.modules"
    find = f"import os, sys\nfound = [{seen}]"
    program = Program(source=f"{find}\ndef f(x): return found", calls=_ONE, limits=_TIGHT)
    assert _result(sandbox.run(program)) == [None, False]
    baited = Program(source=program.source, calls=_ONE, limits=_TIGHT, decoys=decoys)
    assert _result(sandbox.run(baited)) == ["[741, 'lure']", True]
    script = Script(source=f"{find}\nprint(found)", stdin=b"", limits=_TIGHT, decoys=decoys)
    assert b"741" in sandbox.run_script(script).output
