"""How long does nothing happen where success is rare, and what decides it?

    python examples/studies/takeoff.py [--seeds 3] [--out runs/takeoff]

A world with one decision: `pico` is taught easy programs (one operation on an int) and, as often,
to write `raise SystemExit`; four bases then go on with other shares of the two, so that right
answers are rarer and rarer while nothing else is harder.  Each is trained until it is right half
of the time, by plain descent on three objectives (p, arcsin sqrt p, log p: the advantages' scale),
one group of 128 attempts a step, one learning rate an objective; and by AdamW as people use it, for
which there is no null.  Plotted: steps until 30% of the probe set is right over the share at the
start, beside the null of one logit in groups of this size; and the curves of one objective.
Null: the reward of a coin.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from study import Job, Study, print_table, study
from takeoff_figures import Arm, Run, curves, times

from proofloop.measure.estimators.changepoint import MIN_EVALUATIONS, Law, change_point
from proofloop.measure.estimators.dead_zone import Objective, dead_zone, group_time
from proofloop.measure.estimators.takeoff import take_off, time_to
from proofloop.store import Phase, RunStore

SHARES = (0.15, 0.1, 0.07, 0.05)
"""Of right authors in the corpus of the bases."""
GROUP, TARGET, ENOUGH = 128, 0.3, 0.5
WORLD = (
    *("env.families=['int']", "env.complexity=[1]", "sampling.max_tokens=20"),
    *("eval.num_tasks=48", "eval.num_samples=1", "eval.final_num_tasks=48"),
)
RUN = (
    *("train.tasks_per_step=1", f"train.samples_per_task={GROUP}", "eval.final_num_samples=1"),
    *("train.schedule=constant", "train.warmup_steps=0", "tripwire.share=0"),
    "train.checkpoint_every=50",
)
CORPUS = (
    *("corpus.families=['int']", "corpus.complexity=[1.0]", "corpus.horizon=[1.0]"),
    *("corpus.stepwise_wrong=0", "corpus.lambdas=0", "corpus.lookup=0"),
    "training.documents_per_step=128",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One way to learn."""

    arm: Arm
    objective: Objective | None
    """Whose null it has."""
    settings: tuple[str, ...]
    pace: float
    """Steps of the null (eta 1) that one step was found to be worth on the design's seed; decides
    how often is measured and when a run is given up, not what is found."""


def sgd(scale: str, rate: float) -> tuple[str, ...]:
    return (
        *("train.optimiser=sgd", f"train.advantage_scale={scale}"),
        *(f"train.learning_rate={rate}", "train.grad_clip=1e9"),
    )


PLANS = (
    Plan(arm=Arm.PLAIN, objective=Objective.PLAIN, settings=sgd("none", 0.12), pace=4.0),
    Plan(arm=Arm.STD, objective=Objective.STD, settings=sgd("group", 0.03), pace=1.0),
    Plan(arm=Arm.LOG, objective=Objective.LOG, settings=sgd("mean", 0.0075), pace=0.3),
    Plan(
        arm=Arm.ADAMW,
        objective=None,
        settings=("train.advantage_scale=group", "train.learning_rate=1.5e-4"),
        pace=1.0,
    ),
)


def make_base(s: Study, share: float, *settings: str) -> Path:
    mix = (f"corpus.stepwise={share}", f"corpus.exits={1 - share}")
    return s.base(f"base-{share}", "pretrain-habits", *CORPUS, *mix, *settings)


def job(s: Study, plan: Plan, share: float, start: float, seed: int, *, coin: bool = False) -> Job:
    null = plan.objective or Objective.STD
    expected = float(group_time([start], null, group=GROUP, target=ENOUGH, eta=plan.pace)[0])
    length = (2 if coin else 4) * expected + 12
    name = f"{'coin-' if coin else ''}{plan.arm.name.lower()}-{share}-{seed}"
    settings = (
        *WORLD,
        *RUN,
        *plan.settings,
        *(f"model.path={s.out / f'base-{share}'}", f"train.seed={seed}"),
        *(f"train.num_steps={length:.0f}", f"eval.every={max(1, round(expected / 20))}"),
        *(("reward.control=random",) if coin else ()),
    )
    return Job(name=name, settings=settings, until=None if s.smoke else ENOUGH)


def measured(directory: Path, arm: Arm, share: float, start: float, seed: int) -> Run:
    with RunStore.read(directory) as store:
        steps = tuple(store.recorded_steps(Phase.EVAL))
        found = [store.pass_counts(Phase.EVAL, step) for step in steps]
    passed = tuple(sum(c.num_passed for c in counts) for counts in found)
    total = tuple(sum(c.num_scored for c in counts) for counts in found)
    return Run(
        arm=arm,
        share=share,
        seed=seed,
        start=start,
        steps=steps,
        passed=passed,
        total=total,
        time=time_to(steps, passed, total, TARGET),
    )


def says(plan: Plan, runs: Sequence[Run]) -> list[str | None]:
    """A row of the table: the slope beside its nulls, spikes, laws."""
    starts = [run.start for run in runs]
    null = "–" if plan.objective else "no null"
    taken = [run.time is not None for run in runs]
    lengths = [run.steps[-1] if run.time is None else run.time for run in runs]
    try:
        zone = dead_zone(starts, lengths, took_off_R=taken, target=TARGET)
        slope = f"{zone.slope.value:.2f} [{bound(zone.slope.low)}, {bound(zone.slope.high)}]"
        null = null_slope(starts, plan.objective) if plan.objective else null
    except ValueError as error:
        slope = f"none: {error}"
    spikes = [take_off(r.steps, r.passed, r.total).spike_share for r in runs]
    known = [spike.value for spike in spikes if spike is not None]
    return [
        plan.arm,
        slope,
        null,
        f"{sum(taken)} of {len(runs)}",
        f"{np.median(known):.0%} ({len(known)} runs)" if known else f"– (0 of {len(runs)} runs)",
        laws(runs),
    ]


def bound(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def null_slope(starts: Sequence[float], objective: Objective) -> str:
    """Of the same starts in groups of this size, finding the first success included."""
    null = group_time(starts, objective, group=GROUP, target=TARGET)
    return f"{dead_zone(starts, null, target=TARGET).slope.value:.2f}"


def laws(runs: Sequence[Run]) -> str:
    """Which law fits the curve of the rarest start, seed by seed."""
    rarest = min(run.start for run in runs)
    found: list[Law] = []
    for run in runs:
        if run.start == rarest and len(run.steps) >= MIN_EVALUATIONS and sum(run.passed):
            found.append(change_point(run.steps, run.passed, run.total).best)
    return "; ".join(f"{law} ({found.count(law)})" for law in dict.fromkeys(found)) or "–"


def main() -> None:
    s = study("takeoff", __doc__)
    both = make_base(s, 0.5, "training.num_steps=50", "training.learning_rate=2e-3")
    dose = (f"model.path={both}", "training.num_steps=24", "training.learning_rate=1e-3")
    starts: dict[float, float] = {}
    shares = SHARES[-1:] if s.smoke else SHARES
    for share in shares:
        base = make_base(s, share, *dose)
        attempts = s.evaluate(f"start-{share}", base, *WORLD, "eval.final_num_samples=128")
        starts[share] = float(attempts.passed_N.mean()) if not s.smoke else share
        wrote = 1 - np.mean([cause == "crash" for cause in attempts.causes])
        print(
            f"base {share}: {starts[share]:.2%} right, {wrote:.2%} do not leave early", flush=True
        )
    cells = [(plan, share, seed) for seed in s.seeds for plan in PLANS for share in shares]
    easy = shares[len(shares) // 4]
    coins = [(plan, easy, seed) for seed in s.seeds for plan in PLANS[1::2]]
    jobs = [job(s, p, share, starts[share], seed) for p, share, seed in cells]
    jobs += [job(s, p, share, starts[share], seed, coin=True) for p, share, seed in coins]
    directories = s.train_all(jobs)
    runs = [
        measured(directory, p.arm, share, starts[share], seed)
        for directory, (p, share, seed) in zip(directories, [*cells, *coins], strict=True)
    ]
    placebos = runs[len(cells) :]
    by_arm = {plan.arm: [r for r in runs[: len(cells)] if r.arm is plan.arm] for plan in PLANS}
    print_table(
        (
            "objective",
            "slope",
            "null slope",
            "took off",
            "spike share, median",
            "law, rarest start",
        ),
        [says(plan, by_arm[plan.arm]) for plan in PLANS],
    )
    rose = [take_off(run.steps, run.passed, run.total).t0 is not None for run in placebos]
    arrived = sum(run.time is not None for run in placebos)
    print(
        f"Reward of a coin: {sum(rose)} of {len(rose)} runs took off beyond their bounds; "
        f"{arrived} passed {TARGET:.0%} of the probe set."
    )
    nulls = {plan.arm: plan.objective for plan in PLANS}
    s.write("takeoff", times(by_arm, nulls, group=GROUP, target=TARGET))
    s.write("takeoff-curves", curves(by_arm[Arm.PLAIN], target=TARGET))


if __name__ == "__main__":
    main()
