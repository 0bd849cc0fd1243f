"""GSM8K (Cobbe et al. 2021, arXiv:2110.14168): grade-school word problems with one number to find.

A row's answer is a worked solution, which serves as oracle, with the number after `####`.
"""

import re

from proofloop.core.task import AnswerKind, MathAnswer
from proofloop.envs.data_file import Content, DataFileEnvironment, DataRow

INSTRUCTION = (
    "Solve this problem step by step. End with a line of #### and the number alone, "
    "like this: #### 42\n\n"
)
_NUMBER = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?")


class Row(DataRow, frozen=True, kw_only=True):
    question: str
    answer: str

    def address(self, index: int) -> str:
        return f"gsm8k/{index}"

    def fault(self) -> str | None:
        if not self.question.strip():
            return "question is empty"
        _, *finals = self.answer.split("####")
        if len(finals) != 1:
            return f"answer must hold #### once, not {len(finals)} times"
        if not _NUMBER.fullmatch(self._gold()):
            return f"{self._gold()[:40]!r} after #### in answer is not a number"
        return None

    def content(self) -> Content:
        return Content(
            prompt=INSTRUCTION + self.question,
            tests=MathAnswer(gold=self._gold(), kind=AnswerKind.RATIONAL),
            oracle=self.answer,
        )

    def _gold(self) -> str:
        return self.answer.partition("####")[2].strip()


class Gsm8kEnvironment(DataFileEnvironment[Row]):
    name = "gsm8k"
    row_type = Row
    example = "gsm8k_test.jsonl.gz"
