"""Every interval of ours in worlds with known truth: how often it holds it, and how wide it is.

    PYTHONPATH=src python -m bench.coverage [--worlds 1000] [--workers 3] [--only means …]
        [--scorio SCORIO_VENV/bin/python]

Prints the tables and writes docs/reference/coverage.csv and, from it, coverage.md.  With `--only`
the rows of the other files stay as they were.
"""

import argparse
import importlib
import os
import sys

from bench.coverage.jobs import FOLDER, collect, files
from bench.coverage.page import Section, as_page, as_table, read_csv, write_csv
from bench.coverage.row import Row

PAGES = FOLDER.parents[1] / "docs" / "reference"


def section(name: str, rows: list[Row]) -> Section:
    return importlib.import_module(f"bench.coverage.{name}").__doc__ or name, rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.coverage", description=__doc__)
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=files(), metavar="FILE")
    parser.add_argument("--scorio", help="a Python interpreter that has scorio")
    args = parser.parse_args()
    if args.scorio:
        os.environ["SCORIO_PYTHON"] = args.scorio
    else:
        print("scorio is left out: no --scorio", file=sys.stderr)
    table = PAGES / "coverage.csv"
    # Rows of files that are no longer there go.
    kept = {name: rows for name, rows in read_csv(table).items() if name in files()}
    options = {"num_worlds": args.worlds, "seed": args.seed, "workers": args.workers}
    for name, found in collect(args.only or files(), **options):
        kept[name] = found
        write_csv(table, kept)
        page = as_page([section(name, kept[name]) for name in sorted(kept)])
        (PAGES / "coverage.md").write_text(page)
        print(as_table(found), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
