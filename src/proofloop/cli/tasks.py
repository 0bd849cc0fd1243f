"""`proofloop tasks`: what an environment asks, for models that run elsewhere."""

import click

from proofloop.cli.options import data_option, environment_recipe, set_option
from proofloop.cli.output import print_row


@click.command()
@click.argument("env")
@data_option
@set_option
@click.option("--split", type=click.Choice(["train", "heldout"]), default="heldout")
@click.option("-n", "num_tasks", type=click.IntRange(min=1), default=10, show_default=True)
def command(
    env: str, data: str | None, overrides: tuple[str, ...], split: str, num_tasks: int
) -> None:
    """Print an environment's tasks as JSON Lines, without their answers.

    A row is {"task_id", "split", "family", "complexity", "horizon", "messages", "answer_prefix"}.
    Answer the messages with any model and give the answers to `proofloop verify`.

    \b
    Examples:
      proofloop tasks functions -n 100
      proofloop tasks humaneval --data HumanEval.jsonl.gz -n 164
    """
    from proofloop.core.task import Split
    from proofloop.runs.environments import build_environment, iter_problems

    environment = build_environment(environment_recipe(env, data, overrides).env)
    for problem in iter_problems(environment, Split(split), num_tasks):
        task = problem.task
        print_row(
            {
                "task_id": task.id,
                "split": task.split,
                "family": task.stratum.family,
                "complexity": task.stratum.complexity,
                "horizon": task.stratum.horizon,
                "messages": task.messages,
                "answer_prefix": task.answer_prefix,
            }
        )
