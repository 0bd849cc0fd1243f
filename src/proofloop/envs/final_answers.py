"""What data sets of problems with one final answer share: rows of a file as problems.

One stratum: such data have no dials.  Their rows have no ids either, so a problem's address is the
data set's name and the row's number from 0.  Nothing in them is for training by nature; the same
rows serve both splits, and whoever trains on them must not report them as held out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from proofloop.core.codec import content_hash
from proofloop.core.errors import DataError, UserError
from proofloop.core.task import (
    AnswerKey,
    MathAnswer,
    Message,
    Problem,
    Split,
    Stratum,
    Task,
    TaskId,
)


class Item(NamedTuple):
    """One row, understood."""

    prompt: str
    answer: MathAnswer
    oracle: str
    """An answer that must earn reward 1."""


class FinalAnswerEnvironment:
    """Problems of one data file (`core.task.Environment`)."""

    def __init__(self, name: str, path: Path, items: Sequence[Item]) -> None:
        """Raises DataError where there is none."""
        if not items:
            raise DataError(path, None, "holds no rows")
        self.name = name
        self._items = items
        self._stratum = Stratum(family=name, complexity=0, horizon=1)

    def strata(self, split: Split) -> tuple[Stratum, ...]:
        return (self._stratum,)

    def num_tasks(self, split: Split, stratum: Stratum) -> int | None:
        return len(self._items) if stratum == self._stratum else 0

    def problem(self, split: Split, stratum: Stratum, index: int) -> Problem:
        """Raises IndexError past the last row, as a sequence does."""
        if stratum != self._stratum or index < 0:
            raise IndexError(f"no task {index} in {split} {stratum.label}")
        return self._problem(index, split)

    def find(self, task_id: str) -> Problem:
        """By address, with or without `@` and the hash of the content."""
        address = task_id.partition("@")[0]
        name, _, number = address.rpartition("/")
        is_number = number.isascii() and number.isdigit() and len(number) < 10
        if name != self.name or not is_number or int(number) >= len(self._items):
            raise UserError(
                f"no task {task_id!r} in this file of {len(self._items)} rows; "
                f"an id looks like '{self.name}/0', the first row "
                f"(list them with `proofloop tasks {self.name} --data …`)"
            )
        problem = self._problem(int(number), Split.HELDOUT)
        if task_id not in (address, problem.task.id):
            raise UserError(
                f"task {task_id!r} has changed: this file holds {problem.task.id!r}. "
                "Use the data file that it was drawn from."
            )
        return problem

    def _problem(self, index: int, split: Split) -> Problem:
        item = self._items[index]
        task_id = TaskId(f"{self.name}/{index}@{content_hash([item.prompt, item.answer])}")
        task = Task(
            id=task_id,
            env=self.name,
            split=split,
            stratum=self._stratum,
            messages=(Message(role="user", content=item.prompt),),
        )
        key = AnswerKey(task_id=task_id, tests=item.answer)
        return Problem(task=task, key=key, oracle=item.oracle)
