"""What keys of function tests may declare, run for real on every tier."""

from collections.abc import Iterator

import pytest

from proofloop.core import value
from proofloop.core.sandbox import Claim, ClaimKind, Limits
from proofloop.core.task import (
    AnswerKey,
    AnyOrder,
    CallTests,
    Close,
    Exact,
    Keeps,
    Returns,
    SameItems,
    Split,
    Stratum,
    Task,
    TaskId,
    TestCall,
)
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause, Verdict
from proofloop.sandbox import probe
from proofloop.verify import ProgramVerifier, build_verifier
from proofloop.verify.declared_cards import CARDS, Card
from proofloop.verify.functions import compare

_REPORTS = {report.tier: report for report in probe()}
_TASK = Task(
    id=TaskId("card@0"),
    env="cards",
    split=Split.HELDOUT,
    stratum=Stratum(family="card", complexity=0, horizon=1),
    messages=(),
)


@pytest.fixture(params=list(Tier), scope="module")
def verifier(request: pytest.FixtureRequest) -> Iterator[ProgramVerifier]:
    report = _REPORTS[request.param]
    if not report.available:
        pytest.skip(f"{report.tier}: {report.reason}")
    with build_verifier(request.param, Limits(wall_s=1.5, cpu_s=1)) as built:
        yield built


def verdict_of(verifier: ProgramVerifier, tests: CallTests, answer: str) -> Verdict:
    return verifier.verify(_TASK, AnswerKey(task_id=_TASK.id, tests=tests), answer)


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_card(verifier: ProgramVerifier, card: Card) -> None:
    for answer in card.accepted:
        verdict = verdict_of(verifier, card.tests, answer)
        assert isinstance(verdict, Scored)
        assert verdict.passed, (answer, verdict)
        assert verdict.parts["tests_passed"] == len(card.tests.calls)
    blank = ("", ScoredCause.NO_ANSWER)
    for answer, cause in (*card.rejected, blank):
        verdict = verdict_of(verifier, card.tests, answer)
        assert isinstance(verdict, Scored)
        assert (verdict.passed, verdict.reward) == (False, 0.0), answer
        assert verdict.cause is cause, (answer, verdict)


def test_one_card_s_answer_does_not_pass_another(verifier: ProgramVerifier) -> None:
    for card in CARDS:
        for other in CARDS:
            if other is not card:
                verdict = verdict_of(verifier, card.tests, other.accepted[0])
                assert isinstance(verdict, Scored)
                assert not verdict.passed, (card.name, other.name)


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
