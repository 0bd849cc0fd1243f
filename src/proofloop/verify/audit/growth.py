"""Further tests for one function task: inputs that a right and a wrong program answer differently.

The wrong programs are ones that pass the task's own tests.  Inputs come from those tests, changed
(`inputs`); what is right is what the oracle returns for them.  An input on which the oracle raises,
runs long or returns one thing now and another then is dropped.  All programs run in the sandbox.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from proofloop.core import value
from proofloop.core.sandbox import Call, Claim, ClaimKind, Ending, Limits, Program, Sandbox

ORACLE_LIMITS = Limits(wall_s=10.0, cpu_s=1)
"""Of a batch: one input on which the oracle takes longer is no test for many rollouts."""
WRONG_LIMITS = Limits(wall_s=10.0, cpu_s=2)
BATCH = 25
MAX_ENDED = 8
"""Inputs on which the oracle runs long or ends its process, before the rest are dropped."""
MAX_TESTS = 24
"""Added to one task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTest:
    args: tuple[Any, ...]
    wanted: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    tests: tuple[NewTest, ...]
    """As few as it takes, greedily chosen, at most `MAX_TESTS`."""
    told_apart: frozenset[int]
    """Places of the wrong programs that some input tells from the oracle."""


def grow_tests(
    sandbox: Sandbox,
    function: str,
    oracle: str,
    wrong: Sequence[str],
    inputs: Sequence[tuple[Any, ...]],
    tolerance: float,
    takes: Callable[[NewTest], bool],
) -> Growth:
    """Raises SandboxLost."""
    tests = [
        test for test in answered(sandbox, function, oracle, inputs) if takes(test) and _small(test)
    ]
    tests.sort(key=lambda test: len(value.encode(test.args)))
    calls = [_call(function, test.args) for test in tests]
    kills: list[set[int]] = [set() for _ in tests]
    for place, source in enumerate(wrong):
        for at in _differences(sandbox, source, calls, tests, tolerance):
            kills[at].add(place)
    return Growth(
        tests=tuple(tests[at] for at in _cover(kills)), told_apart=frozenset[int]().union(*kills)
    )


def answered(
    sandbox: Sandbox, function: str, oracle: str, inputs: Sequence[tuple[Any, ...]]
) -> list[NewTest]:
    """What the oracle returns, where it returns the same in two processes, in two orders."""
    there = _results(sandbox, function, oracle, inputs)
    back = _results(sandbox, function, oracle, inputs[::-1])[::-1]
    found: list[NewTest] = []
    for args, first, second in zip(inputs, there, back, strict=True):
        if first is not None and first == second:
            try:
                found.append(NewTest(args=args, wanted=value.decode(first)))
            except value.DecodeError:
                continue
    return found


def _results(
    sandbox: Sandbox, function: str, source: str, inputs: Sequence[tuple[Any, ...]]
) -> list[bytes | None]:
    """Claimed values, None where there is none: it raised, or ended the process."""
    calls = [_call(function, args) for args in inputs]
    claims = _claims(sandbox, source, calls, ORACLE_LIMITS, MAX_ENDED)
    found = [c.data if c and c.kind is ClaimKind.RETURNED else None for c in claims]
    return found + [None] * (len(inputs) - len(found))


def _claims(
    sandbox: Sandbox, source: str, calls: Sequence[Call], limits: Limits, max_ended: int
) -> list[Claim | None]:
    """One for each call, None where the call ended its process; short, where `max_ended` did.

    Of a process that ends, claims made just before may be lost: so the call that seems to have
    ended it is made once more, alone."""
    found: list[Claim | None] = []
    num_ended = 0
    while len(found) < len(calls) and num_ended < max_ended:
        batch = tuple(calls[len(found) : len(found) + BATCH])
        execution = sandbox.run(Program(source=source, calls=batch, limits=limits))
        found += execution.claims
        if execution.ending is not Ending.COMPLETED:
            suspect = (calls[len(found)],) if len(found) < len(calls) else ()
            alone = sandbox.run(Program(source=source, calls=suspect, limits=limits))
            found += alone.claims or (None,)
            num_ended += not alone.claims
    return found[: len(calls)]


def _differences(
    sandbox: Sandbox,
    source: str,
    calls: Sequence[Call],
    tests: Sequence[NewTest],
    tolerance: float,
) -> list[int]:
    """Places at which the program does not do as the oracle did; none are looked for behind one
    that ended its process."""
    claims = _claims(sandbox, source, calls, WRONG_LIMITS, 1)
    return [
        at
        for at, (claim, test) in enumerate(zip(claims, tests, strict=False))
        if not (claim and claim.kind is ClaimKind.RETURNED and _agrees(claim.data, test, tolerance))
    ]


def _agrees(claimed: bytes, test: NewTest, tolerance: float) -> bool:
    try:
        return same(test.wanted, value.decode(claimed), tolerance)
    except value.DecodeError:
        return False


def same(wanted: Any, got: Any, tolerance: float) -> bool:
    """As tests in Python have it: `==`, and floats may be off a little.  Both are plain values."""
    if isinstance(wanted, list | tuple) and type(got) is type(wanted):
        return len(wanted) == len(got) and all(
            same(w, g, tolerance) for w, g in zip(wanted, got, strict=True)
        )
    if type(wanted) is float and type(got) in (float, int):
        try:
            return math.isclose(wanted, got, rel_tol=1e-7, abs_tol=tolerance)
        except OverflowError:
            return False
    return bool(wanted == got)


def _cover(kills: Sequence[set[int]]) -> list[int]:
    """Places of a few that together kill all that can be killed, earlier ones first."""
    left = set[int]().union(*kills)
    chosen: list[int] = []
    while left and len(chosen) < MAX_TESTS:
        best = max(range(len(kills)), key=lambda at: len(kills[at] & left))
        chosen.append(best)
        left -= kills[best]
    return sorted(chosen)


def _call(function: str, args: tuple[Any, ...]) -> Call:
    return Call(function=function, args=value.encode(args))


def _small(test: NewTest) -> bool:
    return len(value.encode(test.wanted)) <= 4096
