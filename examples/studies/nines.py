"""What is 95% pass@1 worth when it must hold eight times in a row?

    python examples/studies/nines.py [--seeds 3] [--out runs/nines] [--docs docs/studies]

The quick start on programs of one operation.  Base and trained model, at temperature 1 and at 0.5
(trained: about 95% pass@1), then attempt the same 240 held-out tasks 32 times.  Plotted is the
share of tasks of which k attempts all pass (pass^k) or at least one does (pass@k), between two
nulls with the same pass@1: failures that may fall on any attempt (p^k and 1-(1-p)^k), and tasks
that pass always or never (p for every k).  A second figure has the gain by training.  Printed
beside it: the same task again against a new one, the design effect, where failures sit, what the
next nine takes, and what fewer tasks would have claimed.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from study import Study, print_table, study

from proofloop.envs.functions import FunctionsEnvironment
from proofloop.measure.compare.nines import says_plan
from proofloop.measure.drawing import (
    ACCENT,
    INK,
    MUTED,
    Cell,
    Figure,
    canvas,
    finish,
    in_style,
    label_ends,
    panels,
    share_axis,
    to_svg,
)
from proofloop.measure.estimators.bootstrap import paired_difference
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.next_nine import next_nine
from proofloop.measure.estimators.pass_at_k import pass_at_k, pass_hat_k
from proofloop.measure.estimators.reliability import Reliability, fan, reliability
from proofloop.measure.estimators.shares import wilson
from proofloop.measure.outcomes import Outcomes
from proofloop.measure.summary import percent, points

STEPS, NUM_TASKS, NUM_SAMPLES = 30, 240, 32
COOL = 0.5
MAX_K, HELD = 16, 8
FEWER, DRAWS = 24, 400
"""Tasks that a smaller evaluation would have had, and how often one is drawn."""

Gains = list[tuple[float, str, Interval]]
"""Place on the axis (log2 k, negative where all k must pass), label, trained less base."""


def trained(here: Study, seed: int) -> Path:
    settings = ("env.complexity=[1]", f"train.num_steps={STEPS}", f"train.seed={seed}")
    short = ("eval.every=0", "eval.final_num_tasks=12", "eval.final_num_samples=4")
    return here.train(f"seed{seed}", *settings, *short) / "model"  # measured apart, on more


def measured(here: Study, name: str, model: str | Path, temperature: float = 1.0) -> Outcomes:
    found = here.evaluate(
        name,
        model,
        "env.complexity=[1]",
        f"sampling.temperature={temperature:g}",
        f"eval.final_num_tasks={NUM_TASKS}",
        f"eval.final_num_samples={NUM_SAMPLES}",
    )
    return found.outcomes


def by_behaviour(outcomes: Outcomes) -> tuple[list[int], list[int]]:
    """Attempts and passes of every behaviour: tasks of one operation with the same solution."""
    counts: dict[str, list[int]] = {}
    tasks = FunctionsEnvironment()
    rows = zip(outcomes.task_ids, outcomes.num_samples, outcomes.num_passed, strict=True)
    for task_id, n, c in rows:
        row = counts.setdefault(str(tasks.find(task_id).oracle), [0, 0])
        row[0] += int(n)
        row[1] += int(c)
    return [n for n, _ in counts.values()], [c for _, c in counts.values()]


def row_of(name: str, outcomes: Outcomes) -> tuple[str, ...]:
    n_T, c_T = outcomes.num_samples, outcomes.num_passed
    shape, found = fan(n_T, c_T, (1, HELD)), reliability(n_T, c_T)
    return (
        name,
        percent(found.across),
        percent(shape.pass_hat.at(1)),
        f"{shape.independent_K[1]:.1%}",
        percent(shape.pass_at.at(1)),
        percent(found.within),
        "–" if found.icc is None else f"{found.icc:.2f}",
    )


def says(name: str, outcomes: Outcomes) -> None:
    n_T, c_T = outcomes.num_samples, outcomes.num_passed
    found, kinds = reliability(n_T, c_T), reliability(*by_behaviour(outcomes))
    high = "∞" if found.nines.high is None else f"{found.nines.high:.2f}"
    print(
        f"{name}: {found.num_trials:,} attempts are worth "
        f"{found.num_trials / found.design_effect:,.0f} independent ones (design effect "
        f"{found.design_effect:.1f}); the variance of one is {_variance(found)}. "
        f"{found.num_failing_tasks} of {found.num_tasks} tasks fail at all, "
        f"{found.tasks_of_failures} hold 80% of the failures; of {kinds.num_tasks} behaviours "
        f"{kinds.num_failing_tasks} fail, {kinds.tasks_of_failures} hold 80%. Nines "
        f"[{found.nines.low:.2f}, {high}]. A new behaviour: {percent(kinds.across)}."
    )
    for refusal in filter(None, (found.refusal, kinds.refusal)):
        print(f"  Refused: {refusal}")
    plan = next_nine(n_T, c_T)
    runs = "no number of" if plan.num_runs is None else f"{plan.num_runs:,}"
    print(f"  {says_plan(plan, found)}")
    if plan.num_tasks is not None:
        print(f"  With today's tasks, if their correlation is as seen: {runs} runs of each.")


def _variance(found: Reliability) -> str:
    """Of an attempt, p(1-p), in its two parts."""
    if found.icc is None:
        return "unknown"
    whole = found.across.value * (1 - found.across.value)
    return f"{whole * (1 - found.icc):.3f} within tasks, {whole * found.icc:.3f} between"


def says_of_fewer(name: str, outcomes: Outcomes) -> None:
    """How often an evaluation of few of these tasks would have missed the rate of all of them."""
    rate, rng = float((outcomes.num_passed / outcomes.num_samples).mean()), np.random.default_rng(0)
    size = min(FEWER, outcomes.num_tasks // 2)
    naive = ours = refused = 0
    for _ in range(DRAWS):
        few = outcomes.take(rng.choice(outcomes.num_tasks, size, replace=False))
        found = reliability(few.num_samples, few.num_passed)
        low, high = wilson(float(few.num_passed.sum()), float(few.num_samples.sum()))
        naive += not low <= rate <= high
        assert found.across.low is not None
        assert found.across.high is not None
        ours += not found.across.low <= rate <= found.across.high
        refused += found.refusal is not None
    print(
        f"{name}, {size} of these tasks, drawn {DRAWS} times: the interval that takes attempts for "
        f"independent (Wilson) misses the rate of all tasks {naive / DRAWS:.0%} of the time, ours "
        f"{ours / DRAWS:.0%}; a claim of nines is refused {refused / DRAWS:.0%} of the time."
    )


def gains_of(pairs: Sequence[tuple[Outcomes, Outcomes]]) -> Gains:
    """From `all of k attempts pass` over one attempt to `one of k does`."""
    ks = _ks(*(side for pair in pairs for side in pair))
    kinds = [(-1, "all of", k) for k in reversed(ks) if k > 1] + [(1, "one of", k) for k in ks]
    found: Gains = []
    for sign, label, k in kinds:
        value = pass_at_k if sign > 0 else pass_hat_k
        columns = [
            tuple(value(o.num_samples, o.num_passed, (k,))[:, 0] for o in pair) for pair in pairs
        ]
        gain = paired_difference([(base, after) for base, after in columns])
        found.append((sign * math.log2(k), f"{label} {k}", gain))
    return found


@in_style
def fans(sides: Sequence[tuple[str, Outcomes]]) -> Figure:
    """A panel each: pass@k and pass^k with 95% bands, between the two nulls."""
    sheet, axes_P = panels(len(sides), height=2.1)
    rows: list[tuple[Cell, ...]] = []
    for axes, (name, outcomes) in zip(axes_P, sides, strict=True):
        ks = _ks(outcomes)
        found = fan(outcomes.num_samples, outcomes.num_passed, ks)
        alone_K, rate = found.independent_K, float(found.independent_K[0])
        for null, values_K in (("p^k", alone_K), ("1-(1-p)^k", 1 - (1 - rate) ** np.array(ks))):
            axes.plot(ks, values_K, color=INK, lw=1, ls=":")
            rows += [
                (name, null, k, float(v), None, None) for k, v in zip(ks, values_K, strict=True)
            ]
        axes.plot(ks, [rate] * len(ks), color=INK, lw=1, ls="--")
        ends = [(float(alone_K[-1]), "p^k", INK), (rate, "p", INK)]
        for label, curve, color in (
            ("pass@k", found.pass_at, MUTED),
            ("pass^k", found.pass_hat, ACCENT),
        ):
            axes.fill_between(ks, curve.lows, curve.highs, color=color, alpha=0.18, lw=0)
            axes.plot(ks, curve.means, color=color, lw=1.6)
            ends.append((float(curve.means[-1]), label, color))
            columns = zip(ks, curve.means, curve.lows, curve.highs, strict=True)
            rows += [(name, label, k, *map(float, numbers)) for k, *numbers in columns]
        axes.set_xscale("log", base=2)
        axes.set_xticks([2**i for i in range(5)], [str(2**i) for i in range(5)])
        axes.minorticks_off()
        share_axis(axes)
        axes.set_title(f"{name}: share of tasks", loc="left", fontsize=10, color=MUTED, pad=6)
        label_ends(axes, ends, gap=0.13)
    axes_P[-1].set_xlabel("k, attempts at a task")
    columns = ("policy", "curve", "k", "mean", "low", "high")
    return Figure(svg=to_svg(sheet), columns=columns, rows=tuple(rows))


@in_style
def gain_figure(gains: Gains, by_seed: Sequence[Gains]) -> Figure:
    sheet, axes = canvas()
    x = [place for place, _, _ in gains]
    axes.axhline(0, color=MUTED, lw=0.8, ls="--")
    axes.fill_between(
        x, [100 * (g.low or 0) for _, _, g in gains], [100 * (g.high or 0) for _, _, g in gains],
        color=ACCENT, alpha=0.18, lw=0,
    )  # fmt: skip
    for seed in by_seed:
        axes.plot(x, [100 * g.value for _, _, g in seed], color=ACCENT, lw=0.6, alpha=0.6)
    axes.plot(x, [100 * g.value for _, _, g in gains], color=ACCENT, lw=1.6)
    ticks = [(i, str(2 ** abs(i))) for i in range(-4, 5)]
    axes.set_xticks([i for i, _ in ticks], [label for _, label in ticks])
    svg = finish(
        sheet,
        axes,
        x_label="all of k pass  ←  k attempts  →  one of k passes",
        y_label="trained less base, points",
        ends=(),
    )
    return Figure(
        svg=svg,
        columns=("what must pass", "gain", "low", "high"),
        rows=tuple((label, g.value, g.low, g.high) for _, label, g in gains),
    )


def main() -> None:
    here = study("nines", __doc__)
    base = measured(here, "base", "pico")
    warm, cool = list[Outcomes](), list[Outcomes]()
    for seed in here.seeds:
        model = trained(here, seed)
        warm.append(measured(here, f"trained{seed}", model))
        cool.append(measured(here, f"cool{seed}", model, COOL))
    sides = [
        ("base", base),
        (f"base at temperature {COOL:g}", measured(here, "base-cool", "pico", COOL)),
    ]
    for seed, (at_one, at_cool) in enumerate(zip(warm, cool, strict=True)):
        sides.append((f"trained, seed {seed}", at_one))
        sides.append((f"trained, seed {seed}, at {COOL:g}", at_cool))
    columns = ("pass@1", f"pass^{HELD}", f"p^{HELD}", f"pass@{HELD}", "the same task again", "ICC")
    print_table(("", *columns), [row_of(name, outcomes) for name, outcomes in sides])
    for name, outcomes in sides:
        says(name, outcomes)
    says_of_fewer("trained, seed 0", warm[0])
    says_of_fewer(f"trained, seed 0, at {COOL:g}", cool[0])
    gains = gains_of([(base, after) for after in warm])
    by_seed = [gains_of([(base, after)]) for after in warm]
    print_table(
        ("what must pass", "trained less base, points"),
        [(label, points(gain)) for place, label, gain in gains if place == round(place)],
    )
    best = max(gains, key=lambda g: g[2].value)
    tops = [max(seed, key=lambda g: g[2].value)[1] for seed in by_seed]
    print(
        f"The gain is largest where {best[1]} must pass: {points(best[2])} points "
        f"(seed by seed: {', '.join(tops)})."
    )
    shown = [("base", base), ("trained", warm[0]), (f"trained, at {COOL:g}", cool[0])]
    here.write("nines", fans(shown))
    here.write("nines-gain", gain_figure(gains, by_seed))


def _ks(*sides: Outcomes) -> tuple[int, ...]:
    fewest = min(int(side.num_samples.min()) for side in sides)
    return tuple(range(1, min(MAX_K, fewest) + 1))


if __name__ == "__main__":
    main()
