"""Reward against generated tokens, for every preset, on the quick start.

    python -m bench.algorithms [--algorithms grpo,dapo,…] [--seeds 2] [--steps 30] [--out DIR]

All arms are the quick start's but for `train.algorithm`: tasks, rates, steps.  Algorithms that
replace groups sample more a step, so they are compared at equal tokens and not at equal steps: a
cell is the mean training reward of the step at which a run has sampled so many tokens and of the
two before it, the seeds side by side.  The last column is what held-out pass@1 gained over the
base by the end.  `curves.csv` has every step.  Runs in `--out` are taken up where they stand.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from proofloop.runs.checks import load_recipe
from proofloop.runs.training import run_training
from proofloop.store import Phase, RunStore
from proofloop.train.config import Algorithm

WORKERS = 4
"""On any machine: how sums round depends on it."""
BUDGETS = (0.25, 0.5, 0.75, 1.0)
"""Shares of the tokens of the run that sampled least."""
WINDOW = 3
EVALUATION = ("eval.every=0", "eval.final_num_tasks=198", "eval.final_num_samples=8")
SMOKE = (
    *("train.num_steps=2", "train.tasks_per_step=6", "train.workers=2"),
    *("eval.final_num_tasks=6", "eval.final_num_samples=2"),
)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One run."""

    algorithm: str
    seed: int
    tokens: list[int]
    """Sampled up to and with each step."""
    rewards: list[float]
    gain: float

    def reward_at(self, budget: float) -> float:
        """Of the last steps within the budget; of the first one where none is."""
        within = [r for r, t in zip(self.rewards, self.tokens, strict=True) if t <= budget]
        last = within[-WINDOW:] or self.rewards[:1]
        return sum(last) / len(last)


def trained(algorithm: str, seed: int, directory: Path, settings: Sequence[str]) -> Curve:
    if not (directory / "model").is_dir():
        arm = (f"train.algorithm={algorithm}", f"train.seed={seed}", f"train.workers={WORKERS}")
        recipe = load_recipe("quickstart", (*arm, *settings))
        run_training(recipe, directory, resume=directory.exists(), on_progress=lambda report: None)
    with RunStore.read(directory) as store:
        sampled = [int(value) for _, value in store.metrics("num_sampled_tokens")]
        first, *_, last = (_pass_rate(store, step) for step in store.recorded_steps(Phase.EVAL))
        return Curve(
            algorithm=algorithm,
            seed=seed,
            tokens=[sum(sampled[: i + 1]) for i in range(len(sampled))],
            rewards=[value for _, value in store.metrics("reward_mean")],
            gain=last - first,
        )


def _pass_rate(store: RunStore, step: int) -> float:
    counts = store.pass_counts(Phase.EVAL, step)
    return sum(c.num_passed for c in counts) / sum(c.num_scored for c in counts)


def table(curves: Sequence[Curve]) -> None:
    """As Markdown, an algorithm a row."""
    least = min(curve.tokens[-1] for curve in curves)
    budgets = [share * least for share in BUDGETS]
    columns = ["algorithm", "tokens in all", *(f"reward at {b / 1e6:.2f} M" for b in budgets)]
    columns.append("held-out pass@1, points")
    print("|", " | ".join(columns), "|")
    print("|", " | ".join(["---", *["---:"] * (len(columns) - 1)]), "|")
    for algorithm in dict.fromkeys(curve.algorithm for curve in curves):
        mine = [curve for curve in curves if curve.algorithm == algorithm]
        cells = [", ".join(f"{c.tokens[-1] / 1e6:.2f} M" for c in mine)]
        cells += [", ".join(f"{c.reward_at(b):.3f}" for c in mine) for b in budgets]
        cells.append(", ".join(f"{100 * c.gain:+.1f}" for c in mine))
        print("|", " | ".join([f"`{algorithm}`", *cells]), "|")


def main(argv: Sequence[str] | None = None) -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--algorithms", default=",".join(Algorithm), help="presets, by comma")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("runs/algorithms"))
    parser.add_argument("--smoke", action="store_true", help="as short as can be")
    arguments = parser.parse_args(argv)
    settings = (
        f"train.num_steps={arguments.steps}",
        *EVALUATION,
        *(SMOKE if arguments.smoke else ()),
    )
    curves: list[Curve] = []
    for algorithm in arguments.algorithms.split(","):
        for seed in range(arguments.seeds):
            directory = arguments.out / f"{algorithm}-{seed}"
            curves.append(trained(algorithm, seed, directory, settings))
            print(f"{directory}: {curves[-1].tokens[-1]} tokens", flush=True)
    with (arguments.out / "curves.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("algorithm", "seed", "step", "sampled_tokens", "reward_mean"))
        for c in curves:
            for step, row in enumerate(zip(c.tokens, c.rewards, strict=True), start=1):
                writer.writerow((c.algorithm, c.seed, step, *row))
    table(curves)


if __name__ == "__main__":
    main()
