"""Mining: tasks an hour, what they cost in processor time, how many are valid, and of what kinds.

    python -m bench.mining REPO… --out DIR [--max-tasks 200] [--horizon 1,2,4,8,16] [--workers 4]

One row a repository, as Markdown: validated tasks an hour (found good by their tests, twice) and
admitted ones (shown to the panel as well), by the wall clock while mining; processor seconds of the
sandboxes an admitted task, with what four free cores would give at that rate; the share of tried
changes that is valid; seconds to the first task, everything included; bytes a task.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path

from proofloop.core.codec import to_json
from proofloop.core.errors import UserError
from proofloop.core.sandbox import Command, Execution
from proofloop.mine.config import MineConfig
from proofloop.mine.pipeline import Summary, mine
from proofloop.sandbox.workspace import KeptWorkspace

HEADER = (
    "| library | tried | valid | admitted | valid/h | admitted/h | CPU s a task | admitted/h on 4 "
    "free cores | first task (s) | bytes a task | refused by the panel |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)


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


def row(summary: Summary, cpu_s: float) -> str:
    why = Counter(reason.partition(":")[0] for r in summary.refused.values() for reason in r[:1])
    refused = ", ".join(f"{name} {count}" for name, count in why.most_common()) or "none"
    hours = summary.mining_s / 3600
    each = cpu_s / max(1, summary.num_tasks)
    first = "-" if summary.first_task_s is None else f"{summary.first_task_s:.0f}"
    return (
        f"| {summary.name} | {summary.num_tried} | {summary.num_valid} "
        f"({summary.num_valid / max(1, summary.num_tried):.0%}) | {summary.num_tasks} "
        f"| {summary.num_valid / hours:.0f} | {summary.num_tasks / hours:.0f} | {each:.2f} "
        f"| {4 * 3600 / each:.0f} | {first} | {summary.bytes_per_task:.0f} "
        f"| {sum(map(bool, summary.refused.values()))}: {refused} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", nargs="+", type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--max-tasks", type=int, default=200)
    parser.add_argument("--horizon", default="1")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--tests", action="append", default=[])
    given = parser.parse_args()
    meter = Meter()
    print(HEADER, flush=True)
    for repository in given.repositories:
        config = MineConfig(
            max_tasks=given.max_tasks,
            horizon=tuple(map(int, given.horizon.split(","))),
            workers=given.workers,
            tests=tuple(given.tests),
        )
        at_start: list[float] = []

        def show(done: int, figures: object, at_start: list[float] = at_start) -> None:
            if not at_start:  # the baseline is done
                at_start.append(meter.cpu_s)

        try:
            summary = mine(repository, given.out / repository.name, config, show=show)
        except UserError as error:
            print(f"| {repository.name} | {error} |", flush=True)
            continue
        (given.out / f"{repository.name}.json").write_bytes(to_json(summary))
        print(row(summary, meter.cpu_s - at_start[0]), flush=True)
        for name, cells in (("complexity", summary.by_complexity), ("horizon", summary.by_horizon)):
            told = ", ".join(f"{k}: {c.valid}/{c.tried}" for k, c in cells.items())
            print(f"{repository.name}: valid by {name}: {told}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
