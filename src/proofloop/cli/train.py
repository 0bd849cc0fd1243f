"""`proofloop train`: a training run from a recipe, or one that goes on."""

import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofloop.cli.options import json_option, path_option, set_option
from proofloop.cli.output import EXIT_INTERRUPTED, console, note, print_json

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
@path_option("--out", "Directory of the run; by default runs/<recipe>-<time>.")
@path_option("--resume", "Go on with the run in this directory, by its own recipe.")
@json_option
def command(
    recipe: str | None,
    overrides: tuple[str, ...],
    workers: int | None,
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
      proofloop train --set reward.control=random --out runs/placebo
      proofloop train --resume runs/seed1
    """
    if workers is not None:
        overrides = (*overrides, f"train.workers={workers}")
    settings, directory = _what(recipe, overrides, out, resume)
    note(f"{'resuming' if resume else 'run'}: {directory}")

    from proofloop.cli.training_progress import TrainingProgress
    from proofloop.measure.report import write_report
    from proofloop.measure.summary import summarise, summary_table
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
    summary, report = summarise(directory), write_report(directory)
    if as_json:
        print_json(summary)
    else:
        console().print(summary_table(summary))
    note(f"report: {report.resolve()}")
    return 0


def _what(
    recipe: str | None, overrides: tuple[str, ...], out: Path | None, resume: Path | None
) -> tuple["Recipe", Path]:
    """The recipe and the directory of the run."""
    from proofloop.runs.checks import check_recipe, load_recipe
    from proofloop.runs.config import load_run_config
    from proofloop.runs.recipe import Recipe

    if resume is not None:
        if recipe or overrides or out:
            raise click.UsageError(
                "--resume goes on by the run's own recipe: "
                "give no RECIPE, --set, --workers or --out with it",
                click.get_current_context(),
            )
        settings = load_run_config(Recipe, resume)
        check_recipe(settings)
        return settings, resume
    source = recipe or DEFAULT_RECIPE
    name = f"{Path(source).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    return load_recipe(source, overrides), out or Path("runs") / name
