"""What a failed attempt may be told (`core.feedback`), from the tests that its prompt shows.

The shown tests run once more in a process that never held a hidden input, so whatever the program
gives there, it has from its prompt and from itself: hidden tests could be others and the feedback
would be the same, letter by letter.  What we say ourselves, calls and wanted values, must stand in
the prompt, else the test is left out.  A result that happens to equal a hidden value stays: to
withhold it would tell that it is one.

Where a prompt shows no tests, the class of the verdict's cause is all that is told.
"""

import re
from typing import Any

from proofloop.core import value
from proofloop.core.feedback import (
    MAX_SHOWN,
    MAX_TEXT,
    Feedback,
    ShownTest,
    call_text,
    cut,
    feedback_text,
    value_text,
)
from proofloop.core.sandbox import Claim, ClaimKind, Execution, Limits, Sandbox
from proofloop.core.task import CallTests, Keeps, Raises, Returns, Task, TestCall, Tests
from proofloop.core.verdict import Scored, ScoredCause
from proofloop.verify.extract import assemble
from proofloop.verify.functions import compare, defined_names, executed, judge, problem_of_key
from proofloop.verify.outcome import describe_claim

UNTOLD = (ScoredCause.DECOY, ScoredCause.TAMPERING, ScoredCause.FORBIDDEN_FILE)
"""Causes of a verdict that are not passed on: nobody is taught to step over our wires."""


def told_of_cause(verdict: Scored) -> Feedback:
    """Where the prompt shows no tests."""
    return Feedback(cause=None if verdict.cause in UNTOLD else verdict.cause)


def told_of_tests(
    sandbox: Sandbox, task: Task, tests: CallTests, answer: str, limits: Limits
) -> Feedback | None:
    """None where the prompt shows no tests.  Raises SandboxLost when our side broke."""
    prompt = "\n".join(message.content for message in task.messages)
    shown = tuple(test for test in tests.shown if stands_in(prompt, test))
    visible = CallTests(
        calls=shown, comparison=tests.comparison, process_per_call=tests.process_per_call
    )
    if problem_of_key(visible):  # none are shown, or not all that these build on
        return None
    source = assemble(answer, task.answer_prefix, defined_names(visible))
    if source is None:
        return Feedback(cause=ScoredCause.NO_ANSWER)
    execution = executed(sandbox, visible, source, limits)
    feedback = Feedback(
        cause=judge(visible, execution).cause, shown=_results(visible, execution)[:MAX_SHOWN]
    )
    leaked = leaks(feedback, prompt, tests)
    assert not leaked, f"the feedback would tell of {len(leaked)} hidden values"
    return feedback


def _results(tests: CallTests, execution: Execution) -> tuple[ShownTest, ...]:
    """One of each call that was answered, but for those that only keep something."""
    return tuple(
        _result(test, test.wanted, claim, tests)
        for test, claim in zip(tests.calls, execution.claims, strict=False)
        if not isinstance(test.wanted, Keeps)
    )


def _result(test: TestCall, wanted: Returns | Raises, claim: Claim, tests: CallTests) -> ShownTest:
    return ShownTest(
        call=call_text(test.function, value.decode(test.args)),
        wanted=_wanted_text(wanted),
        got=cut(_got_text(claim)),
        passed=compare(wanted, claim, tests.comparison) is None,
    )


def _wanted_text(wanted: Returns | Raises) -> str:
    if isinstance(wanted, Raises):
        return f"raises {wanted.exception}"
    return f"== {value_text(value.decode(wanted.value))}"


def _got_text(claim: Claim) -> str:
    if claim.kind is ClaimKind.RETURNED:
        try:
            return f"gave {value_text(value.decode(claim.data))}"
        except value.DecodeError:
            pass
    return describe_claim(claim)


def stands_in(prompt: str, test: TestCall) -> bool:
    """Whether the prompt holds the call and what is wanted, but for blanks and the kind of quotes,
    and they are short enough to be told whole."""
    text, (name, *args), wanted = _squeezed(prompt), _called(test), _wanted(test)
    call = f"{name}({', '.join(args)})"
    fits = len(call) <= MAX_TEXT and len(wanted) <= MAX_TEXT
    return fits and _holds(text, _squeezed(call)) and _holds(text, _squeezed(wanted))


def leaks(feedback: Feedback, prompt: str, tests: Tests) -> tuple[str, ...]:
    """Hidden calls, arguments and wanted values that the feedback's own words hold and the prompt
    does not; what the program gave is not ours and is not searched."""
    if not isinstance(tests, CallTests):
        return ()
    said = Feedback(
        cause=feedback.cause,
        shown=tuple(
            ShownTest(call=t.call, wanted=t.wanted, got="", passed=t.passed) for t in feedback.shown
        ),
    )
    text, known = _squeezed(feedback_text(said)), _squeezed(prompt)
    hidden = {
        _squeezed(literal)
        for test in tests.calls
        for literal in (*_called(test)[1:], _wanted(test))
    }
    return tuple(
        literal
        for literal in sorted(hidden)
        if literal and _holds(text, literal) and not _holds(known, literal)
    )


def _holds(text: str, literal: str) -> bool:
    """As a whole: 1 is not in 17, nor in x1 or 1.5."""
    if literal not in text:
        return False
    before = r"(?<![\w.])" if re.match(r"\w", literal) else ""
    after = r"(?![\w.])" if re.search(r"\w$", literal) else ""
    return re.search(before + re.escape(literal) + after, text) is not None


def _called(test: TestCall) -> list[str]:
    """The function's name, then every argument as text, whole."""
    args: tuple[Any, ...] = value.decode(test.args)
    return [test.function, *(value_text(arg, most=None) for arg in args)]


def _wanted(test: TestCall) -> str:
    match test.wanted:
        case Returns(value=wanted):
            return value_text(value.decode(wanted), most=None)
        case Raises(exception=exception):
            return exception
        case Keeps():
            return ""


def _squeezed(text: str) -> str:
    """Without blanks, but for those that keep two words apart."""
    apart = re.sub(r"(?<=\w)\s+(?=\w)", "\0", text.replace('"', "'"))
    return "".join(apart.split()).replace("\0", " ")
