"""MBPP (Austin et al. 2021, arXiv:2108.07732): a function from a sentence and three assertions.

The prompt shows the first assertion, which gives the function's name and shape; all of them decide.
They run apart from the candidate, which sees the arguments of its calls only.
"""

import ast
from collections.abc import Sequence
from typing import Any

import msgspec

from proofloop.core import value
from proofloop.core.task import CheckProgram
from proofloop.envs.assertions import EXACT_FLOATS, holds_floats, tolerance_of
from proofloop.envs.data_file import Case, Content, DataFileEnvironment, DataRow


class Row(DataRow, frozen=True, kw_only=True):
    """A row of the full edition (`text`, `test_setup_code`) or the sanitized one (`prompt`,
    `test_imports`)."""

    task_id: int | str
    code: str
    test_list: list[str]
    text: str = ""
    prompt: str = ""
    test_setup_code: str = ""
    test_imports: list[str] = msgspec.field(default_factory=list[str])

    def address(self, index: int) -> str:
        return f"MBPP/{self.task_id}" if isinstance(self.task_id, int) else self.task_id

    def fault(self) -> str | None:
        if not (self.text or self.prompt):
            return "neither text nor prompt says what is asked"
        if not self.test_list:
            return "test_list holds no tests"
        for name, source in (("code", self.code), ("test_list", "\n".join(self.test_list))):
            try:
                ast.parse(source)
            except (SyntaxError, ValueError) as error:
                return f"{name} is not Python ({error})"
        return None if self._entry_point() else "no test calls a function that code defines"

    def content(self) -> Content:
        entry_point = self._entry_point()
        assert entry_point is not None, "the row has a fault"
        statements = ast.parse("\n".join(self.test_list)).body
        check = ast.parse("def check(candidate):\n    pass")
        (function,) = check.body
        assert isinstance(function, ast.FunctionDef)
        function.body = statements
        setup = "\n".join((*self.test_imports, self.test_setup_code))
        return Content(
            prompt=f"{self.text or self.prompt}\n\nYour code must satisfy, among others:\n"
            f"{self.test_list[0]}\n",
            tests=CheckProgram(setup=setup, check=ast.unparse(check), entry_point=entry_point),
            oracle=self.code,
        )

    def tolerance(self) -> float | None:
        name = self._entry_point()
        return None if name is None else tolerance_of("\n".join(self.test_list), {name})

    def takes(self, case: Case) -> bool:
        """What a literal says; of floats in a result, one alone, so that it can be off a little."""
        if holds_floats(case.wanted) and type(case.wanted) is not float:
            return False
        try:
            again = ast.literal_eval(repr((case.args, case.wanted)))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return False
        return value.strictly_equal(again, (case.args, case.wanted))

    def with_cases(self, cases: Sequence[Case]) -> dict[str, Any]:
        return {"test_list": [*self.test_list, *map(self._assertion, cases)]}

    def _assertion(self, case: Case) -> str:
        call = f"{self._entry_point()}({', '.join(map(repr, case.args))})"
        if type(case.wanted) is float:
            allowed = max(self.tolerance() or EXACT_FLOATS, 1e-7 * abs(case.wanted))
            return f"assert abs({call} - {case.wanted!r}) <= {allowed!r}"
        return f"assert {call} == {case.wanted!r}"

    def _entry_point(self) -> str | None:
        """The function of `code` that the tests call."""
        defined = {
            node.name
            for node in ast.parse(self.code).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        called = (
            node.func.id
            for node in ast.walk(ast.parse("\n".join(self.test_list)))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        )
        return next((name for name in called if name in defined), None)


class MbppEnvironment(DataFileEnvironment[Row]):
    name = "mbpp"
    row_type = Row
    example = "mbpp.jsonl"
