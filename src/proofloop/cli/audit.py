"""`proofloop audit`: attacks and honest oddities against an environment's own tasks."""

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
from proofloop.cli.output import console, note, print_json
from proofloop.core.verdict import Tier

if TYPE_CHECKING:
    from proofloop.core.task import Environment
    from proofloop.measure.estimators.interval import Interval
    from proofloop.runs.audit import Audit
    from proofloop.runs.recipe import Recipe
    from proofloop.runs.strengthening import Strengthening

DEFAULT_TASKS = 12
MOST_SHOWN = 10
"""Findings and weak tasks in the text output; `--json` has all."""


@click.command()
@click.argument("env")
@data_option
@set_option
@click.option("--split", type=click.Choice(["train", "heldout"]), default="heldout")
@click.option(
    "--tasks",
    "num_tasks",
    type=click.IntRange(min=1),
    help=f"How many tasks; by default {DEFAULT_TASKS}, with --strengthen all.",
)
@click.option(
    "--mutants",
    "num_mutants",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Mutants of the oracle per task, at most: a random sample, the same every time.",
)
@click.option(
    "--tier",
    "tiers",
    multiple=True,
    type=click.Choice([tier.value for tier in Tier]),
    help="Isolation tier to attack; repeatable.  Without it, the best that this machine gives.",
)
@click.option("--all-tiers", is_flag=True, help="Attack every tier that this machine gives.")
@click.option(
    "--strengthen",
    "is_strengthening",
    is_flag=True,
    help="Instead of the attacks: write a task file with further hidden tests.",
)
@path_option("--out", "Where --strengthen writes; by default beside the data file.")
@click.option("--overwrite", is_flag=True, help="Let --strengthen replace a file.")
@click.option(
    "--beyond",
    is_flag=True,
    help="Let --strengthen use inputs unlike those of the old tests: empty, negative, very large.",
)
@json_option
def command(
    env: str,
    data: str | None,
    overrides: tuple[str, ...],
    split: str,
    num_tasks: int | None,
    num_mutants: int,
    tiers: tuple[str, ...],
    all_tiers: bool,
    is_strengthening: bool,
    out: Path | None,
    overwrite: bool,
    beyond: bool,
    as_json: bool,
) -> int:
    """Attack an environment's rewards, and try right answers in odd clothes.

    Attacks (answers that are wrong and that some grader in use would pass), blank answers and
    random text must all earn 0; the oracle and honest oddities must earn 1; renaming variables,
    reordering tests, another worker, another isolation tier or a busy machine must not move a
    verdict.  Exit code 1 where one of these fails.  Besides, mutants of the oracle: the share that
    the hidden tests reject, and the tasks whose tests are weak.  Intervals are 95%, of shares of
    attacks (an attack escapes when it passes on any task and tier), and of tasks for mutants.

    --strengthen writes a task file with further hidden tests: inputs like those of the old tests
    on which the oracle and a wrong program that the old tests pass do not agree.  Task ids change,
    since they hold a hash of the content.

    \b
    Examples:
      proofloop audit functions --all-tiers
      proofloop audit humaneval --data HumanEval.jsonl.gz --tasks 164 --json > audit.json
      proofloop audit humaneval --data HumanEval.jsonl.gz --strengthen --out Stronger.jsonl.gz
    """
    from proofloop.core.task import Split
    from proofloop.runs.audit import audit, available_tiers
    from proofloop.runs.environments import build_environment

    recipe = environment_recipe(env, data, overrides)
    environment = build_environment(recipe.env)
    chosen = available_tiers() if all_tiers else tuple(map(Tier, dict.fromkeys(tiers)))
    if not chosen and recipe.sandbox.tier is not None:
        chosen = (recipe.sandbox.tier,)
    if is_strengthening:
        tier = chosen[0] if chosen else None
        stronger = _strengthen(
            environment, recipe, tier, num_tasks, num_mutants, out, beyond, overwrite
        )
        if as_json:
            print_json(stronger)
        else:
            _print_stronger(stronger)
        return 0
    result = audit(
        environment,
        Split(split),
        num_tasks or DEFAULT_TASKS,
        num_mutants=num_mutants,
        tiers=chosen,
        workers=recipe.train.workers,
        progress=note,
    )
    if as_json:
        print_json(result)
    else:
        _print(result)
    return 0 if result.is_clean else 1


def _strengthen(
    environment: "Environment",
    recipe: "Recipe",
    tier: Tier | None,
    num_tasks: int | None,
    num_mutants: int,
    out: Path | None,
    beyond: bool,
    overwrite: bool,
) -> "Strengthening":
    from proofloop.runs.strengthen import strengthen

    return strengthen(
        environment,
        None if recipe.env.data is None else Path(recipe.env.data),
        out,
        num_tasks=num_tasks,
        num_mutants=num_mutants,
        beyond=beyond,
        overwrite=overwrite,
        tier=tier,
        workers=recipe.train.workers,
        progress=note,
    )


def _print_stronger(result: "Strengthening") -> None:
    from rich.table import Table

    title = f"{result.env}: {result.num_tasks} tasks, isolation {result.tier}"
    table = Table("", "before", "after", title=title, title_justify="left")
    scores = [_interval(score) for score in (result.score_before, result.score_after)]
    table.add_row("mutants of the oracle rejected, a task", *scores)
    table.add_row("… of those that differ on some input", "", _interval(result.score_of_different))
    table.add_row(
        "tasks whose tests pass a mutant that differs",
        f"at most {result.num_weak_before}",
        str(result.num_weak_after),
    )
    table.add_row(
        "mutants that pass",
        str(result.num_survivors_before),
        f"{result.num_survivors_after}, {result.num_alike} of them likely equivalent",
    )
    table.add_row(
        "attacks that pass (families A and I)",
        str(result.num_attacks_before),
        str(result.num_attacks_after),
    )
    out = console()
    out.print(table)
    out.print(f"{result.num_added} tests added to {result.num_changed} tasks: {result.out}")
    for why, num_tasks in result.unchanged.items():
        out.print(f"{num_tasks} tasks left as they were: {why}")
    out.print("Task ids hold a hash of the content: those of changed tasks are new.")


def _interval(interval: "Interval | None") -> str:
    if interval is None:
        return "–"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.1%}"
    return f"{interval.value:.1%} ({_percent(interval.low, interval.high)})"


def _print(result: "Audit") -> None:
    from rich.table import Table

    title = f"{result.env}: {result.num_tasks} tasks, isolation {' and '.join(result.tiers)}"
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
    for flip in result.flips[:MOST_SHOWN]:
        out.print(
            f"{flip.task_id}: {flip.answer} {flip.variation}: {flip.before.cause} → "
            f"{flip.after.cause}"
        )
    for weak in mutation.weak[:MOST_SHOWN]:
        out.print(
            f"{weak.task_id}: tests pass {len(weak.survivors)} of {weak.num_mutants} mutants "
            f"({'; '.join(weak.survivors[:3])})"
        )
    lists = (result.findings, result.flips, mutation.weak)
    hidden = sum(max(0, len(some) - MOST_SHOWN) for some in lists)
    if hidden:
        note(f"… and {hidden} more; --json has all")


def _percent(low: float, high: float) -> str:
    return f"{low:.1%} – {high:.1%}"
