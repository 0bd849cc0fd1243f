"""Which keys of learning from preferences go together, checked when a recipe is loaded."""

from proofloop.core.errors import ConfigError
from proofloop.runs.recipe import PAIR_LOSSES, Control, Recipe
from proofloop.train.config import FeedbackArm, LengthCorrection, Method


def check_preference(recipe: Recipe) -> None:
    """Raises ConfigError."""
    _check_reward_model(recipe)
    config, method = recipe.preference, recipe.train.method
    sources = [name for name in ("data", "run") if getattr(config, name) is not None]
    wanted = method in PAIR_LOSSES
    if len(sources) != wanted:
        raise ConfigError(
            f"preference.data: {' and '.join(f'preference.{s}' for s in sources) or 'none'} given "
            f"with train.method = {method}: dpo and reward-model, and nothing else, learn from "
            "pairs, of a file (preference.data) or of a run (preference.run)"
        )
    if config.label_smoothing >= 0.5:
        raise ConfigError(
            f"preference.label_smoothing: {config.label_smoothing} must be below 0.5: from there "
            "on the rejected answer is the preferred one"
        )
    if config.heldout_share >= 1:
        raise ConfigError(f"preference.heldout_share: {config.heldout_share} must be below 1")
    _check_unused(recipe)
    if wanted and recipe.train.updates_per_step != 1:
        raise ConfigError(
            f"train.updates_per_step: {recipe.train.updates_per_step} must be 1 with train.method "
            f"= {method}: a pair is as good later; set train.num_steps"
        )


def _check_unused(recipe: Recipe) -> None:
    """What a method has no use for is not to look as if it had."""
    config, method = recipe.preference, recipe.train.method
    unused = {
        "length_normalised": config.length_normalised and method is not Method.DPO,
        "reference_free": config.reference_free and method is not Method.DPO,
        "length_correction": config.length_correction is not LengthCorrection.NONE
        and method is not Method.REWARD_MODEL,
    }
    for key, is_set in unused.items():
        if is_set:
            raise ConfigError(
                f"preference.{key}: {getattr(config, key)} does not go with train.method = "
                f"{method}, which has no use for it"
            )
    if method is Method.REWARD_MODEL and not config.heldout_share:
        raise ConfigError(
            "preference.heldout_share: 0 leaves nothing to measure a reward model by; keep some"
        )


def _check_reward_model(recipe: Recipe) -> None:
    if recipe.reward.model is None:
        return
    others = {
        f"train.method = {recipe.train.method}": recipe.train.method is not Method.RL,
        f"reward.control = {recipe.reward.control}": recipe.reward.control is not Control.NONE,
        f"feedback.arm = {recipe.feedback.arm}": recipe.feedback.arm is not FeedbackArm.NONE,
    }
    for other, is_set in others.items():
        if is_set:
            raise ConfigError(
                f"reward.model: {recipe.reward.model} does not go with {other}; a learned reward "
                "is for rl, on single attempts, in place of any other"
            )
