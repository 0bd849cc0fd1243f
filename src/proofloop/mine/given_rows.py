"""Rows of SWE-bench, of whatever maker, as tasks: what a row's patch did to the sources is undone
in the project as it is, which must have it.  Today's tests judge, found and validated as for any
change; the statement is the row's."""

from collections.abc import Callable, Iterator
from pathlib import Path

from proofloop.core.patch import PatchError, inverted
from proofloop.envs.mined_set import SweRow
from proofloop.envs.rows import read_rows
from proofloop.mine.baseline import Baseline
from proofloop.mine.changes import COMMIT_CLASS, Single
from proofloop.mine.config import Kind
from proofloop.mine.history import edits_of, tests_of
from proofloop.mine.repository import Repository

Say = Callable[[str], None]


def singles_of_rows(
    path: Path, repository: Repository, baseline: Baseline, say: Say
) -> Iterator[Single]:
    """A row that cannot be one is told of, with its reason.  Raises DataError."""
    for row in read_rows(path, SweRow):
        try:
            edits = edits_of(repository, inverted(row.patch))
        except PatchError as error:
            say(f"{path}: row {row.instance_id}: its patch is none: {error}; left out")
            continue
        tests = tests_of(baseline, edits)
        if not edits:
            say(
                f"{path}: row {row.instance_id}: its patch is not in {repository.root}, or makes "
                "or deletes files; give a state of its repository that has the patch; left out"
            )
        elif not tests:
            say(f"{path}: row {row.instance_id}: no test reaches what it patches; left out")
        else:
            yield Single(
                kind=Kind.ROW,
                operator="row",
                complexity=COMMIT_CLASS,
                edits=edits,
                tests=tests,
                function=row.instance_id,
                statement=row.problem_statement,
            )
