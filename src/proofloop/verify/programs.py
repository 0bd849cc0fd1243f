"""Program tests: standard input in, standard output compared here.

Each test is a process of its own.  A pass needs every planned output to be as wanted, and the
process to have ended by itself with status 0; the status alone earns nothing.  The first test that
fails ends the judging: most wrong programs fail early, and a hanging one costs its limit once.
"""

import math

import msgspec

from proofloop.core.sandbox import Ending, Execution, Limits, Sandbox, Script
from proofloop.core.task import OutputTest, ProgramTests
from proofloop.core.verdict import ScoredCause, UnscoredCause, Verdict
from proofloop.verify.extract import program_text
from proofloop.verify.outcome import (
    DECOY_DETAIL,
    cause_of_claim,
    cause_of_ending,
    describe_claim,
    scored,
    unscored,
)
from proofloop.verify.tripwires import holds_decoy

_NOISE_BYTES = 4096
"""How much longer than the wanted output a wrong one may grow before it is cut off."""


def verify_program(
    sandbox: Sandbox, tests: ProgramTests, answer: str, limits: Limits, decoys: bytes = b""
) -> Verdict:
    """Raises SandboxLost when our side broke."""
    planned = len(tests.tests)
    if not planned:
        return unscored(UnscoredCause.INVALID_KEY, "the key plans no tests", sandbox.tier)
    source = program_text(answer)
    cause, detail, num_passed = ScoredCause.NO_ANSWER, "empty answer", 0
    if source.strip():
        cause, detail = ScoredCause.PASSED, f"{planned} of {planned} tests"
        for index, test in enumerate(tests.tests, 1):
            most = max(limits.output_bytes, 2 * len(test.stdout) + _NOISE_BYTES)
            allowed = msgspec.structs.replace(limits, output_bytes=most)
            script = Script(source=source, stdin=test.stdin, limits=allowed, decoys=decoys)
            execution = sandbox.run_script(script)
            problem = judge(test, tests, execution)
            if problem is not None and holds_decoy(decoys, [execution.output]):
                problem = ScoredCause.DECOY, DECOY_DETAIL
            if problem is not None:
                cause, detail = problem[0], f"test {index} of {planned}: {problem[1]}"
                break
            num_passed += 1
    return scored(cause, detail, sandbox.tier, num_passed=num_passed, num_planned=planned)


def judge(
    test: OutputTest, tests: ProgramTests, execution: Execution
) -> tuple[ScoredCause, str] | None:
    """None where the test passed; else why not, without saying what was wanted.  Pure."""
    if execution.claims:
        return cause_of_claim(execution.claims[0]), describe_claim(execution.claims[0])
    if execution.ending is not Ending.EXITED or execution.exit_status != 0:
        cause = cause_of_ending(execution.ending, execution.detail)
        return cause, f"{execution.ending}: {execution.detail}"
    if same_output(test.stdout, execution.output, tests.float_tol):
        return None
    return ScoredCause.WRONG_ANSWER, "wrong output"


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
