"""`proofloop play`: be the policy."""

import click

from proofloop.cli.options import (
    data_option,
    environment_recipe,
    json_option,
    set_option,
    tier_option,
)
from proofloop.cli.output import note, print_json


@click.command()
@click.argument("env")
@data_option
@set_option
@click.option("--split", type=click.Choice(["train", "heldout"]), default="heldout")
@click.option("--task", type=click.IntRange(min=0), default=0, show_default=True,
              help="Which task of the split, from 0.")  # fmt: skip
@tier_option
@json_option
def command(
    env: str,
    data: str | None,
    overrides: tuple[str, ...],
    split: str,
    task: int,
    tier: str | None,
    as_json: bool,
) -> int:
    """Be the policy: answer an environment's task and see how it is judged.

    An answer ends with a line that holds a dot and nothing else.  One that fails is told what a
    policy would be told, and may be followed by another; the end of input (Ctrl-D) is the end.
    Exit code 0 where the last answer passed.  In a repository, as an agent would work:
    `proofloop solve REPOSITORY --task … --model person`.

    \b
    Examples:
      proofloop play functions --set env.complexity=1
      proofloop play humaneval --data HumanEval.jsonl.gz --task 7
    """
    from proofloop.core.errors import UserError
    from proofloop.core.task import Split
    from proofloop.core.verdict import Scored
    from proofloop.measure.text import printable
    from proofloop.runs.environments import build_environment, iter_problems
    from proofloop.runs.play import play, read_answer
    from proofloop.runs.verification import verdict_row
    from proofloop.verify import build_verifier

    more = [] if tier is None else [f"sandbox.tier={tier}"]
    recipe = environment_recipe(env, data, overrides, *more)
    problems = list(iter_problems(build_environment(recipe.env), Split(split), task + 1))
    if len(problems) <= task:
        raise UserError(f"--task: {env} has {len(problems)} tasks in its split {split}")
    problem = problems[task]
    note(f"{problem.task.id}; end an answer with a line that holds a dot")
    with build_verifier(recipe.sandbox.tier) as verifier:
        verdict, num_answers = play(
            problem,
            verifier,
            show=lambda text: note(printable(text, max_chars=20_000)),
            read=read_answer,
        )
    if verdict is None:
        note("no answer")
        return 1
    if as_json:
        print_json(verdict_row(problem.task.id, num_answers - 1, verdict))
    elif isinstance(verdict, Scored):
        print(f"{'passed' if verdict.passed else 'failed'} after {num_answers} answers: "
              f"{verdict.cause}, reward {verdict.reward:g}")  # fmt: skip
    else:
        print(f"unscored: {verdict.cause}, {verdict.detail}")
    return 0 if isinstance(verdict, Scored) and verdict.passed else 1
