"""Can the end of training be foretold from its beginning, and does size raise it?

    python examples/studies/scaling.py [--seeds 3] [--out runs/scaling]

Three networks of one small world (single operations on strings, written by authors of unlike care)
are pre-trained equally long, and each is trained by reward over several seeds; all by the machinery
of `proofloop scale`.  Two scores over compute are each fitted by a sigmoid on the first half of the
compute, and the second half is forecast: the share of right answers on the tasks of a step, none
of which is met twice, and held-out pass@1, on operations that no reward was for.  Plotted: the
miss for each size, and the last score over size.  Beside the forecast the null: the last score
seen, carried forward.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from study import Study, print_table, study

from proofloop.measure.compare.scale import Curves, scaling
from proofloop.measure.learning_curve import CurvePoint
from proofloop.runs.checks import load_recipe
from proofloop.runs.config import load_config
from proofloop.runs.pretraining import PretrainRecipe
from proofloop.runs.sweep import Cell, read_sizes, sweep
from proofloop.store import RunStore
from proofloop.train.loop_sync import Report
from proofloop.train.pretrain import Progress

SIZES = "32x3,64x2,64x3"
FIT_SHARE = 0.5
TASKS = 32
"""Of a step."""
WORKERS = 2
"""Small networks would wait for each other.  What is drawn depends on how many there are."""
CORPUS = (
    # First right programs, long enough for skill; then authors of two styles, of which one is
    # mostly wrong: what reward can find is whom to follow, and then to err less.
    *('opening.families=["string"]', "opening.complexity=[1.0]", "opening.horizon=[1.0]"),
    *("opening.stepwise=1.0", "opening.stepwise_wrong=0.0", "opening.lambdas=0.0"),
    *("corpus.stepwise=0.25", "corpus.lambdas=0.75", "corpus.lambdas_wrong=0.9"),
    *("training.num_steps=400", "training.opening_share=0.8", "training.documents_per_step=64"),
)
REWARD = (
    *('env.families=["string"]', "env.complexity=[1]", "sampling.max_tokens=32"),
    *("train.num_steps=32", f"train.tasks_per_step={TASKS}", "train.schedule=constant"),
    *("train.learning_rate=2e-4", "train.warmup_steps=2", "tripwire.share=0"),
    *("eval.every=2", "eval.num_tasks=96", "eval.num_samples=4"),
    *("eval.final_num_tasks=96", "eval.final_num_samples=4"),
)
SMOKE = (
    *("train.num_steps=2", "train.tasks_per_step=4", "eval.every=1"),
    *("eval.num_tasks=6", "eval.final_num_tasks=6"),
)


class Silent:
    """Says when a run begins, and nothing of its steps."""

    def pretraining(self, size: str, step: Progress, num_steps: int) -> None:
        if step.step == num_steps:
            print(f"{size}: pre-trained, {step.loss:.3f} nats a token of an answer", flush=True)

    def training(self, size: str, seed: int, report: Report) -> None:
        pass


def cells(s: Study) -> list[Cell]:
    rewards, corpus = (REWARD, CORPUS)
    if s.smoke:
        rewards, corpus = (*REWARD, *SMOKE), (*CORPUS, "training.num_steps=2")
    recipe = load_recipe("quickstart", (*rewards, f"train.workers={WORKERS}"))
    pretraining = load_config(PretrainRecipe, "pretrain-atoms", corpus)
    return list(sweep(recipe, pretraining, read_sizes(SIZES), len(s.seeds), s.out, Silent()))


def rewarded(cell: Cell) -> tuple[CurvePoint, ...]:
    """The share of right answers on the tasks of the steps between two evaluations, at the middle
    of their compute; the base's own, at compute 0, is that of the first step."""
    with RunStore.read(cell.run) as store:
        shares = dict(store.metrics("passed_share"))
    points = [CurvePoint(step=0, flops=0.0, score=shares[1], num_tasks=TASKS)]
    for before, after in pairwise(cell.points):
        steps = range(before.step + 1, after.step + 1)
        points.append(
            CurvePoint(
                step=after.step,
                flops=(before.flops + after.flops) / 2,
                score=float(np.mean([shares[step] for step in steps])),
                num_tasks=TASKS * len(steps),
            )
        )
    return tuple(points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One score of every cell."""

    name: str
    files: str
    of: Callable[[Cell], tuple[CurvePoint, ...]]


SCORES = (
    Score(name="right answers on fresh training tasks", files="scaling-reward", of=rewarded),
    Score(name="held-out pass@1", files="scaling", of=lambda cell: cell.points),
)


def main() -> None:
    s = study("scaling", __doc__)
    found = cells(s)
    for score in SCORES:
        curves: dict[str, Curves] = {}
        for cell in found:
            known = curves[cell.size].seeds if cell.size in curves else ()
            curves[cell.size] = Curves(
                num_parameters=cell.num_parameters, seeds=(*known, score.of(cell))
            )
        section = scaling(curves, FIT_SHARE, score=score.name)
        print(f"{score.name.capitalize()}:")
        for line in section.says:
            print(line)
        assert section.table is not None
        print_table(section.table.columns, section.table.rows)
        for drawn in section.figures:
            s.write(drawn.name.replace("scale", score.files), drawn.figure)


if __name__ == "__main__":
    main()
