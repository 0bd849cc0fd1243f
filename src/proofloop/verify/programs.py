"""Program tests: standard input in, standard output compared here.

Each test is a process of its own, in a workspace in which nothing can be written, so that nothing
survives from one to the next.  A pass needs every planned output to be as wanted, and the process
to have ended by itself with status 0; the status alone earns nothing.  The first test that fails
ends the judging: most wrong programs fail early, and a hanging one costs its limit once.  Where
running at all is worth something (`Stages`), wrong outputs do not end it.
"""

import math
from collections.abc import Callable

import msgspec

from proofloop.core.sandbox import Ending, Execution, Limits, Sandbox, Script
from proofloop.core.task import OutputTest, ProgramTests
from proofloop.core.verdict import Scored, ScoredCause, Tier, UnscoredCause, Verdict
from proofloop.verify.extract import program_text
from proofloop.verify.outcome import (
    cause_of_claim,
    cause_of_ending,
    describe_claim,
    exception_name,
    scored,
    unscored,
)
from proofloop.verify.toolchain import build, open_workspace, run_program

_NOISE_BYTES = 4096
"""How much longer than the wanted output a wrong one may grow before it is cut off."""

Run = Callable[[bytes, Limits], Execution]
"""A program on one standard input."""


def verify_program(sandbox: Sandbox, tests: ProgramTests, answer: str, limits: Limits) -> Verdict:
    """Raises SandboxLost when our side broke, MissingProgram for a compiler that is not there."""
    if not tests.tests:
        return unscored(UnscoredCause.INVALID_KEY, "the key plans no tests", sandbox.tier)
    language = tests.language
    source = program_text(answer, tags=language.fences)
    if not source.strip():
        return _staged(tests, ScoredCause.NO_ANSWER, "empty answer", sandbox.tier)
    if language.is_forked:

        def fork(stdin: bytes, limits: Limits) -> Execution:
            return sandbox.run_script(Script(source=source, stdin=stdin, limits=limits))

        return _judge_all(tests, fork, limits, sandbox.tier)
    with open_workspace(sandbox) as workspace:
        failed = build(workspace, language, source)
        if failed is not None:
            return _staged(tests, failed.cause, failed.detail, sandbox.tier)
        return _judge_all(
            tests,
            lambda stdin, limits: run_program(workspace, language, stdin, limits),
            limits,
            sandbox.tier,
        )


def _judge_all(tests: ProgramTests, run: Run, limits: Limits, tier: Tier) -> Scored:
    """Test by test, to the first that decides."""
    planned = len(tests.tests)
    cause, detail, num_passed = ScoredCause.PASSED, f"{planned} of {planned} tests", 0
    compiles = runs = True
    for index, test in enumerate(tests.tests, 1):
        most = max(limits.output_bytes, 2 * len(test.stdout) + _NOISE_BYTES)
        execution = run(test.stdin, msgspec.structs.replace(limits, output_bytes=most))
        problem = judge(test, tests, execution)
        if problem is None:
            num_passed += 1
            continue
        if cause is ScoredCause.PASSED:
            cause, detail = problem[0], f"test {index} of {planned}: {problem[1]}"
        runs = _ended_well(execution)
        if not runs or not tests.stages.runs:
            compiles = not _says_syntax_error(execution)
            break
    return _staged(tests, cause, detail, tier, compiles=compiles, runs=runs, num_passed=num_passed)


def _staged(
    tests: ProgramTests,
    cause: ScoredCause,
    detail: str,
    tier: Tier,
    *,
    compiles: bool = False,
    runs: bool = False,
    num_passed: int = 0,
) -> Scored:
    """The stages that were reached, each with its part, and what they are worth together."""
    verdict = scored(cause, detail, tier, num_passed=num_passed, num_planned=len(tests.tests))
    worth = tests.stages.compiles * compiles + tests.stages.runs * runs
    return msgspec.structs.replace(
        verdict,
        reward=1.0 if verdict.passed else worth,
        parts={"compiles": float(compiles), "runs": float(runs), **verdict.parts},
    )


def judge(
    test: OutputTest, tests: ProgramTests, execution: Execution
) -> tuple[ScoredCause, str] | None:
    """None where the test passed; else why not, without saying what was wanted.  Pure."""
    if execution.claims:
        return cause_of_claim(execution.claims[0]), describe_claim(execution.claims[0])
    if not _ended_well(execution):
        cause = cause_of_ending(execution.ending, execution.detail)
        return cause, f"{execution.ending}: {execution.detail}"
    if same_output(test.stdout, execution.output, tests.float_tol):
        return None
    return ScoredCause.WRONG_ANSWER, "wrong output"


def _ended_well(execution: Execution) -> bool:
    ended = execution.ending is Ending.EXITED and execution.exit_status == 0
    return ended and not execution.claims


def _says_syntax_error(execution: Execution) -> bool:
    """A forked Python program is compiled by the interpreter that runs it."""
    names = {exception_name(claim) for claim in execution.claims}
    return bool(names & {"SyntaxError", "IndentationError", "TabError"})


def same_output(wanted: bytes, printed: bytes, float_tol: float | None) -> bool:
    """Line by line, blanks at the ends of lines and lines at the end aside.

    With `float_tol`, lines are compared word by word, and a word that is wanted to be a decimal
    fraction may differ by max(float_tol, float_tol * |wanted|); the layout stays what it is.
    """
    wanted_lines, printed_lines = _lines(wanted), _lines(printed)
    if float_tol is None or wanted_lines == printed_lines:
        return wanted_lines == printed_lines
    return len(wanted_lines) == len(printed_lines) and all(
        _same_words(w.split(), p.split(), float_tol)
        for w, p in zip(wanted_lines, printed_lines, strict=True)
    )


def _lines(output: bytes) -> list[bytes]:
    lines = [line.rstrip() for line in output.split(b"\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_words(wanted: list[bytes], printed: list[bytes], float_tol: float) -> bool:
    return len(wanted) == len(printed) and all(
        w == p or _near(w, p, float_tol) for w, p in zip(wanted, printed, strict=True)
    )


def _near(wanted: bytes, printed: bytes, float_tol: float) -> bool:
    if b"." not in wanted and b"e" not in wanted.lower():
        return False  # a whole number is exact
    if b"_" in printed:  # Python's own spelling, no output's
        return False
    try:
        w, p = float(wanted), float(printed)
    except ValueError:
        return False
    return math.isfinite(w) and abs(w - p) <= max(float_tol, float_tol * abs(w))
