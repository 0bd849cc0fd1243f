"""Which keys of an algorithm go together, checked when a recipe is loaded."""

from proofloop.core.errors import ConfigError
from proofloop.runs.recipe import Recipe
from proofloop.runs.recipe_train import TrainConfig
from proofloop.train.config import (
    AdvantageScale,
    Baseline,
    Correction,
    FeedbackArm,
    KlEstimator,
    KlIn,
    LearnFrom,
    LossKind,
    Method,
    Ties,
    Truncated,
    TurnCredit,
)


def check_algorithm(recipe: Recipe) -> None:
    """Raises ConfigError."""
    train = recipe.train
    _check_ranges(train)
    _check_pairs(train)
    _check_values(recipe)
    _check_turns(recipe)
    if recipe.curriculum.max_pass_rate > 1:
        raise ConfigError(
            f"curriculum.max_pass_rate: {recipe.curriculum.max_pass_rate} must be at most 1: it is "
            "a share of attempts"
        )
    if recipe.feedback.arm is not FeedbackArm.NONE and train.method is Method.DISTIL:
        raise ConfigError(
            f"feedback.arm: {recipe.feedback.arm} does not go with train.method = distil, by "
            "which a teacher decides and no reward"
        )
    by_the_group = (train.ties, train.learn_from) == (Ties.DROP, LearnFrom.ALL)
    if recipe.feedback.arm is FeedbackArm.DISTIL and (
        not by_the_group or train.truncated is Truncated.DROP
    ):
        raise ConfigError(
            "feedback.arm: distil teaches every rollout of every group, so it goes only with "
            "train.ties = drop, train.learn_from = all and train.truncated = reward or zero"
        )


def _check_ranges(train: TrainConfig) -> None:
    """Bounds that are not those of one number from below."""
    if train.clip_low >= 1 and train.loss in (LossKind.CLIP, LossKind.GSPO):
        raise ConfigError(
            f"train.clip_low: {train.clip_low} must be below 1: 1 - clip_low is a ratio's bound"
        )
    if 0 < train.dual_clip <= 1:
        raise ConfigError(
            f"train.dual_clip: {train.dual_clip} must be above 1, or 0 for no limit: at 1 it would "
            "cut tokens that nothing has moved yet"
        )
    for name in ("sequence", "icepop"):
        low, high = getattr(train, f"{name}_low"), getattr(train, f"{name}_high")
        if not low <= 1 <= high < float("inf"):
            raise ConfigError(
                f"train.{name}_high: train.{name}_low = {low} to {high} must hold 1, the ratio of "
                "two that agree"
            )


def _check_turns(recipe: Recipe) -> None:
    """What advantages by turn go with."""
    train = recipe.train
    if train.turn_gamma > 1:
        raise ConfigError(
            f"train.turn_gamma: {train.turn_gamma} must be at most 1: it is a weight of what comes "
            "later"
        )
    if train.turn_credit is TurnCredit.ROLLOUT:
        return
    wrong = {
        "train.method": train.method is not Method.RL,
        "train.baseline": train.baseline is not Baseline.GROUP,
        "train.advantage_scale": train.advantage_scale is AdvantageScale.MEAN,
        "train.ties": train.ties is Ties.KEEP,
        "train.kl_in": train.kl_weight > 0 and train.kl_in is KlIn.REWARD,
        "feedback.arm": recipe.feedback.arm is FeedbackArm.DISTIL,
    }
    for key in (key for key, is_wrong in wrong.items() if is_wrong):
        raise ConfigError(
            f"{key}: does not go with train.turn_credit = {train.turn_credit}, which compares the "
            "turns of a group by the rewards of their rollouts; leave it at its default"
        )


def _check_values(recipe: Recipe) -> None:
    """What a value head goes with."""
    train = recipe.train
    for name in ("gamma", "gae_lambda"):
        if getattr(train, name) > 1:
            raise ConfigError(
                f"train.{name}: {getattr(train, name)} must be at most 1: it is a weight of what "
                "comes later"
            )
    if train.baseline is not Baseline.VALUE:
        return
    if train.method is not Method.RL:
        raise ConfigError(
            f"train.baseline: value does not go with train.method = {train.method}, which learns "
            "from no reward"
        )
    if train.advantage_scale in (AdvantageScale.GROUP, AdvantageScale.MEAN):
        raise ConfigError(
            f"train.advantage_scale: {train.advantage_scale} does not go with train.baseline = "
            "value, whose advantages are of tokens, not of groups; take batch or none"
        )
    if train.learn_from is LearnFrom.REWARDED:
        raise ConfigError(
            "train.learn_from: rewarded does not go with train.baseline = value: a head that sees "
            "successes alone expects nothing else; take all"
        )
    if recipe.feedback.arm is FeedbackArm.DISTIL:
        raise ConfigError(
            "feedback.arm: distil does not go with train.baseline = value: both say what a token "
            "is worth; take another baseline"
        )


def _check_pairs(train: TrainConfig) -> None:
    if train.baseline is Baseline.NONE and train.advantage_scale is AdvantageScale.GROUP:
        raise ConfigError(
            "train.advantage_scale: group does not go with train.baseline = none, by which groups "
            "of one reward train, too: their standard deviation is 0"
        )
    if train.refill and train.ties is Ties.KEEP:
        raise ConfigError(
            f"train.refill: {train.refill} does not go with train.ties = keep: what is replaced is "
            "not kept; set train.ties = drop"
        )
    if train.kl_weight and (train.kl_estimator, train.kl_in) == (KlEstimator.K1, KlIn.LOSS):
        raise ConfigError(
            "train.kl_estimator: k1 does not go with train.kl_in = loss: its gradient is 0 on "
            "average, so nothing would hold the policy; take k2 (the gradient of KL(policy || "
            "start)), or train.kl_in = reward"
        )
    if (
        train.loss is LossKind.LIKELIHOOD
        and train.method is not Method.SFT
        and (train.learn_from is LearnFrom.ALL)
    ):
        raise ConfigError(
            "train.loss: likelihood is for train.method = sft, or for what was right "
            "(train.learn_from = rewarded); take policy_gradient to learn from all"
        )
    _check_unused(train)


def _check_unused(train: TrainConfig) -> None:
    """What a method has no use for is not to look as if it had."""
    if (train.method is Method.DISTIL) != (train.teacher is not None):
        raise ConfigError(
            f"train.teacher: {train.teacher or 'none'} does not go with train.method = "
            f"{train.method}: distil, and nothing else, has a teacher"
        )
    samples = train.method in (Method.RL, Method.DISTIL)
    unused = {
        "correction": train.correction is not Correction.NONE and not samples,
        "kl_weight": train.kl_weight > 0 and not samples,
        "kl_in": train.kl_weight > 0
        and train.kl_in is KlIn.REWARD
        and train.method is Method.DISTIL,
        "refill": train.refill > 0 and train.method is not Method.RL,
    }
    for key, is_set in unused.items():
        if is_set:
            raise ConfigError(
                f"train.{key}: {getattr(train, key)} does not go with train.method = "
                f"{train.method}, which has no use for it"
            )
