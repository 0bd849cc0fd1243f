"""Control arms as recipes: what `--control NAME` sets, and no more than `--set` could.

A control is made of the recipe that it is a control of, so the two differ by these keys alone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

import msgspec

from proofloop.core.errors import ConfigError
from proofloop.measure.arms import Arm, arms_of
from proofloop.runs.checks import load_recipe
from proofloop.runs.config import CONFIG_NAME, load_config, load_run_config
from proofloop.runs.recipe import Recipe
from proofloop.train.config import Baseline, Correction, FeedbackArm, Method

LATER_SEED = 1000
"""From `eval.seed` of a copy to its `eval.later_seed`, so that copies of neighbouring seeds share
no chances."""


def control_recipe(
    arm: Arm, source: str, overrides: Sequence[str] = (), *, of: Path | None = None
) -> Recipe:
    """The control of recipe `source` (as `load_recipe` takes it) or of the run `of`; `overrides`
    are set after what makes it one.

    Raises UserError: no such run or recipe, an arm that does not go with it, overrides that undo
    the arm.
    """
    if of is not None:
        load_run_config(Recipe, of)
        source = str(of / CONFIG_NAME)
    base, asked = load_config(Recipe, source), load_config(Recipe, source, overrides)
    settings = control_settings(arm, asked, of)
    recipe = load_recipe(source, [*settings, *overrides])
    is_arm = (
        recipe.train.seed != base.train.seed
        if arm is Arm.SEED
        else arm in arms_of(msgspec.to_builtins(recipe))
    )
    if not is_arm:
        raise ConfigError(
            f"--control {arm}: undone by {' '.join(f'--set {o}' for o in overrides)}; the arm is "
            f"{', '.join(settings)}"
        )
    return recipe


def control_settings(arm: Arm, recipe: Recipe, of: Path | None) -> tuple[str, ...]:
    """What makes the arm of the recipe, as `--set` takes it.

    Raises ConfigError for an arm that needs a run, or a recipe that has nothing it could change.
    """
    method = recipe.train.method
    if method is Method.COPY or (method is not Method.RL and arm not in (Arm.SEED, Arm.SCRATCH)):
        raise ConfigError(
            f"--control {arm}: {of or 'the recipe'} does not train by reward (train.method = "
            f"{method}); take the recipe or run that it is itself a control of"
        )
    match arm:
        case Arm.RANDOM | Arm.FORMAT | Arm.NAIVE:
            settings = (f"reward.control={arm}", *_no_scores(recipe))
        case Arm.COPY:
            later = f"eval.later_seed={recipe.eval.seed + LATER_SEED}"
            settings = ("train.method=copy", "train.num_steps=1", later, *_unused(recipe))
        case Arm.SEED:
            settings = (f"train.seed={recipe.train.seed + 1}",)
        case Arm.SFT:
            if of is None:
                raise ConfigError(
                    "--control sft: learns the right answers that a run sampled; name the run "
                    "with --of RUN"
                )
            settings = (
                "train.method=sft",
                f"train.sft_from={of}",
                "train.loss=likelihood",
                *_unused(recipe),
            )
        case Arm.ONE_EXAMPLE:
            settings = ("train.num_tasks=1",)
        case Arm.SCRATCH:
            settings = ("model.init=random",)
        case Arm.SHUFFLED | Arm.MASKED | Arm.BARE:
            if recipe.feedback.arm is FeedbackArm.NONE:
                raise ConfigError(
                    f"--control {arm}: {of or 'the recipe'} learns from no feedback "
                    "(feedback.arm = none); take one that does"
                )
            settings = (f"feedback.control={arm.removesuffix('-feedback')}",)
        case _:
            assert_never(arm)
    return settings if of is None else (*settings, f"control.of={of}")


def _no_scores(recipe: Recipe) -> tuple[str, ...]:
    return () if recipe.reward.model is None else ("reward.model=none",)


def _unused(recipe: Recipe) -> tuple[str, ...]:
    """Without training by reward these mean nothing, and are not to look as if they did."""
    settings = [*_no_scores(recipe)]
    if recipe.train.baseline is Baseline.VALUE:
        settings.append(f"train.baseline={Baseline.GROUP}")
    if recipe.reward.control != "none":
        settings.append("reward.control=none")
    if recipe.train.num_tasks:
        settings.append("train.num_tasks=0")
    if recipe.feedback.arm is not FeedbackArm.NONE:
        settings.append("feedback.arm=none")
    if recipe.train.correction is not Correction.NONE:
        settings.append("train.correction=none")
    if recipe.train.kl_weight:
        settings.append("train.kl_weight=0")
    if recipe.train.refill:
        settings.append("train.refill=0")
    return tuple(settings)
