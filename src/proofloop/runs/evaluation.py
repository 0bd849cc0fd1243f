"""Evaluation of one checkpoint on held-out tasks, by the training loop's own functions.

The result is a run directory whose step 0 was measured, so every view of a run reads it.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import msgspec
import torch

from proofloop.engine.models.weights import flatten, shared
from proofloop.measure.estimators.sequential import ConfidenceSequence
from proofloop.runs.crews import open_crew
from proofloop.runs.environments import build_environment
from proofloop.runs.machine_check import check_machine
from proofloop.runs.models import resolve_model
from proofloop.runs.orders import CrewSetup
from proofloop.runs.placement import placed
from proofloop.runs.recipe import Recipe
from proofloop.runs.sampler import open_sampler
from proofloop.runs.settings import check_template
from proofloop.runs.start import start_model, start_tokenizer
from proofloop.runs.training import eval_attempts, graceful_interrupt, open_run
from proofloop.store import PassCount
from proofloop.train.crew import Assignment
from proofloop.train.evaluation import (
    ROLLOUTS_PER_PORTION,
    EvalReport,
    StopRule,
    attempt_all,
    heldout_assignments,
    never,
)


def run_evaluation(
    recipe: Recipe, out: Path, *, resume: bool, on_progress: Callable[[EvalReport], None]
) -> None:
    """Attempts `eval.final_num_tasks` held-out tasks `eval.final_num_samples` times each.

    Ctrl-C once: stops after the portion in hand and raises KeyboardInterrupt; `resume` goes on.
    Raises UserError for what the user can mend and WorldError for what broke under way.
    """
    model_path = resolve_model(recipe.model.path)
    environment = build_environment(recipe.env)
    check_machine(recipe.sandbox.tier, environment)
    torch.set_num_threads(1)
    tokenizer, model = start_tokenizer(recipe), placed(start_model(recipe.model), recipe)
    check_template(recipe, tokenizer)
    weights = shared(flatten(model))
    settings = recipe.eval
    assignments = heldout_assignments(
        environment,
        settings.final_num_tasks,
        settings.final_num_samples,
        step=0,
        num_attempts=eval_attempts(recipe),
        chances=settings.seed,
    )
    stop, size = never, ROLLOUTS_PER_PORTION
    if settings.until_width is not None:
        assignments, stop = shuffled(assignments), narrow_enough(settings.until_width)
        size //= 8  # looked at more often
    with open_run(_of_no_steps(recipe), out, resume=resume) as store:
        known = store.evaluation(0)
        if known is not None and known.ended is not None:
            return
        with (
            open_sampler(recipe, out, model, weights, tokenizer) as sampler,
            open_crew(
                CrewSetup(
                    recipe=recipe if sampler is None else sampler.recipe,
                    model_path=model_path,
                    weights=weights,
                ),
                model,
                send=None if sampler is None else sampler.send,
                engine=None if sampler is None else sampler.here,
            ) as crew,
            graceful_interrupt() as interrupted,
        ):
            crew.publish(0)
            for report in attempt_all(
                crew, store, environment, assignments, stop=stop, rollouts_per_portion=size
            ):
                on_progress(report)
                if interrupted() and report.num_tasks_done < report.num_tasks:
                    raise KeyboardInterrupt


def shuffled(assignments: Sequence[Assignment]) -> list[Assignment]:
    """In an order that has nothing to do with difficulty, always the same one: what a confidence
    sequence asks of it."""
    order = list(assignments)
    Random("evaluation order").shuffle(order)
    return [msgspec.structs.replace(a, slot=slot) for slot, a in enumerate(order)]


def narrow_enough(width: float) -> StopRule:
    """Stops where the interval of pass@1 that holds at every look is at most this wide."""

    def rule(counts: Sequence[PassCount]) -> str | None:
        sequence = ConfidenceSequence()
        sequence.update(c.num_passed / c.num_scored for c in counts if c.num_scored)
        found = sequence.interval
        if found is None or not sequence.is_narrow(width):
            return None
        return (
            f"eval.until_width = {width:g}: pass@1 lies in [{found.low:.3f}, {found.high:.3f}], "
            f"an interval that holds at every look, after {found.num_tasks} tasks"
        )

    return rule


def _of_no_steps(recipe: Recipe) -> Recipe:
    """As it is recorded: an evaluation is a run that plans no steps."""
    return msgspec.structs.replace(recipe, train=msgspec.structs.replace(recipe.train, num_steps=0))
