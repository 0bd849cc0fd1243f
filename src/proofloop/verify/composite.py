"""Tests that are composed of parts: gates, weights, and one verdict that names each part.

Every part is judged, whatever the others came to.  A gate that does not pass makes the reward 0;
else it is the weighted mean of the other parts' rewards.  `passed` needs them all.  A part that
cannot be judged leaves the whole unscored: a mean over what happened to be judged is no reward.
Composites do not nest: their weights multiply out.
"""

import math
from collections.abc import Callable

from proofloop.core.task import Composite, Part, SingleTests
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause, Verdict
from proofloop.verify.math.extract import NoFinalAnswer
from proofloop.verify.outcome import judged, unscored
from proofloop.verify.place import section_of

Judge = Callable[[SingleTests, str], Verdict]


def verify_parts(judge: Judge, tests: Composite, answer: str, tier: Tier) -> Verdict:
    """Raises what `judge` raises."""
    if problem := problem_of_key(tests):
        return unscored(UnscoredCause.INVALID_KEY, problem, tier)
    verdicts: list[tuple[Part, Scored]] = []
    for part in tests.parts:
        try:
            verdict = judge(part.tests, text_of(part, answer))
        except NoFinalAnswer as e:
            verdict = judged(e.cause, e.detail, tier)
        if isinstance(verdict, Unscored):
            return unscored(verdict.cause, f"part {part.name!r}: {verdict.detail}", tier)
        verdicts.append((part, verdict))
    return composed(verdicts, tier)


def text_of(part: Part, answer: str) -> str:
    """What the part judges.  Raises NoFinalAnswer where its section is not there, or twice."""
    return section_of(answer, part.section) if part.section else answer


def composed(verdicts: list[tuple[Part, Scored]], tier: Tier) -> Scored:
    """Of every part of a key without fault.  Pure."""
    failed = [(part, verdict) for part, verdict in verdicts if not verdict.passed]
    weighed = [(part, verdict) for part, verdict in verdicts if not part.gate]
    reward = 0.0
    if not failed:
        reward = 1.0
    elif weighed and not any(part.gate for part, _ in failed):
        total = math.fsum(part.weight for part, _ in weighed)
        reward = math.fsum(part.weight * verdict.reward for part, verdict in weighed) / total
    cause, detail = ScoredCause.PASSED, f"{len(verdicts)} of {len(verdicts)} parts"
    if failed:
        part, verdict = failed[0]
        cause, detail = verdict.cause, f"part {part.name!r}: {verdict.detail}"
    return Scored(
        reward=reward,
        passed=not failed,
        cause=cause,
        parts={part.name: verdict.reward for part, verdict in verdicts},
        detail=detail,
        tier=tier,
    )


def problem_of_key(tests: Composite) -> str | None:
    """Why the key cannot judge anything, if so."""
    names = [part.name for part in tests.parts]
    if not names or len(names) != len(set(names)):
        return "a composite needs parts, each with a name of its own"
    for part in tests.parts:
        if not part.name.isidentifier():
            return f"the name {part.name!r} of a part is no identifier"
        if part.section and not part.section.isidentifier():
            return f"part {part.name!r}: the section {part.section!r} is no identifier"
        if not (math.isfinite(part.weight) and part.weight > 0):
            return f"part {part.name!r}: the weight {part.weight} is not above 0"
    return None
