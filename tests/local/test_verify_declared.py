"""What keys of function tests may declare, run for real on every tier."""

import pytest
from judging import verdict_of

from proofloop.core import value
from proofloop.core.task import (
    CallTests,
    Keeps,
    Returns,
    TestCall,
)
from proofloop.core.verdict import Unscored, UnscoredCause
from proofloop.verify import ProgramVerifier


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
