"""A sweep over sizes and seeds: one recipe, trained once for each pair, in one directory.

`OUT/bases/SIZE` holds a pre-trained base of every size that is no checkpoint yet,
`OUT/SIZE/seed0`, … the runs.  What is finished stays; what was begun goes on.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from proofloop.core.errors import ConfigError, UserError
from proofloop.core.record import Record
from proofloop.engine.models.checkpoint import load_model
from proofloop.measure.learning_curve import CurvePoint, learning_curve
from proofloop.runs.config import CONFIG_NAME, load_run_config
from proofloop.runs.manifest import num_workers
from proofloop.runs.models import resolve_model
from proofloop.runs.pretraining import NetworkConfig, PretrainRecipe, run_pretraining
from proofloop.runs.recipe import Recipe
from proofloop.runs.training import run_training
from proofloop.store.reader import DATABASE_NAME
from proofloop.train.loop_sync import Report
from proofloop.train.pretrain import Progress as PretrainStep

_SHAPE = re.compile(r"(\d+)x(\d+)")
HEAD_SIZE = 32


class Size(Record):
    """One point of the sweep's first axis."""

    name: str
    path: str | None
    """A checkpoint; None: a network to pre-train, `width`x`layers`."""
    width: int = 0
    layers: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One finished run of the sweep."""

    size: str
    num_parameters: int
    seed: int
    run: Path
    points: tuple[CurvePoint, ...]
    """Compute spent and held-out score, from the base's own (compute 0) on."""


class SweepProgress(Protocol):
    """Hears what is done while it is done."""

    def pretraining(self, size: str, step: PretrainStep, num_steps: int) -> None: ...

    def training(self, size: str, seed: int, report: Report) -> None: ...


def read_sizes(text: str) -> tuple[Size, ...]:
    """From `64x2,128x4,pico,path/to/model`.  Raises ConfigError."""
    sizes: list[Size] = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        if found := _SHAPE.fullmatch(part):
            width, layers = int(found[1]), int(found[2])
            if width % HEAD_SIZE or not width or not layers:
                raise ConfigError(
                    f"--sizes {part}: the width must be a multiple of {HEAD_SIZE}, with one layer "
                    "or more, for example 64x2"
                )
            sizes.append(Size(name=part, path=None, width=width, layers=layers))
        else:
            resolve_model(part)
            sizes.append(Size(name=Path(part).name, path=part))
    names = [size.name for size in sizes]
    if len(sizes) < 1 or len(set(names)) < len(names):
        raise ConfigError(f"--sizes {text}: give different sizes, for example 64x2,96x3,128x4")
    return tuple(sizes)


def sweep(
    recipe: Recipe,
    pretraining: PretrainRecipe,
    sizes: Sequence[Size],
    num_seeds: int,
    out: Path,
    progress: SweepProgress,
) -> Iterator[Cell]:
    """Every finished run, size by size.  Raises UserError where `out` holds another sweep."""
    _claim(out, recipe, pretraining)
    for size in sizes:
        base = _base(size, pretraining, recipe, out, progress)
        for seed in range(num_seeds):
            yield _cell(recipe, size, base, seed, out, progress)


def _claim(out: Path, recipe: Recipe, pretraining: PretrainRecipe) -> None:
    """One directory, one recipe: runs of another would be taken for this one's."""
    fingerprint = out / "sweep.json"
    wanted = msgspec.json.format(msgspec.json.encode([recipe, pretraining]), indent=1)
    if fingerprint.is_file():
        if fingerprint.read_bytes() != wanted:
            raise UserError(
                f"{out}: holds a sweep of another recipe (sweep.json); give another --out"
            )
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        fingerprint.write_bytes(wanted)
    except OSError as error:
        raise UserError(f"{out}: cannot be written ({error.strerror})") from error


def _base(
    size: Size, pretraining: PretrainRecipe, recipe: Recipe, out: Path, progress: SweepProgress
) -> Path:
    if size.path is not None:
        return resolve_model(size.path)
    network = msgspec.structs.replace(
        pretraining.network,
        hidden_size=size.width,
        intermediate_size=_intermediate(size.width, pretraining.network),
        num_hidden_layers=size.layers,
        num_attention_heads=size.width // HEAD_SIZE,
    )
    directory = out / "bases" / size.name
    num_steps = pretraining.training.num_steps
    run_pretraining(
        msgspec.structs.replace(pretraining, network=network),
        directory,
        workers=num_workers(recipe.train.workers),
        on_progress=lambda step: progress.pretraining(size.name, step, num_steps),
    )
    return directory


def _intermediate(width: int, network: NetworkConfig) -> int:
    """In the proportion of the recipe's own network, a multiple of 8."""
    return max(8, round(width * network.intermediate_size / network.hidden_size / 8) * 8)


def _cell(
    recipe: Recipe, size: Size, base: Path, seed: int, out: Path, progress: SweepProgress
) -> Cell:
    run = out / size.name / f"seed{seed}"
    wanted = msgspec.structs.replace(
        recipe,
        model=msgspec.structs.replace(recipe.model, path=str(base)),
        train=msgspec.structs.replace(recipe.train, seed=seed),
    )
    begun = (run / DATABASE_NAME).is_file()
    if begun and load_run_config(Recipe, run) != wanted:
        raise UserError(f"{run / CONFIG_NAME}: of another recipe; give another --out")
    if not (run / "model").is_dir():
        run_training(
            wanted,
            run,
            resume=begun,
            on_progress=lambda report: progress.training(size.name, seed, report),
        )
    num_parameters = sum(p.numel() for p in load_model(base).parameters())
    return Cell(
        size=size.name,
        num_parameters=num_parameters,
        seed=seed,
        run=run,
        points=learning_curve(run, num_parameters=num_parameters),
    )
