"""`proofloop verify`: judge a file of completions."""

from pathlib import Path

import click

from proofloop.cli.options import (
    data_option,
    environment_recipe,
    path_option,
    set_option,
    tier_option,
)
from proofloop.cli.output import note, print_row


@click.command()
@click.option("--env", required=True, metavar="ENV", help="Environment of the tasks.")
@data_option
@click.option(
    "--completions",
    required=True,
    type=click.Path(path_type=Path),
    help='JSON Lines, plain or .gz; a row is {"task_id": …, "completion": …}.',
)
@path_option("--out", "Write the rows here (.jsonl or .jsonl.gz), not to standard output.")
@tier_option
@set_option
def command(
    env: str,
    data: str | None,
    completions: Path,
    out: Path | None,
    tier: str | None,
    overrides: tuple[str, ...],
) -> None:
    """Judge a file of completions by an environment's hidden tests.

    Every row is checked before anything is executed.  One row out per row in, in the same order:
    task_id, index, verdict, reward, passed, cause, detail, tier.  A verdict of "unscored" says
    that we could not judge; its reward and passed are null.

    \b
    Example:
      proofloop tasks functions -n 100 > tasks.jsonl
      … write completions.jsonl with your own model …
      proofloop verify --env functions --completions completions.jsonl --out verdicts.jsonl
    """
    from proofloop.runs.environments import build_environment
    from proofloop.runs.verification import read_completions, tally, verify_rows, write_rows

    more = [] if tier is None else [f"sandbox.tier={tier}"]
    recipe = environment_recipe(env, data, overrides, *more)
    rows = read_completions(completions, build_environment(recipe.env))
    verdicts = verify_rows(rows, tier=recipe.sandbox.tier, workers=recipe.train.workers)
    if out is not None:
        counts = tally(write_rows(out, verdicts))
    else:
        counts = tally(row for row in verdicts if print_row(row) is None)
    causes = ", ".join(f"{count} {cause}" for cause, count in counts.causes.items())
    unscored = f", {counts.num_unscored} unscored" if counts.num_unscored else ""
    isolation = f" at isolation {counts.tier}" if counts.tier else ""
    note(f"{counts.num_passed} of {counts.num_rows} rows passed{unscored}{isolation} ({causes})")
