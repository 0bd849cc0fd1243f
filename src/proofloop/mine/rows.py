"""Tasks as rows of SWE-bench: beside their directories, or packed in place of them."""

import gzip
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from proofloop.core.codec import to_json
from proofloop.envs.mined_set import PACKED, TASKS, MinedSet, MinedTask, SetInfo, selected
from proofloop.mine.writer import remove
from proofloop.store.files import write_atomic

ROWS = "swebench.jsonl"


def swebench_row(info: SetInfo, ids: Sequence[str], task: MinedTask) -> dict[str, Any]:
    """As SWE-bench has them; the last three are ours.  `bug_patch` makes the state that the patch
    starts from."""
    return {
        "repo": info.name,
        "instance_id": task.name,
        "base_commit": info.commit or info.digest,
        "patch": task.oracle,
        "test_patch": "",
        "problem_statement": task.instruction,
        "hints_text": "",
        "created_at": "",
        "version": info.digest[:12],
        "FAIL_TO_PASS": json.dumps(selected(ids, task.tests.fail_to_pass)),
        "PASS_TO_PASS": json.dumps(selected(ids, task.tests.pass_to_pass)),
        "environment_setup_commit": info.commit or info.digest,
        "bug_patch": task.bug,
        "labels": task.labels,
        "no_twins": task.tests.no_twins,
    }


def write_rows(mined: MinedSet) -> None:
    write_atomic(mined.folder / ROWS, _lines(mined))


def pack(mined: MinedSet) -> None:
    """Directories become rows of one compressed file.  Killed in between, they are both, and read
    as one."""
    write_atomic(mined.folder / PACKED, packed(mined))
    for name in mined.names():
        remove(mined.folder / TASKS / name)


def packed(mined: MinedSet) -> bytes:
    return gzip.compress(_lines(mined), mtime=0)


def _lines(mined: MinedSet) -> bytes:
    rows = [swebench_row(mined.info, mined.node_ids, task) for task in mined.tasks()]
    return b"".join(to_json(row) + b"\n" for row in rows)


class Size(NamedTuple):
    """Of all tasks together; what several share is counted once."""

    num_bytes: int
    """That the files hold."""
    disk_bytes: int
    """That they and their directories take up, in whole blocks of the file system."""


def size_of(mined: MinedSet) -> Size:
    facts = {
        (info := path.lstat()).st_ino: (info, path.is_dir())
        for path in [mined.folder / PACKED, *(mined.folder / TASKS).rglob("*")]
        if path.exists()
    }.values()
    return Size(
        num_bytes=sum(info.st_size for info, is_folder in facts if not is_folder),
        disk_bytes=sum(512 * info.st_blocks for info, _ in facts),
    )
