"""What does one training task teach, and two, sixteen, or ever new ones?

    python examples/studies/one_example.py [--seeds 3] [--out runs/one-example]

`pico` on tasks of complexity 1 and 2, at equal steps, rollouts and rate: 16 groups of 8 a step,
drawn from one task, two or sixteen (each the fewer ones and others), or never the same twice.
Another seed also means other tasks.  Held-out pass@1 and pass@8 against the base, paired on tasks,
seeds as a level; tasks newly solved beyond what a second base would; the training tasks' own score,
and whether held-out scores go on rising once that is full.  Null: the base measured twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from one_example_figures import Arm, Gain, curves, gains
from study import Job, Study, print_table, study

from proofloop.measure.attempts import base_of, trained_of
from proofloop.measure.estimators.bootstrap import paired_difference
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.outcomes import Outcomes, in_common
from proofloop.measure.solved import turnover
from proofloop.measure.summary import points
from proofloop.store import Phase, RunStore

COUNTS = {Arm.COPY: 0, Arm.ONE: 1, Arm.TWO: 2, Arm.SIXTEEN: 16, Arm.ALL: 0}
"""Training tasks; 0: no limit."""
STEPS, EVERY, FULL = 20, 4, 0.98
"""FULL: of a step's rollouts at the training tasks, from where on these count as learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    arm: Arm
    seed: int
    base: Outcomes
    trained: Outcomes
    own: tuple[tuple[int, float], ...]
    """Share of a step's rollouts that are right, at the training tasks."""
    heldout: dict[int, np.ndarray]
    """By step, pass rates of the tasks that every evaluation has."""
    learned: bool
    """Whether any step had a group with variance."""

    @property
    def full_at(self) -> int | None:
        """First evaluation after the training tasks were learned, if another one follows."""
        first = next((step for step, share in self.own if share >= FULL), None)
        later = [step for step in self.heldout if first is not None and step >= first]
        return later[0] if len(later) > 1 else None


def job(s: Study, arm: Arm, seed: int) -> Job:
    settings = (
        *("train.tasks_per_step=16", "train.samples_per_task=8", f"train.num_steps={STEPS}"),
        *("train.schedule=constant", "train.learning_rate=2e-4", "tripwire.share=0"),
        *(f"train.seed={seed}", f"train.tasks_seed={seed}", f"train.num_tasks={COUNTS[arm]}"),
        *(f"eval.every={EVERY}", "eval.num_tasks=72", "eval.num_samples=4"),
        *("eval.final_num_tasks=72", "eval.final_num_samples=16"),
    )
    if arm is Arm.COPY:
        settings += ("train.method=copy", f"eval.later_seed={1000 + seed}")
    fixed = ("train.num_steps=1",) if arm is Arm.COPY else ()
    return Job(name=f"{arm.name.lower()}-{seed}", settings=settings, fixed=fixed)


def read(directory: Path, arm: Arm, seed: int) -> Run:
    base, trained = in_common(base_of(directory).outcomes, trained_of(directory).outcomes)
    with RunStore.read(directory) as store:
        counts = {s: store.pass_counts(Phase.EVAL, s) for s in store.recorded_steps(Phase.EVAL)}
        own = tuple(store.metrics("passed_share"))
        learned = any(groups > 0 for _, groups in store.metrics("num_groups_trained"))
    common = min(len(found) for found in counts.values())
    heldout = {
        step: np.array([c.num_passed / c.num_scored for c in found[:common]])
        for step, found in counts.items()
    }
    return Run(
        arm=arm, seed=seed, base=base, trained=trained, own=own, heldout=heldout, learned=learned
    )


def gain(runs: Sequence[Run], k: int) -> Interval:
    """pass@k, trained less base, over seeds and tasks."""
    return paired_difference(
        [(r.base.values((k,))[:, 0], r.trained.values((k,))[:, 0]) for r in runs]
    )


def row(arm: Arm, runs: Sequence[Run], ks: Sequence[int]) -> list[str]:
    turned = [turnover(run.base, run.trained) for run in runs]
    over = [t.gained_over_null for t in turned if t is not None]
    new = "; ".join(points(o) for o in over) or "–"
    own = [(run.own[0][1], run.own[-1][1]) for run in runs if run.own]
    scores = "; ".join(f"{before:.0%} → {after:.0%}" for before, after in own) or "–"
    return [arm, scores, *(points(gain(runs, k)) for k in ks), new]


def say_after(arm: Arm, runs: Sequence[Run]) -> None:
    """Held-out tasks after the training tasks were learned."""
    full = [(run, at) for run in runs if (at := run.full_at) is not None]
    if not full:
        print(f"{arm}: no run reached {FULL:.0%} of its training tasks before the end.")
        return
    pairs = [(run.heldout[at], run.heldout[max(run.heldout)]) for run, at in full]
    ats = ", ".join(str(at) for _, at in full)
    print(
        f"{arm}: {len(full)} of {len(runs)} runs had learned their training tasks by step {ats}; "
        f"from there to the end held-out pass@1 went {points(paired_difference(pairs))} points."
    )


def say_variance(runs: Sequence[Run], base: Outcomes) -> None:
    """How often one task teaches nothing, because all its attempts end alike."""
    idle = sum(not run.learned for run in runs)
    print(f"{idle} of {len(runs)} runs on one task learned nothing: no group had variance.")
    rates = base.num_passed / base.num_samples
    never, always = np.mean(rates == 0), np.mean(rates == 1)
    print(
        f"Of {base.num_tasks} held-out tasks the base solved {never:.0%} in none of its "
        f"{base.max_samples} attempts and {always:.0%} in all: what a task drawn at random is like."
    )


def main() -> None:
    s = study("one-example", __doc__)
    cells = [(arm, seed) for seed in s.seeds for arm in COUNTS]
    directories = s.train_all([job(s, arm, seed) for arm, seed in cells])
    runs = [read(d, arm, seed) for d, (arm, seed) in zip(directories, cells, strict=True)]
    by_arm = {arm: [run for run in runs if run.arm is arm] for arm in COUNTS}
    ks = [k for k in (1, 8) if k <= min(run.base.max_samples for run in runs)]
    print_table(
        (
            *("training tasks", "their own score, first → last step, by seed"),
            *(f"held-out pass@{k}, points" for k in ks),
            "newly solved beyond chance, points, by seed",
        ),
        [row(arm, by_arm[arm], ks) for arm in COUNTS],
    )
    start = by_arm[Arm.COPY][0].base.curve((1,)).at(0)
    assert start is not None
    print(f"Base: {start.value:.1%} of {start.num_tasks} held-out tasks, pass@1.")
    for arm in list(COUNTS)[1:]:
        say_after(arm, by_arm[arm])
    say_variance(by_arm[Arm.ONE], by_arm[Arm.ONE][0].base)
    shown = [Gain(arm=arm, k=k, gain=gain(by_arm[arm], k)) for k in ks for arm in COUNTS]
    s.write("one-example", gains(shown))
    s.write(
        "one-example-curves",
        curves(
            {
                arm: [
                    (run.own, tuple((t, float(r.mean())) for t, r in run.heldout.items()))
                    for run in found
                ]
                for arm, found in by_arm.items()
                if arm is not Arm.COPY
            }
        ),
    )


if __name__ == "__main__":
    main()
