"""The figures of `one_example.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from proofloop.measure.drawing import ACCENT, MUTED, RULE, Cell, Figure, in_style, to_svg
from proofloop.measure.estimators.interval import Interval

Points = Sequence[tuple[int, float]]


class Arm(StrEnum):
    COPY = "none (base twice)"
    ONE = "1 task"
    TWO = "2 tasks"
    SIXTEEN = "16 tasks"
    ALL = "ever new ones"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    arm: Arm
    k: int
    gain: Interval


@in_style
def gains(found: Sequence[Gain]) -> Figure:
    """A row an arm: what held-out pass@1 and pass@k gained, with intervals."""
    from matplotlib.figure import Figure as Sheet

    arms = list(dict.fromkeys(g.arm for g in found))
    ks = sorted({g.k for g in found})
    sheet = Sheet(figsize=(4.6, 2.9), layout="constrained", facecolor="none")
    axes = sheet.add_subplot(facecolor="none")
    for g in found:
        place = arms.index(g.arm) + (0.15 if g.k == ks[-1] and len(ks) > 1 else -0.15)
        color = ACCENT if g.k == 1 else MUTED
        if g.gain.low is not None and g.gain.high is not None:
            axes.plot([100 * g.gain.low, 100 * g.gain.high], [place] * 2, color=color, lw=1.2)
        label = f"pass@{g.k}" if g.arm is arms[0] else None
        axes.plot([100 * g.gain.value], [place], color=color, marker="o", ms=4.5, lw=0, label=label)
    axes.axvline(0, color=RULE, lw=1)
    axes.set_yticks(range(len(arms)), arms)
    axes.set_ylim(len(arms) - 0.5, -0.5)
    axes.grid(axis="x", color=RULE, lw=0.5, alpha=0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("held-out, trained less base, points")
    axes.legend(frameon=False, loc="upper right", fontsize=10, handletextpad=0.2)
    return Figure(
        svg=to_svg(sheet),
        columns=("training tasks", "k", "gain", "low", "high", "num_tasks"),
        rows=tuple(
            (g.arm, g.k, g.gain.value, g.gain.low, g.gain.high, g.gain.num_tasks) for g in found
        ),
    )


@in_style
def curves(by_arm: Mapping[Arm, Sequence[tuple[Points, Points]]]) -> Figure:
    """A panel an arm: the training tasks' own score and the held-out one, a line a seed."""
    from matplotlib.figure import Figure as Sheet

    sheet = Sheet(figsize=(5.6, 4.2), layout="constrained", facecolor="none")
    panels = sheet.subplots(2, 2, sharex=True, sharey=True)
    rows: list[tuple[Cell, ...]] = []
    for axes, (arm, runs) in zip(panels.flat, by_arm.items(), strict=True):
        axes.set_facecolor("none")
        for seed, (own, heldout) in enumerate(runs):
            for name, line, color in (("training", own, MUTED), ("held-out", heldout, ACCENT)):
                label = name if seed == 0 else None
                axes.plot(*zip(*line, strict=True), color=color, lw=1.3, alpha=0.8, label=label)
                rows += [(arm, seed, name, step, share) for step, share in line]
        axes.set_title(arm, loc="left", fontsize=10, color=MUTED)
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.5, 1], ["0", "50%", "100%"])
        axes.locator_params(axis="x", nbins=4, integer=True)
        axes.grid(axis="y", color=RULE, lw=0.5, alpha=0.6)
    panels.flat[-1].legend(frameon=False, loc="upper left", fontsize=10)
    sheet.supxlabel("optimiser step", fontsize=10, color=MUTED)
    sheet.supylabel("right answers", fontsize=10, color=MUTED)
    columns = ("training tasks", "seed", "which tasks", "step", "right")
    return Figure(svg=to_svg(sheet), columns=columns, rows=tuple(rows))
