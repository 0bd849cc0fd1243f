"""Call-style tests: each planned call is made in the candidate's process, each claimed result is
decoded and compared here.

A pass exists only after exactly as many equal comparisons as the key plans.  Exit status, output
and exceptions are data; the candidate's process never holds an expected value.
"""

from functools import lru_cache

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
from proofloop.core.task import CallTests
from proofloop.core.verdict import Scored, ScoredCause, UnscoredCause, Verdict
from proofloop.verify.extract import assemble
from proofloop.verify.outcome import (
    cause_of_claim,
    cause_of_ending,
    describe_claim,
    scored,
    unscored,
)


def verify_calls(
    sandbox: Sandbox, tests: CallTests, answer: str, prefix: str, limits: Limits
) -> Verdict:
    """Raises SandboxLost when our side broke."""
    planned = len(tests.calls)
    if not planned:
        return unscored(UnscoredCause.INVALID_KEY, "the key plans no tests", sandbox.tier)
    try:
        _check_key(tests)
    except value.DecodeError as e:
        return unscored(UnscoredCause.INVALID_KEY, f"the key does not decode: {e}", sandbox.tier)
    source = assemble(answer, prefix, {test.function for test in tests.calls})
    if source is None:
        return scored(
            ScoredCause.NO_ANSWER, "empty answer", sandbox.tier, num_passed=0, num_planned=planned
        )
    calls = tuple(Call(function=test.function, args=test.args) for test in tests.calls)
    expected = tuple(test.expected for test in tests.calls)
    return judge(expected, sandbox.run(Program(source=source, calls=calls, limits=limits)))


@lru_cache(maxsize=256)  # a key is asked for once per rollout of its group
def _check_key(tests: CallTests) -> None:
    """Raises DecodeError."""
    for test in tests.calls:
        value.decode(test.expected)
        if type(value.decode(test.args)) is not tuple:
            raise value.DecodeError("arguments that are not a tuple")


def judge(expected: tuple[bytes, ...], execution: Execution) -> Scored:
    """Compare each claim with the value at its place.  Pure."""
    planned = len(expected)
    num_passed = 0
    failure: tuple[ScoredCause, str] | None = None
    for index, (wanted, claim) in enumerate(zip(expected, execution.claims, strict=False), 1):
        problem = compare(wanted, claim)
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


def compare(expected: bytes, claim: Claim) -> tuple[ScoredCause, str] | None:
    """None where the claim is exactly what is expected (valid `core.value` bytes); else why not,
    without saying what was expected."""
    if claim.kind is not ClaimKind.RETURNED:
        return cause_of_claim(claim), describe_claim(claim)
    if claim.data == expected:  # the same bytes decode to the same value
        return None
    try:
        claimed = value.decode(claim.data)
    except value.DecodeError:
        return cause_of_claim(claim), describe_claim(claim)
    wanted = value.decode(expected)
    if value.strictly_equal(wanted, claimed):
        return None
    if type(wanted) is not type(claimed):
        return ScoredCause.WRONG_ANSWER, f"wrong type, {type(claimed).__name__}"
    return ScoredCause.WRONG_ANSWER, "wrong value"
