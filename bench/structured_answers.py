"""Verdicts a second for structured answers, one process, one at a time, on every tier.

    python bench/structured_answers.py [SECONDS]

The gold answers of the cards, so every comparison is made to its end.  A validation by schema and
each hidden database are a process of their own; text, choices and plain JSON need none.
"""

import sys
import time

from proofloop.core.task import AnswerKey, Split, Stratum, Task, TaskId
from proofloop.core.verdict import Scored
from proofloop.sandbox import probe
from proofloop.verify import ProgramVerifier, build_verifier
from proofloop.verify.cards import CARDS, Card

NAMES = ("text", "choice", "json value", "json schema", "sql query", "sql state", "sections")
TASK = Task(
    id=TaskId("bench@0"),
    env="bench",
    split=Split.HELDOUT,
    stratum=Stratum(family="bench", complexity=0, horizon=1),
    messages=(),
)


def rate(verifier: ProgramVerifier, card: Card, seconds: float) -> tuple[float, float]:
    """Verdicts a second, and the 99th percentile in ms."""
    key = AnswerKey(task_id=TASK.id, tests=card.tests)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        verdict = verifier.verify(TASK, key, card.gold)
        assert isinstance(verdict, Scored)
        assert verdict.passed
        times.append(time.perf_counter() - start)
    return len(times) / sum(times), 1000 * sorted(times)[int(0.99 * len(times))]


def main(seconds: float) -> None:
    cards = {card.name: card for card in CARDS}
    for report in probe():
        if report.available:
            with build_verifier(report.tier) as verifier:
                for name in NAMES:
                    per_s, p99_ms = rate(verifier, cards[name], seconds)
                    print(f"{report.tier}  {name:12} {per_s:10.0f}/s  p99 {p99_ms:8.2f} ms")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)
