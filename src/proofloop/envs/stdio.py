"""Programs from standard input to standard output, as APPS (Hendrycks et al. 2021,
arXiv:2105.09938), competition archives and LiveCodeBench have them.

A row gives a statement, tests and, as a rule, a solution.  Tests are `inputs` and `outputs`, two
lists of texts side by side or inside `input_output` (an object, or JSON in a string, as APPS has
it), or LiveCodeBench's `public_test_cases` and `private_test_cases`, all of which decide;
`solutions` may be JSON in a string, too.  LiveCodeBench's functional rows become calls of a method;
rows of others that ask for a function (`fn_name`) are not of this kind.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from proofloop.core.language import BUILT_IN, PYTHON, Language
from proofloop.core.task import CallTests, OutputTest, ProgramTests, Stages
from proofloop.envs import livecodebench
from proofloop.envs.data_file import Content, DataFileEnvironment, DataRow
from proofloop.envs.livecodebench import Unreadable

INSTRUCTION = (
    "Write a {title} program that reads from standard input and prints to standard output.\n\n"
)
METHOD_INSTRUCTION = (
    "Complete this Python class. Answer with the whole class, imports included.\n\n"
)


class Cases(msgspec.Struct, frozen=True, kw_only=True):
    inputs: list[str]
    outputs: list[str]
    fn_name: str | None = None


class Row(DataRow, frozen=True, kw_only=True):
    question: str = ""
    prompt: str = ""
    question_content: str = ""
    task_id: str | int | None = None
    problem_id: str | int | None = None
    question_id: str | int | None = None
    inputs: list[str] = msgspec.field(default_factory=list[str])
    outputs: list[str] = msgspec.field(default_factory=list[str])
    input_output: Any = None
    public_test_cases: str | list[Any] = ""
    private_test_cases: str | list[Any] = ""
    starter_code: str = ""
    metadata: str | dict[str, Any] | None = None
    solution: str = ""
    solutions: list[str] | str = msgspec.field(default_factory=list[str])
    language: str | None = None
    """Ours: the programs', by name; none: the recipe's."""
    stages: Stages | None = None
    """Ours: what compiling, running and passing are worth; none: as the recipe says."""
    float_tol: float | None = None
    """Ours: how far decimal fractions in the output may be off."""

    def address(self, index: int) -> str:
        for given in (self.task_id, self.problem_id, self.question_id):
            if given is not None:
                return f"stdio/{given}"
        return f"stdio/{index}"

    def statement(self) -> str:
        return self.question or self.prompt or self.question_content

    def oracle(self) -> str | None:
        """Raises msgspec.MsgspecError."""
        if isinstance(self.solutions, str):
            many = msgspec.json.decode(self.solutions, type=list[str]) if self.solutions else []
        else:
            many = self.solutions
        return self.solution or (many[0] if many else None)

    def cases(self) -> Cases:
        """Raises msgspec.MsgspecError."""
        if self.input_output is None:
            return Cases(inputs=self.inputs, outputs=self.outputs)
        if isinstance(self.input_output, str):
            return msgspec.json.decode(self.input_output, type=Cases)
        return msgspec.convert(self.input_output, Cases)

    def method_tests(self) -> CallTests | None:
        """Of a functional row; None for any other.  Raises Unreadable."""
        tests = livecodebench.read_cases(self.public_test_cases, self.private_test_cases)
        kinds = {test.testtype for test in tests}
        if not kinds or kinds == {"stdin"}:
            return None
        if kinds != {"functional"}:
            raise Unreadable(f"tests of kinds {', '.join(sorted(kinds))}; stdin or functional")
        function = livecodebench.function_of(self.metadata)
        if function is None:
            raise Unreadable("functional tests, and no func_name in metadata")
        return livecodebench.call_tests(tests, function)

    def output_tests(self) -> tuple[OutputTest, ...]:
        """Raises msgspec.MsgspecError, Unreadable."""
        cases = self.cases()
        if cases.fn_name is not None:
            raise Unreadable(f"asks for a function ({cases.fn_name}), not for a program")
        if len(cases.inputs) != len(cases.outputs):
            raise Unreadable(f"{len(cases.inputs)} inputs and {len(cases.outputs)} outputs")
        pairs = list(zip(cases.inputs, cases.outputs, strict=True))
        more = livecodebench.read_cases(self.public_test_cases, self.private_test_cases)
        pairs += [(test.input, test.output) for test in more]
        if not pairs:
            raise Unreadable("0 inputs and 0 outputs")
        return tuple(OutputTest(stdin=i.encode(), stdout=o.encode()) for i, o in pairs)


class StdioEnvironment(DataFileEnvironment[Row]):
    name = "stdio"
    row_type = Row
    example = "train.jsonl"

    def __init__(
        self,
        path: Path,
        *,
        languages: Mapping[str, Language] = BUILT_IN,
        language: str = PYTHON.name,
        stages: Stages | None = None,
    ) -> None:
        """`language` and `stages`: of rows that have none of their own.  Raises DataError."""
        self._known = languages
        self._language = language
        self._stages = stages or Stages()
        super().__init__(path)

    def fault_of(self, row: Row) -> str | None:
        name = row.language or self._language
        if name not in self._known:
            return f"no language {name!r}; known: {', '.join(self._known)}"
        if not row.statement():
            return "neither question nor prompt nor question_content says what is asked"
        try:
            row.oracle()
            if row.method_tests() is None:
                row.output_tests()
            elif name != PYTHON.name:
                return f"functional tests call Python, not {name}"
        except msgspec.MsgspecError as error:
            return f"input_output or solutions does not decode ({error})"
        except Unreadable as error:
            return str(error)
        return None

    def content_of(self, row: Row) -> Content:
        calls = row.method_tests()
        if calls is not None:
            prompt = (
                f"{METHOD_INSTRUCTION}{row.statement()}\n\n```python\n{row.starter_code}\n```\n"
            )
            return Content(prompt=prompt, tests=calls, oracle=row.oracle())
        language = self._language_of(row)
        tests = ProgramTests(
            tests=row.output_tests(),
            language=language,
            stages=row.stages or self._stages,
            float_tol=row.float_tol,
        )
        prompt = INSTRUCTION.format(title=language.title) + row.statement()
        return Content(prompt=prompt, tests=tests, oracle=row.oracle())

    def identity_of(self, row: Row) -> object:
        """What the recipe adds to a row makes another task of it."""
        language = self._language_of(row)
        return (row, language.name, language.compile, row.stages or self._stages)

    def languages(self) -> set[Language]:
        return {self._language_of(row) for row in self._rows}

    def _language_of(self, row: Row) -> Language:
        return self._known[row.language or self._language]
