"""Along which dial does training move: complexity, or the number of functions in one answer?

    python examples/studies/surface.py [--seeds 3] [--out runs/surface] [--docs docs/studies]

The quick start on tasks of complexity 1 and 2 and horizon 1 and 2 (functions to write in one
answer), 30 steps.  Base and trained models then meet the same held-out tasks on a grid that goes
further: complexity 1 to 3, horizon 1, 2 and 4.  Plotted: pass@1 of every setting, before and after,
with the contours of equal success of a fitted surface; and beside each the null of functions that
fail independently, p(complexity)^horizon, which is fitted to nothing: p is measured at horizon 1.
Printed: the same with intervals, and what each seed moved along which dial.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from study import Study, print_table, study

from proofloop.measure.attempts import Attempts
from proofloop.measure.compare.dials import by_cell, dials
from proofloop.measure.compare.sides import bring_together
from proofloop.measure.drawing import ACCENT, INK, MUTED, Cell, Figure, in_style, to_svg
from proofloop.measure.estimators.bootstrap import paired_difference
from proofloop.measure.estimators.compounding import Compounding, compounding
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.surface import Surface, fit_surface
from proofloop.measure.outcomes import Outcomes
from proofloop.measure.summary import percent, points

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_TOKENS = "sampling.max_tokens=160"
STEPS = 30
CONTOURS = (0.1, 0.5)

NAMES = ("base", "trained")

Setting = tuple[int, int]
"""Complexity and horizon."""


def trained(here: Study, seed: int) -> Path:
    dials = ("env.complexity=[1,2]", "env.horizon=[1,2]", MAX_TOKENS)
    settings = (f"train.seed={seed}", f"train.num_steps={STEPS}", "eval.every=0")
    short = ("eval.final_num_tasks=12", "eval.final_num_samples=4")  # measured apart, on more
    return here.train(f"seed{seed}", *dials, *settings, *short) / "model"


def measured(here: Study, name: str, model: str | Path) -> Attempts:
    """On the whole grid: 24 tasks a cell, 32 attempts at each."""
    dials = ("env.complexity=[1,2,3]", "env.horizon=[1,2,4]", MAX_TOKENS)
    return here.evaluate(
        name, model, *dials, "eval.final_num_tasks=216", "eval.final_num_samples=32"
    )


def together(seeds: Sequence[Outcomes]) -> Outcomes:
    """The attempts of all seeds at each task, as of one policy that draws its seed anew."""
    return replace(
        seeds[0],
        num_samples=np.sum([o.num_samples for o in seeds], axis=0),
        num_passed=np.sum([o.num_passed for o in seeds], axis=0),
        samples_by_half_HT=None,
        passed_by_half_HT=None,
    )


def axes_of(outcomes: Outcomes) -> tuple[list[int], list[int]]:
    return [s.horizon for s in outcomes.strata], [s.complexity for s in outcomes.strata]


def null_of(outcomes: Outcomes) -> Compounding:
    return compounding(*axes_of(outcomes), outcomes.num_samples, outcomes.num_passed)


def surface_of(outcomes: Outcomes) -> Surface:
    counts = (outcomes.num_samples, outcomes.num_passed)
    return fit_surface(*axes_of(outcomes), *counts, successes=CONTOURS)


def rates(outcomes: Outcomes) -> dict[Setting, Interval]:
    found = {cell: o.curve((1,)).at(0) for cell, o in by_cell(outcomes).items()}
    return {cell: rate for cell, rate in found.items() if rate is not None}


def cell_rows(base: Outcomes, seeds: Sequence[Outcomes]) -> list[tuple[str, ...]]:
    """Each setting: before, after, gain over tasks and seeds, and what is missing from the null."""
    after = together(seeds)
    missing = [
        {(int(c.complexity), int(c.steps)): c.deviation for c in null_of(side).cells}
        for side in (base, after)
    ]
    rows: list[tuple[str, ...]] = []
    places = {
        cell: [base.task_ids.index(t) for t in o.task_ids] for cell, o in by_cell(base).items()
    }
    for cell, where in places.items():
        before = base.take(where)
        runs = [o.take(where).values((1,))[:, 0] for o in seeds]
        gain = paired_difference([(before.values((1,))[:, 0], run) for run in runs])
        rows.append(
            (
                f"{cell[0]} × {cell[1]}",
                percent(before.curve((1,)).at(0)),
                percent(after.take(where).curve((1,)).at(0)),
                points(gain),
                *("" if cell[1] == 1 else points(side.get(cell)) for side in missing),
            )
        )
    return rows


def says(name: str, outcomes: Outcomes) -> None:
    null, fitted = null_of(outcomes), surface_of(outcomes)
    print(
        f"{name}: longer tasks less p(C)^H, mean over settings: {points(null.net_deviation)} "
        f"points{', of which some lie above and some below' if null.both_ways else ''}; kappa "
        f"(1 under the null): {_number(null.kappa)}."
    )
    if fitted.refusal is not None:
        print(f"  No surface is fitted: {fitted.refusal}.")
    for line in fitted.contours:
        print(
            f"  {line.success:.0%} of tasks of complexity {line.complexity:g} pass with "
            f"{_number(line.steps)} functions ({line.reach})."
        )


def _number(found: Interval | None) -> str:
    if found is None or found.low is None or found.high is None:
        return "an unknown number of"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def panel(axes: "Axes", shares: dict[Setting, tuple[float, str]], title: str) -> None:
    """A share and its interval in every cell; horizon on a log scale, so that rows are equal."""
    for (x, y), (share, interval) in shares.items():
        row = math.log2(y)
        axes.fill_between(
            [x - 0.5, x + 0.5], row - 0.5, row + 0.5, color=ACCENT, lw=0, alpha=0.85 * share
        )
        above = 0.12 if interval else 0
        axes.text(x, row + above, f"{100 * share:.0f}%", ha="center", va="center", color=INK)
        axes.text(x, row - 0.22, interval, ha="center", va="center", color=INK, fontsize=7)
    axes.set_xticks(sorted({x for x, _ in shares}))
    axes.set_yticks(*zip(*sorted({(math.log2(y), str(y)) for _, y in shares}), strict=True))
    axes.set_xlim(0.5, max(x for x, _ in shares) + 0.5)
    axes.set_ylim(-0.5, max(math.log2(y) for _, y in shares) + 0.5)
    axes.set_title(title, loc="left", fontsize=10, color=MUTED, pad=4)
    axes.tick_params(length=0)


def contour(axes: "Axes", success: float, line: Sequence[tuple[float, float]]) -> None:
    """From (complexity, horizon)."""
    if line:
        x, y = zip(*line, strict=True)
        style = "--" if success < max(CONTOURS) else "-"
        axes.plot(x, np.log2(y), color=INK, lw=1.2, ls=style, alpha=0.45, zorder=1)


@in_style
def maps(base: Outcomes, after: Outcomes) -> Figure:
    from matplotlib.figure import Figure as Sheet

    sheet = Sheet(figsize=(3.6, 4.6), layout="constrained", facecolor="none")
    rows: list[tuple[Cell, ...]] = []
    pairs = sheet.subplots(2, 2, sharex=True, sharey=True)
    for (seen, beside), name, outcomes in zip(pairs, NAMES, (base, after), strict=True):
        found, fitted = rates(outcomes), surface_of(outcomes)
        null = {(c, h): found[c, 1].value ** h for c, h in found}
        panel(seen, {cell: (rate.value, _ends(rate)) for cell, rate in found.items()}, name)
        panel(beside, {cell: (rate, "") for cell, rate in null.items()}, f"{name}, null")
        for level in CONTOURS:
            lines = [c for c in fitted.contours if c.success == level and c.steps is not None]
            contour(seen, level, [(c.complexity, c.steps.value) for c in lines if c.steps])
            single = {c: rate.value for (c, h), rate in found.items() if h == 1}
            powers = [(c, math.log(level) / math.log(p)) for c, p in single.items() if 0 < p < 1]
            contour(beside, level, powers)
        seen.set_ylabel("functions in one answer")
        rows += [
            (name, *cell, rate.value, rate.low, rate.high, null[cell])
            for cell, rate in found.items()
        ]
    for axes in pairs[-1]:
        axes.set_xlabel("operations in each")
    sheet.suptitle("pass@1; lines: 50%, dashed 10%", x=0.02, ha="left", fontsize=10, color=MUTED)
    columns = ("policy", "complexity", "horizon", "pass@1", "low", "high", "null p(C)^H")
    return Figure(svg=to_svg(sheet), columns=columns, rows=tuple(rows))


def _ends(rate: Interval) -> str:
    return f"{100 * (rate.low or 0):.0f}–{100 * (1 if rate.high is None else rate.high):.0f}"


def main() -> None:
    here = study("surface", __doc__)
    before = measured(here, "base", "pico")
    grids = [measured(here, f"grid{seed}", trained(here, seed)) for seed in here.seeds]
    for seed, grid in enumerate(grids):
        section = dials(bring_together(before, [grid]))
        assert section is not None
        print(f"seed {seed}:", *section.says)
    base, seeds = before.outcomes, [grid.outcomes for grid in grids]
    columns = (
        "complexity × horizon",
        "base",
        "trained",
        "gain, points",
        "base less null",
        "trained less null",
    )
    print_table(columns, cell_rows(base, seeds))
    for name, outcomes in zip(NAMES, (base, together(seeds)), strict=True):
        says(name, outcomes)
    here.write("surface", maps(base, together(seeds)))


if __name__ == "__main__":
    main()
