"""The figures of `takeoff.py`, and the runs that they show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from proofloop.measure.drawing import ACCENT, INK, MUTED, RULE, Cell, Figure, in_style, to_svg
from proofloop.measure.estimators.dead_zone import Objective, group_time


class Arm(StrEnum):
    PLAIN = "p"
    STD = "arcsin √p (over the spread)"
    LOG = "log p (over the mean)"
    ADAMW = "AdamW, over the spread"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run's probe set at every evaluation."""

    arm: Arm
    share: float
    """Of right authors in its base's corpus."""
    seed: int
    start: float
    """Pass rate of the base, from many attempts."""
    steps: tuple[int, ...]
    passed: tuple[int, ...]
    total: tuple[int, ...]
    time: float | None
    """Steps to the target; None where it was never reached."""


@in_style
def times(
    by_arm: Mapping[Arm, Sequence[Run]],
    nulls: Mapping[Arm, Objective | None],
    *,
    group: int,
    target: float,
) -> Figure:
    """A panel an objective: time over start, each run a dot, the null's line through their middle.
    Runs that never arrived are open triangles at their length."""
    from matplotlib.figure import Figure as Sheet

    sheet = Sheet(figsize=(5.6, 4.8), layout="constrained", facecolor="none")
    panels = sheet.subplots(2, 2, sharex=True, sharey=True)
    for axes, (arm, runs) in zip(panels.flat, by_arm.items(), strict=True):
        axes.set_facecolor("none")
        axes.set_xscale("log")
        axes.set_yscale("log")
        arrived = [r for r in runs if r.time]
        late = [r for r in runs if r.time is None]
        dots = {"color": ACCENT, "ms": 4.5, "lw": 0}
        axes.plot([r.start for r in arrived], [r.time for r in arrived], marker="o", **dots)
        axes.plot(
            [r.start for r in late], [r.steps[-1] for r in late], marker="^", mfc="none", **dots
        )
        objective = nulls[arm]
        if objective is not None and arrived:
            starts = np.geomspace(min(r.start for r in runs), max(r.start for r in runs), 40)
            line = group_time(starts, objective, group=group, target=target)
            at = group_time([r.start for r in arrived], objective, group=group, target=target)
            level = np.mean(np.log([r.time for r in arrived]) - np.log(at))
            axes.plot(starts, line * np.exp(level), color=INK, lw=1.2, ls="--")
        axes.set_title(arm, loc="left", fontsize=10, color=MUTED)
        axes.grid(color=RULE, lw=0.5, alpha=0.6)
        axes.minorticks_off()
    first = panels.flat[0]
    first.set_xticks([0.003, 0.01, 0.03, 0.1], ["0.3%", "1%", "3%", "10%"])
    first.set_yticks([1, 3, 10, 30, 100, 300], ["1", "3", "10", "30", "100", "300"])
    sheet.supxlabel("right at the start (pass@1 of the base)", fontsize=10, color=MUTED)
    sheet.supylabel(f"steps until {target:.0%} are right", fontsize=10, color=MUTED)
    rows: list[tuple[Cell, ...]] = [
        (r.arm, r.share, r.seed, r.start, r.time, r.steps[-1])
        for runs in by_arm.values()
        for r in runs
    ]
    columns = ("objective", "share of right authors", "seed", "start", "steps", "length")
    return Figure(svg=to_svg(sheet), columns=columns, rows=tuple(rows))


@in_style
def curves(runs: Sequence[Run], *, target: float) -> Figure:
    """Probe set over steps, a panel a base, rarest last; every seed a line."""
    from matplotlib.figure import Figure as Sheet

    starts = sorted({run.start for run in runs}, reverse=True)
    sheet = Sheet(figsize=(5.6, 4.2), layout="constrained", facecolor="none")
    panels = sheet.subplots(2, 2, sharey=True)
    for axes, start in zip(panels.flat, starts, strict=False):
        axes.set_facecolor("none")
        for run in runs:
            if run.start == start:
                rates = np.array(run.passed) / np.array(run.total)
                axes.plot(run.steps, rates, color=ACCENT, lw=1.2, alpha=0.8)
        axes.axhline(target, color=MUTED, lw=0.8, ls=":")
        axes.set_title(f"from {start:.1%}", loc="left", fontsize=10, color=MUTED)
        axes.set_ylim(0, 1)
        axes.set_xlim(left=0)
        axes.set_yticks([0, 0.5, 1], ["0", "50%", "100%"])
        axes.locator_params(axis="x", nbins=4, integer=True)
    for axes in panels.flat[len(starts) :]:
        axes.axis("off")
    sheet.supxlabel("optimiser step", fontsize=10, color=MUTED)
    sheet.supylabel("probe set, pass@1", fontsize=10, color=MUTED)
    rows: list[tuple[Cell, ...]] = [
        (run.start, run.seed, step, passed, total)
        for run in runs
        for step, passed, total in zip(run.steps, run.passed, run.total, strict=True)
    ]
    return Figure(
        svg=to_svg(sheet),
        columns=("start", "seed", "step", "passed", "attempts"),
        rows=tuple(rows),
    )
