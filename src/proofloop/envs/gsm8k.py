"""GSM8K (Cobbe et al. 2021, arXiv:2110.14168): grade-school word problems with one number to find.

The rows come from a file that the user has (`--data`); none ship.  A row's answer is a worked
solution, which serves as oracle, with the number after `####`.
"""

import re
from pathlib import Path

import msgspec

from proofloop.core.errors import DataError
from proofloop.core.task import AnswerKind, MathAnswer
from proofloop.envs.final_answers import FinalAnswerEnvironment, Item
from proofloop.envs.rows import read_rows

NAME = "gsm8k"
INSTRUCTION = (
    "Solve this problem step by step. End with a line of #### and the number alone, "
    "like this: #### 42\n\n"
)
_NUMBER = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the data file; columns that other editions add are let pass."""

    question: str
    answer: str


def gsm8k(path: Path) -> FinalAnswerEnvironment:
    """Raises DataError for a file or a row that cannot be used."""
    rows = read_rows(path, Row)
    items = [_item(row, path, number) for number, row in enumerate(rows, start=1)]
    return FinalAnswerEnvironment(NAME, path, items)


def _item(row: Row, path: Path, number: int) -> Item:
    if not row.question.strip():
        raise DataError(path, number, "question is empty")
    _, *finals = row.answer.split("####")
    if len(finals) != 1:
        raise DataError(path, number, f"answer must hold #### once, not {len(finals)} times")
    gold = finals[0].strip()
    if not _NUMBER.fullmatch(gold):
        raise DataError(path, number, f"{gold[:40]!r} after #### in answer is not a number")
    return Item(
        prompt=INSTRUCTION + row.question,
        answer=MathAnswer(gold=gold, kind=AnswerKind.RATIONAL),
        oracle=row.answer,
    )
