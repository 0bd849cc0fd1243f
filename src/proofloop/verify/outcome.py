"""From what happened in a candidate's process to the cause on its verdict.

The one place where endings and claims are turned into causes; exhaustive over both.
"""

from typing import assert_never

from proofloop.core.sandbox import Claim, ClaimKind, Ending
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause


def scored(
    cause: ScoredCause, detail: str, tier: Tier, *, num_passed: int, num_planned: int
) -> Scored:
    """Reward 1 for PASSED, which needs every planned comparison made and passed; else 0."""
    passed = cause is ScoredCause.PASSED
    assert not passed or 0 < num_passed == num_planned
    return Scored(
        reward=1.0 if passed else 0.0,
        passed=passed,
        cause=cause,
        parts={"tests_passed": float(num_passed), "tests_planned": float(num_planned)},
        detail=detail,
        tier=tier,
    )


def judged(cause: ScoredCause, detail: str, tier: Tier) -> Scored:
    """Of tests that make one comparison."""
    num_passed = int(cause is ScoredCause.PASSED)
    return scored(cause, detail, tier, num_passed=num_passed, num_planned=1)


def unscored(cause: UnscoredCause, detail: str, tier: Tier) -> Unscored:
    return Unscored(cause=cause, detail=detail, tier=tier)


def cause_of_ending(ending: Ending, detail: str) -> ScoredCause:
    """For a process that ended before all planned comparisons were made."""
    match ending:
        case Ending.LOAD_FAILED:
            memory = detail == "MemoryError"
            return ScoredCause.MEMORY_LIMIT if memory else ScoredCause.INVALID_PROGRAM
        case Ending.TIME_LIMIT:
            return ScoredCause.TIME_LIMIT
        case Ending.MEMORY_LIMIT:
            return ScoredCause.MEMORY_LIMIT
        case Ending.OUTPUT_LIMIT:
            return ScoredCause.OUTPUT_LIMIT
        case Ending.COMPLETED | Ending.EXITED | Ending.SIGNALLED | Ending.PROTOCOL:
            return ScoredCause.CRASH
        case _:
            assert_never(ending)


def cause_of_claim(claim: Claim) -> ScoredCause:
    """For a claim that is no comparable value."""
    match claim.kind:
        case ClaimKind.RAISED:
            memory = claim.data == b"MemoryError"
            return ScoredCause.MEMORY_LIMIT if memory else ScoredCause.EXCEPTION
        case ClaimKind.UNDEFINED:
            return ScoredCause.NO_ANSWER
        case ClaimKind.UNENCODABLE | ClaimKind.RETURNED:
            return ScoredCause.INVALID_RESULT
        case _:
            assert_never(claim.kind)


def describe_claim(claim: Claim) -> str:
    match claim.kind:
        case ClaimKind.RAISED:
            return f"raised {exception_name(claim)}"
        case ClaimKind.UNDEFINED:
            return "the function is not defined"
        case ClaimKind.UNENCODABLE:
            return "returned something that is not a plain value, or too large"
        case ClaimKind.RETURNED:
            return "returned bytes that are not a plain value"
        case _:
            assert_never(claim.kind)


def exception_name(claim: Claim) -> str:
    """What the candidate's process says was raised, if it is a plausible name at all."""
    name = claim.data.decode("ascii", "replace")
    return name if name.isidentifier() and len(name) <= 60 else "Exception"
