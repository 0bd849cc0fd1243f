"""Programs that are told to leave once they have answered, and what they may do about it."""

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proofloop.core import value
from proofloop.core.sandbox import Call, Ending, Execution, Limits, Program
from proofloop.sandbox import ForkServerSandbox, open_sandbox, probe
from proofloop.sandbox.session import Session

_AVAILABLE = [report.tier for report in probe() if report.available and report.tier.rank < 2]
_SRC = Path(__file__).parents[2] / "src"


@pytest.fixture(params=_AVAILABLE, scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[ForkServerSandbox]:
    with open_sandbox(request.param) as opened:
        yield opened


def _run(sandbox: ForkServerSandbox, source: str, *args: object, **limits: int) -> Execution:
    """`f` of each of `args` in turn."""
    calls = tuple(Call(function="f", args=value.encode((arg,))) for arg in args)
    source = textwrap.dedent(source)
    return sandbox.run(Program(source=source, calls=calls, limits=Limits(**limits)))


def test_what_answered_all_is_complete_however_it_ends(sandbox: ForkServerSandbox) -> None:
    source = """
        import os
        leave = os._exit
        os._exit = lambda status: leave(7)
        def f(x):
            return x
    """
    execution = _run(sandbox, source, 1, 2, 3)
    assert execution.ending is Ending.COMPLETED
    assert [value.decode(claim.data) for claim in execution.claims] == [1, 2, 3]


def test_what_will_not_leave_is_ended(sandbox: ForkServerSandbox) -> None:
    source = "import os\nos._exit = lambda status: None\ndef f(x):\n    return x\n"
    start = time.monotonic()
    execution = _run(sandbox, source, 1, 2, 3)
    assert time.monotonic() - start < 5
    assert execution.ending is Ending.COMPLETED
    assert len(execution.claims) == 3


def test_claims_made_before_an_early_end_are_kept(sandbox: ForkServerSandbox) -> None:
    source = "import os\ndef f(x):\n    return x if x < 3 else os._exit(0)\n"
    execution = _run(sandbox, source, 1, 2, 3, 4)
    assert execution.ending is Ending.EXITED
    assert execution.exit_status == 0
    assert [value.decode(claim.data) for claim in execution.claims] == [1, 2]


def test_claims_made_before_a_silence_are_kept(sandbox: ForkServerSandbox) -> None:
    source = "def f(x):\n    while x == 3:\n        pass\n    return x\n"
    execution = _run(sandbox, source, 1, 2, 3, 4, cpu_s=1)
    assert execution.ending is Ending.TIME_LIMIT
    assert len(execution.claims) == 2


def test_more_than_the_channel_holds_comes_through(sandbox: ForkServerSandbox) -> None:
    execution = _run(sandbox, "def f(x):\n    return str(x) * 50_000\n", *range(10))
    assert execution.ending is Ending.COMPLETED
    told = [value.decode(claim.data) for claim in execution.claims]
    assert told == [str(x) * 50_000 for x in range(10)]


def test_arguments_arrive_as_they_are(sandbox: ForkServerSandbox) -> None:
    args = [
        None, True, -1, 2**200, -0.0, 1.5, complex(0.0, -0.0), "", "ä\ud800\0", b"\xff\0",
        [], (1, [2, (3,)]), {1, 2}, frozenset({"a", (1,)}), {"b": 1, "a": {2: None}}, [[0]] * 3,
    ]  # fmt: skip
    execution = _run(sandbox, "def f(x):\n    return x\n", *args)
    assert execution.ending is Ending.COMPLETED
    told = [value.decode(claim.data) for claim in execution.claims]
    for sent, back in zip(args, told, strict=True):
        assert value.strictly_equal(sent, back)


def test_equal_arguments_are_not_one_object(sandbox: ForkServerSandbox) -> None:
    twice: list[int] = []
    source = "def f(x):\n    x[0].append(1)\n    return x\n"
    execution = _run(sandbox, source, [twice, twice], [twice, twice])
    assert [value.decode(claim.data) for claim in execution.claims] == [[[1], []]] * 2


def test_memory_is_laid_out_anew_and_the_interpreter_goes_on() -> None:
    """Code stands where it stood, no longer in files; growing and forking still work."""
    script = textwrap.dedent("""
        import os, sys
        sys.path.insert(0, sys.argv[1])
        from proofloop.sandbox import kernel, pages
        kept = [str(n) for n in range(50_000)]
        before = {span.start: span for span in pages._spans()}
        pages.hold_together()
        after = pages._spans()
        more = [str(n) for n in range(400_000)]
        import decimal, json, re
        assert json.loads(json.dumps(kept)) == kept and more[:50_000] == kept
        child = os.fork()
        if not child:
            os._exit(7 if [s + "" for s in more] == more else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        held = [s for s in after if s.access == "r-x" and not s.path and s.start in before]
        print(kernel.MACHINE, sorted({before[s.start].name.split(".")[0] for s in held}))
    """)
    done = subprocess.run(
        [sys.executable, "-c", script, str(_SRC)],
        capture_output=True, text=True, timeout=60, env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    machine, *names = done.stdout.split(maxsplit=1)
    assert machine != "x86_64" or "'libc'" in names[0], done.stdout


def test_a_flood_that_waits_beside_the_word_of_being_confined_is_a_flood(
    sandbox: ForkServerSandbox,
) -> None:
    """Both are there when we first listen: the output is no reason to doubt the confinement."""
    source = "import os\nwhile True:\n    os.write(2, b'y' * 65536)\n"
    with Session(sandbox._current(), Limits(output_bytes=1000)) as session:
        session.load(source)
        session._send()
        time.sleep(0.3)
        assert session.await_loaded() is False
    assert session.ending is Ending.OUTPUT_LIMIT
