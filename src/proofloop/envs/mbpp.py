"""MBPP (Austin et al. 2021, arXiv:2108.07732): a function from a sentence and three assertions.

The prompt shows the first assertion, which gives the function's name and shape; all of them decide.
They run apart from the candidate, which sees the arguments of its calls only.
"""

import ast

import msgspec

from proofloop.core.task import CheckProgram
from proofloop.envs.data_file import Content, DataFileEnvironment, DataRow


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
