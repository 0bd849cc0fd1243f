"""`proofloop compare`: was it taught, or elicited?"""

from datetime import datetime
from pathlib import Path

import click

from proofloop.cli.options import json_option, path_option
from proofloop.cli.output import console, note, print_json


@click.command()
@click.argument("base", type=click.Path(path_type=Path))
@click.argument("runs", nargs=-1, metavar="[RUN]…", type=click.Path(path_type=Path))
@click.option(
    "--bits",
    "with_bits",
    is_flag=True,
    help="Also compute how likely the base held what the trained model does (log-probabilities of "
    "its answers under the base); kept in the run for the next time.",
)
@click.option(
    "--allow-mixed",
    is_flag=True,
    help="Compare what was measured in different ways (token limit, temperature, verifier), and "
    "mark it.",
)
@path_option("--out", "Directory of the page, figures and data; by default runs/compare-<time>.")
@json_option
def command(
    base: Path,
    runs: tuple[Path, ...],
    with_bits: bool,
    allow_mixed: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Compare a base with what training made of it: taught, or elicited?

    BASE is a run whose first evaluation measured the base (a training run, or one of `proofloop
    eval`); of each RUN the last evaluation counts.  With BASE alone a training run is compared with
    its own beginning.  Every figure has its interval and, where chance alone would show one, its
    null; each is also written as SVG with its numbers as CSV.

    \b
    Examples:
      proofloop compare runs/quickstart-20261101-120000
      proofloop compare runs/seed0 runs/seed0 runs/seed1 runs/placebo
      proofloop compare runs/eval-base runs/eval-trained --bits --json
    """
    from proofloop.cli.sections import print_comparison
    from proofloop.measure.attempts import base_of, trained_of
    from proofloop.measure.compare.report import compare, write_comparison
    from proofloop.measure.compare.sides import bring_together

    trained = runs or (base,)
    if with_bits:
        _score(base, trained[0])
    sides = bring_together(
        base_of(base), [trained_of(run) for run in trained], allow_mixed=allow_mixed
    )
    found = compare(sides)
    directory = out or Path("runs") / f"compare-{datetime.now():%Y%m%d-%H%M%S}"
    page = write_comparison(found, directory)
    if as_json:
        print_json(found.facts)
    else:
        print_comparison(console(), found)
    note(f"comparison: {page.resolve()}")


def _score(base: Path, trained: Path) -> None:
    from proofloop.cli.progress import Progress
    from proofloop.runs.scoring import score_under_base

    progress: Progress | None = None

    def show(done: int, of: int) -> None:
        nonlocal progress
        progress = progress or Progress("scoring", of)
        progress.step(done, {})

    try:
        score_under_base(base, trained, on_progress=show)
    finally:
        if progress is not None:
            progress.close()
