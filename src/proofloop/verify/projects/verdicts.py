"""Project suites: a project's own tests, which import the answer's files, run over a copy of it."""

from collections.abc import Sequence

from proofloop.core.project import ProjectTests
from proofloop.core.sandbox import Sandbox
from proofloop.core.verdict import Integrity, Scored, ScoredCause, Tier, UnscoredCause, Verdict
from proofloop.verify.outcome import unscored
from proofloop.verify.projects.judge import Judgement, judge
from proofloop.verify.projects.plan import Run, runs_of
from proofloop.verify.projects.submission import Refusal, submission_of
from proofloop.verify.projects.suite import run_suite

_LOADED = (ScoredCause.PASSED, ScoredCause.WRONG_ANSWER, ScoredCause.EXCEPTION)
"""Causes of answers whose tests ran."""
_NOT_BELIEVED = (ScoredCause.TAMPERING, ScoredCause.INVALID_RESULT)
"""Causes of answers whose process says nothing that is to be believed."""


def verify_project(sandbox: Sandbox, tests: ProjectTests, answer: str) -> Verdict:
    """Raises SandboxLost when our side broke."""
    if not any(test.must_pass and test.is_run for test in tests.planned):
        return unscored(UnscoredCause.INVALID_KEY, "the key plans no tests", sandbox.tier)
    runs = runs_of(tests, answer)
    files = submission_of(answer, tests)
    if isinstance(files, Refusal):
        found = Judgement(files.cause, files.detail, compiles=False)
    else:
        found = judge(tests, runs, run_suite(sandbox, tests, files, runs))
    return verdict_of(tests, runs, found, sandbox.tier)


def verdict_of(tests: ProjectTests, runs: Sequence[Run], found: Judgement, tier: Tier) -> Scored:
    """The reward is strict: all that must pass.  How far an answer came is in the parts."""
    num_twins = sum(len(run.twins) for run in runs)
    passed = found.cause is ScoredCause.PASSED
    return Scored(
        reward=1.0 if passed else 0.0,
        passed=passed,
        cause=found.cause,
        parts={
            "tests_passed": float(found.num_passed),
            "tests_planned": float(sum(test.is_run for test in tests.planned)),
            "twins_failed": float(found.num_twins_failed),
            "twins_planned": float(num_twins),
            **_stages(tests, found),
        },
        detail=found.detail,
        tier=tier,
        integrity=Integrity.WEAK,
    )


def _stages(tests: ProjectTests, found: Judgement) -> dict[str, float]:
    """Of a task that is handed out broken: whether what was written compiles, whether the tests
    load, the shares of those that failed and of those that passed before, and the product of the
    last three."""
    failing, passing = (
        [t.node_id for t in tests.planned if t.is_run and t.must_pass and t.was_failing is failed]
        for failed in (True, False)
    )
    if not failing:
        return {}
    mended = len(found.passed.intersection(failing)) / len(failing)
    kept = len(found.passed.intersection(passing)) / len(passing) if passing else 1.0
    collects = 1.0 if found.passed or found.num_passed or found.cause in _LOADED else 0.0
    kept *= collects
    compiles = found.compiles and found.cause not in _NOT_BELIEVED
    return {
        "compiles": 1.0 if compiles else 0.0,
        "collects": collects,
        "fail_to_pass": mended,
        "pass_to_pass": kept,
        "staged": collects * mended * kept,
    }
