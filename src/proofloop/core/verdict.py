"""The outcome of one attempt: judged, or not judgeable.  Never a number by convention.

A fault of the model (wrong answer, its own time-out, crash, flood, empty answer) is `Scored`: a
policy can neither buy its way out of a bad score nor hurt a neighbour's.  A fault of ours (lost
sandbox, verifier bug) is `Unscored`: retried, kept out of advantages and denominators, counted.
"""

from enum import StrEnum
from typing import assert_never

from proofloop.core.record import Record


class Tier(StrEnum):
    """How well a candidate program was isolated, weakest first."""

    T0 = "T0"
    """Landlock, seccomp and resource limits; needs no privilege."""
    T1 = "T1"
    """T0 and user, pid, mount, network and IPC namespaces."""
    T2 = "T2"
    """T1 within bubblewrap."""
    T3 = "T3"
    """Within a container of docker or podman: T1 where the container allows it, else T0."""

    @property
    def rank(self) -> int:
        return list(Tier).index(self)


class Integrity(StrEnum):
    """How far a verdict can be trusted against an answer that sets out to forge it."""

    STRONG = "strong"
    """Made outside: the answer's process never held what decides it."""
    WEAK = "weak"
    """The tests shared an interpreter with the answer, which can tell lies about them; perturbed
    twins of the tests catch the lies that do not tell the twins from the tests."""


class ScoredCause(StrEnum):
    """Why the answer earned what it earned."""

    PASSED = "passed"
    WRONG_ANSWER = "wrong_answer"
    EXCEPTION = "exception"
    """A tested call raised."""
    NO_ANSWER = "no_answer"
    """Nothing to run: empty, or the function asked for is not defined; no final answer."""
    CONFLICTING_ANSWERS = "conflicting_answers"
    """More than one final answer."""
    INVALID_PROGRAM = "invalid_program"
    """It does not compile, or fails while it is being loaded."""
    INVALID_RESULT = "invalid_result"
    """A result, or a final answer, outside the closed grammar or over its size limit."""
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    OUTPUT_LIMIT = "output_limit"
    DECOY = "decoy"
    """A result holds a wrong value that was planted for programs that look for answers."""
    CRASH = "crash"
    """The program ended (exit, signal, exec) before all planned comparisons were made."""
    FORBIDDEN_FILE = "forbidden_file"
    """The answer would write where it may not."""
    TAMPERING = "tampering"
    """Tests passed that no honest answer can pass: the answer reached into the judging."""


class UnscoredCause(StrEnum):
    """Why there is no score; says nothing of the answer."""

    SANDBOX_LOST = "sandbox_lost"
    WORKER_LOST = "worker_lost"
    """The process that compares final answers died or stopped answering."""
    VERIFIER_BUG = "verifier_bug"
    JUDGE_DEADLINE = "judge_deadline"
    """The trusted side of the check ran out of its own time."""
    INVALID_KEY = "invalid_key"
    """The key cannot be checked against: undecodable, or no tests at all."""


class Scored(Record, tag="scored"):
    """The judge ran to its end."""

    reward: float
    passed: bool
    """All planned comparisons were made and all were equal."""
    cause: ScoredCause
    parts: dict[str, float]
    """Named, unweighted parts, for example {"tests_passed": 7, "tests_planned": 12}."""
    detail: str
    """One line for a person; never holds an expected value."""
    tier: Tier
    integrity: Integrity = Integrity.STRONG


class Unscored(Record, tag="unscored"):
    """The judge could not judge."""

    cause: UnscoredCause
    detail: str
    tier: Tier


Verdict = Scored | Unscored


def reward_of(verdict: Verdict) -> float | None:
    """The reward, or None where there is none; callers must decide what absence means."""
    match verdict:
        case Scored():
            return verdict.reward
        case Unscored():
            return None
        case _:
            assert_never(verdict)
