"""Our verdicts on labelled completions, beside the labels: every disagreement, with its answer.

    PYTHONPATH=src python bench/math_agreement.py gsm8k gsm8k_model_solutions.jsonl.gz
    PYTHONPATH=src python bench/math_agreement.py math math_model_solutions.jsonl.gz

GSM8K's rows hold four models' solutions with `is_correct` (openai/grade-school-math); the number
follows `A:`.  MATH's hold `completions` with `labels` by another grader (QwenLM/Qwen2.5-Math).  A
label can be wrong, so a disagreement is to be read, not counted as an error of ours.
"""

import argparse
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from proofloop.core.task import AnswerKind, MathAnswer
from proofloop.core.verdict import Scored, ScoredCause, Tier
from proofloop.verify.math.prover import Prover
from proofloop.verify.math.verdicts import verify_answer


class Labelled(NamedTuple):
    place: str
    key: MathAnswer
    completion: str
    is_correct: bool


def labelled(env: str, path: Path) -> Iterator[Labelled]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file):
            yield from (
                _gsm8k(number, json.loads(line))
                if env == "gsm8k"
                else _math(number, json.loads(line))
            )


def _gsm8k(number: int, row: dict[str, Any]) -> Iterator[Labelled]:
    gold = row["ground_truth"].rpartition("A:")[2].strip()
    key = MathAnswer(gold=gold, kind=AnswerKind.RATIONAL)
    for model, attempt in row.items():
        if isinstance(attempt, dict):
            yield Labelled(
                f"{number} {model}", key, attempt["solution"], bool(attempt["is_correct"])
            )


def _math(number: int, row: dict[str, Any]) -> Iterator[Labelled]:
    key = MathAnswer(gold=row["answer"])
    for index, (text, label) in enumerate(zip(row["completions"], row["labels"], strict=True)):
        yield Labelled(f"{number} {index}", key, text, bool(label))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("env", choices=["gsm8k", "math"])
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    table: Counter[tuple[str, str]] = Counter()
    causes: Counter[str] = Counter()
    prover = Prover()
    for place, key, completion, is_correct in labelled(options.env, options.path):
        verdict = verify_answer(prover, key, completion, Tier.T0)
        ours = isinstance(verdict, Scored) and verdict.cause is ScoredCause.PASSED
        table["right" if is_correct else "wrong", "passed" if ours else "failed"] += 1
        causes[verdict.cause] += 1
        if ours != is_correct:
            print(
                f"{place}: label {'right' if is_correct else 'wrong'}, gold {key.gold!r}, "
                f"{verdict.cause} ({verdict.detail}); ends {completion[-160:]!r}"
            )
    prover.close()
    for (label, ours), count in sorted(table.items()):
        print(f"labelled {label}, {ours}: {count}")
    print(dict(causes.most_common()))


if __name__ == "__main__":
    main()
