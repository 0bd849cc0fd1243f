"""Along which dial does training move, and what is a pass rate worth when it must hold each time?

    python examples/studies/surface.py [--seeds 3] [--steps 30] [--out runs/surface]

The quick start on tasks of complexity 1 and 2 and horizon 1 and 2 (functions to write in one
answer).  Base and trained models then meet the same held-out tasks on a grid that goes further:
complexity 1 to 3, horizon 1, 2 and 4.  Written for each dial: pass@1 with its interval, the null of
functions that fail independently, p(complexity)^horizon, and the change of both prices; then
reliability: a new task, the same task again, and eight times in a row.  What is already in `--out`
is taken up where it stands.
"""

import argparse
from pathlib import Path

from proofloop.measure.attempts import Attempts, base_of
from proofloop.measure.compare.dials import dials
from proofloop.measure.compare.files import write_sections
from proofloop.measure.compare.nines import nines
from proofloop.measure.compare.section import Section
from proofloop.measure.compare.sides import bring_together
from proofloop.runs.checks import load_recipe
from proofloop.runs.evaluation import run_evaluation
from proofloop.runs.training import run_training

MAX_TOKENS = 160


def train(seed: int, steps: int, directory: Path) -> None:
    if (directory / "model").is_dir():
        return
    settings = (
        "env.complexity=[1,2]",
        "env.horizon=[1,2]",
        f"sampling.max_tokens={MAX_TOKENS}",
        f"train.seed={seed}",
        f"train.num_steps={steps}",
        "eval.every=0",
        "eval.final_num_tasks=96",
        "eval.final_num_samples=8",
    )
    recipe = load_recipe("quickstart", settings)
    run_training(recipe, directory, resume=directory.exists(), on_progress=lambda report: None)


def measure(model: str, directory: Path) -> Attempts:
    """On the whole grid: 24 tasks a cell, 32 attempts at each."""
    settings = (
        f"model.path={model}",
        "env.complexity=[1,2,3]",
        "env.horizon=[1,2,4]",
        f"sampling.max_tokens={MAX_TOKENS}",
        "eval.final_num_tasks=216",
        "eval.final_num_samples=32",
    )
    recipe = load_recipe("quickstart", settings)
    run_evaluation(recipe, directory, resume=directory.exists(), on_progress=lambda report: None)
    return base_of(directory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("runs/surface"))
    arguments = parser.parse_args()
    out: Path = arguments.out
    before = measure("pico", out / "base")
    for seed in range(arguments.seeds):
        run = out / f"seed{seed}"
        train(seed, arguments.steps, run)
        sides = bring_together(before, [measure(str(run / "model"), out / f"grid{seed}")])
        sections: list[Section] = [s for s in (dials(sides), nines(sides)) if s is not None]
        page = write_sections(
            out / f"seed{seed}-surface",
            "surface",
            heading="Complexity and horizon",
            subtitle=f"seed {seed}: {arguments.steps} steps on complexity 1, 2 and horizon 1, 2",
            sections=sections,
            facts={section.title: section.facts for section in sections},
        )
        print(f"seed {seed}")
        for section in sections:
            for line in section.says:
                print(" ", line)
            assert section.table is not None
            for row in (section.table.columns, *section.table.rows):
                print("   ", " | ".join(row))
        print(page, flush=True)


if __name__ == "__main__":
    main()
