"""A person in the policy's place: shown what it is shown, judged as it is judged."""

import sys
from collections.abc import Callable

from proofloop.agent.policies import Person
from proofloop.core.feedback import feedback_text
from proofloop.core.task import Problem
from proofloop.core.verdict import Scored, Unscored, Verdict
from proofloop.measure.text import printable
from proofloop.verify import ProgramVerifier
from proofloop.verify.feedback import UNTOLD

END = "."
"""A line that ends an answer of several lines."""


def person() -> Person:
    """At the terminal, for one line a turn."""
    return Person(show=lambda role, text: _tell(text), read=lambda: _line("> "))


def _tell(text: str) -> None:
    sys.stderr.write(printable(text, max_chars=20_000) + "\n")


def _line(prompt: str) -> str | None:
    if sys.stdin.isatty():
        sys.stderr.write(prompt)
        sys.stderr.flush()
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else None


def read_answer() -> str | None:
    """Lines up to one with a dot alone, or the end of input; None where there are none."""
    lines: list[str] = []
    while (line := _line("> ")) is not None and line != END:
        lines.append(line)
    return "\n".join(lines) + "\n" if lines or line is not None else None


def play(
    problem: Problem,
    verifier: ProgramVerifier,
    *,
    show: Callable[[str], None],
    read: Callable[[], str | None],
) -> tuple[Verdict | None, int]:
    """Until an answer passes or nothing more is read: the last verdict (None: no answer), and how
    many answers there were.  A failed one is told what a policy is told: of shown tests alone."""
    task = problem.task
    for message in task.messages:
        show(message.content)
    verdict: Verdict | None = None
    num_answers = 0
    while (answer := read()) is not None:
        num_answers += 1
        verdict = verifier.verify(task, problem.key, answer)
        if isinstance(verdict, Unscored) or verdict.passed:
            break
        show(_failed(verdict))
        if verdict.cause not in UNTOLD:
            told = verifier.feedback(task, problem.key, answer, verdict)
            if not isinstance(told, Unscored):
                show(feedback_text(told))
    return verdict, num_answers


def _failed(verdict: Scored) -> str:
    """Without the detail, which may tell of hidden tests."""
    return f"{verdict.cause.replace('_', ' ')}, reward {verdict.reward:g}"
