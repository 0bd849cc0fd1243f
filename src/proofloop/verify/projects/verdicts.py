"""Project suites: a project's own tests, which import the answer's files, run over a copy of it."""

from proofloop.core.project import ProjectTests
from proofloop.core.sandbox import Sandbox
from proofloop.core.verdict import Integrity, Scored, ScoredCause, UnscoredCause, Verdict
from proofloop.verify.outcome import unscored
from proofloop.verify.projects.judge import Judgement, judge
from proofloop.verify.projects.plan import runs_of
from proofloop.verify.projects.submission import Refusal, submission_of
from proofloop.verify.projects.suite import run_suite


def verify_project(sandbox: Sandbox, tests: ProjectTests, answer: str) -> Verdict:
    """Raises SandboxLost when our side broke."""
    if not any(test.must_pass for test in tests.planned):
        return unscored(UnscoredCause.INVALID_KEY, "the key plans no tests", sandbox.tier)
    runs = runs_of(tests, answer)
    num_twins = sum(len(run.twins) for run in runs)
    files = submission_of(answer, tests)
    if isinstance(files, Refusal):
        found = Judgement(files.cause, files.detail)
    else:
        found = judge(tests, runs, run_suite(sandbox, tests, files, runs))
    passed = found.cause is ScoredCause.PASSED
    return Scored(
        reward=1.0 if passed else 0.0,
        passed=passed,
        cause=found.cause,
        parts={
            "tests_passed": float(found.num_passed),
            "tests_planned": float(len(tests.planned)),
            "twins_failed": float(found.num_twins_failed),
            "twins_planned": float(num_twins),
        },
        detail=found.detail,
        tier=sandbox.tier,
        integrity=Integrity.WEAK,
    )
