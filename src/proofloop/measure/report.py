"""The report: one HTML file that explains a run to someone who has only that file.

Self-contained (inline SVG and CSS, no script, no network) and escaped: prompts and answers are a
model's text and may hold anything.  Parts that the run has not reached are named, not invented.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofloop.core.errors import UserError
from proofloop.measure.data import ReportData
from proofloop.measure.estimators.bootstrap import paired_difference
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.outcomes import Outcomes, difference_curve, in_common
from proofloop.measure.page import inline, render
from proofloop.measure.panels import Panel, panels
from proofloop.measure.read import read_run
from proofloop.measure.solved import SolvedSets, solved_sets, turnover
from proofloop.measure.summary import summary_of

REPORT_NAME = "report.html"
_MAX_LISTED = 12
_MAX_TRIPPED = 20
_RATES = (
    ("rollouts_per_s", "rollouts / s"),
    ("sampled_tokens_per_s", "sampled tokens / s"),
    ("trained_tokens_per_s", "trained tokens / s"),
    ("verdicts_per_s", "verdicts / s"),
    ("step_s", "seconds / step"),
)


def write_report(runs: Path | Sequence[Path], out: Path | None = None) -> Path:
    """Write the report of a run, or of several of which the first is the main one.

    `out` is the file, by default `report.html` in the (first) run directory.  Its figures lie
    beside it, in `figures/` (of another `out`: `NAME-figures/`), each as SVG with its CSV.
    Raises RunError where there is no readable run, UserError where the file cannot be written.
    """
    run_dirs = [runs] if isinstance(runs, Path) else list(runs)
    if not run_dirs:
        raise UserError("a report needs at least one run directory")
    data = [read_run(run_dir) for run_dir in run_dirs]
    shown = tuple(panels(data[0]))
    path = out if out is not None else run_dirs[0] / REPORT_NAME
    figures = path.with_name("figures" if out is None else f"{path.stem}-figures")
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(render_report(data, shown), encoding="utf-8")
        temporary.replace(path)
        figures.mkdir(exist_ok=True)
        for panel in shown:
            panel.figure.save(figures / panel.name)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); name another file with --out"
        ) from error
    return path


def render_report(runs: Sequence[ReportData], shown: Sequence[Panel] | None = None) -> str:
    """The page of the first run, with a table that sets the others beside it.

    `shown`: its panels, where they are drawn already."""
    main = runs[0]
    alike = [run for run in runs if (run.env, run.control) == (main.env, main.control)]
    sets = turned = None
    if main.base is not None and main.trained is not None:
        sets, turned = solved_sets(main.base, main.trained), turnover(main.base, main.trained)
    return render(
        "report.html.jinja",
        data=main,
        summary=summary_of(main),
        panels=[
            {
                "title": panel.title,
                "caption": panel.caption,
                "svg": inline(panel.figure.svg, f"f{i}", panel.title),
            }
            for i, panel in enumerate(panels(main) if shown is None else shown)
        ],
        sets=_set_rows(sets) if sets else (),
        sets_samples=sets.base_samples if sets else 0,
        turnover=turned,
        rates=_rates(main),
        tripped=main.tripped[:_MAX_TRIPPED],
        comparison=compare_runs(runs) if len(runs) > 1 else (),
        pooled=pooled_gain(alike),
        pooled_runs=len(alike),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run in the table of runs."""

    name: str
    control: str
    base: Interval | None
    trained: Interval | None
    gain: Interval | None
    over_main: Interval | None
    """Its trained model minus the main run's, paired on tasks; None for the main run."""


def compare_runs(runs: Sequence[ReportData]) -> tuple[RunRow, ...]:
    """Held-out pass@1 of every run; differences are paired on the tasks in common."""

    def gap(a: Outcomes | None, b: Outcomes | None) -> Interval | None:
        return difference_curve(a, b, (1,)).at(0) if a is not None and b is not None else None

    def share(side: Outcomes | None) -> Interval | None:
        return side.curve((1,)).at(0) if side is not None else None

    return tuple(
        RunRow(
            name=run.name,
            control=run.control,
            base=share(run.base),
            trained=share(run.trained),
            gain=gap(run.base, run.trained),
            over_main=gap(runs[0].trained, run.trained) if place else None,
        )
        for place, run in enumerate(runs)
    )


def pooled_gain(runs: Sequence[ReportData]) -> Interval | None:
    """Gain in held-out pass@1 over runs that differ in seed: tasks, then runs resampled.

    None for fewer than two runs, or where one lacks an evaluation.
    """
    pairs: list[tuple[Any, Any]] = []
    task_sets: set[tuple[str, ...]] = set()
    for run in runs:
        if run.base is None or run.trained is None:
            return None
        base, trained = in_common(run.base, run.trained)
        judged = ((base.num_samples > 0) & (trained.num_samples > 0)).nonzero()[0]
        if not len(judged):
            return None
        base, trained = base.take(judged), trained.take(judged)
        task_sets.add(base.task_ids)
        pairs.append((base.values((1,))[:, 0], trained.values((1,))[:, 0]))
    if len(pairs) < 2:
        return None
    return paired_difference(pairs, same_tasks=len(task_sets) == 1)


def _set_rows(sets: SolvedSets) -> list[dict[str, Any]]:
    named = (
        ("Both", sets.both),
        ("Trained only (gained)", sets.trained_only),
        ("Base only (lost)", sets.base_only),
        ("Neither", sets.neither),
    )
    return [
        {
            "label": label,
            "count": len(ids),
            "ids": ids[:_MAX_LISTED],
            "more": max(0, len(ids) - _MAX_LISTED),
        }
        for label, ids in named
    ]


def _rates(data: ReportData) -> list[tuple[str, str]]:
    """Medians over the run: a first slow step should not colour them."""
    rows: list[tuple[str, str]] = []
    for name, label in _RATES:
        series = data.metrics.get(name)
        if series is not None and series.values:
            median = statistics.median(series.values)
            rows.append((label, f"{median:,.0f}" if median >= 100 else f"{median:.3g}"))
    return rows
