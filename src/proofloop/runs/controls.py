"""Control arms: rewards that a real gain must beat.

A control replaces the reward and leaves the rest of the verdict (passed, cause, parts) as the
tests gave it, so that a report of a placebo run still shows what really happened.
"""

import hashlib
from collections.abc import Callable
from typing import assert_never

import msgspec

from proofloop.core.rollout import RolloutId
from proofloop.core.task import (
    AnswerKey,
    CallTests,
    CheckProgram,
    ChoiceAnswer,
    Composite,
    FileTree,
    JsonAnswer,
    MathAnswer,
    ProgramTests,
    SqlQuery,
    SqlState,
    Tests,
    TextAnswer,
)
from proofloop.core.verdict import Scored, Verdict
from proofloop.runs.recipe import Control
from proofloop.verify.composite import text_of
from proofloop.verify.extract import defines, program_text
from proofloop.verify.functions import defined_names
from proofloop.verify.math.extract import NoFinalAnswer, final_answer
from proofloop.verify.place import text_at


def controlled(
    verdict: Verdict,
    control: Control,
    *,
    seed: int,
    rollout_id: RolloutId,
    key: AnswerKey,
    answer: str,
    passes_naively: Callable[[], bool],
) -> Verdict:
    """The verdict with the control arm's reward; unscored stays unscored.

    `passes_naively` runs the program with the tests that its prompt shows; asked only where needed.
    """
    if control is Control.NONE or not isinstance(verdict, Scored):
        return verdict
    match control:
        case Control.RANDOM:
            coin = hashlib.blake2b(f"{seed} {rollout_id}".encode(), digest_size=1).digest()[0] & 1
            reward = float(coin)
        case Control.FORMAT:
            reward = float(_has_the_form(answer, key))
        case Control.NAIVE:
            reward = float(passes_naively())
        case _:
            assert_never(control)
    return msgspec.structs.replace(verdict, reward=reward)


def _has_the_form(answer: str, key: AnswerKey) -> bool:
    """Whether the answer looks like one, right or wrong."""
    return _is_formed(answer, key.tests)


def _is_formed(answer: str, tests: Tests) -> bool:
    match tests:
        case CallTests():
            return all(defines(answer, name) for name in defined_names(tests))
        case CheckProgram():
            return defines(answer, tests.entry_point)
        case ProgramTests() | FileTree():
            return bool(program_text(answer, tags=tests.language.fences).strip())
        case MathAnswer():
            try:
                return bool(final_answer(answer))
            except NoFinalAnswer:
                return False
        case TextAnswer() | ChoiceAnswer() | JsonAnswer() | SqlQuery() | SqlState():
            try:
                return bool(text_at(tests.place, answer, tags=("json", "sql", "sqlite")))
            except NoFinalAnswer:
                return False
        case Composite():
            try:
                return all(_is_formed(text_of(part, answer), part.tests) for part in tests.parts)
            except NoFinalAnswer:
                return False
        case _:
            assert_never(tests)
