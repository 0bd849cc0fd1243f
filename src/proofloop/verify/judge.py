"""The verifier: dispatches on the kind of tests, owns its sandbox, and is the only maker of
verdicts.  A fault of ours never becomes a score."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar, assert_never

from proofloop.core.errors import SandboxLost, WorkerLost
from proofloop.core.feedback import Feedback
from proofloop.core.project import ProjectTests
from proofloop.core.sandbox import Limits
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
    Task,
    Tests,
    TextAnswer,
)
from proofloop.core.verdict import Scored, Tier, Unscored, UnscoredCause, Verdict
from proofloop.sandbox import ForkServerSandbox
from proofloop.verify.check_program import verify_check
from proofloop.verify.choice_answer import verify_choice
from proofloop.verify.composite import verify_parts
from proofloop.verify.feedback import told_of_cause, told_of_tests
from proofloop.verify.files import verify_files
from proofloop.verify.functions import verify_calls
from proofloop.verify.json_answer import verify_json
from proofloop.verify.math.prover import Prover
from proofloop.verify.math.verdicts import verify_answer
from proofloop.verify.outcome import unscored
from proofloop.verify.programs import verify_program
from proofloop.verify.projects.verdicts import verify_project
from proofloop.verify.sql import verify_query, verify_state
from proofloop.verify.text_answer import verify_text

T = TypeVar("T")

PAUSES_S = (0.0, 0.25, 1.0)
"""Before each further try of one answer, when the sandbox or the worker is lost: at once, since
mostly it was one process that died; then later, for a machine that is out of something."""


class ProgramVerifier:
    """Judges programs by hidden tests and final answers by their keys (`core.verifier.Verifier`).

    For one thread; the worker for final answers starts with the first that needs it."""

    def __init__(self, sandbox: ForkServerSandbox, limits: Limits) -> None:
        self._sandbox = sandbox
        self._limits = limits
        self._prover = Prover()

    def __enter__(self) -> "ProgramVerifier":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def tier(self) -> Tier:
        return self._sandbox.tier

    def verify(self, task: Task, key: AnswerKey, answer: str) -> Verdict:
        """Never raises for anything about the task, the key, the answer or the sandbox."""
        return self._patiently(task, lambda: self._judge(task, key, answer))

    def feedback(
        self, task: Task, key: AnswerKey, answer: str, verdict: Scored
    ) -> Feedback | Unscored:
        """What the answer's author may be told of its failure; Unscored where our side broke.
        Never raises, as `verify`."""
        return self._patiently(task, lambda: self._tell(task, key, answer, verdict))

    def look(self, task: Task, key: AnswerKey, answer: str) -> Feedback | Unscored:
        """What the tests that the prompt shows say of an answer, right or wrong; nothing
        where there are none.  Never raises, as `verify`."""

        def told() -> Feedback:
            assert isinstance(key.tests, CallTests), "tests that are calls"
            found = told_of_tests(self._sandbox, task, key.tests, answer, self._limits)
            return Feedback(cause=None) if found is None else found

        return self._patiently(task, told)

    def _tell(self, task: Task, key: AnswerKey, answer: str, verdict: Scored) -> Feedback:
        tests, told = key.tests, None
        if isinstance(tests, CallTests) and tests.shown:
            told = told_of_tests(self._sandbox, task, tests, answer, self._limits)
        return told_of_cause(verdict) if told is None else told

    def _patiently(self, task: Task, action: Callable[[], T]) -> T | Unscored:
        """As often as our side breaks, within reason; then Unscored says why."""
        lost, cause = "", UnscoredCause.SANDBOX_LOST
        for pause_s in (0.0, *PAUSES_S):
            if pause_s:
                time.sleep(pause_s)
            try:
                return action()
            except SandboxLost as e:
                lost, cause = str(e), UnscoredCause.SANDBOX_LOST
            except WorkerLost as e:
                lost, cause = str(e), UnscoredCause.WORKER_LOST
            except Exception as e:  # whatever it is, it is ours and no zero
                detail = f"task {task.id}: {type(e).__name__}: {e}"
                return unscored(UnscoredCause.VERIFIER_BUG, detail, self._sandbox.tier)
        detail = f"task {task.id}, tried {1 + len(PAUSES_S)} times: {lost}"
        return unscored(cause, detail, self._sandbox.tier)

    def _judge(self, task: Task, key: AnswerKey, answer: str) -> Verdict:
        if key.task_id != task.id:
            problem = f"the key of {key.task_id} for task {task.id}"
            return unscored(UnscoredCause.INVALID_KEY, problem, self._sandbox.tier)
        return self._dispatch(key.tests, answer, task.answer_prefix, key.decoys)

    def _dispatch(self, tests: Tests, answer: str, prefix: str, decoys: bytes) -> Verdict:
        sandbox, limits = self._sandbox, self._limits
        match tests:
            case CallTests():
                return verify_calls(sandbox, tests, answer, prefix, limits, decoys)
            case CheckProgram():
                return verify_check(sandbox, tests, answer, prefix, limits, decoys)
            case ProgramTests():
                return verify_program(sandbox, tests, answer, limits, decoys)
            case ProjectTests():
                return verify_project(sandbox, tests, answer)
            case FileTree():
                return verify_files(sandbox, tests, answer, limits)
            case MathAnswer():
                return verify_answer(self._prover, tests, answer, self._sandbox.tier)
            case TextAnswer():
                return verify_text(tests, answer, self.tier)
            case ChoiceAnswer():
                return verify_choice(tests, answer, self.tier)
            case JsonAnswer():
                return verify_json(self._sandbox, tests, answer, self._limits)
            case SqlQuery():
                return verify_query(self._sandbox, tests, answer, self._limits)
            case SqlState():
                return verify_state(self._sandbox, tests, answer, self._limits)
            case Composite():
                return verify_parts(
                    lambda part, text: self._dispatch(part, text, prefix, decoys),
                    tests,
                    answer,
                    self.tier,
                )
            case _:
                assert_never(tests)

    def close(self) -> None:
        self._prover.close()
        self._sandbox.close()
