"""Rows of MATH (Hendrycks et al. 2021, arXiv:2103.03874) and of what looks like it: `problem` and
`answer`, the final answer in LaTeX.

What kind of answer it is, the verifier infers from its form: these data do not say.
"""

import re

from proofloop.core.task import MathAnswer
from proofloop.envs.data_file import Content, DataFileEnvironment, DataRow

INSTRUCTION = (
    "Solve this problem step by step. Put the final answer, and nothing else, in \\boxed{}.\n\n"
)
MAX_GOLD_CHARS = 1000
"""As long as the verifier lets a final answer be."""
_ASKED = re.compile(r"(?:value of|[Ss]olve for|[Ff]ind|[Ww]hat is) \$([A-Za-z])\$")


class Row(DataRow, frozen=True, kw_only=True):
    problem: str
    answer: str

    def address(self, index: int) -> str:
        return f"math/{index}"

    def fault(self) -> str | None:
        gold = self.answer.strip()
        if not self.problem.strip():
            return "problem is empty"
        if not gold:
            return "answer is empty"
        if len(gold) > MAX_GOLD_CHARS:
            return f"answer has {len(gold)} characters, more than {MAX_GOLD_CHARS}"
        bare = gold.replace("\\{", "").replace("\\}", "")
        if "\\boxed" in gold or bare.count("{") != bare.count("}"):
            return "answer must be the final answer alone: without \\boxed, braces in pairs"
        return None

    def content(self) -> Content:
        gold = self.answer.strip()
        return Content(
            prompt=INSTRUCTION + self.problem,
            tests=MathAnswer(gold=gold, unknown=_unknown(self.problem)),
            oracle=f"\\boxed{{{gold}}}",
        )


class MathEnvironment(DataFileEnvironment[Row]):
    name = "math"
    row_type = Row
    example = "math_test.jsonl.gz"


def _unknown(problem: str) -> str:
    """The one letter that the problem asks for in so many words, such as "find $x$"."""
    letters = set(_ASKED.findall(problem))
    return letters.pop() if len(letters) == 1 else ""
