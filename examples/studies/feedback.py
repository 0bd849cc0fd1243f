"""Does learning from failure need what the feedback says?  Feedback arms and controls, one budget.

    python examples/studies/feedback.py [--seeds 2] [--out runs/feedback]

The base is `pico` after some pre-training on second attempts (`pretrain-second-attempts`): two
functions of one operation on an int in one answer, so that the tests tell which one is wrong.
First its in-context gain FG is measured: second attempts that pass when told what the shown tests
say, less those that pass after `# try again` alone.  Then arms of training on the same tasks: the
reward alone; `retry`, another attempt after the feedback; `distil`, the policy that has read the
feedback teaches itself; of both, controls that say nothing (bare) or what belongs to another task
(shuffled).  A retry samples more a step, so arms take different numbers of steps and are compared
where they have sampled equally many tokens, those of the cheapest run.

Plotted: held-out pass@1 of one turn, without feedback, which is what went into the weights, over
sampled tokens; bands from resampled tasks.  The null of an arm is its bare control.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from study import Job, Study, print_table, study

from proofloop.measure.attempts import base_of, trained_of
from proofloop.measure.drawing import ACCENT, INK, MUTED, Figure
from proofloop.measure.estimators.bootstrap import Floats, bootstrap_mean, paired_difference
from proofloop.measure.estimators.feedback_gain import fixed_share, fresh_fixes, gain
from proofloop.measure.figures import Band, bands
from proofloop.measure.second_attempts import second_attempts
from proofloop.measure.summary import percent, points
from proofloop.store import Phase, RunStore

WORLD = ('env.families=["int"]', "env.complexity=[1]", "env.horizon=[2]", "sampling.max_tokens=80")
NUM_EVALS = 3


class Arm(NamedTuple):
    """One way to learn from failure."""

    name: str
    arm: str
    control: str
    every: int
    """Steps between evaluations; a step with retries samples nearly twice as much."""
    color: str = ""
    """In the figure; none: in the table alone."""
    dashed: bool = False


PLAIN = Arm("reward alone", "none", "none", 3, MUTED)
ARMS = (
    PLAIN,
    Arm("retry", "retry", "none", 2, ACCENT),
    Arm("retry, bare", "retry", "bare", 2, ACCENT, dashed=True),
    Arm("retry, shuffled", "retry", "shuffled", 2),
    Arm("distil", "distil", "none", 3, INK),
    Arm("distil, bare", "distil", "bare", 3, INK, dashed=True),
    Arm("distil, shuffled", "distil", "shuffled", 3),
)
COSTS = ("num_sampled_tokens", "num_verifier_calls", "num_trained_tokens", "num_taught_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Evaluations E of tasks T in one run, and what training had cost by then."""

    path: Path
    steps: list[int]
    costs_EC: Floats
    rates_ET: Floats

    def at(self, tokens: float) -> tuple[Floats, Floats]:
        """Pass rates of tasks and costs where so many tokens were sampled, between evaluations on
        the straight line."""
        return self._at(tokens, self.rates_ET), self._at(tokens, self.costs_EC)

    def _at(self, tokens: float, columns_EX: Floats) -> Floats:
        spent_E = self.costs_EC[:, 0]
        return np.array([np.interp(tokens, spent_E, column_E) for column_E in columns_EX.T])


def job(arm: Arm, seed: int, base: Path) -> Job:
    settings = (
        f"model.path={base}",
        *WORLD,
        f"feedback.arm={arm.arm}",
        f"feedback.control={arm.control}",
        f"train.seed={seed}",
        f"train.num_steps={arm.every * NUM_EVALS}",
        "train.tasks_per_step=32",
        *("train.schedule=constant", "train.warmup_steps=2", "train.learning_rate=1.5e-4"),
        f"eval.every={arm.every}",
        *("eval.num_tasks=72", "eval.num_samples=4"),
        *("eval.final_num_tasks=72", "eval.final_num_samples=4"),
    )
    return Job(name=f"{arm.name.replace(', ', '-').replace(' ', '-')}-{seed}", settings=settings)


def read(run: Path) -> Run:
    with RunStore.read(run) as store:
        steps = store.recorded_steps(Phase.EVAL)
        by_step = [dict(store.metrics(name)) for name in COSTS]
        costs_EC = [[sum(v for s, v in c.items() if s <= step) for c in by_step] for step in steps]
        rates: list[dict[str, list[bool]]] = []
        for step in steps:
            rates.append({})
            for task, passed in store.outcomes(Phase.EVAL, step, ("task_id", "passed")):
                rates[-1].setdefault(task, []).append(bool(passed))
    tasks = sorted(set.intersection(*(set(r) for r in rates)))
    rates_ET = [[np.mean(r[task]) for task in tasks] for r in rates]
    return Run(
        path=run, steps=steps, costs_EC=np.array(costs_EC), rates_ET=np.array(rates_ET, np.float64)
    )


def read_feedback(here: Study, name: str, model: Path, controls: Sequence[str]) -> None:
    """What second attempts are worth to a model, told this or that.  Prints a row each."""
    tables: dict[str, Floats] = {}
    for control in controls:
        run = f"{name}-told-{control}"
        settings = (*WORLD, "eval.feedback=true", f"feedback.control={control}")
        sizes = ("eval.final_num_tasks=96", "eval.final_num_samples=8")
        here.evaluate(run, model, *settings, *sizes)
        counts = second_attempts(here.out / run)
        tables[control] = np.array([counts[task] for task in sorted(counts)], float).T
    n_T, failed_T, _ = tables["none"]
    fresh = (failed_T, fresh_fixes(n_T, n_T - failed_T))
    first = bootstrap_mean(((n_T - failed_T) / n_T)[:, None]).at(0)
    print(f"{name}: first attempts {percent(first)}, fresh ones after failure "
          f"{percent(fixed_share(*fresh))}")  # fmt: skip
    told = (tables["none"][1], tables["none"][2])
    for control, (_, failed, fixed) in tables.items():
        said = f"  second ones, {control}: {percent(fixed_share(failed, fixed))}"
        if control != "none":
            said += f"; told minus {control} {points(gain((failed, fixed), told))}"
        print(said, flush=True)


def difference(runs: Sequence[Run], others: Sequence[Run], tokens: float) -> str:
    pairs = [(o.at(tokens)[0], r.at(tokens)[0]) for r, o in zip(runs, others, strict=True)]
    return points(paired_difference(pairs))


def flows(runs: Sequence[Run]) -> tuple[str, str]:
    """Held-out first attempts, the same tasks and chances before and after: wrong->right and
    right->wrong, of all."""
    shares: list[str] = []
    for before, after in ((False, True), (True, False)):
        moved: list[Floats] = []
        for run in runs:
            base, trained = base_of(run.path), trained_of(run.path)
            hit_N = (base.passed_N == before) & (trained.passed_N == after)
            places = np.unique(base.task_ids, return_inverse=True)[1]
            moved.append(np.bincount(places, hit_N) / np.bincount(places))
        shares.append(percent(bootstrap_mean(np.mean(moved, axis=0)[:, None]).at(0)))
    return shares[0], shares[1]


def draw(found: dict[Arm, list[Run]], tokens: float) -> Figure:
    grid = np.linspace(0, tokens, 13)
    lines: list[Band] = []
    for arm, runs in found.items():
        if arm.color:
            rates_TK = np.stack([np.mean([r.at(x)[0] for r in runs], axis=0) for x in grid], axis=1)
            curve = bootstrap_mean(rates_TK)
            lines.append(
                Band(
                    label=arm.name,
                    x=tuple(grid / 1e3),
                    mean=curve.means.tolist(),
                    low=curve.lows.tolist(),
                    high=curve.highs.tolist(),
                    color=arm.color,
                    dashed=arm.dashed,
                )
            )
    return bands(
        lines,
        x_label="sampled tokens, thousands",
        y_label="held-out pass@1, one turn, no feedback",
        in_percent=True,
    )


def main() -> None:
    here = study("feedback", __doc__, seeds=2)
    base = here.base("base", "pretrain-second-attempts")
    read_feedback(here, "base", base, ("none", "bare", "shuffled", "masked"))
    cells = [(arm, seed) for seed in here.seeds for arm in ARMS]
    paths = here.train_all([job(arm, seed, base) for arm, seed in cells])
    found: dict[Arm, list[Run]] = {arm: [] for arm in ARMS}
    for (arm, _), path in zip(cells, paths, strict=True):
        found[arm].append(read(path))
    tokens = min(run.costs_EC[-1, 0] for runs in found.values() for run in runs)
    here.write("feedback", draw(found, tokens))
    plain = found[PLAIN]
    rows: list[list[str]] = []
    for arm, runs in found.items():
        costs = np.mean([r.at(tokens)[1] for r in runs], axis=0) / 1e3
        rates_T = np.mean([r.at(tokens)[0] for r in runs], axis=0)
        bare = next((a for a in ARMS if (a.arm, a.control) == (arm.arm, "bare")), arm)
        rows.append(
            [
                arm.name,
                *(f"{cost:.1f}" for cost in costs),
                percent(bootstrap_mean(rates_T[:, None]).at(0)),
                "" if arm is PLAIN else difference(runs, plain, tokens),
                "" if bare is arm else difference(runs, found[bare], tokens),
                *flows(runs),
            ]
        )
    print(f"Seeds: {len(here.seeds)}; all at {tokens / 1e3:.0f} thousand sampled tokens")
    columns = ("arm", "sampled, k", "verdicts, k", "gradient, k", "taught, k", "pass@1")
    more = ("minus reward alone", "minus bare", "wrong→right", "right→wrong")
    print_table((*columns, *more), rows)
    for arm in (PLAIN, ARMS[1], ARMS[4]):
        read_feedback(here, arm.name, found[arm][0].path / "model", ("none", "bare"))


if __name__ == "__main__":
    main()
