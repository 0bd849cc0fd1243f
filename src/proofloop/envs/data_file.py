"""Environments over the rows of a data file that the user has (`--data`); no rows ship.

One stratum: such data have no dials.  Nothing in them is for training by nature; the same rows
serve both splits, and whoever trains on them must not report them as held out.
"""

from collections.abc import Collection, Sequence, Set
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec

from proofloop.core.codec import content_hash
from proofloop.core.errors import DataError, UserError
from proofloop.core.language import Language
from proofloop.core.task import (
    AnswerKey,
    Message,
    Problem,
    Split,
    Stratum,
    Task,
    TaskId,
    Tests,
)
from proofloop.envs.rows import read_rows


class Content(NamedTuple):
    """What a row asks, in our terms."""

    prompt: str
    tests: Tests
    oracle: str | None
    """None where the row holds no solution."""
    answer_prefix: str = ""


class Case(NamedTuple):
    """A further test of a function: plain values, as `core.value` has them."""

    args: tuple[Any, ...]
    wanted: Any


class DataRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a data file; columns that other editions add are let pass."""

    def address(self, index: int) -> str:
        """The task's, unique in its file: the data's own id, or by the row's number from 0."""
        raise NotImplementedError

    def fault(self) -> str | None:
        """What makes the row unusable, if anything."""
        raise NotImplementedError

    def content(self) -> Content:
        """Of a row without fault."""
        raise NotImplementedError

    def tolerance(self) -> float | None:
        """How far floats may be off in further tests; None where none can be added: the row's own
        tests are no calls of a function, or hold results against something else than a value."""
        return None

    def takes(self, case: Case) -> bool:
        """Whether the row's format can say it."""
        raise NotImplementedError

    def with_cases(self, cases: Sequence[Case]) -> dict[str, Any]:
        """Columns that hold the row's own tests and these, of which it takes each."""
        raise NotImplementedError


RowT = TypeVar("RowT", bound=DataRow)


class DataFileEnvironment(Generic[RowT]):
    """Problems of one data file; see the module's docstring.  Data sets are subclasses."""

    name: str
    row_type: type[RowT]
    example: ClassVar[str]
    """A usual name of its file."""

    def __init__(self, path: Path) -> None:
        """Raises DataError for a file or a row that cannot be used."""
        self._hold(path, read_rows(path, self.row_type))

    def _hold(self, path: Path, rows: list[RowT]) -> None:
        self._rows = rows
        self._places: dict[str, int] = {}
        for place, row in enumerate(self._rows):
            line = place + 1
            if what := self.fault_of(row):
                raise DataError(path, line, what)
            address = row.address(place)
            if not address or "@" in address:
                raise DataError(path, line, f"task_id {address!r} must be non-empty, without '@'")
            if address in self._places:
                earlier = self._places[address] + 1
                raise DataError(path, line, f"task_id {address!r} is already on line {earlier}")
            self._places[address] = place
        if not self._rows:
            raise DataError(path, None, "holds no rows")
        self._kept = list(range(len(self._rows)))

    def leave_out(self, task_ids: Collection[str]) -> None:
        """Both splits do without these tasks; the others' ids stay what they are, and `find` still
        finds all.  Raises UserError for an id that there is not, and where no task is left."""
        out = {self._place_of(task_id) for task_id in task_ids}
        self._kept = [place for place in self._kept if place not in out]
        if not self._kept:
            raise UserError(f"all {len(self._rows)} tasks of {self.name} are left out")

    def fault_of(self, row: RowT) -> str | None:
        """What makes the row unusable here, if anything."""
        return row.fault()

    def content_of(self, row: RowT) -> Content:
        """Of a row without fault."""
        return row.content()

    def languages(self) -> Set[Language]:
        """Of the programs that its tasks ask for, where they are run by commands."""
        return frozenset()

    @property
    def rows(self) -> Sequence[RowT]:
        """In the order of the file: problem i of either split is row i."""
        return [self._rows[place] for place in self._kept]

    @property
    def stratum(self) -> Stratum:
        return Stratum(family=self.name, complexity=0, horizon=1)

    def strata(self, split: Split) -> tuple[Stratum, ...]:
        return (self.stratum,)

    def num_tasks(self, split: Split, stratum: Stratum) -> int | None:
        return len(self._kept) if stratum in self.strata(split) else 0

    def problem(self, split: Split, stratum: Stratum, index: int) -> Problem:
        """Raises IndexError past the last row, as a sequence does."""
        if stratum not in self.strata(split) or index < 0:
            raise IndexError(f"no task {index} in {split} {stratum.label}")
        return self._problem(self._kept[index], split)

    def find(self, task_id: str) -> Problem:
        """By the data file's own id or by ours, which adds `@` and a hash of the content."""
        return self._problem(self._place_of(task_id), Split.HELDOUT)

    def _place_of(self, task_id: str) -> int:
        """Raises UserError."""
        address = task_id.partition("@")[0]
        if address not in self._places:
            first = next(iter(self._places))
            raise UserError(
                f"no task {task_id!r} in this {self.name} file of {len(self._rows)} rows; "
                f"an id looks like {first!r} "
                f"(list them with `proofloop tasks {self.name} --data …`)"
            )
        place = self._places[address]
        found = self._id_of(place)
        if task_id not in (address, found):
            raise UserError(
                f"task {task_id!r} has changed: this file holds {found!r}. "
                "Use the data file that it was drawn from."
            )
        return place

    def identity_of(self, row: RowT) -> object:
        """All that makes the task what it is."""
        return row

    def _problem(self, place: int, split: Split) -> Problem:
        row = self._rows[place]
        content = self.content_of(row)
        task_id = self._id_of(place)
        task = Task(
            id=task_id,
            env=self.name,
            split=split,
            stratum=self.stratum,
            messages=(Message(role="user", content=content.prompt),),
            answer_prefix=content.answer_prefix,
        )
        key = AnswerKey(task_id=task_id, tests=content.tests)
        return Problem(task=task, key=key, oracle=content.oracle)

    def _id_of(self, place: int) -> TaskId:
        row = self._rows[place]
        return TaskId(f"{row.address(place)}@{content_hash(self.identity_of(row))}")
