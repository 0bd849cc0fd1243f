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
from proofloop.core.task import CallTests, Comparison, Keeps, Raises, Returns, TestCall
from proofloop.core.verdict import Scored, ScoredCause, UnscoredCause, Verdict
from proofloop.verify.comparison import agree
from proofloop.verify.extract import assemble
from proofloop.verify.outcome import (
    cause_of_claim,
    cause_of_ending,
    describe_claim,
    exception_name,
    scored,
    unscored,
)


def verify_calls(
    sandbox: Sandbox, tests: CallTests, answer: str, prefix: str, limits: Limits
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
    calls = _calls(tests)
    batches = [(call,) for call in calls] if tests.process_per_call else [calls]
    executions: list[Execution] = []
    for batch in batches:
        executions.append(sandbox.run(Program(source=source, calls=batch, limits=limits)))
        if executions[-1].ending is not Ending.COMPLETED:
            break
    return judge(tests, _joined(executions))


@lru_cache(maxsize=256)  # see `problem_of_key`
def _calls(tests: CallTests) -> tuple[Call, ...]:
    return tuple(_call(test) for test in tests.calls)


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


def judge(tests: CallTests, execution: Execution) -> Scored:
    """Hold each claim against what is wanted at its place.  Pure."""
    planned = len(tests.calls)
    num_passed = 0
    failure: tuple[ScoredCause, str] | None = None
    for index, (test, claim) in enumerate(zip(tests.calls, execution.claims, strict=False), 1):
        problem = compare(test.wanted, claim, tests.comparison)
        if problem is None:
            num_passed += 1
        elif failure is None:
            failure = problem[0], f"test {index} of {planned}: {problem[1]}"
    if execution.ending is not Ending.COMPLETED or len(execution.claims) != planned:
        failure = (
            cause_of_ending(execution.ending, execution.detail),
            f"{execution.ending} after {len(execution.claims)} of {planned} tests: "
            f"{execution.detail}",
        )
    cause, detail = failure or (ScoredCause.PASSED, f"{planned} of {planned} tests")
    return scored(cause, detail, execution.tier, num_passed=num_passed, num_planned=planned)


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


def _compare_value(
    expected: bytes, claim: Claim, comparison: Comparison
) -> tuple[ScoredCause, str] | None:
    if claim.kind is not ClaimKind.RETURNED:
        return cause_of_claim(claim), describe_claim(claim)
    if claim.data == expected:  # the same bytes decode to the same value
        return None
    try:
        claimed = value.decode(claim.data)
    except value.DecodeError:
        return cause_of_claim(claim), describe_claim(claim)
    wanted = value.decode(expected)
    if agree(wanted, claimed, comparison):
        return None
    if type(wanted) is not type(claimed):
        return ScoredCause.WRONG_ANSWER, f"wrong type, {type(claimed).__name__}"
    return ScoredCause.WRONG_ANSWER, "wrong value"
