"""`proofloop pretrain`: the embedded base model from nothing."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from proofloop.cli.options import set_option
from proofloop.cli.output import note
from proofloop.cli.progress import Progress

if TYPE_CHECKING:
    from proofloop.train.pretrain import Progress as PretrainStep


@click.command()
@click.argument("recipe", default="pretrain-pico")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="The checkpoint directory."
)
@set_option
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    help="Processes of one thread each; by default as many as there are cores.",
)
def command(recipe: str, out: Path, overrides: tuple[str, ...], workers: int) -> int | None:
    """Pre-train the embedded base model from nothing.

    RECIPE is a TOML file or the name of a shipped recipe, by default pretrain-pico.  The corpus is
    generated while training.  Interrupted, it goes on when called again with the same --out.

    \b
    Examples:
      proofloop pretrain --out pico
      proofloop pretrain --out trial --set training.num_steps=200 --workers 2
    """
    from proofloop.runs.config import load_config
    from proofloop.runs.manifest import num_workers
    from proofloop.runs.pretraining import PretrainRecipe, run_pretraining

    settings = load_config(PretrainRecipe, recipe, overrides)
    with Progress("pre-training", settings.training.num_steps) as progress:

        def show(step: "PretrainStep") -> None:
            progress.step(
                step.step,
                {"loss": f"{step.loss:.3f}", "documents/s": f"{step.documents_per_s:.0f}"},
            )

        try:
            run_pretraining(settings, out, workers=num_workers(workers), on_progress=show)
        except KeyboardInterrupt:
            progress.close()
            note(f"stopped; the same command goes on from the newest checkpoint in {out}")
            return 130
    note(f"checkpoint: {out}")
    return None
