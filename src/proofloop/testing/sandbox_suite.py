"""What every sandbox must do, as a list of named checks for plug-ins to run.

    @pytest.mark.parametrize("check", sandbox_suite(), ids=lambda c: c.__name__)
    def test_my_sandbox(check): check(my_sandbox)

Each check raises AssertionError with what was seen.
"""

import contextlib
import importlib
from collections.abc import Callable

from proofloop.core import value
from proofloop.core.sandbox import (
    Call,
    ClaimKind,
    Ending,
    Execution,
    Limits,
    Program,
    Sandbox,
    Script,
)

Check = Callable[[Sandbox], None]
_TIGHT = Limits(wall_s=1.0, cpu_s=1)
_ONE = (Call(function="f", args=value.encode((3,))),)


def sandbox_suite() -> tuple[Check, ...]:
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
