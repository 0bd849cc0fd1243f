"""`proofloop scale`: one recipe over sizes and seeds, and whether its end could be foretold."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofloop.cli.options import json_option, path_option, set_option
from proofloop.cli.output import EXIT_INTERRUPTED, console, note, print_json

if TYPE_CHECKING:
    from proofloop.train.loop_sync import Report
    from proofloop.train.pretrain import Progress as PretrainStep


@click.command()
@click.argument("recipe", default="quickstart")
@click.option(
    "--sizes",
    required=True,
    metavar="SIZE,…",
    help="Networks as WIDTHxLAYERS, pre-trained here (64x2), or checkpoints: directories, or pico.",
)
@click.option(
    "--seeds", type=click.IntRange(min=1), default=3, show_default=True, help="Runs of each size."
)
@click.option(
    "--fit-share",
    type=click.FloatRange(min=0.05, max=0.95),
    default=0.5,
    show_default=True,
    help="Share of the compute that the forecast may see.",
)
@click.option(
    "--pretraining",
    default="pretrain-pico",
    show_default=True,
    metavar="RECIPE",
    help="How networks are pre-trained; their shape is the size's.",
)
@click.option(
    "--pretraining-steps",
    type=click.IntRange(min=1),
    help="Instead of the recipe's own number.",
)
@path_option("--out", "Directory of the sweep; named again, it goes on where it stood.")
@set_option
@json_option
def command(
    recipe: str,
    sizes: str,
    seeds: int,
    fit_share: float,
    pretraining: str,
    pretraining_steps: int | None,
    out: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Train one recipe at several sizes and seeds; forecast each end from its beginning.

    Every size's curve (held-out pass@1 over compute) is fitted on its first part by a sigmoid; the
    rest is forecast, and the miss is shown.  An asymptote is claimed only where the data identify
    it.  Ctrl-C stops; the same command with the same --out goes on.

    \b
    Examples:
      proofloop scale --sizes 64x2,96x3,128x4 --seeds 3 --out runs/scale
      proofloop scale quickstart --sizes pico --seeds 2 --set eval.every=2
    """
    from proofloop.measure.compare.files import write_sections
    from proofloop.measure.compare.scale import Curves, scaling
    from proofloop.runs.checks import load_recipe
    from proofloop.runs.config import load_config
    from proofloop.runs.pretraining import PretrainRecipe
    from proofloop.runs.sweep import read_sizes, sweep

    settings = load_recipe(recipe, overrides)
    steps = [] if pretraining_steps is None else [f"training.num_steps={pretraining_steps}"]
    asked = read_sizes(sizes)
    directory = out or Path("runs") / f"scale-{datetime.now():%Y%m%d-%H%M%S}"
    note(f"sweep: {directory}")
    curves: dict[str, Curves] = {}
    progress = _Progress()
    try:
        for cell in sweep(
            settings,
            load_config(PretrainRecipe, pretraining, steps),
            asked,
            seeds,
            directory,
            progress,
        ):
            known = curves.get(cell.size)
            curves[cell.size] = Curves(
                num_parameters=cell.num_parameters,
                seeds=(*(known.seeds if known else ()), cell.points),
            )
    except KeyboardInterrupt:
        note("stopped; nothing recorded is lost. The same command goes on:")
        note(f"  … --out {directory}")
        return EXIT_INTERRUPTED
    finally:
        progress.close()
    from proofloop.cli.sections import print_section
    from proofloop.measure.compare.section import plain

    section = scaling(curves, fit_share)
    page = write_sections(
        directory,
        "scale",
        heading="Forecast against outcome",
        subtitle=f"{recipe}: {', '.join(curves)}, {seeds} seeds each",
        sections=[section],
        facts=section.facts,
    )
    if as_json:
        print_json(plain(section.facts))
    else:
        print_section(console(), section)
    note(f"page: {page.resolve()}")
    return 0


class _Progress:
    """One line at a time, whichever part is at work."""

    def __init__(self) -> None:
        from proofloop.cli.progress import Progress
        from proofloop.cli.training_progress import TrainingProgress

        self._kinds = Progress, TrainingProgress
        self._at: tuple[str, int] | None = None
        self._line: Progress | None = None

    def pretraining(self, size: str, step: "PretrainStep", num_steps: int) -> None:
        if self._at != (size, -1):
            self._begin(f"{size}: pre-training", (size, -1))
            self._line = self._kinds[0]("pre-training", num_steps)
        assert self._line is not None
        self._line.step(step.step, {"loss": f"{step.loss:.3f}"})

    def training(self, size: str, seed: int, report: "Report") -> None:
        from proofloop.cli.training_progress import TrainingProgress

        if self._at != (size, seed):
            self._begin(f"{size}: seed {seed}", (size, seed))
            self._line = self._kinds[1](getattr(report, "num_steps", 0))
        assert isinstance(self._line, TrainingProgress)
        self._line.show(report)

    def _begin(self, text: str, at: tuple[str, int]) -> None:
        self.close()
        note(text)
        self._at = at

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
