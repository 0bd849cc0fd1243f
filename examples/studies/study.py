"""What the studies share: one command line, runs that are taken up where they stand, their files.

Every study is `python examples/studies/NAME.py [--seeds N] [--out DIR] [--docs DIR]`.  Bases, runs
and evaluations lie in `--out` and are kept; figures and tables go there, too, and to `--docs`.
"""

import argparse
import sys
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn

import msgspec

from proofloop.measure.attempts import Attempts, base_of
from proofloop.measure.drawing import Cell, Figure
from proofloop.runs.checks import load_recipe
from proofloop.runs.config import load_config, load_run_config
from proofloop.runs.evaluation import run_evaluation
from proofloop.runs.pretraining import PretrainRecipe, run_pretraining
from proofloop.runs.recipe import Recipe
from proofloop.runs.training import run_training
from proofloop.store.reader import DATABASE_NAME
from proofloop.train.evaluation import EvalReport
from proofloop.train.loop_sync import Report

FINISHED = "finished"
"""The mark of a base, or of one of several runs at once, that came to its end."""
ASKED = "recipe.json"
"""A base's recipe."""
WORKERS = 4
"""Processes of every base and run, on any machine: what is drawn, and how sums round, depends on
how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One of several runs at once."""

    name: str
    settings: tuple[str, ...]
    until: float | None = None
    """Held-out pass@1 at which there is no need to go on."""
    fixed: tuple[str, ...] = ()
    """Settings that a smoke test leaves as they are."""


class _Arrived(Exception):
    """A run passed what it was to reach."""


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
        shorter = ("training.num_steps=2",) if self.smoke else ()
        found = load_config(PretrainRecipe, recipe, (*settings, *shorter))
        wanted = msgspec.json.format(msgspec.json.encode(found), indent=1)
        asked, mark = directory / ASKED, directory / FINISHED
        if asked.exists() and asked.read_bytes() != wanted:
            _refuse(directory)
        if not mark.exists():
            directory.mkdir(parents=True, exist_ok=True)
            asked.write_bytes(wanted)
            with _timed(directory):
                run_pretraining(
                    found, directory, workers=self.workers, on_progress=lambda step: None
                )
            mark.touch()
        return directory

    def train(self, name: str, *settings: str, recipe: str = "quickstart") -> Path:
        """A run: `proofloop train RECIPE --set …`."""
        directory = self.out / name
        found = load_recipe(recipe, (*settings, *self._common()))
        begun = _begun(directory, found)
        if not (directory / "model").is_dir():
            with _timed(directory):
                run_training(found, directory, resume=begun, on_progress=lambda report: None)
        return directory

    def train_all(self, jobs: Sequence[Job]) -> list[Path]:
        """Many small runs, `WORKERS` of them at a time and each with one worker: cores then wait
        for none of the others."""
        with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
            return list(pool.map(self._train_job, jobs))

    def _train_job(self, job: Job) -> Path:
        directory = self.out / job.name
        mark = directory / FINISHED
        settings = (*job.settings, *self._common(), *job.fixed, "train.workers=1")
        found = load_recipe("quickstart", settings)
        begun = _begun(directory, found)
        if mark.exists():
            return directory

        def heed(report: Report) -> None:
            measured = isinstance(report, EvalReport) and report.num_tasks_done == report.num_tasks
            if measured and job.until is not None and report.passed_share >= job.until:
                raise _Arrived

        with _timed(directory), suppress(_Arrived):
            run_training(found, directory, resume=begun, on_progress=heed)
        mark.touch()
        return directory

    def evaluate(self, name: str, model: str | Path, *settings: str) -> Attempts:
        """Held-out attempts of a checkpoint: `proofloop eval --model MODEL --set …`."""
        directory = self.out / name
        found = load_recipe("quickstart", (f"model.path={model}", *settings, *self._common()))
        planned = msgspec.structs.replace(found.train, num_steps=0)  # as an evaluation is recorded
        begun = _begun(directory, msgspec.structs.replace(found, train=planned))
        with _timed(directory):
            run_evaluation(found, directory, resume=begun, on_progress=lambda report: None)
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


def _begun(directory: Path, asked: Recipe) -> bool:
    """Whether that run is there, finished or not; stops the study where another one is."""
    if not (directory / DATABASE_NAME).is_file():
        return False
    if load_run_config(Recipe, directory) != asked:
        _refuse(directory)
    return True


def _refuse(directory: Path) -> NoReturn:
    """What lies there would be taken for an answer to what is asked now."""
    sys.exit(f"{directory}: of other settings than these; give another --out, or delete it")


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
