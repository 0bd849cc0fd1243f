"""`proofloop eval`: a model on held-out tasks, without training."""

from datetime import datetime
from pathlib import Path

import click

from proofloop.cli.options import (
    data_option,
    environment_recipe,
    json_option,
    path_option,
    set_option,
)
from proofloop.cli.output import console, note, print_json


@click.command()
@click.option(
    "--model",
    required=True,
    metavar="MODEL",
    help="A checkpoint directory in Hugging Face format, such as a run's model/, or pico.",
)
@click.option("--env", required=True, metavar="ENV", help="Environment of the tasks.")
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
@set_option
@json_option
def command(
    model: str,
    env: str,
    data: str | None,
    samples: int,
    num_tasks: int,
    out: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Measure a model on an environment's held-out tasks.

    Prints pass@k with intervals that resample tasks, and keeps every rollout for `proofloop peek`
    and `proofloop report`.

    \b
    Examples:
      proofloop eval --model pico --env functions --samples 64
      proofloop eval --model runs/seed0/model --env functions --set env.complexity=4
      proofloop eval --model my-model --env humaneval --data HumanEval.jsonl.gz --samples 1
    """
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
    from proofloop.measure.read import read_run
    from proofloop.measure.summary import summarise_evaluation, summary_table
    from proofloop.runs.evaluation import run_evaluation

    with TrainingProgress(0) as progress:
        run_evaluation(settings, directory, resume=False, on_progress=progress.show)
    outcomes = read_run(directory).base
    assert outcomes is not None, "an evaluation that ended is on record"
    summary = summarise_evaluation(directory.name, env, outcomes)
    if as_json:
        print_json(summary)
    else:
        console().print(summary_table(summary))
