"""Training runs of seconds, for tests; as a program, one that says every step, so that a test can
aim at it: `python tiny_runs.py RUN_DIRECTORY RECIPE.toml`."""

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from proofloop.runs.config import CONFIG_NAME, load_run_config
from proofloop.runs.recipe import Recipe
from proofloop.runs.training import run_training
from proofloop.store import Phase, RunStore
from proofloop.store.reader import DATABASE_NAME
from proofloop.train.loop_sync import Report, StepReport

TINY: dict[str, dict[str, Any]] = {
    # Random weights solve nothing; the placebo's coin gives their groups variance, and gradients.
    "reward": {"control": "random"},
    "env": {"families": ["int"], "complexity": [1, 2]},
    "sampling": {"max_tokens": 24},
    "train": {
        "schedule": "constant",  # so that a coin moves the weights
        "num_steps": 3,
        "workers": 1,
        "tasks_per_step": 5,
        "samples_per_task": 4,
        "checkpoint_every": 1,
    },
    "eval": {"every": 2, "num_tasks": 2, "num_samples": 2}
    | {"final_num_tasks": 3, "final_num_samples": 2},
}


def tiny_recipe(model: Path, **train: Any) -> Recipe:
    """`TINY` with another model and other settings of its section `train`."""
    tables = {**TINY, "model": {"path": str(model)}, "train": TINY["train"] | train}
    return msgspec.convert(tables, Recipe)


class StopAfter:
    """Progress that stops the run at a step, as the second Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self._step = step

    def __call__(self, report: Report) -> None:
        if isinstance(report, StepReport) and report.step == self._step:
            raise KeyboardInterrupt


def ignore(report: Report) -> None:
    """Progress that nobody looks at."""


@dataclass(frozen=True)
class Remembered:
    """What two runs that are the same must have in common."""

    weights: dict[int, str | None]
    rollouts: dict[str, tuple[object, ...]]
    draws: dict[int, list[str]]


def remember(run: Path) -> Remembered:
    """Reads the whole record, token arrays included, and checks that nothing is there twice."""
    with RunStore.read(run) as store:
        rows = list(store.iter_rollouts())
        assert len({row.id for row in rows}) == len(rows), "a rollout id is not unique"
        rollouts: dict[str, tuple[object, ...]] = {}
        for row in rows:
            judged = store.load_rollout(row.id).judged
            first, *later = judged.rollout.turns
            told = (tuple(later), judged.failures, judged.feedback)
            known = (row.task_id, first, judged.verdict)
            rollouts[row.id] = (*known, told) if any(told) else known
        steps = store.completed_steps()
        return Remembered(
            weights={step: store.weights_sha256(step) for step in steps},
            rollouts=rollouts,
            draws={s: [d.task_id for d in store.load_draws(Phase.TRAIN, s)] for s in steps},
        )


def flip_byte(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


def set_in_config(run: Path, key: str, value: object) -> Recipe:
    """Edits the recipe that a run keeps, as nobody should, and reads it back."""
    path = run / CONFIG_NAME
    text, count = re.subn(rf"^{key} = .*$", f"{key} = {value}", path.read_text(), flags=re.M)
    assert count == 1
    path.write_text(text)
    return load_run_config(Recipe, run)


def _say(report: Report) -> None:
    kind = "step" if isinstance(report, StepReport) else "eval"
    print(kind, report.step, flush=True)


def _main(run: Path, recipe_path: Path) -> int:
    resume = (run / DATABASE_NAME).exists()
    recipe = (
        load_run_config(Recipe, run)
        if resume
        else msgspec.convert(tomllib.loads(recipe_path.read_text()), Recipe)
    )
    try:
        run_training(recipe, run, resume=resume, on_progress=_say)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), Path(sys.argv[2])))
