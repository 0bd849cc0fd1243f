"""What became of a session of mining, in figures."""

from collections import Counter
from collections.abc import Sequence

from proofloop.core.record import Record
from proofloop.envs.mined_set import MinedSet
from proofloop.mine.baseline import Baseline
from proofloop.mine.ledger import SPARE, VALID, Line
from proofloop.mine.rows import size_of
from proofloop.mine.trial import Dropped


class Cell(Record):
    """What became of the candidates of one kind or horizon."""

    tried: int
    valid: int
    """Found good by their tests, twice."""
    admitted: int


class Summary(Record):
    name: str
    num_tests: int
    """That are relied on."""
    num_tasks: int
    num_tried: int
    num_valid: int
    dropped: dict[str, int]
    by_complexity: dict[str, Cell]
    by_horizon: dict[str, Cell]
    refused: dict[str, tuple[str, ...]]
    """By the panel: why, by the change's id."""
    notes: tuple[str, ...]
    prepare_s: float
    first_task_s: float | None
    """From the start of this session."""
    mining_s: float
    """After preparing, of this session."""
    tasks_per_hour: float
    """Admitted in this session, while mining."""
    bytes_per_task: float
    """All files of the tasks, shared ones counted once."""
    disk_bytes_per_task: float
    """The same in blocks of the file system, directories included."""
    set_aside: dict[str, str]
    """Tests that are not relied on, and why."""


def summarised(
    mined: MinedSet,
    baseline: Baseline,
    lines: Sequence[Line],
    *,
    notes: tuple[str, ...],
    prepare_s: float,
    first_task_s: float | None,
    mining_s: float,
    tasks_per_hour: float,
) -> Summary:
    admitted = [line for line in lines if line.result == VALID]
    dropped = Counter(line.result for line in lines if line.result not in (VALID, SPARE))
    singles = [line for line in lines if line.horizon == 1]
    tests = [test for module in baseline.modules for test in module.tests]
    size = size_of(mined)
    return Summary(
        name=mined.info.name,
        num_tests=sum(not test.set_aside for test in tests),
        num_tasks=len(admitted),
        num_tried=len(lines),
        num_valid=sum(map(_is_good, lines)),
        dropped=dict(dropped.most_common()),
        by_complexity={
            str(level): _cell([x for x in singles if x.complexity == level])
            for level in sorted({line.complexity for line in singles})
        },
        by_horizon={
            str(h): _cell([line for line in lines if line.horizon == h])
            for h in sorted({line.horizon for line in lines})
        },
        refused={line.id: line.refused for line in lines if line.result == Dropped.PANEL},
        notes=notes,
        prepare_s=prepare_s,
        first_task_s=first_task_s,
        mining_s=mining_s,
        tasks_per_hour=tasks_per_hour,
        bytes_per_task=round(size.num_bytes / max(1, len(admitted)), 1),
        disk_bytes_per_task=round(size.disk_bytes / max(1, len(admitted)), 1),
        set_aside={test.node_id: test.set_aside for test in tests if test.set_aside},
    )


def _is_good(line: Line) -> bool:
    return line.result in (VALID, SPARE, Dropped.PANEL, Dropped.LEAK)


def _cell(lines: Sequence[Line]) -> Cell:
    return Cell(
        tried=len(lines),
        valid=sum(map(_is_good, lines)),
        admitted=sum(line.result == VALID for line in lines),
    )
