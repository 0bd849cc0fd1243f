"""`proofloop audit`: attacks and honest oddities against an environment's own tasks."""

from typing import TYPE_CHECKING

import click

from proofloop.cli.options import (
    data_option,
    environment_recipe,
    json_option,
    set_option,
    tier_option,
)
from proofloop.cli.output import console, note, print_json

if TYPE_CHECKING:
    from proofloop.runs.audit import Audit

DEFAULT_TASKS = 12
MOST_SHOWN = 10
"""Findings and weak tasks in the text output; `--json` has all."""


@click.command()
@click.argument("env")
@data_option
@set_option
@click.option("--split", type=click.Choice(["train", "heldout"]), default="heldout")
@click.option(
    "--tasks", "num_tasks", type=click.IntRange(min=1), default=DEFAULT_TASKS, show_default=True
)
@click.option(
    "--mutants",
    "num_mutants",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Mutants of the oracle per task, at most: a random sample, the same every time.",
)
@tier_option
@json_option
def command(
    env: str,
    data: str | None,
    overrides: tuple[str, ...],
    split: str,
    num_tasks: int,
    num_mutants: int,
    tier: str | None,
    as_json: bool,
) -> int:
    """Attack an environment's rewards, and try right answers in odd clothes.

    Attacks (programs that are wrong and that some grader in use would pass), blank answers and
    random text must all earn 0; the oracle and honest oddities must earn 1; renaming variables,
    reordering tests or using another worker must not move a verdict.  Exit code 1 where one of
    these fails.  Besides, mutants of the oracle: the share that the hidden tests reject, and the
    tasks whose tests are weak.  Intervals are 95%, of shares of attacks (an attack escapes when it
    passes on any task), and of tasks for mutants.

    \b
    Examples:
      proofloop audit functions
      proofloop audit humaneval --data HumanEval.jsonl.gz --tasks 164 --json > audit.json
    """
    from proofloop.core.task import Split
    from proofloop.runs.audit import audit
    from proofloop.runs.environments import build_environment

    more = [] if tier is None else [f"sandbox.tier={tier}"]
    recipe = environment_recipe(env, data, overrides, *more)
    result = audit(
        build_environment(recipe.env),
        Split(split),
        num_tasks,
        num_mutants=num_mutants,
        tier=recipe.sandbox.tier,
        workers=recipe.train.workers,
        progress=note,
    )
    if as_json:
        print_json(result)
    else:
        _print(result)
    return 0 if result.is_clean else 1


def _print(result: "Audit") -> None:
    from rich.table import Table

    title = f"{result.env}: {result.num_tasks} tasks, isolation {result.tier}"
    table = Table("what", "tried", "result", "95% interval", title=title, title_justify="left")
    for line in result.attacks:
        outcome = f"{line.num_escaped} escaped"
        outcome += f", {line.num_evaded} unscored" if line.num_evaded else ""
        table.add_row(
            f"{line.family} {line.meaning}",
            f"{line.num_attacks} attacks, {line.num_trials} trials",
            outcome,
            _percent(line.low, line.high),
        )
    table.add_section()
    for share in result.answers:
        outcome = f"{share.num_right} as they must be"
        table.add_row(share.name, str(share.num_total), outcome, _percent(share.low, share.high))
    table.add_section()
    for share in result.stability:
        outcome = f"{share.num_right} unmoved"
        table.add_row(share.name, str(share.num_total), outcome, _percent(share.low, share.high))
    mutation, score = result.mutation, result.mutation.score
    if score is not None:
        table.add_section()
        table.add_row(
            "mutants of the oracle",
            str(mutation.num_mutants),
            f"{mutation.num_killed} rejected, {score.value:.1%} a task",
            "–" if score.low is None or score.high is None else _percent(score.low, score.high),
        )
    out = console()
    out.print(table)
    if result.num_without_oracle:
        note(f"{result.num_without_oracle} more tasks have no solution to make attacks from")
    for row in result.findings[:MOST_SHOWN]:
        verdict = row.verdict
        out.print(f"{row.task_id}: {row.kind} {row.name}: {verdict.cause}: {verdict.detail}")
    for weak in mutation.weak[:MOST_SHOWN]:
        out.print(
            f"{weak.task_id}: tests pass {len(weak.survivors)} of {weak.num_mutants} mutants "
            f"({'; '.join(weak.survivors[:3])})"
        )
    hidden = max(0, len(result.findings) - MOST_SHOWN) + max(0, len(mutation.weak) - MOST_SHOWN)
    if hidden:
        note(f"… and {hidden} more; --json has all")


def _percent(low: float, high: float) -> str:
    return f"{low:.1%} – {high:.1%}"
