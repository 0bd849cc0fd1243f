"""How tests ask for a verdict: a task that says nothing, and a key."""

from proofloop.core.task import AnswerKey, Split, Stratum, Task, TaskId, Tests
from proofloop.core.verdict import Scored, Verdict
from proofloop.verify import ProgramVerifier

TASK_ID = TaskId("card@0")


def task(prefix: str = "") -> Task:
    return Task(
        id=TASK_ID,
        env="cards",
        split=Split.HELDOUT,
        stratum=Stratum(family="card", complexity=0, horizon=1),
        messages=(),
        answer_prefix=prefix,
    )


def verdict_of(verifier: ProgramVerifier, tests: Tests, answer: str, prefix: str = "") -> Verdict:
    return verifier.verify(task(prefix), AnswerKey(task_id=TASK_ID, tests=tests), answer)


def score_of(verifier: ProgramVerifier, tests: Tests, answer: str, prefix: str = "") -> Scored:
    verdict = verdict_of(verifier, tests, answer, prefix)
    assert isinstance(verdict, Scored), verdict
    return verdict
