"""HumanEval (Chen et al. 2021, arXiv:2107.03374): complete a Python function from its docstring.

Two editions of its rows are read: the original, whose tests are `check(candidate)`, and EvalPlus's
(Liu et al. 2023, arXiv:2305.01210), whose tests are inputs for a reference.  A row may have both,
as `proofloop audit --strengthen` writes it, and then both must hold.  Either way the tests are code
that runs apart from the candidate, which sees inputs only.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from proofloop.core import value
from proofloop.core.task import CheckProgram
from proofloop.envs.assertions import EXACT_FLOATS, tolerance_of
from proofloop.envs.data_file import Case, Content, DataFileEnvironment, DataRow

INSTRUCTION = "Complete this Python function. Answer with the whole function, imports included.\n\n"


class Row(DataRow, frozen=True, kw_only=True):
    """A row of either edition: `test`, or `base_input`; `plus_input` and `atol` with either."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str = ""
    base_input: list[list[Any]] | None = None
    plus_input: list[list[Any]] = msgspec.field(default_factory=list[list[Any]])
    atol: float = 0.0

    def address(self, index: int) -> str:
        return self.task_id

    def fault(self) -> str | None:
        if not self.entry_point.isidentifier() or f"def {self.entry_point}(" not in self.prompt:
            return f"the prompt does not define entry_point {self.entry_point!r}"
        if self.base_input is None and not self.test:
            return "neither test nor base_input says what must hold"
        if self.base_input is None:
            return None if "def check(" in self.test else "test does not define check(candidate)"
        return None if self.base_input else "base_input holds no inputs"

    def content(self) -> Content:
        # Tests of some rows call helpers that the prompt defines (HumanEval/32, 38, 50), so those
        # run beside `check`; the function asked for is only a stub there.
        setup = f"{self.prompt.rstrip()}\n    pass\n"
        oracle = self.prompt + self.canonical_solution
        check = self.test
        inputs = [*(self.base_input or []), *self.plus_input]
        if inputs:
            further = reference_check(oracle, self.entry_point, json.dumps(inputs), self.atol)
            check = further if self.base_input is not None else _both(check, further)
        return Content(
            prompt=INSTRUCTION + self.prompt,
            tests=CheckProgram(setup=setup, check=check, entry_point=self.entry_point),
            oracle=oracle,
            answer_prefix=self.prompt,
        )

    def tolerance(self) -> float | None:
        if self.entry_point == "find_zero":  # any root will do
            return None
        if self.base_input is not None:
            return self.atol or EXACT_FLOATS
        granted = tolerance_of(self.test, {"candidate", self.entry_point})
        return granted if granted is None else max(granted, self.atol)

    def takes(self, case: Case) -> bool:
        """What JSON keeps as it is: no tuples, sets, bytes, nor keys that are no text."""
        try:
            again = json.loads(json.dumps(case.args, allow_nan=False))
        except (TypeError, ValueError):
            return False
        return value.strictly_equal(again, list(case.args))

    def with_cases(self, cases: Sequence[Case]) -> dict[str, Any]:
        further = [list(case.args) for case in cases]
        return {"plus_input": [*self.plus_input, *further], "atol": self.tolerance()}


class HumanEvalEnvironment(DataFileEnvironment[Row]):
    name = "humaneval"
    row_type = Row
    example = "HumanEval.jsonl.gz"


def _both(first: str, second: str) -> str:
    """A `check` that runs two, the reference's first: `assert candidate(x)` takes whatever is true,
    so that what is wrong for a first call alone would pass it."""
    return (
        f"{first}\n_own = check\n{second}\n_further = check\n\n"
        "def check(candidate):\n    _further(candidate)\n    _own(candidate)\n"
    )


def reference_check(reference: str, entry_point: str, inputs: str, atol: float) -> str:
    """A `check(candidate)` that holds answers against a reference's, input by input.

    `inputs`: JSON, a list of argument lists.  The reference has a namespace of its own, so that its
    recursion does not call the candidate.  Answers that hold floats may differ by `atol` (or 1e-6
    where the row names none), all others not at all; `find_zero` asks for any root of a polynomial,
    so there the residual decides, as in the data set's own tests.
    """
    return f"""
import copy, json, math
_reference = {{}}
exec(compile({reference!r}, "<reference>", "exec"), _reference)
_inputs = json.loads({inputs!r})

def _floats(x):
    return type(x) is float or (type(x) in (list, tuple) and any(map(_floats, x)))

def _near(x, y, atol):
    if type(x) in (list, tuple):
        return type(x) is type(y) and len(x) == len(y) and all(
            _near(a, b, atol) for a, b in zip(x, y))
    if type(x) is float and type(y) in (float, int):
        return math.isclose(x, y, rel_tol=1e-7, abs_tol=atol)
    return type(x) is type(y) and x == y

def check(candidate):
    for args in _inputs:
        got = candidate(*copy.deepcopy(args))
        if {entry_point!r} == "find_zero":
            assert abs(_reference["poly"](args[0], got)) <= {atol or 1e-4!r}
            continue
        wanted = _reference[{entry_point!r}](*copy.deepcopy(args))
        assert _near(wanted, got, {atol or 1e-6!r}) if _floats(wanted) else wanted == got
"""
