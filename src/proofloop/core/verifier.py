"""The judge's interface."""

from typing import Protocol

from proofloop.core.task import AnswerKey, Task
from proofloop.core.verdict import Verdict


class Verifier(Protocol):
    """Turns an answer into a verdict; the only maker of verdicts."""

    def verify(self, task: Task, key: AnswerKey, answer: str) -> Verdict: ...

    def close(self) -> None: ...
