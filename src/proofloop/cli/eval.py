"""`proofloop eval`: a model on held-out tasks, without training."""

import shlex
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofloop.cli.options import (
    data_option,
    environment_recipe,
    json_option,
    path_option,
    set_option,
)
from proofloop.cli.output import EXIT_INTERRUPTED, console, note, print_json

if TYPE_CHECKING:
    from proofloop.runs.recipe import Recipe


@click.command()
@click.option(
    "--model",
    metavar="MODEL",
    help="A checkpoint directory in Hugging Face format, such as a run's model/, or pico.",
)
@click.option("--env", metavar="ENV", help="Environment of the tasks.")
@data_option
@click.option(
    "--samples", type=click.IntRange(min=1), default=16, show_default=True, help="Per task."
)
@click.option(
    "--tasks",
    "num_tasks",
    type=click.IntRange(min=1),
    default=240,
    show_default=True,
    help="Held-out tasks, at most.",
)
@path_option("--out", "Directory of the record; by default runs/eval-<env>-<time>.")
@path_option("--resume", "Go on with the evaluation in this directory, as it was begun.")
@set_option
@json_option
def command(
    model: str | None,
    env: str | None,
    data: str | None,
    samples: int,
    num_tasks: int,
    out: Path | None,
    resume: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Measure a model on an environment's held-out tasks.

    Prints pass@k with intervals that resample tasks, and keeps every rollout for `proofloop peek`
    and `proofloop report`.  Tasks are taken from every stratum (family, complexity, horizon) in
    turn.  Ctrl-C stops after the portion in hand and says how to go on.

    \b
    Examples:
      proofloop eval --model pico --env functions --samples 64
      proofloop eval --model runs/seed0/model --env functions --set env.complexity=4
      proofloop eval --model my-model --env humaneval --data HumanEval.jsonl.gz --samples 1
      proofloop eval --resume runs/eval-functions-20261101-120000
    """
    if resume is not None:
        _check_alone()
        settings, directory = _begun(resume), resume
    elif model is None or env is None:
        missing = "--model" if model is None else "--env"
        raise click.UsageError(f"{missing} is missing", click.get_current_context())
    else:
        settings = environment_recipe(
            env,
            data,
            overrides,
            f"model.path={model}",
            f"eval.final_num_samples={samples}",
            f"eval.final_num_tasks={num_tasks}",
        )
        directory = out or Path("runs") / f"eval-{env}-{datetime.now():%Y%m%d-%H%M%S}"
    note(f"record: {directory}")

    from proofloop.cli.training_progress import TrainingProgress
    from proofloop.measure.summary import summarise, summary_table
    from proofloop.runs.evaluation import run_evaluation

    with TrainingProgress(0) as progress:
        try:
            run_evaluation(
                settings, directory, resume=resume is not None, on_progress=progress.show
            )
        except KeyboardInterrupt:
            progress.close()
            note("stopped; what was attempted is recorded. Go on with:")
            note(f"  proofloop eval --resume {shlex.quote(str(directory))}")
            return EXIT_INTERRUPTED
    summary = summarise(directory)
    if as_json:
        print_json(summary)
    else:
        console().print(summary_table(summary))
    return 0


def _check_alone() -> None:
    """Raises UsageError where --resume came with what the evaluation was begun with."""
    context = click.get_current_context()
    given = click.core.ParameterSource.COMMANDLINE
    for name in ("model", "env", "data", "samples", "num_tasks", "out", "overrides"):
        if context.get_parameter_source(name) is given:
            raise click.UsageError("--resume goes on as it was begun: give --json alone", context)


def _begun(directory: Path) -> "Recipe":
    """The recipe of an evaluation.  Raises RunError where the directory is of no evaluation."""
    from proofloop.core.errors import RunError
    from proofloop.runs.config import load_run_config
    from proofloop.runs.recipe import Recipe

    settings = load_run_config(Recipe, directory)
    if settings.train.num_steps:
        raise RunError(f"{directory}: a training run; go on with `proofloop train --resume`")
    return settings
