"""`proofloop peek`: one rollout, token by token."""

from pathlib import Path

import click

from proofloop.cli.options import json_option
from proofloop.cli.output import console, print_json


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("rollout_id", required=False)
@click.option(
    "--phase",
    type=click.Choice(["train", "eval"]),
    default="train",
    show_default=True,
    help="What the rollout was sampled for, where no ROLLOUT_ID is given.",
)
@click.option("--step", type=click.IntRange(min=0), help="Step; by default the newest.")
@click.option("--task", type=click.IntRange(min=0), default=0, help="Task of the step, from 0.")
@click.option("--sample", type=click.IntRange(min=0), default=0, help="Rollout of it, from 0.")
@click.option(
    "--tripped",
    is_flag=True,
    help="Instead, every submission that was kept aside because it tripped a wire.",
)
@json_option
def command(
    run: Path,
    rollout_id: str | None,
    phase: str,
    step: int | None,
    task: int,
    sample: int,
    tripped: bool,
    as_json: bool,
) -> None:
    """Show one rollout token by token: text, log-probability, advantage, verdict.

    Without a ROLLOUT_ID, the one at --step, --task and --sample.  Ids are in the report.

    \b
    Examples:
      proofloop peek runs/seed0
      proofloop peek runs/seed0 train-12-3-0
      proofloop peek runs/seed0 --step 12 --task 3 --sample 0 --json
      proofloop peek runs/seed0 --tripped
    """
    from proofloop.measure.peek import peek_table, tripped_table
    from proofloop.runs.peek import find_rollout_id, find_tripped, peek_rollout
    from proofloop.store import Phase

    if tripped:
        kept = find_tripped(run)
        if as_json:
            print_json(kept)
        else:
            console().print(tripped_table(kept))
        return
    if rollout_id is None:
        rollout_id = find_rollout_id(run, phase=Phase(phase), step=step, task=task, sample=sample)
    peek = peek_rollout(run, rollout_id)
    if as_json:
        print_json(peek)
    else:
        console().print(peek_table(peek))
