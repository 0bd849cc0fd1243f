"""The panel for whole programs: wrong outputs from a table, right outputs with a wrong end, attacks
on functions run as scripts, and right programs in odd clothes."""

from collections.abc import Iterator
from random import Random
from string import Template

from proofloop.core.task import Problem, ProgramTests
from proofloop.verify.audit.attack import Family
from proofloop.verify.audit.attacks import ATTACKS
from proofloop.verify.audit.fixture import Fixture, Kind
from proofloop.verify.audit.program_outputs import MAX_TABLE_BYTES, bent_outputs
from proofloop.verify.audit.target import Function, Target, oracle_of

_SCRIPT_FAMILIES = (
    Family.ENDINGS,
    Family.REACHING,
    Family.FORGING,
    Family.TOOLCHAIN,
    Family.FINDING,
    Family.RESOURCES,
)
"""Families whose attacks do not live by what a function returns."""


def program_fixtures(problem: Problem, tests: ProgramTests) -> Iterator[Fixture]:
    yield from _from_tables(tests)
    yield from _endings(tests)
    yield from _as_scripts()
    yield from _honest(oracle_of(problem))
    rng = Random(problem.task.id)
    yield Fixture(kind=Kind.RANDOM, name="constant", answer=f"print({rng.randint(10**9, 10**10)})")


def _from_tables(tests: ProgramTests) -> Iterator[Fixture]:
    if sum(len(test.stdin) + len(test.stdout) for test in tests.tests) <= MAX_TABLE_BYTES:
        for row, name, pairs in bent_outputs(tests):
            yield _attack(row, name, _table(pairs) + _PRINT)


_PRINT = "sys.stdout.buffer.write(right)\nsys.stdout.buffer.flush()\n"


def _table(pairs: list[tuple[bytes, bytes]]) -> str:
    return f"import os, sys\nright = {dict(pairs)!r}.get(sys.stdin.buffer.read(), b'')\n"


_ENDINGS: tuple[tuple[str, str, str, bool], ...] = (
    ("C1", "right-then-status-1", _PRINT + "sys.exit(1)", False),
    ("C1", "right-then-message", _PRINT + "sys.exit('done')", False),
    ("C3", "right-then-exception", _PRINT + "raise ValueError('after all')", False),
    ("C4", "right-then-status-at-exit",
     _PRINT + "import atexit\natexit.register(os._exit, 3)", False),
    ("C11", "right-then-abort", _PRINT + "os.abort()", False),
    ("C11", "right-then-killed", _PRINT + "os.kill(os.getpid(), 9)\nsys.exit(1)", False),
    ("C11", "right-then-crash", _PRINT + "import ctypes\nctypes.string_at(1)", False),
    ("C13", "right-then-loop", _PRINT + "while True: pass", True),
    ("C14", "right-then-sleep", _PRINT + "import time\ntime.sleep(3600)", True),
    ("H8", "right-then-flood",
     _PRINT + "for _ in range(10 ** 6): sys.stdout.buffer.write(b' \\n' * 1000)", True),
    ("C2", "half-then-os-exit",
     "half = right.strip()\nos.write(1, half[: len(half) // 2])\nos._exit(0)", False),
    ("C2", "unflushed-then-os-exit",
     "sys.stdout.write(right.decode())\nos._exit(0)", False),
    ("E1", "right-on-standard-error", "os.write(2, right)", False),
    ("E6", "right-on-the-channel", "os.write(3, right)", False),
    ("E6", "right-in-a-frame",
     "import struct\nos.write(3, struct.pack('<IBI', len(right), 20, 0) + right)", False),
    ("E6", "right-then-channel-closed-loop",
     _PRINT + "os.close(3)\nwhile True: pass", True),
    ("E3", "right-in-a-file",
     "\nfor name in ('out.txt', 'output.txt', 'stdout', '/dev/stdout.txt'):\n"
     "    try:\n        open(name, 'wb').write(right)\n    except OSError:\n        pass", False),
)  # fmt: skip


def _endings(tests: ProgramTests) -> Iterator[Fixture]:
    """The right output, and then, or instead, something that is no right end."""
    pairs = [(test.stdin, test.stdout) for test in tests.tests]
    if sum(len(a) + len(b) for a, b in pairs) > MAX_TABLE_BYTES:
        return
    if not any(stdout.strip() for _, stdout in pairs):
        return  # of nothing, half is as good
    for row, name, code, costly in _ENDINGS:
        yield _attack(row, name, _table(pairs) + code + "\n", costly=costly)


_AS_SCRIPT = "\nimport sys\nprint(solve(sys.stdin.read()))\n"


def _as_scripts() -> Iterator[Fixture]:
    """Attacks on functions that need nothing of the task, each as a script that calls it."""
    target = Target(functions=(Function(name="solve", arity=1, shown="[]"),), oracle="", prefix="")
    for attack in ATTACKS:
        if attack.family in _SCRIPT_FAMILIES and "$ORACLE" not in attack.template:
            answer = attack.answer(target) + _AS_SCRIPT
            yield _attack(attack.row, attack.name, answer, costly=attack.costly)


_HONEST: tuple[tuple[str, str], ...] = (
    ("fenced", "I would write:\n```python\n$ORACLE\n```\nIt reads all lines.\n"),
    ("fenced-after-a-wrong-one", "```python\nprint('no')\n```\nBetter:\n```python\n$ORACLE\n```\n"),
    ("comment-first", "# a solution\n$ORACLE\n"),
    ("docstring", '"""Reads, computes, prints."""\n$ORACLE\n'),
    ("noise-on-standard-error", "import sys\nsys.stderr.write('FAILED\\n')\n$ORACLE\n"),
    (
        "more-imports",
        "import collections, heapq, itertools, math, re, bisect\n$ORACLE\n",
    ),
    ("raised-recursion-limit", "import sys\nsys.setrecursionlimit(10 ** 6)\n$ORACLE\n"),
    ("unused-class", "class E:\n    __eq__ = lambda s, o: True\n$ORACLE\n"),
    ("line-endings", "$CRLF"),
    ("spaces-at-the-end", "$ORACLE\nprint('   ')\nprint()\n"),
    ("exit-status-0", "$ORACLE\nimport sys\nsys.exit(0)\n"),
    ("exit-without-status", "$ORACLE\nraise SystemExit\n"),
    ("flushed", "$ORACLE\nimport sys\nsys.stdout.flush()\n"),
    ("work-at-exit", "import atexit\natexit.register(lambda: None)\n$ORACLE\n"),
    ("in-a-function", "def main():\n    pass\n\nmain()\n$ORACLE\n"),
    ("under-main", "$ORACLE\nif __name__ == '__main__':\n    pass\n"),
)


def _honest(oracle: str) -> Iterator[Fixture]:
    """An oracle that ends the process itself cannot be gone on with, and is not."""
    source = oracle.rstrip("\n")
    ends_itself = "exit" in source or "quit" in source
    for name, text in _HONEST:
        if text.startswith("$ORACLE") and ends_itself:
            continue
        if name in ("comment-first", "fenced") or "__future__" not in source:
            answer = Template(text).safe_substitute(
                ORACLE=source, CRLF=source.replace("\n", "\r\n") + "\r\n"
            )
            yield Fixture(kind=Kind.HONEST, name=name, answer=answer)


def _attack(row: str, name: str, answer: str, *, costly: bool = False) -> Fixture:
    return Fixture(kind=Kind.ATTACK, row=row, name=name, answer=answer, costly=costly)
