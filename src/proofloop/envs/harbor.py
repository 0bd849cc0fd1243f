"""Tasks on a repository, as `proofloop mine` writes them: a directory that is a Harbor task set.

The answer changes files of the project, by a diff or whole.  Its reward is that of the project's
own tests, hidden, strictly all of them; how far it came is in the verdict's parts.
"""

import math
from pathlib import Path

from proofloop.core.errors import DataError
from proofloop.core.project import FolderTree, HandedOut, PlannedTest, ProjectTests, TreeFile
from proofloop.core.sandbox import Limits
from proofloop.core.task import (
    AnswerKey,
    Message,
    Problem,
    Split,
    Stratum,
    Task,
    TaskId,
)
from proofloop.envs.data_file import Content, DataFileEnvironment, DataRow
from proofloop.envs.mined_set import (
    INI,
    REPO,
    SUITE,
    MinedSet,
    MinedTask,
    SweRow,
    from_ranges,
    selected,
)
from proofloop.envs.rows import read_rows

_ANSWER = (
    "\n\nAnswer with a unified diff in a block that begins with ```diff, or with whole files, each "
    "in a block that begins with ```python and the file's path.\n"
)
_SLACK = 10
"""Times what a task's tests take on a free machine."""
_COLLECTED_S = 0.003
"""What it may take to collect one test, run or not."""


class HarborRow(DataRow, frozen=True, kw_only=True):
    """A task's name and hash; the rest is read when it is asked for."""

    task: MinedTask

    def address(self, index: int) -> str:
        return self.task.name

    def fault(self) -> str | None:
        return None


class HarborEnvironment(DataFileEnvironment[HarborRow]):
    name = "harbor"
    row_type = HarborRow
    example = "mined/boltons"

    def __init__(self, path: Path) -> None:
        """`path`: a set's directory, or a file of its rows.  Raises DataError."""
        is_rows = path.name.endswith((".jsonl", ".jsonl.gz"))
        self.set = MinedSet(path.parent if is_rows else path)
        if is_rows:
            tasks = [self.set.task_of_row(row) for row in read_rows(path, SweRow)]
        else:
            tasks = self.set.tasks()
        if not tasks:
            raise DataError(path, None, "holds no tasks; has `proofloop mine` come to its end?")
        self._hold(path, [HarborRow(task=task) for task in tasks])
        splits = {row.task.labels.split for row in self._rows}
        self._is_split = splits >= {Split.TRAIN, Split.HELDOUT}

    def strata(self, split: Split) -> tuple[Stratum, ...]:
        places = self._of(split)
        found = {self._stratum(place) for place in places}
        return tuple(sorted(found, key=lambda s: (s.horizon, s.complexity)))

    def num_tasks(self, split: Split, stratum: Stratum) -> int | None:
        return sum(self._stratum(place) == stratum for place in self._of(split))

    def problem(self, split: Split, stratum: Stratum, index: int) -> Problem:
        return self._problem(self._place(split, stratum, index), split)

    def handed_out(self, split: Split, stratum: Stratum, index: int) -> HandedOut:
        """For an agent in a workspace (`core.task.HandsOutProjects`)."""
        task = self._rows[self._place(split, stratum, index)].task
        return HandedOut(statement=task.instruction.rstrip(), visible=visible_of(self.set, task))

    def identity_of(self, row: HarborRow) -> object:
        return [row.task.labels.content_hash, row.task.oracle]

    def content_of(self, row: HarborRow) -> Content:
        task = row.task
        oracle = f"```diff\n{task.oracle}```\n" if task.oracle else None
        return Content(
            prompt=task.instruction + _ANSWER, tests=project_tests(self.set, task), oracle=oracle
        )

    def _place(self, split: Split, stratum: Stratum, index: int) -> int:
        """Raises IndexError."""
        places = [place for place in self._of(split) if self._stratum(place) == stratum]
        if not 0 <= index < len(places):
            raise IndexError(f"no task {index} in {split} {stratum.label}")
        return places[index]

    def _of(self, split: Split) -> list[int]:
        if not self._is_split:
            return self._kept
        return [p for p in self._kept if self._rows[p].task.labels.split == split]

    def _stratum(self, place: int) -> Stratum:
        labels = self._rows[place].task.labels
        return Stratum(
            family=self.set.info.name, complexity=labels.complexity, horizon=labels.horizon
        )

    def _problem(self, place: int, split: Split) -> Problem:
        row = self._rows[place]
        content = self.content_of(row)
        task_id: TaskId = self._id_of(place)
        task = Task(
            id=task_id,
            env=self.name,
            split=split,
            stratum=self._stratum(place),
            messages=(Message(role="user", content=content.prompt),),
        )
        key = AnswerKey(task_id=task_id, tests=content.tests)
        return Problem(task=task, key=key, oracle=content.oracle)


def project_tests(mined: MinedSet, task: MinedTask) -> ProjectTests:
    """The key of a task.  Raises DataError."""
    info, ids = mined.info, mined.node_ids
    failing = set(selected(ids, task.tests.fail_to_pass))
    run = failing | set(selected(ids, task.tests.pass_to_pass))
    no_twins = set(selected(ids, task.tests.no_twins))
    modules = [m for m in info.modules if any(f"{m.path}::{n}" in run for n in m.names)]
    loose = {ids[i] for m in modules for i in from_ranges(m.loose)}
    seconds = sum(
        s for m in modules for n, s in zip(m.names, m.seconds, strict=True)
        if f"{m.path}::{n}" in run
    )  # fmt: skip
    collecting = _COLLECTED_S * sum(len(module.names) for module in modules)
    is_loose = not run.isdisjoint(loose)
    limits = Limits(
        wall_s=max(30.0, 4 * _SLACK * seconds) + 4 * collecting,
        cpu_s=math.ceil(max(5.0, _SLACK * seconds) + collecting),
        memory_bytes=2 << 30,
        result_bytes=4 << 20,
        output_bytes=4 << 20,
        num_open_files=256 if is_loose else 64,
        num_processes=48 if is_loose else 1,
        file_bytes=64 << 20 if is_loose else 0,
    )
    compiled = {path for module in modules for path in module.files}
    helpers = {path for module in modules for path in module.helpers}
    return ProjectTests(
        tree=tree_of(mined),
        changed=changed_of(mined, task),
        allowed=info.allowed,
        modules=tuple(_module(mined, module.path) for module in modules),
        helpers=tuple(_module(mined, path) for path in sorted(helpers)),
        planned=tuple(
            PlannedTest(
                node_id=test,
                is_run=test in run,
                was_failing=test in failing,
                has_twins=test not in no_twins,
            )
            for module in modules
            for test in (f"{module.path}::{name}" for name in module.names)
        ),
        import_paths=info.import_paths,
        plugins=info.plugins,
        config=INI,
        python=mined.python,
        limits=limits,
        may_write=is_loose,
        preload=info.preload,
        compiled=tuple(sorted(compiled)),
    )


def tree_of(mined: MinedSet) -> FolderTree:
    return FolderTree(folder=str(mined.folder.resolve() / REPO), digest=mined.info.digest)


def changed_of(mined: MinedSet, task: MinedTask) -> tuple[TreeFile, ...]:
    return tuple(
        TreeFile(path=path, content=text.encode("utf-8", "surrogateescape"))
        for path, text in mined.handed_out(task).items()
    )


def visible_of(mined: MinedSet, task: MinedTask) -> tuple[TreeFile, ...]:
    """The test modules that whoever works on the task may see and run: those without a test that
    fails, that import none such.  The project as it is handed out is `tree_of` with `changed_of`
    over it."""
    failing = selected(mined.node_ids, task.tests.fail_to_pass)
    hidden = {test.partition("::")[0] for test in failing}
    return tuple(
        _module(mined, module.path)
        for module in mined.info.modules
        if hidden.isdisjoint((module.path, *module.helpers))
    )


def _module(mined: MinedSet, path: str) -> TreeFile:
    return TreeFile(path=path, content=(mined.folder / SUITE / path).read_bytes())
