"""`proofloop report`: the HTML report of runs."""

from pathlib import Path

import click

from proofloop.cli.options import json_option, path_option
from proofloop.cli.output import console, note, print_json


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN…", type=click.Path(path_type=Path))
@path_option("--out", "The HTML file; by default report.html in the first run's directory.")
@json_option
def command(runs: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Write the HTML report of one or several runs.

    The first run is the report's subject; the others are set beside it.  Runs that go on are
    reported as far as they got.

    \b
    Examples:
      proofloop report runs/quickstart-20260801-120000
      proofloop report runs/seed0 runs/seed1 runs/seed2 --out seeds.html
      proofloop report runs/seed0 --json | jq '.[0].pass_at_k'
    """
    from proofloop.measure.report import write_report
    from proofloop.measure.summary import summarise, summary_table

    path = write_report(runs, out)
    summaries = [summarise(run) for run in runs]
    if as_json:
        print_json(summaries)
    else:
        for summary in summaries:
            console().print(summary_table(summary))
    note(f"report: {path}")
