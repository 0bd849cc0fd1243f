"""Does an agent of a million parameters learn to repair repositories, and what do tests tell it?

    python examples/studies/minirepos.py [--seeds 3] [--out runs/minirepos]

Mini-repositories with one, two and four bugs in as many modules.  The base is `pico-minirepos`,
which has seen episodes of careful and careless authors.  By reward on whole episodes: `told`, every
turn followed by what the shown tests say; `untold`, by no more than that the module is written;
`placebo`, a coin for a reward.  Then with a context too short for all turns at four bugs: `notes`,
which the agent writes for itself when it is full, and `no notes`, where a full context is the end.
Plotted: held-out share repaired by all hidden tests, over steps, by number of bugs; bands resample
tasks and seeds.  The null of a gain is the placebo's.
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
from proofloop.store import Phase, RunStore

STEPS, EVERY = 16, 4


class Arm(NamedTuple):
    name: str
    settings: tuple[str, ...]


ALL = ("env.horizon=[1,2,4]",)
TOLD = Arm("told", ALL)
UNTOLD = Arm("untold", (*ALL, "agent.feedback=false"))
PLACEBO = Arm("placebo", (*ALL, "reward.control=random"))
SHORT = (*ALL, "agent.context_tokens=560")
NOTES = Arm("notes", (*SHORT, "agent.notes_tokens=16"))
NO_NOTES = Arm("no notes", SHORT)
ARMS = (TOLD, UNTOLD, PLACEBO, NOTES, NO_NOTES)
COLORS = {1: MUTED, 2: INK, 4: ACCENT}

Curves = dict[int, dict[int, Floats]]
"""By number of bugs and step, pass rates of held-out tasks."""


def job(arm: Arm, seed: int) -> Job:
    return Job(
        name=f"{arm.name.replace(' ', '-')}-{seed}",
        settings=(
            "model.path=pico-minirepos",
            *("env.name=minirepos", "env.complexity=[1]", "agent.dialect=definitions"),
            *("sampling.max_tokens=40", "train.learning_rate=3e-4"),
            *(f"train.seed={seed}", f"train.num_steps={STEPS}"),
            *("train.tasks_per_step=33", "train.samples_per_task=8"),
            *(f"eval.every={EVERY}", "eval.num_tasks=72", "eval.num_samples=4"),
            *("eval.final_num_tasks=72", "eval.final_num_samples=4"),
            *arm.settings,
        ),
    )


def read(run: Path) -> Curves:
    found: Curves = {}
    with RunStore.read(run) as store:
        for step in store.recorded_steps(Phase.EVAL):
            rates: dict[int, dict[str, list[bool]]] = {}
            for horizon, task, passed in store.outcomes(
                Phase.EVAL, step, ("horizon", "task_id", "passed")
            ):
                rates.setdefault(horizon, {}).setdefault(task, []).append(bool(passed))
            for horizon, by_task in rates.items():
                values = np.array([np.mean(by_task[t]) for t in sorted(by_task)])
                found.setdefault(horizon, {})[step] = values
    return found


def gain(runs: Sequence[Curves], horizon: int) -> str:
    pairs = [(r[horizon][0], r[horizon][max(r[horizon])]) for r in runs]
    return points(paired_difference(pairs))


def share(runs: Sequence[Curves], horizon: int, last: bool) -> str:
    rates_T = np.mean([r[horizon][max(r[horizon]) if last else 0] for r in runs], axis=0)
    return percent(bootstrap_mean(rates_T[:, None]).at(0))


def difference(runs: Sequence[Curves], others: Sequence[Curves], horizon: int) -> str:
    ends = [(o[horizon][max(o[horizon])], r[horizon][max(r[horizon])]) for r, o in
            zip(runs, others, strict=True)]  # fmt: skip
    return points(paired_difference(ends))


def draw(found: dict[Arm, list[Curves]]) -> Figure:
    lines: list[Band] = []
    for arm, dashed in ((TOLD, False), (UNTOLD, True)):
        for horizon, color in COLORS.items():
            runs = [r[horizon] for r in found[arm]]
            steps = sorted(set.intersection(*(set(r) for r in runs)))
            num_tasks = min(len(r[s]) for r in runs for s in steps)
            rates_TK = np.stack(
                [np.mean([r[s][:num_tasks] for r in runs], axis=0) for s in steps], axis=1
            )
            curve = bootstrap_mean(rates_TK)
            lines.append(
                Band(
                    label=f"{arm.name}, {horizon} bug{'s' if horizon > 1 else ''}",
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
        for horizon in sorted(curves[0]):
            against = NO_NOTES if arm is NOTES else UNTOLD if arm is TOLD else None
            rows.append(
                [
                    arm.name,
                    str(horizon),
                    share(curves, horizon, last=False),
                    share(curves, horizon, last=True),
                    gain(curves, horizon),
                    "" if against is None else difference(curves, found[against], horizon),
                ]
            )
    print(f"{len(here.seeds)} seeds, {STEPS} steps")
    print_table(("arm", "bugs", "base", "trained", "gain, points", "minus its control"), rows)


if __name__ == "__main__":
    main()
