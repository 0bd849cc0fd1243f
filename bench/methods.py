"""What methods gain that learn from another run: imitation, distillation, pairs of answers.

    python -m bench.methods [--seeds 3] [--steps 30] [--out DIR]

Each seed trains one policy of the quick start from verdicts and then, from the same base, others
from what that run left: its right answers (`sft`), its trained policy (`distil`), pairs of its
answers (`dpo`), and a reward model of the pairs (`learned-reward`, a policy trained against its
scores).  Points of held-out pass@1 and pass@8 gained over the base, the seeds side by side.  Runs
in `--out` are taken up where they stand.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.algorithms import EVALUATION, SMOKE, WORKERS
from proofloop.measure.estimators.pass_at_k import pass_at_k
from proofloop.runs.checks import load_recipe
from proofloop.runs.training import run_training
from proofloop.store import Phase, RunStore

RATE = "train.learning_rate=1e-4"
"""Of what is learned from pairs (docs/preferences.md)."""


def settings(source: Path, rewards: Path) -> dict[str, tuple[str, ...]]:
    """By method, in the order in which they need each other."""
    return {
        "rl": (),
        "sft": ("train.method=sft", f"train.sft_from={source}", "train.loss=likelihood"),
        "distil": ("train.method=distil", f"train.teacher={source / 'model'}"),
        "dpo": ("train.method=dpo", f"preference.run={source}", RATE),
        "reward-model": ("train.method=reward-model", f"preference.run={source}", RATE),
        "learned-reward": (f"reward.model={rewards}",),
    }


def train(directory: Path, seed: int, keys: Sequence[str]) -> None:
    if (directory / "model").is_dir() or (directory / "reward-model").is_dir():
        return
    recipe = load_recipe("quickstart", (f"train.seed={seed}", f"train.workers={WORKERS}", *keys))
    run_training(recipe, directory, resume=directory.exists(), on_progress=lambda report: None)


def gains(directory: Path) -> tuple[float, float]:
    """Points of pass@1 and pass@8."""
    with RunStore.read(directory) as store:
        first, *_, last = store.recorded_steps(Phase.EVAL)
        means = []
        for step in (first, last):
            counts = store.pass_counts(Phase.EVAL, step)
            scored, passed = (
                [getattr(c, f"num_{name}") for c in counts] for name in ("scored", "passed")
            )
            means.append(pass_at_k(scored, passed, (1, min(8, *scored))).mean(axis=0))
    before, after = means
    return tuple(100 * (after - before))


def main(argv: Sequence[str] | None = None) -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("runs/methods"))
    parser.add_argument("--smoke", action="store_true", help="as short as can be")
    arguments = parser.parse_args(argv)
    common = (
        f"train.num_steps={arguments.steps}",
        *EVALUATION,
        *(SMOKE if arguments.smoke else ()),
    )
    found: dict[str, list[tuple[float, float]]] = {}
    for seed in range(arguments.seeds):
        folder = arguments.out / str(seed)
        for name, keys in settings(folder / "rl", folder / "reward-model").items():
            train(folder / name, seed, (*common, *keys))
            if name != "reward-model":
                found.setdefault(name, []).append(gains(folder / name))
            print(f"{folder / name}: done", flush=True)
    print("| method | held-out pass@1, points | pass@8 |\n| --- | ---: | ---: |")
    for name, points in found.items():
        cells = (
            ", ".join(f"{value:+.1f}" for value in column) for column in zip(*points, strict=True)
        )
        print("|", " | ".join([f"`{name}`", *cells]), "|")


if __name__ == "__main__":
    main()
