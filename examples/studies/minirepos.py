"""Does an agent of a million parameters learn to repair repositories, and what do tests tell it?

    python examples/studies/minirepos.py [--seeds 3] [--out runs/minirepos]

Mini-repositories with one, two and four bugs in as many modules.  The base is `pico-minirepos`,
which has seen episodes of careful and careless authors.  By reward on whole episodes: `told`, every
turn followed by what the shown tests say; `untold`, by no more than that the module is written;
`placebo`, a coin for a reward.  Then with a context too short for all turns at four bugs (and no
lists, whose statements alone would fill it): `notes`, which the agent writes for itself when it is
full, and `no notes`, where a full context is the end.
Plotted: held-out share repaired by all hidden tests, over steps, by number of bugs, told and
placebo; bands resample tasks.  The null of a gain is the placebo's.  Of four bugs the table tells
the share of hidden tests that pass, too, since a whole repository is seldom right.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from study import Job, print_table, study

from proofloop.measure.drawing import ACCENT, INK, MUTED, Figure
from proofloop.measure.estimators.bootstrap import Floats, bootstrap_mean, paired_difference
from proofloop.measure.figures import Band, bands
from proofloop.measure.summary import percent, points
from proofloop.store import Phase, RolloutRow, RunStore

STEPS, EVERY = 40, 8


class Arm(NamedTuple):
    name: str
    settings: tuple[str, ...]
    steps: int = STEPS


ALL = ("env.horizon=[1,2,4]",)
TOLD = Arm("told", ALL)
UNTOLD = Arm("untold", (*ALL, "agent.feedback=false"))
PLACEBO = Arm("placebo", (*ALL, "reward.control=random"))
SHORT = (*ALL, 'env.families=["int","string"]', "agent.context_tokens=448")
NOTES = Arm("notes", (*SHORT, "agent.notes_tokens=16"), steps=16)
NO_NOTES = Arm("no notes", SHORT, steps=16)
ARMS = (TOLD, UNTOLD, PLACEBO, NOTES, NO_NOTES)
CONTROLS = {"told": UNTOLD, "notes": NO_NOTES}
COLORS = {1: MUTED, 2: INK, 4: ACCENT}


class Measure(NamedTuple):
    """What is read of held-out rollouts with so many bugs."""

    horizon: int
    tests: bool = False
    """The share of hidden tests that pass, rather than whether all do."""

    def __str__(self) -> str:
        return f"{self.horizon}, hidden tests" if self.tests else str(self.horizon)


MEASURES = (Measure(1), Measure(2), Measure(4), Measure(4, tests=True))
Curves = dict[Measure, dict[int, Floats]]
"""By step, the mean of each held-out task."""


def job(arm: Arm, seed: int) -> Job:
    return Job(
        name=f"{arm.name.replace(' ', '-')}-{seed}",
        settings=(
            "model.path=pico-minirepos",
            *("env.name=minirepos", "env.complexity=[1]", "agent.dialect=definitions"),
            *("sampling.max_tokens=40", "train.learning_rate=3e-4"),
            *(f"train.seed={seed}", f"train.num_steps={arm.steps}"),
            *("train.tasks_per_step=33", "train.samples_per_task=8"),
            *(f"eval.every={EVERY}", "eval.num_tasks=72", "eval.num_samples=4"),
            *("eval.final_num_tasks=72", "eval.final_num_samples=4"),
            *arm.settings,
        ),
    )


def read(run: Path) -> Curves:
    found: Curves = {measure: {} for measure in MEASURES}
    with RunStore.read(run) as store:
        for step in store.recorded_steps(Phase.EVAL):
            values: dict[Measure, dict[str, list[float]]] = {m: {} for m in MEASURES}
            for row in store.iter_rollouts(phase=Phase.EVAL, step=step):
                for measure, by_task in values.items():
                    if measure.horizon == row.horizon:
                        by_task.setdefault(row.task_id, []).append(_value(row, measure))
            for measure, by_task in values.items():
                means = [np.mean(by_task[task]) for task in sorted(by_task)]
                found[measure][step] = np.array(means)
    return found


def _value(row: RolloutRow, measure: Measure) -> float:
    if measure.tests:
        return row.parts["tests_passed"] / row.parts["tests_planned"]
    return float(row.passed or 0)


def end(curves: Curves, measure: Measure) -> Floats:
    return curves[measure][max(curves[measure])]


def gain(runs: Sequence[Curves], measure: Measure) -> str:
    return points(paired_difference([(r[measure][0], end(r, measure)) for r in runs]))


def share(runs: Sequence[Curves], measure: Measure, last: bool) -> str:
    shares = [end(r, measure) if last else r[measure][0] for r in runs]
    return percent(bootstrap_mean(np.mean(shares, axis=0)[:, None]).at(0))


def difference(runs: Sequence[Curves], others: Sequence[Curves], measure: Measure) -> str:
    pairs = zip(others, runs, strict=True)
    return points(paired_difference([(end(o, measure), end(r, measure)) for o, r in pairs]))


def draw(found: dict[Arm, list[Curves]]) -> Figure:
    lines: list[Band] = []
    for arm, name, dashed in ((TOLD, "told", False), (PLACEBO, "coin", True)):
        for horizon, color in COLORS.items():
            runs = [r[Measure(horizon)] for r in found[arm]]
            steps = sorted(set.intersection(*(set(r) for r in runs)))
            num_tasks = min(len(r[s]) for r in runs for s in steps)
            rates_TK = np.stack(
                [np.mean([r[s][:num_tasks] for r in runs], axis=0) for s in steps], axis=1
            )
            curve = bootstrap_mean(rates_TK)
            lines.append(
                Band(
                    label=f"{name}, {horizon} bug{'s' if horizon > 1 else ''}",
                    x=tuple(map(float, steps)),
                    mean=curve.means.tolist(),
                    low=curve.lows.tolist(),
                    high=curve.highs.tolist(),
                    color=color,
                    dashed=dashed,
                )
            )
    return bands(lines, x_label="step", y_label="held-out repositories repaired")


def main() -> None:
    here = study("minirepos", __doc__)
    jobs = [(arm, job(arm, seed)) for arm in ARMS for seed in here.seeds]
    runs = here.train_all([j for _, j in jobs])
    found: dict[Arm, list[Curves]] = {arm: [] for arm in ARMS}
    for (arm, _), run in zip(jobs, runs, strict=True):
        found[arm].append(read(run))
    here.write("minirepos", draw(found))
    rows: list[list[str]] = []
    for arm, curves in found.items():
        control = CONTROLS.get(arm.name)
        for measure in MEASURES:
            rows.append(
                [
                    arm.name,
                    str(measure),
                    share(curves, measure, last=False),
                    share(curves, measure, last=True),
                    gain(curves, measure),
                    "" if control is None else difference(curves, found[control], measure),
                ]
            )
    print(f"{len(here.seeds)} seeds, {STEPS} steps ({NOTES.steps} with a short context)")
    print_table(("arm", "bugs", "base", "trained", "gain, points", "minus its control"), rows)


if __name__ == "__main__":
    main()
