"""HumanEval (Chen et al. 2021, arXiv:2107.03374): complete a Python function from its docstring.

The rows come from a file that the user has (`--data`); none ship.  The tests are code, so the key
is a `CheckProgram`: `check(candidate)` runs apart from the candidate.  One stratum: the data set
has no dials.  Nothing in it is for training by nature; the same rows serve both splits, and whoever
trains on them must not report them as held out.
"""

from pathlib import Path

import msgspec

from proofloop.core.codec import content_hash
from proofloop.core.errors import DataError, UserError
from proofloop.core.task import (
    AnswerKey,
    CheckProgram,
    Message,
    Problem,
    Split,
    Stratum,
    Task,
    TaskId,
)
from proofloop.envs.rows import read_rows

STRATUM = Stratum(family="humaneval", complexity=0, horizon=1)
INSTRUCTION = "Complete this Python function. Answer with the whole function, imports included.\n\n"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the data file; columns that other editions add are let pass."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str

    def problem(self) -> str | None:
        """What makes the row unusable, if anything."""
        if not self.task_id or "@" in self.task_id:
            return f"task_id {self.task_id!r} must be non-empty, without '@'"
        if not self.entry_point.isidentifier() or f"def {self.entry_point}(" not in self.prompt:
            return f"the prompt does not define entry_point {self.entry_point!r}"
        if "def check(" not in self.test:
            return "test does not define check(candidate)"
        return None


class HumanEvalEnvironment:
    """Problems of one data file; see the module's docstring."""

    name = "humaneval"

    def __init__(self, path: Path) -> None:
        """Raises DataError for a file or a row that cannot be used."""
        self._rows: list[Row] = read_rows(path, Row)
        self._places: dict[str, int] = {}
        for place, row in enumerate(self._rows):
            if what := row.problem():
                raise DataError(path, place + 1, what)
            if row.task_id in self._places:
                earlier = self._places[row.task_id] + 1
                raise DataError(
                    path, place + 1, f"task_id {row.task_id!r} is already on line {earlier}"
                )
            self._places[row.task_id] = place
        if not self._rows:
            raise DataError(path, None, "holds no rows")

    def strata(self, split: Split) -> tuple[Stratum, ...]:
        return (STRATUM,)

    def num_tasks(self, split: Split, stratum: Stratum) -> int | None:
        return len(self._rows) if stratum in self.strata(split) else 0

    def problem(self, split: Split, stratum: Stratum, index: int) -> Problem:
        """Raises IndexError past the last row, as a sequence does."""
        if stratum not in self.strata(split) or index < 0:
            raise IndexError(f"no task {index} in {split} {stratum.label}")
        return _problem(self._rows[index], split)

    def find(self, task_id: str) -> Problem:
        """By the data file's own id or by ours, which adds `@` and a hash of the content."""
        address = task_id.partition("@")[0]
        if address not in self._places:
            first = self._rows[0].task_id
            raise UserError(
                f"no task {task_id!r} in this HumanEval file of {len(self._rows)} rows; "
                f"an id looks like {first!r} (list them with `proofloop tasks humaneval --data …`)"
            )
        problem = _problem(self._rows[self._places[address]], Split.HELDOUT)
        if task_id not in (address, problem.task.id):
            raise UserError(
                f"task {task_id!r} has changed: this file holds {problem.task.id!r}. "
                "Use the data file that it was drawn from."
            )
        return problem


def _problem(row: Row, split: Split) -> Problem:
    task_id = TaskId(f"{row.task_id}@{content_hash(row)}")
    task = Task(
        id=task_id,
        env=HumanEvalEnvironment.name,
        split=split,
        stratum=STRATUM,
        messages=(Message(role="user", content=INSTRUCTION + row.prompt),),
        answer_prefix=row.prompt,
    )
    # Tests of some rows call helpers that the prompt defines (HumanEval/32, 38, 50), so those run
    # beside `check`; the function asked for is only a stub there.
    tests = CheckProgram(
        setup=f"{row.prompt.rstrip()}\n    pass\n", check=row.test, entry_point=row.entry_point
    )
    return Problem(
        task=task,
        key=AnswerKey(task_id=task_id, tests=tests),
        oracle=row.prompt + row.canonical_solution,
    )
