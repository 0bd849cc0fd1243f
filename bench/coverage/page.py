"""The coverage table as text, as the reference page and as CSV."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from bench.coverage.row import Row
from proofloop.measure.estimators.shares import wilson

BELOW, ABOVE = 0.93, 0.97
HEADER = (
    *("file", "estimator", "world", "target", "nominal", "num_worlds", "num_covered", "refused"),
    *("median_width", "coverage", "coverage_low", "coverage_high", "flag"),
)
Section = tuple[str, list[Row]]


def share(row: Row) -> float:
    return row.num_covered / row.num_worlds if row.num_worlds else math.nan


def flag(row: Row) -> str:
    """Out of 93–97% where 95% is promised: too narrow, or wider than need be."""
    if not row.num_worlds or row.nominal != 0.95:
        return ""
    return "▼" if share(row) < BELOW else "▲" if share(row) > ABOVE else ""


def cell(row: Row) -> str:
    """`95.1 (93.6–96.3) w 0.24`, with a mark where it is out of bounds and how many refused."""
    refused = f", refused {row.refused}" if row.refused else ""
    if not row.num_worlds:
        return f"none{refused}"
    low, high = wilson(row.num_covered, row.num_worlds)
    covered = f"{100 * share(row):.1f}{flag(row)} ({100 * low:.1f}–{100 * high:.1f})"
    return f"{covered} w {row.median_width:.3g}{refused}"


def as_table(rows: Sequence[Row]) -> str:
    """A line a world and target, a column an estimator."""
    names = list(dict.fromkeys(row.estimator for row in rows))
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        cells.setdefault((row.world, row.target), {})[row.estimator] = cell(row)
    lines = [
        "| " + " | ".join(["World", "Target", *names]) + " |",
        "| " + " | ".join(["---"] * (2 + len(names))) + " |",
    ]
    lines += [
        "| " + " | ".join([*key, *(found.get(name, "") for name in names)]) + " |"
        for key, found in cells.items()
    ]
    return "\n".join(line.replace("^", "&#94;") for line in lines)


def as_page(sections: Sequence[Section]) -> str:
    rows = [row for _, found in sections for row in found if row.num_worlds]
    marks = [flag(row) for row in rows]
    head = f"""# Coverage of intervals

Written by `python -m bench.coverage` (see `bench/README.md`); the same rows are in `coverage.csv`.
Every world is simulated and its truth known. A cell is the share of worlds whose 95% interval held
the truth, in percent; in brackets the 95% Wilson interval of that share, which tells what so many
worlds can say; after `w` the median width of the interval, in the target's unit. `▼` marks a share
below 93%, `▲` one above 97% (safe, but wider than need be): {len(rows)} cells, {marks.count("▼")}
of them `▼` and {marks.count("▲")} `▲`. `refused` counts worlds in which the function gave no
interval and said so; they are in no share. Columns of other packages and of plain methods are there
for comparison, and marked alike.
"""
    return "\n".join([head, *(_part(text, found) for text, found in sections if found)])


def _part(text: str, rows: list[Row]) -> str:
    """The file's docstring: its first line up to a colon is the heading, the rest stays text."""
    first, _, rest = text.strip().partition("\n")
    title, _, more = first.partition(":")
    more = more.strip()
    words = f"{more[:1].upper()}{more[1:]}\n{rest}".strip()
    body = "\n\n".join(part for part in (words, as_table(rows)) if part)
    return f"## {title.strip().rstrip('.')}\n\n{body}\n"


def write_csv(path: Path, files: dict[str, list[Row]]) -> None:
    with path.open("w", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(HEADER)
        for name in sorted(files):
            for row in files[name]:
                ends = wilson(row.num_covered, row.num_worlds) if row.num_worlds else None
                writer.writerow(
                    (
                        *(name, row.estimator, row.world, row.target, row.nominal),
                        *(row.num_worlds, row.num_covered, row.refused, f"{row.median_width:.5g}"),
                        *(f"{end:.4f}" for end in (share(row), *(ends or (math.nan, math.nan)))),
                        {"▼": "below", "▲": "above"}.get(flag(row), ""),
                    )
                )


def read_csv(path: Path) -> dict[str, list[Row]]:
    """By file; nothing where there is no table yet."""
    files: dict[str, list[Row]] = {}
    if not path.exists():
        return files
    with path.open(newline="") as lines:
        for line in csv.DictReader(lines):
            row = Row(
                estimator=line["estimator"],
                world=line["world"],
                target=line["target"],
                nominal=float(line["nominal"]),
                num_worlds=int(line["num_worlds"]),
                num_covered=int(line["num_covered"]),
                median_width=float(line["median_width"]),
                refused=int(line["refused"]),
            )
            files.setdefault(line["file"], []).append(row)
    return files
