"""What the studies share: one command line, runs that are taken up where they stand, their files.

Every study is `python examples/studies/NAME.py [--seeds N] [--out DIR] [--docs DIR]`.  Bases, runs
and evaluations lie in `--out` and are kept; figures and tables go there, too, and to `--docs`.
"""

import argparse
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from proofloop.measure.attempts import Attempts, base_of
from proofloop.measure.drawing import Cell, Figure
from proofloop.runs.checks import load_recipe
from proofloop.runs.config import load_config
from proofloop.runs.evaluation import run_evaluation
from proofloop.runs.pretraining import PretrainRecipe, run_pretraining
from proofloop.runs.training import run_training

FINISHED = "finished"
"""A base's mark that its pre-training came to its end."""
WORKERS = 4
"""Processes of every base and run, on any machine: what is drawn, and how sums round, depends on
how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study under way."""

    name: str
    out: Path
    docs: tuple[Path, ...]
    """More folders that its figures and tables go to."""
    seeds: range
    smoke: bool
    """Whether all is to be as short as it can be: does it run to its end?"""
    workers: int = WORKERS
    """Processes of a run."""

    def base(self, name: str, recipe: str, *settings: str) -> Path:
        """A base model: `proofloop pretrain RECIPE --set …`."""
        directory = self.out / name
        mark = directory / FINISHED
        if not mark.exists():
            shorter = ("training.num_steps=2",) if self.smoke else ()
            found = load_config(PretrainRecipe, recipe, (*settings, *shorter))
            with _timed(directory):
                run_pretraining(
                    found, directory, workers=self.workers, on_progress=lambda step: None
                )
            mark.touch()
        return directory

    def train(self, name: str, *settings: str, recipe: str = "quickstart") -> Path:
        """A run: `proofloop train RECIPE --set …`."""
        directory = self.out / name
        if not (directory / "model").is_dir():
            found = load_recipe(recipe, (*settings, *self._common()))
            with _timed(directory):
                run_training(
                    found, directory, resume=directory.exists(), on_progress=lambda report: None
                )
        return directory

    def evaluate(self, name: str, model: str | Path, *settings: str) -> Attempts:
        """Held-out attempts of a checkpoint: `proofloop eval --model MODEL --set …`."""
        directory = self.out / name
        found = load_recipe("quickstart", (f"model.path={model}", *settings, *self._common()))
        with _timed(directory):
            run_evaluation(
                found, directory, resume=directory.exists(), on_progress=lambda report: None
            )
        return base_of(directory)

    def write(self, name: str, figure: Figure) -> None:
        """`name`.svg and `name`.csv."""
        for folder in (self.out, *self.docs):
            folder.mkdir(parents=True, exist_ok=True)
            figure.save(folder / name)
        print(self.out / f"{name}.svg", flush=True)

    def _common(self) -> tuple[str, ...]:
        workers = f"train.workers={self.workers}"
        if not self.smoke:
            return (workers,)
        return (
            workers,
            *("train.num_steps=2", "train.tasks_per_step=4", "eval.every=1"),
            *("eval.num_tasks=6", "eval.num_samples=4"),
            *("eval.final_num_tasks=6", "eval.final_num_samples=8"),
        )


@contextmanager
def _timed(directory: Path) -> Generator[None]:
    began = time.perf_counter()
    yield
    if (seconds := time.perf_counter() - began) > 1:
        print(f"{directory}: {seconds:.0f} s", flush=True)


def study(
    name: str, description: str | None, argv: Sequence[str] | None = None, *, seeds: int = 3
) -> Study:
    """From the command line; `seeds`: how many runs of each arm where it does not say."""
    assert description is not None, "the script's docstring"
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=seeds, help="runs of each arm")
    parser.add_argument("--out", type=Path, default=Path("runs") / name)
    parser.add_argument("--docs", type=Path, help="a second folder for figures and tables")
    parser.add_argument("--smoke", action="store_true", help="as short as can be, for a test")
    arguments = parser.parse_args(argv)
    return Study(
        name=name,
        out=arguments.out,
        docs=() if arguments.docs is None else (arguments.docs,),
        seeds=range(arguments.seeds),
        smoke=arguments.smoke,
        workers=1 if arguments.smoke else WORKERS,
    )


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    """As Markdown."""
    print("|", " | ".join(columns), "|")
    print("|", " | ".join("---" for _ in columns), "|")
    for row in rows:
        print("|", " | ".join("" if cell is None else str(cell) for cell in row), "|", flush=True)
