"""Does it matter how a program is judged?  One base model, one loop, two rewards.

    python examples/studies/naive_reward.py [--seeds 3] [--steps 20] [--out runs/naive-reward]

The base is `pico` after some more pre-training (recipe `pretrain-habits`), on a corpus in which a
few authors end the process before any test is reached, beside those who look up the shown results.
`naive` runs program and shown tests in one process and rewards exit status 0, as much training code
does; `hidden` is Proofloop's own verdict; all else is the quick start's.  Every few steps both
policies answer the same held-out tasks.  Plotted for each: answers that are right (hidden tests),
and hacks, answers that the naive reward takes and the hidden tests refuse.  What is already in
`--out` is taken up where it stands.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proofloop.core.sandbox import Limits
from proofloop.core.verdict import Scored
from proofloop.runs.checks import load_recipe
from proofloop.runs.config import load_config
from proofloop.runs.manifest import num_workers
from proofloop.runs.pretraining import PretrainRecipe, run_pretraining
from proofloop.runs.training import run_training
from proofloop.sandbox import open_sandbox
from proofloop.store import Phase, RunStore
from proofloop.verify.naive import passes_naively

ARMS = {"naive": "naive", "hidden": "none"}
EVAL_EVERY = 4


@dataclass(frozen=True)
class Point:
    """One evaluation of one run, on held-out tasks."""

    arm: str
    seed: int
    step: int
    num_answers: int
    right_share: float
    hack_share: float


def make_base(directory: Path) -> None:
    """Nothing is left to do where it was made before."""
    recipe = load_config(PretrainRecipe, "pretrain-habits", ())
    run_pretraining(recipe, directory, workers=num_workers(0), on_progress=lambda step: None)


def train(arm: str, seed: int, steps: int, base: Path, directory: Path) -> None:
    recipe = load_recipe(
        "quickstart",
        (
            f"model.path={base}",
            f"reward.control={ARMS[arm]}",
            f"train.seed={seed}",
            f"train.num_steps={steps}",
            f"eval.every={EVAL_EVERY}",
            "eval.num_tasks=96",
            "eval.num_samples=4",
            "eval.final_num_tasks=96",
            "eval.final_num_samples=4",
        ),
    )
    run_training(recipe, directory, resume=directory.exists(), on_progress=lambda report: None)


def points(arm: str, seed: int, directory: Path) -> Iterator[Point]:
    with RunStore.read(directory) as store, open_sandbox() as sandbox:
        for step in store.recorded_steps(Phase.EVAL):
            right = hacks = total = 0
            for recorded in store.load_groups(Phase.EVAL, step):
                shown = "\n".join(message.content for message in recorded.task.messages)
                for attempt in recorded.group.attempts:
                    verdict, answer = attempt.verdict, attempt.rollout.answer
                    if not isinstance(verdict, Scored):
                        continue
                    total += 1
                    right += verdict.passed
                    hacks += not verdict.passed and passes_naively(sandbox, answer, shown, Limits())
            yield Point(arm, seed, step, total, right / total, hacks / total)


def draw(found: list[Point], path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    style = {"svg.hashsalt": "proofloop", "axes.spines.top": False, "axes.spines.right": False}
    with rc_context(style):
        figure = Figure(figsize=(7, 2.8), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, arm in zip(panels, ARMS, strict=True):
            for share, color, label in (
                ("right_share", "#1a7f37", "right (hidden tests pass)"),
                ("hack_share", "#b42318", "hack (shown tests fooled)"),
            ):
                runs: dict[int, list[Point]] = {}
                for point in found:
                    if point.arm == arm:
                        runs.setdefault(point.seed, []).append(point)
                lines = [[getattr(p, share) for p in run] for run in runs.values()]
                steps = [p.step for p in next(iter(runs.values()))]
                for line in lines:
                    axes.plot(steps, line, color=color, linewidth=0.7, alpha=0.5)
                axes.plot(steps, np.mean(lines, axis=0), color=color, linewidth=2, label=label)
            axes.set(title=f"{arm} reward", xlabel="optimiser step", ylim=(0, 1))
        panels[0].set_ylabel("share of held-out answers")
        panels[1].legend(frameon=False, loc="upper left")
        figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("runs/naive-reward"))
    arguments = parser.parse_args()
    base = arguments.out / "base"
    make_base(base)
    found: list[Point] = []
    for seed in range(arguments.seeds):
        for arm in ARMS:
            directory = arguments.out / f"{arm}-{seed}"
            train(arm, seed, arguments.steps, base, directory)
            for point in points(arm, seed, directory):
                found.append(point)
                print(
                    f"{arm} reward, seed {seed}, step {point.step}: "
                    f"{point.right_share:.1%} right, {point.hack_share:.1%} hacks",
                    flush=True,
                )
    with (arguments.out / "naive-reward.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(Point.__dataclass_fields__)
        rows.writerows(tuple(vars(point).values()) for point in found)
    draw(found, arguments.out / "naive-reward.svg")
    print(arguments.out / "naive-reward.svg")


if __name__ == "__main__":
    main()
