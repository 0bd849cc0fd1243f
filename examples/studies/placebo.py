"""Does a reward of pure chance find anything?  It must not, as often as the intervals promise.

    python examples/studies/placebo.py [--seeds 30] [--out runs/placebo] [--docs docs/studies]

Runs of 8 steps from `pico` whose reward is a fair coin (`reward.control=random`), each measured on
60 held-out tasks, 32 attempts each, before and after, with other sampling seeds after.  One arm has
the default steps, as long as the gradient is signal; a third as many runs have steps of constant
size, a random walk.  Counted: how often the 95% intervals of the difference in pass@1, and of
newly solved tasks less their null, hold 0, as they should in 19 of 20 runs of a true null.  One
process a run, several runs at once.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

from study import Study, print_table, study

from proofloop.measure.attempts import base_of, trained_of
from proofloop.measure.drawing import ACCENT, INK, MUTED, RULE, Figure, in_style, panels, to_svg
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.shares import clopper_pearson
from proofloop.measure.outcomes import difference_curve
from proofloop.measure.solved import turnover
from proofloop.measure.summary import points
from proofloop.runs.manifest import num_workers

ARMS = {"signal": 1, "constant": 3}
"""Schedules of the step size; an arm has the seeds divided by this."""
QUANTITIES = {
    "pass_at_1": "pass@1, after less before",
    "new_solved": "newly solved tasks, less their null",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placebo:
    """What one run of coins seems to have found."""

    arm: str
    seed: int
    pass_at_1: Interval
    new_solved: Interval


def placebo(here: Study, arm_seed: tuple[str, int]) -> Placebo:
    arm, seed = arm_seed
    run = here.train(
        f"{arm}{seed}",
        "reward.control=random",
        "env.complexity=[1]",
        "sampling.max_tokens=32",
        f"train.schedule={arm}",
        f"train.seed={seed}",
        *("train.num_steps=8", "train.warmup_steps=0"),
        *("train.tasks_per_step=16", "train.samples_per_task=4"),
        *("eval.every=0", "eval.final_num_tasks=60", "eval.final_num_samples=32"),
        *(f"eval.seed={seed}", f"eval.later_seed={1000 + seed}"),
    )
    before, after = base_of(run).outcomes, trained_of(run).outcomes
    gain, turned = difference_curve(before, after, (1,)).at(0), turnover(before, after)
    assert gain is not None
    assert turned is not None
    return Placebo(arm=arm, seed=seed, pass_at_1=gain, new_solved=turned.gained_over_null)


def row_of(arm: str, found: Sequence[Placebo]) -> tuple[str, ...]:
    cells: list[str] = []
    for quantity in QUANTITIES:
        intervals: list[Interval] = [getattr(one, quantity) for one in found]
        held = sum(interval.includes_zero for interval in intervals)
        low, high = clopper_pearson(held, len(found))
        mean = sum(interval.value for interval in intervals) / len(found)
        cells += [f"{held} of {len(found)} [{low:.0%}, {high:.0%}]", f"{100 * mean:+.1f}"]
    return (arm, *cells)


@in_style
def ladder(found: Sequence[Placebo]) -> Figure:
    """Every run's interval, by size; those that leave out 0 in ink."""
    sheet, axes_P = panels(len(QUANTITIES), height=0.8 + 0.05 * len(found))
    for axes, (quantity, title) in zip(axes_P, QUANTITIES.items(), strict=True):
        place = 0
        for arm in ARMS:
            runs = [one for one in found if one.arm == arm]
            intervals = sorted((getattr(r, quantity) for r in runs), key=lambda i: i.value)
            for interval in intervals:
                color = ACCENT if interval.includes_zero else INK
                axes.plot([100 * interval.low, 100 * interval.high], [place] * 2, color=color, lw=1)
                axes.plot(100 * interval.value, place, color=color, marker="o", ms=2.5)
                place += 1
            middle = place - (len(intervals) + 1) / 2
            axes.text(
                1.02, middle, arm, transform=axes.get_yaxis_transform(), va="center", color=MUTED
            )
            place += 2
        axes.axvline(0, color=MUTED, lw=0.8, ls="--")
        axes.grid(axis="x", color=RULE, lw=0.5, alpha=0.6)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_title(title, loc="left", fontsize=10, color=MUTED, pad=6)
    axes_P[-1].set_xlabel("points, 95% interval of each run")
    return Figure(
        svg=to_svg(sheet),
        columns=("schedule", "seed", "quantity", "mean", "low", "high"),
        rows=tuple(
            (one.arm, one.seed, name, i.value, i.low, i.high)
            for one in found
            for name in QUANTITIES
            for i in [getattr(one, name)]
        ),
    )


def main() -> None:
    here = replace(study("placebo", __doc__, seeds=30), workers=1)
    chosen = [
        (arm, seed)
        for arm, share in ARMS.items()
        for seed in here.seeds[: max(1, len(here.seeds) // share)]
    ]
    # A run of one process is the same wherever it runs, so runs share the cores there are.
    with ProcessPoolExecutor(num_workers(0), mp_context=get_context("spawn")) as pool:
        found = list(pool.map(partial(placebo, here), chosen))
    by_arm = {arm: [one for one in found if one.arm == arm] for arm in ARMS}
    columns = ("pass@1: holds 0", "mean, points", "newly solved: holds 0", "mean, points")
    print_table(("schedule", *columns), [row_of(arm, runs) for arm, runs in by_arm.items()])
    for one in found:
        if not (one.pass_at_1.includes_zero and one.new_solved.includes_zero):
            print(
                f"{one.arm}, seed {one.seed}: pass@1 {points(one.pass_at_1)}, newly solved "
                f"{points(one.new_solved)} points"
            )
    here.write("placebo", ladder(found))


if __name__ == "__main__":
    main()
