"""`proofloop mine`: a repository with tests becomes a set of tasks."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofloop.cli.options import json_option, set_option, tier_option
from proofloop.cli.output import note, print_json
from proofloop.cli.progress import Progress

if TYPE_CHECKING:
    from proofloop.mine.summary import Summary


@click.command()
@click.argument("repo", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The set's directory.")
@set_option
@click.option(
    "--horizon",
    help="Numbers of changes that a task joins, such as 1,2,4 (mine.horizon).",
)
@click.option("--max-tasks", type=click.IntRange(min=1), help="As mine.max_tasks.")
@click.option("--workers", type=click.IntRange(min=0), help="As mine.workers.")
@click.option(
    "--python",
    default="",
    help="Interpreter of an environment that has what the project needs, pytest included; without "
    "it, one is made and the project's requirements are installed.",
)
@click.option(
    "--resume", is_flag=True, help="Go on with a set, and fail where there is none at --out."
)
@tier_option
@json_option
def command(
    repo: Path,
    out: Path,
    overrides: tuple[str, ...],
    horizon: str | None,
    max_tasks: int | None,
    workers: int | None,
    python: str,
    resume: bool,
    tier: str | None,
    as_json: bool,
) -> int | None:
    """Make tasks from a repository with tests.

    REPO is a Git checkout, an unpacked source distribution, or any directory that pytest can test.

    Every task is a small difference to the project that its tests notice, validated twice, worded
    from what fails, and shown to a panel of cheats.  The set is a directory of Harbor tasks (schema
    1.4) and the environment `harbor` of the other verbs.  Stopped at any instant, it goes on when
    called again with the same --out.

    \b
    Examples:
      proofloop mine boltons-26.2.0 --out mined/boltons
      proofloop mine checkout --out mined/it --horizon 1,2,4,8,16 --max-tasks 500
      proofloop mine checkout --out mined/it --set 'mine.tests=["tests/unit/**"]'
      proofloop validate harbor --data mined/boltons
    """
    from proofloop.core.errors import UserError
    from proofloop.core.verdict import Tier
    from proofloop.envs.mined_set import INFO
    from proofloop.mine.config import MineRecipe
    from proofloop.mine.pipeline import check, mine
    from proofloop.runs.config import load_config

    named = [] if horizon is None else [f"mine.horizon=[{horizon}]"]
    named += [] if max_tasks is None else [f"mine.max_tasks={max_tasks}"]
    named += [] if workers is None else [f"mine.workers={workers}"]
    config = load_config(MineRecipe, None, [*overrides, *named]).mine
    check(config)
    if resume and not (out / INFO).exists():
        raise UserError(f"{out}: no set to go on with; leave --resume out to begin one")
    with Progress("tasks", config.max_tasks) as progress:
        try:
            summary = mine(
                repo,
                out,
                config,
                python=python,
                tier=None if tier is None else Tier(tier),
                say=note,
                show=progress.step,
            )
        except KeyboardInterrupt:
            progress.close()
            note(f"stopped; the same command goes on with what is in {out}")
            return 130
    if as_json:
        print_json(summary)
        return _code(summary)
    print(
        f"{summary.num_tasks} tasks of {summary.num_tried} changes tried "
        f"({summary.num_valid} valid) in {out}"
    )
    for level, cell in summary.by_complexity.items():
        print(f"  complexity {level}: {cell.valid} of {cell.tried} valid, {cell.admitted} tasks")
    for length, cell in summary.by_horizon.items():
        print(f"  horizon {length}: {cell.valid} of {cell.tried} valid, {cell.admitted} tasks")
    causes = ", ".join(f"{cause} {count}" for cause, count in summary.dropped.items())
    print(f"  dropped: {causes or 'none'}")
    first = "-" if summary.first_task_s is None else f"{summary.first_task_s:.0f} s"
    print(
        f"  {summary.tasks_per_hour:.0f} tasks/hour, the first after {first}, "
        f"{summary.bytes_per_task:.0f} bytes a task ({summary.disk_bytes_per_task:.0f} on disk)"
    )
    return _code(summary)


def _code(summary: "Summary") -> int | None:
    if not summary.num_tasks:
        note("no task was found: its tests notice none of the changes, or reach none of the code")
    return None if summary.num_tasks else 1
