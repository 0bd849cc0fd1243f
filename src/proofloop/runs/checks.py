"""What a recipe's values must satisfy beyond their types, checked when it is loaded.

Not at step 400: a run that starts can finish, as far as its recipe can say.  Not here: the model,
which not every verb needs (`runs.models`).
"""

import math
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from proofloop.core.errors import ConfigError
from proofloop.core.task import Environment, Split
from proofloop.engine.models.config import TARGETS, Backend
from proofloop.runs.checks_agent import check_agent
from proofloop.runs.checks_algorithm import check_algorithm
from proofloop.runs.checks_engine import check_engine
from proofloop.runs.checks_preference import check_preference
from proofloop.runs.config import load_config, suggestion
from proofloop.runs.environments import build_environment, size_of
from proofloop.runs.recipe import Control, Recipe
from proofloop.train.config import Device, LossKind, Method, Precision


class _Bound(NamedTuple):
    """The least value that some keys may have; all must be finite."""

    keys: tuple[str, ...]
    least: float
    allowed: bool
    """Whether the least value itself may be taken."""
    wanted: str


_BOUNDS = (
    _Bound(
        (
            "sampling.max_tokens",
            "train.num_steps",
            "train.tasks_per_step",
            "train.updates_per_step",
            "train.micro_batch_tokens",
            "train.checkpoint_every",
            "preference.pairs_per_task",
            "eval.num_tasks",
            "eval.num_samples",
            "eval.final_num_tasks",
            "eval.final_num_samples",
        ),
        1,
        True,
        "must be at least 1",
    ),
    _Bound(
        ("train.samples_per_task",),
        2,
        True,
        "must be at least 2: an advantage compares a task's rollouts with each other",
    ),
    _Bound(("feedback.attempts",), 2, True, "must be at least 2: a retry is another attempt"),
    _Bound(
        (
            "sampling.temperature",
            "train.learning_rate",
            "train.grad_clip",
            "train.max_logprob_gap",
            "train.cispo_cap",
            "train.clip_low",
            "train.clip_high",
            "train.correction_cap",
            "train.value_weight",
            "preference.beta",
            "train.value_learning_rate",
            "curriculum.max_pass_rate",
            "lora.alpha",
            "agent.command_s",
        ),
        0,
        False,
        "must be above 0",
    ),
    _Bound(
        (
            "train.seed",
            "train.workers",
            "train.warmup_steps",
            "train.weight_decay",
            "train.refill",
            "train.kl_weight",
            "train.gamma",
            "preference.label_smoothing",
            "preference.heldout_share",
            "preference.margin",
            "train.gae_lambda",
            "train.value_clip",
            "train.value_warmup_steps",
            "train.dual_clip",
            "train.sequence_low",
            "train.icepop_low",
            "eval.every",
            "eval.seed",
            "train.num_tasks",
            "train.tasks_seed",
            "model.init_seed",
            "tripwire.share",
            "feedback.weight",
            "lora.rank",
            "engine.max_gap",
            "agent.turns",
            "agent.context_tokens",
            "agent.notes_tokens",
            "train.turn_gamma",
            "reward.compiles",
            "reward.collects",
            "train.turn_weight",
            "alarms.max_tripped",
            "alarms.max_unscored",
            "alarms.max_gap_rise",
            "alarms.min_effective_share",
            "alarms.min_entropy_share",
            "alarms.max_grad_norm_ratio",
            "alarms.max_without_variance",
            "alarms.max_truncated_rise",
        ),
        0,
        True,
        "must not be negative",
    ),
)


def load_recipe(source: str | None = None, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe for training or evaluation, checked.  Raises ConfigError, or DataError for the
    environment's data file."""
    recipe = load_config(Recipe, source, overrides)
    check_recipe(recipe)
    return recipe


def check_recipe(recipe: Recipe) -> None:
    """Raises ConfigError, or DataError for the environment's data file."""
    for bound in _BOUNDS:
        for key in bound.keys:
            value = attrgetter(key)(recipe)
            if value is None:
                continue
            enough = value >= bound.least if bound.allowed else value > bound.least
            if not (enough and math.isfinite(value)):  # NaN is never enough
                raise ConfigError(f"{key}: {value} {bound.wanted}")
    if recipe.tripwire.share > 1:
        raise ConfigError(
            f"tripwire.share: {recipe.tripwire.share} must be at most 1: one impossible task for "
            "each that trains"
        )
    if recipe.feedback.weight > 1:
        raise ConfigError(
            f"feedback.weight: {recipe.feedback.weight} must be at most 1: the rest is the group's"
        )
    if recipe.reward.control is Control.NAIVE and recipe.env.name != "functions":
        raise ConfigError(
            "reward.control: naive runs the tests that a prompt shows, and only the prompts of "
            f"functions are tests, those of {recipe.env.name} are not"
        )
    check_agent(recipe)
    check_algorithm(recipe)
    check_preference(recipe)
    check_engine(recipe)
    _check_method(recipe)
    for target in recipe.lora.targets:
        if target not in TARGETS:
            raise ConfigError(f"lora.targets: {target!r}{suggestion(target, TARGETS)}")
    if recipe.model.backend is Backend.TRANSFORMERS and (recipe.lora.rank or recipe.model.adapter):
        key = "lora.rank" if recipe.lora.rank else "model.adapter"
        raise ConfigError(
            f"{key}: adapters are of our own network definition, not of model.backend = "
            "transformers; train all weights, or merge the adapter first"
        )
    train = recipe.train
    if recipe.model.backend is Backend.TRANSFORMERS and (
        train.precision is not Precision.FLOAT32 or train.activation_checkpointing
    ):
        key = "activation_checkpointing" if train.activation_checkpointing else "precision"
        raise ConfigError(
            f"train.{key}: is of our own network definition, not of model.backend = transformers; "
            "leave it at its default"
        )
    if train.device is Device.CUDA and train.workers > 1:
        raise ConfigError(
            f"train.workers: {train.workers} processes are of a CPU; with train.device = cuda one "
            "process has the GPU. Leave it at 0, or take train.device = cpu"
        )
    if not recipe.lora.targets:
        raise ConfigError(f"lora.targets: names no layer; some of {', '.join(TARGETS)}")
    width = recipe.eval.until_width
    if width is not None and not 0 < width < 1:
        raise ConfigError(f"eval.until_width: {width:g} must lie between 0 and 1")
    environment = build_environment(recipe.env)
    if recipe.curriculum.max_pass_rate < 1 and not (recipe.train.num_tasks or repeats(environment)):
        raise ConfigError(
            f"curriculum.max_pass_rate: {recipe.curriculum.max_pass_rate} retires tasks, but those "
            f"of {environment.name} are generated and none comes twice; set train.num_tasks, or "
            "leave it at 1"
        )
    size = size_of(environment, Split.TRAIN)
    if size is not None and recipe.train.num_tasks > size:
        raise ConfigError(
            f"train.num_tasks: {recipe.train.num_tasks} tasks to train on, but "
            f"{environment.name} has {size}; ask for fewer"
        )


def repeats(environment: Environment) -> bool:
    """Whether training comes by its tasks again once it has seen all."""
    sizes = [environment.num_tasks(Split.TRAIN, s) for s in environment.strata(Split.TRAIN)]
    return all(size is not None for size in sizes)


def _check_method(recipe: Recipe) -> None:
    train, later = recipe.train, recipe.eval.later_seed
    if later is not None and later < 0:
        raise ConfigError(f"eval.later_seed: {later} must not be negative")
    if (train.method is Method.SFT) != (train.sft_from is not None):
        raise ConfigError(
            f"train.sft_from: {train.sft_from or 'none'} does not go with train.method = "
            f"{train.method}: sft, and nothing else, learns from another run; try `proofloop "
            "train --control sft --of RUN`"
        )
    if train.method is Method.SFT and train.loss is not LossKind.LIKELIHOOD:
        raise ConfigError(
            f"train.loss: {train.loss} does not go with train.method = sft, which takes likelihood"
        )
    if train.method is Method.COPY and train.num_steps != 1:
        raise ConfigError(
            f"train.num_steps: {train.num_steps} must be 1 with train.method = copy, which takes "
            "no steps between its two measurements"
        )
    if train.method is Method.COPY and later in (None, recipe.eval.seed):
        raise ConfigError(
            "eval.later_seed: must be another than eval.seed with train.method = copy, or both "
            "measurements meet the same chances and cannot differ"
        )
