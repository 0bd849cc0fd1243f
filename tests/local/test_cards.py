"""The conformance suite of verifiers: every card of every kind of check, on every tier."""

import shutil
from collections.abc import Iterator
from typing import get_args

import pytest
from judging import score_of

from proofloop.core.task import (
    ChoiceAnswer,
    Composite,
    JsonAnswer,
    SqlQuery,
    SqlState,
    Tests,
    TextAnswer,
)
from proofloop.core.verdict import ScoredCause
from proofloop.verify import ProgramVerifier
from proofloop.verify.cards import CARDS, Card, Case
from proofloop.verify.cards.math_answers import CANARIES

STRUCTURED = (TextAnswer, ChoiceAnswer, JsonAnswer, SqlQuery, SqlState, Composite)
ALL_PAIRS_UP_TO = 10
"""Cards of one kind whose gold answers are all tried on each other; of more cards, one on one."""


def cases_of(card: Card) -> Iterator[Case]:
    passed, failed = (
        (ScoredCause.PASSED,),
        tuple(c for c in ScoredCause if c is not ScoredCause.PASSED),
    )
    yield Case(name="gold", answer=card.gold, causes=passed, why="the gold answer passes")
    for name, blank in (("blank", ""), ("spaces", " \n\t\n")):
        yield Case(name=name, answer=blank, causes=failed, why="nothing earns nothing")
    yield Case(name="shuffled", answer=card.shuffled, causes=failed, why="the order matters")
    yield from (*card.accepted, *card.rejected, *card.adversarial)


@pytest.mark.parametrize(
    ("card", "case"),
    [
        pytest.param(card, case, id=f"{card.name}: {case.name}")
        for card in CARDS
        for case in cases_of(card)
    ],
)
def test_case(verifier: ProgramVerifier, card: Card, case: Case) -> None:
    require(card)
    verdict = score_of(verifier, card.tests, case.answer, card.prefix)
    assert verdict.cause in case.causes, (case.why, case.answer, verdict)
    assert verdict.passed == (verdict.cause is ScoredCause.PASSED)
    assert verdict.reward == (1.0 if verdict.passed else case.reward)
    assert verdict.tier is verifier.tier
    if "tests_planned" in verdict.parts:
        all_passed = verdict.parts["tests_passed"] == verdict.parts["tests_planned"]
        assert all_passed == verdict.passed


def require(card: Card) -> None:
    """Skips where the machine lacks what the card needs."""
    for program in card.programs:
        if shutil.which(program) is None:
            pytest.skip(f"no {program} on this machine")


def test_every_kind_of_tests_has_a_card() -> None:
    without = {kind.__name__ for kind in get_args(Tests)} - {type(c.tests).__name__ for c in CARDS}
    assert without == set()


def test_cards_and_cases_are_named_apart_and_filed_right() -> None:
    names = [card.name for card in CARDS]
    assert len(names) == len(set(names))
    for card in CARDS:
        cases = [(case.name, case.answer) for case in cases_of(card)]
        assert len(cases) == len(set(cases)), card.name
        assert all(case.why for case in cases_of(card))
        assert all(case.causes == (ScoredCause.PASSED,) for case in card.accepted)
        for case in card.rejected + card.adversarial:
            assert case.causes, (card.name, case.name)
            assert ScoredCause.PASSED not in case.causes
            assert 0.0 <= case.reward < 1.0


def test_one_card_s_gold_answer_does_not_pass_another_of_its_kind(
    verifier: ProgramVerifier,
) -> None:
    for kind in get_args(Tests):
        cards = [card for card in CARDS if isinstance(card.tests, kind) and not card.programs]
        for place, card in enumerate(cards):
            far = [cards[(place + 7) % len(cards)]]  # neighbours may be near in meaning, too
            for other in cards if len(cards) <= ALL_PAIRS_UP_TO else far:
                if other.gold != card.gold:  # two cards may judge one question in two ways
                    verdict = score_of(verifier, card.tests, other.gold, card.prefix)
                    assert not verdict.passed, (card.name, other.name)


@pytest.mark.parametrize(
    "card", [c for c in CARDS if isinstance(c.tests, STRUCTURED)], ids=lambda card: card.name
)
def test_a_canary_earns_nothing(verifier: ProgramVerifier, card: Card) -> None:
    """K1, K5: what says nothing.  Final answers are tried in `tests/unit/test_math_answers.py`."""
    for canary in CANARIES:
        for answer in (canary, f"\\boxed{{{canary}}}", f"```\n{canary}\n```"):
            assert not score_of(verifier, card.tests, answer).passed, answer
