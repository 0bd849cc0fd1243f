"""Control arms: rewards that a real gain must beat.

A control replaces the reward and leaves the rest of the verdict (passed, cause, parts) as the
tests gave it, so that a report of a placebo run still shows what really happened.
"""

import hashlib
import re
from typing import assert_never

import msgspec

from proofloop.core.rollout import RolloutId
from proofloop.core.task import AnswerKey, CallTests, CheckProgram, MathAnswer
from proofloop.core.verdict import Scored, Verdict
from proofloop.runs.recipe import Control
from proofloop.verify.math.extract import NoFinalAnswer, final_answer


def controlled(
    verdict: Verdict,
    control: Control,
    *,
    seed: int,
    rollout_id: RolloutId,
    key: AnswerKey,
    answer: str,
) -> Verdict:
    """The verdict with the control arm's reward; unscored stays unscored."""
    if control is Control.NONE or not isinstance(verdict, Scored):
        return verdict
    match control:
        case Control.RANDOM:
            coin = hashlib.blake2b(f"{seed} {rollout_id}".encode(), digest_size=1).digest()[0] & 1
            reward = float(coin)
        case Control.FORMAT:
            reward = float(_has_form(answer, key))
        case _:
            assert_never(control)
    return msgspec.structs.replace(verdict, reward=reward)


def _has_form(answer: str, key: AnswerKey) -> bool:
    """Whether the answer looks like one, right or wrong."""
    tests = key.tests
    match tests:
        case CallTests():
            return all(_defines(answer, name) for name in {call.function for call in tests.calls})
        case CheckProgram():
            return _defines(answer, tests.entry_point)
        case MathAnswer():
            try:
                return bool(final_answer(answer))
            except NoFinalAnswer:
                return False
        case _:
            assert_never(tests)


def _defines(answer: str, name: str) -> bool:
    return re.search(rf"^(def {name}\(|{name} *=)", answer, re.MULTILINE) is not None
