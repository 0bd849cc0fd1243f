"""`proofloop peek`: one rollout, token by token."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofloop.cli.options import json_option
from proofloop.cli.output import console, note, print_json

if TYPE_CHECKING:
    from proofloop.core.episode import Episode


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
@click.option("--tokens", is_flag=True, help="Of an agent's rollout, too, token by token.")
@click.option(
    "--atif",
    type=click.Path(path_type=Path),
    help="Write an agent's rollout to this file, in the Agent Trajectory Interchange Format 1.8.",
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
    tokens: bool,
    atif: Path | None,
    as_json: bool,
) -> None:
    """Show one rollout token by token: text, log-probability, advantage, verdict.

    Without a ROLLOUT_ID, the one at --step, --task and --sample.  Ids are in the report.  An
    agent's rollout is shown turn by turn: what it called, what it was told, what trains.  RUN may
    also be the record of an episode, as `solve` leaves one.

    \b
    Examples:
      proofloop peek runs/seed0
      proofloop peek runs/seed0 train-12-3-0
      proofloop peek runs/seed0 --step 12 --task 3 --sample 0 --json
      proofloop peek runs/seed0 --tripped
      proofloop peek .git/proofloop/agent/mend-it --atif mend-it.json
    """
    from proofloop.measure.peek import peek_table, tripped_table, verdict_line
    from proofloop.measure.trajectory import trajectory_view
    from proofloop.runs.peek import (
        find_rollout_id,
        find_tripped,
        is_episode,
        load_episode,
        peek_rollout,
        recorded_episode,
    )
    from proofloop.store import Phase

    if is_episode(run):
        episode = load_episode(run)
        if atif is not None:
            _write_atif(atif, episode)
        if as_json:
            print_json(episode.trajectory)
        elif atif is None:
            view = trajectory_view(episode.rollout, episode.trajectory, advantage=None, judged="")
            console().print(view)
        return
    if tripped:
        kept = find_tripped(run)
        if as_json:
            print_json(kept)
        else:
            console().print(tripped_table(kept))
        return
    if rollout_id is None:
        rollout_id = find_rollout_id(run, phase=Phase(phase), step=step, task=task, sample=sample)
    if atif is not None:
        _write_atif(atif, recorded_episode(run, rollout_id))
        return
    peek = peek_rollout(run, rollout_id)
    if as_json:
        print_json(peek)
        return
    if peek.trajectory is not None:
        episode = recorded_episode(run, rollout_id)
        view = trajectory_view(
            episode.rollout,
            episode.trajectory,
            advantage=peek.advantage,
            judged=verdict_line(peek),
        )
        console().print(view)
    if peek.trajectory is None or tokens:
        console().print(peek_table(peek))


def _write_atif(path: Path, episode: "Episode") -> None:
    from proofloop.agent.atif import atif_bytes
    from proofloop.core.errors import UserError

    try:
        path.write_bytes(atif_bytes(episode, session=episode.rollout.id))
    except OSError as error:
        raise UserError(f"--atif: {path} cannot be written ({error.strerror})") from error
    note(f"wrote {path}")
