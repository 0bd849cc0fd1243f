"""A set of tasks mined from one repository, on disk.

    set.json        what all tasks share (`SetInfo`)
    repo/           the sources and all else but the test modules: once
    suite/          the test modules, which no task hands out as they are
    environment/    the interpreter and what the project needs, without the project's own code
    tasks/NAME/     one task, in the layout of Harbor (schema 1.4), as differences to `repo/`
        task.toml, instruction.md
        environment/Dockerfile, environment/bug.patch
        tests/test.sh, tests/tests.json
        solution/solve.sh

`tasks.jsonl.gz`, where a set is packed, holds tasks as rows instead, at a tenth of the room.

Tests are named by their number over all modules of `set.json`, in ranges: "3-5 9".
"""

import re
import tomllib
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from proofloop.core.codec import content_hash, from_json
from proofloop.core.errors import DataError
from proofloop.core.patch import PatchError, apply_patch
from proofloop.core.record import Record
from proofloop.envs.foreign_tasks import no_set
from proofloop.envs.rows import read_rows

SCHEMA = 1
INFO, REPO, SUITE, TASKS = "set.json", "repo", "suite", "tasks"
PACKED = "tasks.jsonl.gz"
INI = ".proofloop-pytest.ini"
"""In `repo/`: the configuration with which its tests run."""
_PATCH = re.compile(r"<<'PROOFLOOP_PATCH'\n(.*?)^PROOFLOOP_PATCH$", re.DOTALL | re.MULTILINE)


class SetModule(Record):
    path: str
    names: tuple[str, ...]
    """What follows `path::` in its tests' names, in the order in which they run."""
    seconds: tuple[float, ...]
    loose: str = ""
    """Numbers, from the set's first test, of those that write, or start threads or programs."""
    files: tuple[str, ...] = ()
    """Of the project, that it imports."""
    helpers: tuple[str, ...] = ()
    """Other test modules that it imports."""


class SetInfo(Record):
    schema: int
    name: str
    """Of the project."""
    commit: str
    digest: str
    """Of `repo/`."""
    allowed: tuple[str, ...]
    import_paths: tuple[str, ...]
    plugins: tuple[str, ...]
    preload: tuple[str, ...]
    python: str
    """The interpreter: a path, from the set's directory unless absolute."""
    seed: int
    modules: tuple[SetModule, ...]
    config: dict[str, Any]
    """What was asked for (`mine.config`)."""

    @property
    def node_ids(self) -> list[str]:
        return [f"{module.path}::{name}" for module in self.modules for name in module.names]


class Labels(Record):
    """`[metadata.proofloop]` of a task: its place on the dials, how it was made."""

    kind: str
    operators: tuple[str, ...]
    complexity: int
    horizon: int
    steps: tuple[str, ...]
    """Files to mend, those first that others import."""
    num_files: int
    split: str
    seed: int
    set_digest: str
    content_hash: str
    members: tuple[str, ...] = ()
    """Of a join: the names of the tasks that it joins."""
    commit: str = ""


class TaskTests(Record):
    """`tests/tests.json`, in ranges."""

    fail_to_pass: str
    pass_to_pass: str
    no_twins: str = ""
    """Tests of which a perturbed copy passes on the oracle."""


class MinedTask(Record):
    """One task as it lies on disk."""

    name: str
    instruction: str
    labels: Labels
    tests: TaskTests
    bug: str
    """The diff from `repo/` to what is handed out."""
    oracle: str
    """The diff back."""

    def expected_hash(self) -> str:
        return hash_of(self.instruction, self.tests, self.bug, self.labels.set_digest)


def hash_of(instruction: str, tests: TaskTests, bug: str, set_digest: str) -> str:
    return content_hash([instruction, tests, bug, set_digest])


class SweRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of SWE-bench, as far as it concerns us; the last three columns are ours."""

    instance_id: str
    patch: str
    problem_statement: str
    FAIL_TO_PASS: str
    PASS_TO_PASS: str
    bug_patch: str = ""
    labels: Labels | None = None
    no_twins: str = ""


class MinedSet:
    """A set that is there.  Raises DataError where something is missing or does not fit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = folder / INFO
        try:
            self.info = from_json(path.read_bytes(), SetInfo)
        except FileNotFoundError:
            raise no_set(folder) from None
        except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
            raise DataError(path, None, f"cannot be read ({error})") from error
        if self.info.schema != SCHEMA:
            raise DataError(path, None, f"a set of schema {self.info.schema}, not {SCHEMA}")

    @property
    def python(self) -> str:
        return str(self.folder.resolve() / self.info.python)

    @cached_property
    def node_ids(self) -> list[str]:
        return self.info.node_ids

    def tasks(self) -> list[MinedTask]:
        """All, packed ones included, by name.  Raises DataError."""
        packed = self.folder / PACKED
        rows = read_rows(packed, SweRow) if packed.exists() else []
        found = {row.instance_id: self.task_of_row(row) for row in rows}
        found |= {name: self.task(name) for name in self.names()}
        return [found[name] for name in sorted(found)]

    def names(self) -> list[str]:
        """Of the tasks that have a directory, sorted."""
        folder = self.folder / TASKS
        return sorted(p.parent.name for p in folder.glob("*/task.toml"))

    def task(self, name: str) -> MinedTask:
        folder = self.folder / TASKS / name
        try:
            table = tomllib.loads((folder / "task.toml").read_text())
            labels = msgspec.convert(table["metadata"]["proofloop"], Labels)
            solve = _PATCH.search((folder / "solution" / "solve.sh").read_text())
            task = MinedTask(
                name=name,
                instruction=(folder / "instruction.md").read_text(),
                labels=labels,
                tests=from_json((folder / "tests" / "tests.json").read_bytes(), TaskTests),
                bug=_text(folder / "environment" / "bug.patch"),
                oracle=solve[1] if solve else "",
            )
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
            raise DataError(error.filename or folder, None, problem) from error
        except (KeyError, ValueError) as error:
            problem = f"no task of `proofloop mine` ({error})"
            raise DataError(folder, None, problem) from error
        if task.expected_hash() != labels.content_hash:
            raise DataError(folder, None, "its content is not what its content_hash says")
        return task

    def task_of_row(self, row: SweRow) -> MinedTask:
        """The same task as its directory.  Raises DataError."""
        numbers = {test: n for n, test in enumerate(self.node_ids)}
        try:
            if row.labels is None:
                raise ValueError("it has no labels and bug_patch: a row of another maker, whose "
                                 "repository and environment are not this set's; make tasks of it "
                                 "with `proofloop mine CHECKOUT --set mine.rows=FILE`")  # fmt: skip
            failing, passing = (
                in_ranges(numbers[test] for test in msgspec.json.decode(names, type=list[str]))
                for names in (row.FAIL_TO_PASS, row.PASS_TO_PASS)
            )
        except (ValueError, KeyError, msgspec.DecodeError) as error:
            problem = f"row {row.instance_id}: {error}"
            raise DataError(self.folder, None, problem) from error
        task = MinedTask(
            name=row.instance_id,
            instruction=row.problem_statement,
            labels=row.labels,
            tests=TaskTests(fail_to_pass=failing, pass_to_pass=passing, no_twins=row.no_twins),
            bug=row.bug_patch,
            oracle=row.patch,
        )
        if task.expected_hash() != task.labels.content_hash:
            problem = f"row {row.instance_id}: its content is not what its content_hash says"
            raise DataError(self.folder, None, problem)
        return task

    def handed_out(self, task: MinedTask) -> dict[str, str]:
        """The files that differ from `repo/`."""
        try:
            after = apply_patch(task.bug, self.read)
        except PatchError as error:
            raise DataError(self.folder / TASKS / task.name, None, str(error)) from error
        return {path: text for path, text in after.items() if text is not None}

    def read(self, path: str) -> str | None:
        place = self.folder / REPO / path
        return _text(place) if place.is_file() else None


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


def in_ranges(numbers: Iterable[int]) -> str:
    """[3, 4, 5, 9] -> "3-5 9"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def from_ranges(text: str) -> list[int]:
    """Raises ValueError."""
    numbers: list[int] = []
    for part in text.split():
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def selected(ids: Sequence[str], text: str) -> list[str]:
    return [ids[number] for number in from_ranges(text)]
