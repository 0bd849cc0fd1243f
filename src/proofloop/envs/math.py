"""Rows of MATH (Hendrycks et al. 2021, arXiv:2103.03874) and of what looks like it: `problem` and
`answer`, the final answer in LaTeX.

The rows come from a file that the user has (`--data`); none ship.  What kind of answer it is, the
verifier infers from its form: these data do not say.
"""

import re
from pathlib import Path

import msgspec

from proofloop.core.errors import DataError
from proofloop.core.task import MathAnswer
from proofloop.envs.final_answers import FinalAnswerEnvironment, Item
from proofloop.envs.rows import read_rows

NAME = "math"
INSTRUCTION = (
    "Solve this problem step by step. Put the final answer, and nothing else, in \\boxed{}.\n\n"
)
MAX_GOLD_CHARS = 1000
"""As long as the verifier lets a final answer be."""
_ASKED = re.compile(r"(?:value of|[Ss]olve for|[Ff]ind|[Ww]hat is) \$([A-Za-z])\$")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the data file; columns that other editions add are let pass."""

    problem: str
    answer: str


def math(path: Path) -> FinalAnswerEnvironment:
    """Raises DataError for a file or a row that cannot be used."""
    rows = read_rows(path, Row)
    items = [_item(row, path, number) for number, row in enumerate(rows, start=1)]
    return FinalAnswerEnvironment(NAME, path, items)


def _item(row: Row, path: Path, number: int) -> Item:
    if not row.problem.strip():
        raise DataError(path, number, "problem is empty")
    gold = row.answer.strip()
    if not gold:
        raise DataError(path, number, "answer is empty")
    if len(gold) > MAX_GOLD_CHARS:
        raise DataError(
            path, number, f"answer has {len(gold)} characters, more than {MAX_GOLD_CHARS}"
        )
    bare = gold.replace("\\{", "").replace("\\}", "")
    if "\\boxed" in gold or bare.count("{") != bare.count("}"):
        raise DataError(
            path, number, "answer must be the final answer alone: without \\boxed, braces in pairs"
        )
    return Item(
        prompt=INSTRUCTION + row.problem,
        answer=MathAnswer(gold=gold, unknown=_unknown(row.problem)),
        oracle=f"\\boxed{{{gold}}}",
    )


def _unknown(problem: str) -> str:
    """The one letter that the problem asks for in so many words, such as "find $x$"."""
    letters = set(_ASKED.findall(problem))
    return letters.pop() if len(letters) == 1 else ""
