"""Programs from standard input to standard output, as APPS (Hendrycks et al. 2021,
arXiv:2105.09938) and competition archives have them.

A row gives a statement, tests and a solution.  Tests are `inputs` and `outputs`, two lists of texts
side by side or inside `input_output` (an object, or JSON in a string, as APPS has it); `solutions`
may be JSON in a string, too.  Rows that ask for a function (`fn_name`) are not of this kind.
"""

from typing import Any

import msgspec

from proofloop.core.task import OutputTest, ProgramTests
from proofloop.envs.data_file import Content, DataFileEnvironment, DataRow

INSTRUCTION = (
    "Write a Python program that reads from standard input and prints to standard output.\n\n"
)


class Cases(msgspec.Struct, frozen=True, kw_only=True):
    inputs: list[str]
    outputs: list[str]
    fn_name: str | None = None


class Row(DataRow, frozen=True, kw_only=True):
    question: str = ""
    prompt: str = ""
    task_id: str | int | None = None
    problem_id: str | int | None = None
    inputs: list[str] = msgspec.field(default_factory=list[str])
    outputs: list[str] = msgspec.field(default_factory=list[str])
    input_output: Any = None
    solution: str = ""
    solutions: list[str] | str = msgspec.field(default_factory=list[str])
    float_tol: float | None = None
    """Ours: how far decimal fractions in the output may be off."""

    def address(self, index: int) -> str:
        given = self.task_id if self.task_id is not None else self.problem_id
        return f"stdio/{index if given is None else given}"

    def fault(self) -> str | None:
        try:
            cases, solutions = self._cases(), self._solutions()
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            return f"input_output or solutions does not decode ({error})"
        if not (self.question or self.prompt):
            return "neither question nor prompt says what is asked"
        if cases.fn_name is not None:
            return f"asks for a function ({cases.fn_name}), not for a program"
        if not cases.inputs or len(cases.inputs) != len(cases.outputs):
            return f"{len(cases.inputs)} inputs and {len(cases.outputs)} outputs"
        return None if solutions else "no solution, which every task needs to be validated by"

    def content(self) -> Content:
        cases = self._cases()
        tests = tuple(
            OutputTest(stdin=given.encode(), stdout=wanted.encode())
            for given, wanted in zip(cases.inputs, cases.outputs, strict=True)
        )
        return Content(
            prompt=INSTRUCTION + (self.question or self.prompt),
            tests=ProgramTests(tests=tests, float_tol=self.float_tol),
            oracle=self._solutions()[0],
        )

    def _cases(self) -> Cases:
        if self.input_output is None:
            return Cases(inputs=self.inputs, outputs=self.outputs)
        if isinstance(self.input_output, str):
            return msgspec.json.decode(self.input_output, type=Cases)
        return msgspec.convert(self.input_output, Cases)

    def _solutions(self) -> list[str]:
        if isinstance(self.solutions, str):
            many = msgspec.json.decode(self.solutions, type=list[str]) if self.solutions else []
        else:
            many = self.solutions
        return [self.solution] if self.solution else many


class StdioEnvironment(DataFileEnvironment[Row]):
    name = "stdio"
    row_type = Row
    example = "train.jsonl"
