"""Mining: tasks an hour, what they cost in processor time, how many are valid, and of what kinds.

    python -m bench.mining REPO… --out DIR [--max-tasks 200] [--joins 0] [--workers 4]

A row a repository, as Markdown, when it is done.  Single changes first: validated tasks an hour
(found good by their tests, twice) and admitted ones (shown to the panel as well), by the wall clock
while mining; processor seconds of the sandboxes an admitted task, with what four free cores would
give at that rate; the share of tried changes that is valid; seconds to the first task, all included
(environment, baseline); bytes a task in its files, in blocks of the file system with directories,
and packed.  Then, with `--joins N`, N tasks of each horizon of 2, 4, 8 and 16.  A second table, of
classes and horizons, is in `OUT/classes.md`.
"""

import argparse
from collections import Counter
from pathlib import Path

from proofloop.core.codec import to_json
from proofloop.core.errors import UserError
from proofloop.core.sandbox import Command, Execution
from proofloop.envs.mined_set import MinedSet
from proofloop.mine.config import MineConfig
from proofloop.mine.pipeline import mine
from proofloop.mine.rows import packed
from proofloop.mine.summary import Cell, Summary
from proofloop.sandbox.workspace import KeptWorkspace

HORIZONS = (2, 4, 8, 16)
CLASSES = ("1", "2", "3", "4", "5", "6")
COLUMNS = (
    "library", "tests", "set aside", "tried", "valid", "admitted", "valid/h", "admitted/h",
    "CPU s a task", "admitted/h on 4 free cores", "first task (s)", "bytes a task", "on disk",
    "packed", "refused by the panel",
)  # fmt: skip
KINDS = (
    "library", "constants", "operators", "conditions", "removals", "bodies", "commits",
    *(f"{horizon} joined" for horizon in HORIZONS),
)  # fmt: skip


def header(columns: tuple[str, ...]) -> str:
    return f"{line(columns)}\n|{' --- |' * len(columns)}"


def line(cells: tuple[object, ...]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


class Meter:
    """Adds up what the commands of all sandboxes used."""

    cpu_s = 0.0

    def __init__(self) -> None:
        real = KeptWorkspace.run

        def run(workspace: KeptWorkspace, command: Command) -> Execution:
            execution = real(workspace, command)
            self.cpu_s += execution.cpu_s
            return execution

        KeptWorkspace.run = run  # type: ignore[method-assign]


def row(summary: Summary, cpu_s: float, mined: MinedSet) -> str:
    why = Counter(reason.partition(":")[0] for r in summary.refused.values() for reason in r[:1])
    refused = ", ".join(f"{name} {count}" for name, count in why.most_common())
    each = cpu_s / max(1, summary.num_tasks)
    num_refused = sum(map(bool, summary.refused.values()))
    return line(
        (
            summary.name,
            summary.num_tests,
            len(summary.set_aside),
            summary.num_tried,
            f"{summary.num_valid} ({summary.num_valid / max(1, summary.num_tried):.0%})",
            summary.num_tasks,
            f"{3600 * summary.num_valid / summary.mining_s:.0f}",
            f"{3600 * summary.num_tasks / summary.mining_s:.0f}",
            f"{each:.2f}",
            f"{4 * 3600 / each:.0f}",
            "-" if summary.first_task_s is None else f"{summary.first_task_s:.0f}",
            f"{summary.bytes_per_task:.0f}",
            f"{summary.disk_bytes_per_task:.0f}",
            f"{len(packed(mined)) / max(1, summary.num_tasks):.0f}",
            f"{num_refused}: {refused}" if refused else "0",
        )
    )


def kinds_row(singles: Summary, joined: Summary) -> str:
    """Of classes: valid of tried, and admitted.  Of horizons: the same."""
    cells = [_told(singles.by_complexity.get(level)) for level in CLASSES]
    cells += [_told(joined.by_horizon.get(str(horizon))) for horizon in HORIZONS]
    return line((singles.name, *cells))


def _told(cell: Cell | None) -> str:
    return "-" if cell is None else f"{cell.valid}/{cell.tried}, {cell.admitted}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--max-tasks", type=int, default=200)
    parser.add_argument("--joins", type=int, default=0)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--tests", action="append", default=[])
    parser.add_argument("--extra", action="append", default=[])
    parser.add_argument("--no-header", action="store_true")
    given = parser.parse_args()
    meter = Meter()
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.no_header:
        print(header(COLUMNS), flush=True)
    for repository in given.repositories:
        out = given.out / repository.name
        config = MineConfig(
            max_tasks=given.max_tasks,
            workers=given.workers,
            tests=tuple(given.tests),
            extra=tuple(given.extra),
        )
        at_start: list[float] = []

        def show(done: int, figures: object, at_start: list[float] = at_start) -> None:
            if not at_start:  # the baseline is done
                at_start.append(meter.cpu_s)

        try:
            singles = mine(repository, out, config, show=show)
        except UserError as error:
            print(line((repository.name, str(error))), flush=True)
            continue
        (given.out / f"{repository.name}.json").write_bytes(to_json(singles))
        print(row(singles, meter.cpu_s - at_start[0], MinedSet(out)), flush=True)
        joined = singles
        if given.joins:
            horizons = (1, *HORIZONS)
            many = MineConfig(
                max_tasks=given.joins * len(horizons),
                horizon=horizons,
                workers=given.workers,
                tests=tuple(given.tests),
            )
            joined = mine(repository, out, many)
            (given.out / f"{repository.name}.joins.json").write_bytes(to_json(joined))
        with (given.out / "classes.md").open("a") as file:
            if not file.tell():
                file.write(header(KINDS) + "\n")
            file.write(kinds_row(singles, joined) + "\n")


if __name__ == "__main__":
    main()
