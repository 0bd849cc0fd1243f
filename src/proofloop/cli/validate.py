"""`proofloop validate`: an environment's own answers through the verifier."""

import click

from proofloop.cli.options import (
    data_option,
    environment_recipe,
    json_option,
    set_option,
    tier_option,
)
from proofloop.cli.output import note, print_json

DEFAULT_TASKS = 180
"""Of an environment that generates tasks without end."""


@click.command()
@click.argument("env")
@data_option
@set_option
@click.option("--split", type=click.Choice(["train", "heldout"]), default="heldout")
@click.option(
    "--tasks",
    "num_tasks",
    type=click.IntRange(min=1),
    help=f"How many tasks; by default all, or {DEFAULT_TASKS} where they are generated.",
)
@tier_option
@json_option
def command(
    env: str,
    data: str | None,
    overrides: tuple[str, ...],
    split: str,
    num_tasks: int | None,
    tier: str | None,
    as_json: bool,
) -> int:
    """Check that an environment's own answers pass and empty ones fail.

    Each task's oracle must earn 1, and an empty answer 0; a task that hands out a project must not
    reward it as it stands.  Exit code 1 where one does not, with the option that leaves tasks of
    the last kind out (env.leave_out).

    \b
    Examples:
      proofloop validate functions --set env.complexity=[1,2,3,4]
      proofloop validate humaneval --data HumanEval.jsonl.gz
      proofloop validate exercism --data exercises/practice
      proofloop validate gsm8k --data gsm8k_test.jsonl.gz
    """
    from proofloop.core.task import Split
    from proofloop.runs.environments import build_environment, size_of
    from proofloop.runs.verification import AnswerOfOurs, leaving_out, validate

    more = [] if tier is None else [f"sandbox.tier={tier}"]
    recipe = environment_recipe(env, data, overrides, *more)
    environment = build_environment(recipe.env)
    count = num_tasks or size_of(environment, Split(split)) or DEFAULT_TASKS
    result = validate(
        environment, Split(split), count, tier=recipe.sandbox.tier, workers=recipe.train.workers
    )
    if as_json:
        print_json(result)
    else:
        n = result.num_tasks
        num_oracles = n - result.num_without_oracle
        print(f"{env}: {result.num_oracles_passed} of {num_oracles} oracles earn 1")
        if result.num_without_oracle:
            print(f"{env}: {result.num_without_oracle} of {n} tasks have no oracle")
        print(f"{env}: {result.num_empty_rejected} of {n} empty answers earn 0")
        if result.num_unchanged:
            right, tried = result.num_unchanged_rejected, result.num_unchanged
            print(f"{env}: {right} of {tried} projects as they are handed out earn 0")
    for failure in result.failures[:10]:
        verdict = failure.verdict
        note(f"{failure.task_id}: {failure.answer} answer: {verdict.cause}: {verdict.detail}")
    if len(result.failures) > 10:
        note(f"… and {len(result.failures) - 10} more")
    free = [
        failure.task_id for failure in result.failures if failure.answer is AnswerOfOurs.UNCHANGED
    ]
    if free:
        note(f"an answer that changes nothing earns 1: not for training; {leaving_out(free)}")
    return 1 if result.failures else 0
