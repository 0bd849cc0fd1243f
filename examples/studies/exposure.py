"""Taught or elicited?  Depends on what pre-training had shown: 0, 0.1, 1 or 10% compositions.

    python examples/studies/exposure.py [--seeds 3] [--out runs/exposure]

A small world of operations on strings.  One base knows single operations (recipe
`pretrain-atoms`); four copies of it read on, equally long, in corpora of which 0, 0.1, 1 and 10%
are programs of two operations.  Each is then trained by reward on tasks of two, over several seeds.
Bases and trained models answer the same held-out tasks of two operations, and of three, which no
corpus held and no reward was for.  Plotted: pass@k before and after, and what is newly solved
beyond chance.  Beside it the null, a second evaluation of the same base (other sampling seeds), and
the floor: tasks that fewer operations happen to solve, for which nothing new needs to be composed.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from study import Study, print_table, study

from proofloop.core.task import CallTests, Returns
from proofloop.core.value import decode
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.envs.functions.operations import Kind
from proofloop.envs.functions.programs import all_chains
from proofloop.measure.attempts import Attempts, base_of
from proofloop.measure.compare.answer import Answer, answer
from proofloop.measure.compare.bits import Missing, bits, ledger_of
from proofloop.measure.compare.ledger import ledger
from proofloop.measure.compare.passing import passing
from proofloop.measure.compare.sides import bring_together
from proofloop.measure.drawing import ACCENT, MUTED, RULE, Cell, Figure, in_style, to_svg
from proofloop.measure.estimators.bootstrap import bootstrap_mean, paired_difference
from proofloop.measure.estimators.crossover import Crossover
from proofloop.measure.estimators.new_solved import Turnover
from proofloop.measure.outcomes import Outcomes, known_ks
from proofloop.measure.summary import percent, points
from proofloop.runs.scoring import score_under_base

KS = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64)
EXPOSURES = (0.0, 0.001, 0.01, 0.1)
LEVELS = {2: "two operations, rewarded", 3: "three operations, never seen"}
WORLD = ('env.families=["string"]', "sampling.max_tokens=48")
READ_ON = ("training.num_steps=300",)
REWARD = (
    *("env.complexity=[2]", "train.num_steps=24", "train.tasks_per_step=64"),
    *("train.samples_per_task=16", "train.learning_rate=1e-3", "eval.every=0"),
    *("eval.final_num_tasks=24", "eval.final_num_samples=4"),
)
GRID = ("env.complexity=[2,3]", "eval.final_num_tasks=64", "eval.final_num_samples=128")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What `proofloop compare` says of two sides, without the sections that this study leaves."""

    answer: Answer
    even: Crossover | None
    turned: Turnover | None
    num_gained: int
    num_lost: int
    bits: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One exposure at one complexity."""

    exposure: float
    level: int
    before: Outcomes
    again: Outcomes
    after: tuple[Outcomes, ...]
    """A seed each."""
    null: Found
    found: tuple[Found, ...]


def measured(s: Study, exposure: float, atoms: Path) -> list[Place]:
    name = f"{100 * exposure:g}"
    shares = f"corpus.complexity=[{1 - exposure}, {exposure}]"
    base = s.base(f"base-{name}", "pretrain-atoms", f"model.path={atoms}", shares, *READ_ON)
    before = s.evaluate(f"before-{name}", base, *WORLD, *GRID)
    again = s.evaluate(f"again-{name}", base, *WORLD, *GRID, "eval.seed=1")
    after: list[Attempts] = []
    for seed in s.seeds:
        start = f"model.path={base}"
        run = s.train(f"run-{name}-{seed}", start, *WORLD, *REWARD, f"train.seed={seed}")
        trained = s.evaluate(f"after-{name}-{seed}", run / "model", *WORLD, *GRID)
        if not after:  # the ledger of bits, of the first seed
            score_under_base(before.run, trained.run, on_progress=lambda done, of: None)
        after.append(base_of(trained.run))
    places: list[Place] = []
    for level in LEVELS:
        first, second, *others = (_at(side, level) for side in (before, again, *after))
        places.append(
            Place(
                exposure=exposure,
                level=level,
                before=first.outcomes,
                again=second.outcomes,
                after=tuple(other.outcomes for other in others),
                null=found_of(first, second),
                found=tuple(found_of(first, other) for other in others),
            )
        )
    return places


def found_of(before: Attempts, after: Attempts) -> Found:
    sides = bring_together(before, [after])
    solved, changed, bits_of = passing(sides).facts, ledger(sides).facts, ledger_of(sides)
    even, turned = solved["crossover"], changed["turnover"][after.name]
    gain = solved["difference_at_k"][after.name]["1"]
    known = None if isinstance(bits_of, Missing) else bits_of
    return Found(
        answer=answer(sides, gain, even, turned, known),
        even=even,
        turned=turned,
        num_gained=len(changed["changes"]["gained"]),
        num_lost=len(changed["changes"]["lost"]),
        bits=bits(sides).facts,
    )


def _at(side: Attempts, level: int) -> Attempts:
    return side.take(np.array([stratum.complexity == level for stratum in side.strata]))


def floor(outcomes: Outcomes, level: int) -> float:
    """Share of the tasks whose hidden tests a program of fewer operations passes."""
    shorter = [chain for length in range(1, level) for chain in all_chains(Kind.STRING, length)]
    environment = FunctionsEnvironment(families=("string",), complexity=tuple(LEVELS))
    short = 0
    for task_id in outcomes.task_ids:
        tests = environment.find(task_id).key.tests
        assert isinstance(tests, CallTests)
        wanted = [
            (decode(call.args)[0], decode(call.wanted.value))
            for call in tests.calls
            if isinstance(call.wanted, Returns)
        ]
        short += any(all(chain(x) == y for x, y in wanted) for chain in shorter)
    return short / outcomes.num_tasks


@in_style
def pass_panels(places: list[Place], share: float) -> Figure:
    """pass@k of base and trained, a panel an exposure, with the floor."""
    from matplotlib.figure import Figure as Sheet

    sheet = Sheet(figsize=(5.4, 5.2), layout="constrained", facecolor="none")
    rows: list[tuple[Cell, ...]] = []
    for place, axes in zip(
        places, sheet.subplots(2, 2, sharex=True, sharey=True).flat, strict=True
    ):
        ks = [k for k in KS if k <= place.before.max_samples]
        trained_TK = np.mean([side.values(ks) for side in place.after], axis=0)
        axes.axhline(share, color=MUTED, lw=1.2, ls=":", label="floor: fewer operations do")
        for label, values_TK, color, style in (
            ("base", place.before.values(ks), MUTED, "-"),
            ("base, measured again", place.again.values(ks), MUTED, "--"),
            ("trained (thin: seeds)", trained_TK, ACCENT, "-"),
        ):
            curve = bootstrap_mean(values_TK)
            axes.fill_between(ks, curve.lows, curve.highs, color=color, alpha=0.14, lw=0)
            axes.plot(ks, curve.means, color=color, lw=1.6, ls=style, label=label)
            rows += [
                (f"{100 * place.exposure:g}%", label, k, float(m), float(low), float(high))
                for k, m, low, high in zip(ks, curve.means, curve.lows, curve.highs, strict=True)
            ]
        for side in place.after:
            axes.plot(ks, side.values(ks).mean(axis=0), color=ACCENT, lw=0.6)
        axes.set_xscale("log", base=2)
        axes.set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
        axes.minorticks_off()
        axes.set_ylim(0, 1)
        axes.set_yticks([0, 0.5, 1], ["0", "50%", "100%"])
        axes.grid(axis="y", color=RULE, lw=0.5, alpha=0.6)
        axes.set_title(f"{100 * place.exposure:g}% composed", loc="left", fontsize=10)
    sheet.supxlabel("k, samples per task", fontsize=10, color=MUTED)
    sheet.supylabel("pass@k", fontsize=10, color=MUTED)
    handles, labels = sheet.axes[0].get_legend_handles_labels()
    sheet.legend(handles, labels, loc="outside upper left", ncols=2, frameon=False)
    columns = ("composed in the corpus", "curve", "k", "mean", "low", "high")
    return Figure(svg=to_svg(sheet), columns=columns, rows=tuple(rows))


@in_style
def beyond_chance(places: list[Place]) -> Figure:
    """Newly solved tasks less what a second copy of the base would: a dot a seed, and the null."""
    from matplotlib.figure import Figure as Sheet

    sheet = Sheet(figsize=(5.4, 3.4), layout="constrained", facecolor="none")
    rows: list[tuple[Cell, ...]] = []
    for level, axes in zip(LEVELS, sheet.subplots(1, 2, sharey=True), strict=True):
        for x, place in enumerate(p for p in places if p.level == level):
            seen = [("base, measured again", place.null), *(("trained", c) for c in place.found)]
            for i, (label, found) in enumerate(seen):
                turned = found.turned
                if turned is None:
                    continue
                over, at = turned.gained_over_null, x + 0.16 * (i - (len(seen) - 1) / 2)
                color = ACCENT if i else MUTED
                if over.low is not None and over.high is not None:
                    axes.plot([at, at], [100 * over.low, 100 * over.high], color=color, lw=1.2)
                axes.plot([at], [100 * over.value], color=color, marker="o" if i else "s", ms=4)
                share = f"{100 * place.exposure:g}%"
                rows.append((LEVELS[level], share, label, over.value, over.low, over.high))
        axes.axhline(0, color=RULE, lw=1)
        axes.set_xticks(range(len(EXPOSURES)), [f"{100 * e:g}%" for e in EXPOSURES])
        axes.set_title(LEVELS[level], loc="left", fontsize=10)
        axes.grid(axis="y", color=RULE, lw=0.5, alpha=0.6)
    sheet.supxlabel("composed programs in the base's corpus", fontsize=10, color=MUTED)
    sheet.supylabel("newly solved beyond chance, points", fontsize=10, color=MUTED)
    sheet.suptitle("● trained, a seed each    ■ base, measured again", fontsize=10, color=MUTED)
    columns = ("tasks", "composed in the corpus", "model", "beyond chance", "low", "high")
    return Figure(svg=to_svg(sheet), columns=columns, rows=tuple(rows))


def row(place: Place, share: float) -> tuple[Cell, ...]:
    ks = (1, known_ks(place.before)[-1])
    gains = [
        paired_difference(
            [(place.before.values([k])[:, 0], side.values([k])[:, 0]) for side in place.after]
        )
        for k in ks
    ]
    return (
        f"{100 * place.exposure:g}%",
        place.level,
        percent(place.before.curve([1]).at(0)),
        *(points(gain) for gain in gains),
        f"{100 * share:.0f}%",
        "; ".join(_new(found) for found in place.found),
        _new(place.null),
        ", ".join(_even(found) for found in place.found),
        _bits(place.found[0]),
        _answers(place.found),
        place.null.answer.finding,
    )


def _new(found: Found) -> str:
    over = "–" if found.turned is None else points(found.turned.gained_over_null)
    return f"{over} (+{found.num_gained} −{found.num_lost})"


def _even(found: Found) -> str:
    return "–" if found.even is None else str(found.even.k or f"over {found.even.max_k}")


def _bits(found: Found) -> str:
    said = [(name, found.bits.get(key)) for name, key in BITS.items()]
    return ", ".join(f"{name} {bits.value:.1f}" for name, bits in said if bits) or "–"


def _answers(found: tuple[Found, ...]) -> str:
    counts = Counter(f.answer.finding.value for f in found)
    return ", ".join(f"{finding} ({n})" for finding, n in counts.items())


BITS = {"estimated": "mean_bits", "at most": "mean_bits_at_most"}
COLUMNS = (
    *("composed in the corpus", "operations", "pass@1 before", "gain in pass@1, points"),
    *(
        "gain in pass@64, points",
        "floor",
        "newly solved beyond chance, points (tasks + −), by seed",
    ),
    *("base measured again", "k*, by seed", "bits of elicitation, first seed"),
    *("answer (seeds)", "of base measured again"),
)


def main() -> None:
    s = study("exposure", __doc__)
    atoms = s.base("atoms", "pretrain-atoms")
    places = [place for exposure in EXPOSURES for place in measured(s, exposure, atoms)]
    floors = {level: floor(places[i].before, level) for i, level in enumerate(LEVELS)}
    print_table(COLUMNS, [row(place, floors[place.level]) for place in places])
    for place in places:
        for seed, found in zip(s.seeds, place.found, strict=True):
            print(
                f"{100 * place.exposure:g}% composed, {LEVELS[place.level]}, seed {seed}: "
                f"{found.answer.finding}. {found.answer.says}"
            )
    s.write("exposure", beyond_chance(places))
    for level in LEVELS:
        chosen = [place for place in places if place.level == level]
        s.write(f"exposure-{level}", pass_panels(chosen, floors[level]))


if __name__ == "__main__":
    main()
