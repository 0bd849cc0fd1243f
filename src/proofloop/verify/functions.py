"""Call-style tests: each planned call is made in the candidate's process, each claimed result is
decoded and compared here.

A pass exists only after exactly as many equal comparisons as the key plans.  Exit status, output
and exceptions are data; the candidate's process never holds an expected value.
"""

from functools import lru_cache
from typing import assert_never

import msgspec

from proofloop.core import value
from proofloop.core.sandbox import (
    Call,
    Claim,
    ClaimKind,
    Ending,
    Execution,
    Limits,
    Program,
    Sandbox,
)
from proofloop.core.task import (
    CallTests,
    Comparison,
    Keeps,
    Raises,
    Returns,
    SameItems,
    TestCall,
)
from proofloop.core.verdict import Scored, ScoredCause, UnscoredCause, Verdict
from proofloop.verify.comparison import agree
from proofloop.verify.extract import assemble
from proofloop.verify.outcome import (
    DECOY_DETAIL,
    cause_of_claim,
    cause_of_ending,
    describe_claim,
    exception_name,
    scored,
    unscored,
)
from proofloop.verify.tripwires import holds_decoy

_RETURNED = ClaimKind.RETURNED
_MOST_KEPT_BYTES = 4096


def verify_calls(
    sandbox: Sandbox,
    tests: CallTests,
    answer: str,
    prefix: str,
    limits: Limits,
    decoys: bytes = b"",
) -> Verdict:
    """Raises SandboxLost when our side broke."""
    if problem := problem_of_key(tests):
        return unscored(UnscoredCause.INVALID_KEY, problem, sandbox.tier)
    source = assemble(answer, prefix, defined_names(tests))
    if source is None:
        num_planned = len(tests.calls)
        return scored(
            ScoredCause.NO_ANSWER,
            "empty answer",
            sandbox.tier,
            num_passed=0,
            num_planned=num_planned,
        )
    return judge(tests, executed(sandbox, tests, source, limits, decoys), decoys)


def executed(
    sandbox: Sandbox, tests: CallTests, source: str, limits: Limits, decoys: bytes = b""
) -> Execution:
    """All calls made, as one execution, whatever number of processes they took.  Raises SandboxLost
    when our side broke."""
    calls, shown = _calls(tests.calls), _calls(tests.shown)
    batches = [(call,) for call in calls] if tests.process_per_call else [calls]
    executions: list[Execution] = []
    for number, batch in enumerate(batches, 1):
        # In the last process, once the hidden tests are through: it costs its calls alone.
        after = shown if number == len(batches) else ()
        program = Program(source=source, calls=batch, limits=limits, decoys=decoys, after=after)
        executions.append(sandbox.run(program))
        if executions[-1].ending is not Ending.COMPLETED:
            break
    return _joined(executions)


@lru_cache(maxsize=256)  # see `problem_of_key`
def _calls(tests: tuple[TestCall, ...]) -> tuple[Call, ...]:
    return tuple(_call(test) for test in tests)


def _call(test: TestCall) -> Call:
    keep_as = test.wanted.name if isinstance(test.wanted, Keeps) else ""
    return Call(function=test.function, args=test.args, keep_as=keep_as)


def _joined(executions: list[Execution]) -> Execution:
    """One after the other as one: all claims, the last ending."""
    if len(executions) == 1:
        return executions[0]
    return msgspec.structs.replace(
        executions[-1], claims=tuple(claim for e in executions for claim in e.claims)
    )


def defined_names(tests: CallTests) -> set[str]:
    """What a whole program must define: functions and classes, not the methods of what is kept."""
    return {test.function for test in tests.calls if "." not in test.function}


@lru_cache(maxsize=256)  # a key is asked for once per rollout of its group
def problem_of_key(tests: CallTests) -> str | None:
    """Why the key cannot judge anything, if so."""
    if not any(isinstance(test.wanted, Returns | Raises) for test in tests.calls):
        return "the key plans no tests"
    kept: set[str] = set()
    for test in tests.calls:
        owner, _, method = test.function.partition(".")
        if method and (owner not in kept or tests.process_per_call):
            return f"{test.function} needs {owner!r} to be kept by an earlier call"
        try:
            if type(value.decode(test.args)) is not tuple:
                return "arguments that are not a tuple"
            if isinstance(test.wanted, Returns):
                value.decode(test.wanted.value)
        except value.DecodeError as e:
            return f"the key does not decode: {e}"
        if isinstance(test.wanted, Keeps):
            kept.add(test.wanted.name)
    return None


def judge(tests: CallTests, execution: Execution, decoys: bytes = b"") -> Scored:
    """Hold each claim against what is wanted at its place.  Pure."""
    planned = len(tests.calls)
    claims, shown = execution.claims[:planned], execution.claims[planned:]
    num_passed = 0
    failure: tuple[ScoredCause, str] | None = None
    wrong: list[bytes] = []
    for index, (test, claim) in enumerate(zip(tests.calls, claims, strict=False), 1):
        wanted = test.wanted
        if type(wanted) is Returns and claim.kind is _RETURNED and claim.data == wanted.value:
            num_passed += 1  # most claims, and at once: the same bytes decode to the same value
            continue
        problem = compare(wanted, claim, tests.comparison)
        if problem is None:
            num_passed += 1
            continue
        wrong.append(claim.data)
        if failure is None:
            failure = problem[0], f"test {index} of {planned}: {problem[1]}"
    if len(claims) < planned or execution.ending not in _fair_endings(tests):
        failure = (
            cause_of_ending(execution.ending, execution.detail),
            f"{execution.ending} after {len(claims)} of {planned} tests: {execution.detail}",
        )
    if holds_decoy(decoys, wrong):
        failure = ScoredCause.DECOY, DECOY_DETAIL
    cause, detail = failure or (ScoredCause.PASSED, f"{planned} of {planned} tests")
    verdict = scored(cause, detail, execution.tier, num_passed=num_passed, num_planned=planned)
    if not tests.shown:
        return verdict
    return msgspec.structs.replace(verdict, parts=verdict.parts | _shown_parts(tests, shown))


def _fair_endings(tests: CallTests) -> tuple[Ending, ...]:
    """How a process may end that answered all hidden tests.  What a shown one does to it is no
    matter; output is counted over all of it."""
    if not tests.shown:
        return (Ending.COMPLETED,)
    return tuple(ending for ending in Ending if ending is not Ending.OUTPUT_LIMIT)


def _shown_parts(tests: CallTests, claims: tuple[Claim, ...]) -> dict[str, float]:
    """Tests that the hidden ones left no process for count as failed."""
    problems = [
        compare(test.wanted, claim, tests.comparison)
        for test, claim in zip(tests.shown, claims, strict=False)
    ]
    return {
        "shown_passed": float(problems.count(None)),
        "shown_planned": float(len(tests.shown)),
    }


def compare(
    wanted: Returns | Raises | Keeps, claim: Claim, comparison: Comparison
) -> tuple[ScoredCause, str] | None:
    """None where the claim is what is wanted (whose value decodes); else why not, without saying
    what was wanted."""
    match wanted:
        case Raises(exception=exception):
            if claim.kind is ClaimKind.RAISED and exception_name(claim) == exception:
                return None
            if claim.kind is ClaimKind.RETURNED:
                return ScoredCause.WRONG_ANSWER, "raised nothing"
            return cause_of_claim(claim), describe_claim(claim)
        case Keeps():
            if claim.kind is ClaimKind.RETURNED:
                return None
            return cause_of_claim(claim), describe_claim(claim)
        case Returns(value=expected):
            return _compare_value(expected, claim, comparison)
        case _:
            assert_never(wanted)


@lru_cache(maxsize=1024)  # for every wrong answer to one question; read, never changed
def _decoded_once(expected: bytes) -> object:
    return value.decode(expected)


def _decoded(expected: bytes) -> object:
    return _decoded_once(expected) if len(expected) <= _MOST_KEPT_BYTES else value.decode(expected)


def _is_far_longer(claimed: bytes, expected: bytes, comparison: Comparison) -> bool:
    """Equal values have encodings of about one length, but for repeated items; so a flood of large
    wrong ones is not worth decoding."""
    most = 4 * len(expected) + 4096
    return len(claimed) > most and not isinstance(comparison, SameItems)


def _compare_value(
    expected: bytes, claim: Claim, comparison: Comparison
) -> tuple[ScoredCause, str] | None:
    if claim.kind is not ClaimKind.RETURNED:
        return cause_of_claim(claim), describe_claim(claim)
    if claim.data == expected:  # the same bytes decode to the same value
        return None
    if _is_far_longer(claim.data, expected, comparison):
        return ScoredCause.WRONG_ANSWER, "a value far longer than any that will do"
    try:
        claimed = value.decode(claim.data)
    except value.DecodeError:
        return cause_of_claim(claim), describe_claim(claim)
    wanted = _decoded(expected)
    if agree(wanted, claimed, comparison):
        return None
    if type(wanted) is not type(claimed):
        return ScoredCause.WRONG_ANSWER, f"wrong type, {type(claimed).__name__}"
    return ScoredCause.WRONG_ANSWER, "wrong value"
