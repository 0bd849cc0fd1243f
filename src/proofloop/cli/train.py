"""`proofloop train`: a training run from a recipe, or one that goes on."""

import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofloop.cli.options import json_option, path_option, set_option
from proofloop.cli.output import EXIT_INTERRUPTED, console, note, print_json
from proofloop.core.errors import UserError
from proofloop.measure.arms import Arm

if TYPE_CHECKING:
    from proofloop.runs.recipe import Recipe

DEFAULT_RECIPE = "quickstart"


@click.command()
@click.argument("recipe", required=False)
@set_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes of one thread each (train.workers); by default as many as there are cores.",
)
@click.option(
    "--control",
    type=click.Choice([arm.value for arm in Arm]),
    help="Run a control arm of the recipe: what a gain must beat (docs/controls.md).",
)
@path_option("--of", "With --control: the run that the control accompanies, by its own recipe.")
@path_option("--out", "Directory of the run; by default runs/<recipe>-<time>.")
@path_option("--resume", "Go on with the run in this directory, by its own recipe.")
@json_option
def command(
    recipe: str | None,
    overrides: tuple[str, ...],
    workers: int | None,
    control: str | None,
    of: Path | None,
    out: Path | None,
    resume: Path | None,
    as_json: bool,
) -> int:
    """Train a model by reinforcement learning, and measure the gain.

    RECIPE is a TOML file or the name of a shipped recipe, by default quickstart.  Held-out tasks
    are measured before the first and after the last step; a table and report.html say what came
    of it.  Ctrl-C stops after the step in hand and says how to go on.

    \b
    Examples:
      proofloop train
      proofloop train --set train.seed=1 --set env.complexity=[2,3] --out runs/seed1
      proofloop train --control random --of runs/seed1
      proofloop train --resume runs/seed1
    """
    if workers is not None:
        overrides = (*overrides, f"train.workers={workers}")
    arm = None if control is None else Arm(control)
    settings, directory = _what(recipe, overrides, arm, of, out, resume)
    note(f"{'resuming' if resume else 'run'}: {directory}")

    from proofloop.cli.training_progress import TrainingProgress
    from proofloop.measure.read import read_run
    from proofloop.measure.report import write_report
    from proofloop.measure.summary import beside_says, summarise, summary_table
    from proofloop.runs.training import run_training

    with TrainingProgress(settings.train.num_steps) as progress:
        try:
            run_training(settings, directory, resume=resume is not None, on_progress=progress.show)
        except KeyboardInterrupt:
            progress.close()
            at = f" at step {progress.step_done} of {settings.train.num_steps}"
            note(f"stopped{at}; nothing recorded is lost. Go on with:")
            note(f"  proofloop train --resume {shlex.quote(str(directory))}")
            return EXIT_INTERRUPTED
    beside = _beside(settings)
    summary, report = summarise(directory), write_report([directory, *beside])
    if as_json:
        print_json(summary)
    else:
        console().print(summary_table(summary))
    for run in beside:
        if line := beside_says(read_run(directory), read_run(run)):
            note(line)
    note(f"report: {report.resolve()}")
    return 0


def _beside(settings: "Recipe") -> list[Path]:
    """The run that a control accompanies, unless it has gone since."""
    from proofloop.measure.read import read_run

    if settings.control.of is None:
        return []
    run = Path(settings.control.of)
    try:
        read_run(run)
    except UserError as error:
        note(f"the run that this control accompanies cannot be read: {error}")
        return []
    return [run]


def _what(
    recipe: str | None,
    overrides: tuple[str, ...],
    arm: Arm | None,
    of: Path | None,
    out: Path | None,
    resume: Path | None,
) -> tuple["Recipe", Path]:
    """The recipe and the directory of the run."""
    from proofloop.runs.arms import control_recipe
    from proofloop.runs.checks import check_recipe, load_recipe
    from proofloop.runs.config import load_run_config
    from proofloop.runs.recipe import Recipe

    if resume is not None:
        if recipe or overrides or out or arm or of:
            raise click.UsageError(
                "--resume goes on by the run's own recipe: "
                "give no RECIPE, --set, --workers, --control, --of or --out with it",
                click.get_current_context(),
            )
        settings = load_run_config(Recipe, resume)
        check_recipe(settings)
        return settings, resume
    if of is not None and (arm is None or recipe):
        raise click.UsageError(
            "--of names the run that a --control accompanies, and takes its recipe: give it with "
            "--control and without RECIPE",
            click.get_current_context(),
        )
    source = recipe or DEFAULT_RECIPE
    stem = Path(source).stem if of is None else of.resolve().name
    name = f"{stem}{f'-{arm}' if arm else ''}-{datetime.now():%Y%m%d-%H%M%S}"
    settings = (
        load_recipe(source, overrides)
        if arm is None
        else control_recipe(arm, source, overrides, of=of)
    )
    return settings, out or Path("runs") / name
