"""What keys of function tests may declare, run for real on every tier."""

import pytest
from judging import verdict_of

from proofloop.core import value
from proofloop.core.sandbox import Claim, ClaimKind
from proofloop.core.task import (
    AnyOrder,
    CallTests,
    Close,
    Exact,
    Keeps,
    Returns,
    SameItems,
    TestCall,
)
from proofloop.core.verdict import ScoredCause, Unscored, UnscoredCause
from proofloop.verify import ProgramVerifier
from proofloop.verify.functions import compare


@pytest.mark.parametrize(
    "calls",
    [
        (TestCall(function="C", args=value.encode(()), wanted=Keeps(name="c")),),
        (TestCall(function="c.f", args=value.encode(()), wanted=Returns(value=value.encode(1))),),
    ],
    ids=["compares-nothing", "keeps-nothing"],
)
def test_a_key_that_cannot_judge_is_unscored(
    verifier: ProgramVerifier, calls: tuple[TestCall, ...]
) -> None:
    verdict = verdict_of(verifier, CallTests(calls=calls), "class C: f = lambda self: 1\nc = C()")
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.INVALID_KEY


def test_a_claim_far_longer_than_any_equal_value_is_not_decoded() -> None:
    wanted = Returns(value=value.encode([1]))
    many = Claim(kind=ClaimKind.RETURNED, data=value.encode([1] * 5000))
    broken = Claim(kind=ClaimKind.RETURNED, data=many.data + b"?")
    for comparison in (Exact(), Close(), AnyOrder()):
        problem = compare(wanted, broken, comparison)
        assert problem is not None
        assert problem[0] is ScoredCause.WRONG_ANSWER
    assert compare(wanted, many, SameItems()) is None
    problem = compare(wanted, broken, SameItems())
    assert problem is not None
    assert problem[0] is ScoredCause.INVALID_RESULT
