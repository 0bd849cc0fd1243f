"""What an agent goes with, and what is rewarded and drawn along its way, checked when a recipe is
loaded."""

from proofloop.core.errors import ConfigError
from proofloop.runs.recipe import EnvConfig, Recipe, RewardKind, objective_of
from proofloop.runs.recipe_agent import AgentDialect
from proofloop.train.config import FeedbackArm, Method


def check_agent(recipe: Recipe) -> None:
    """Raises ConfigError."""
    _check_episodes(recipe)
    if recipe.reward.kind is RewardKind.STAGED and not hands_out_broken(recipe.env):
        raise ConfigError(
            f"reward.kind: staged tells how far a project came whose tests failed, and "
            f"{recipe.env.name} as it is set hands out none; leave it at strict"
        )
    if recipe.reward.kind is RewardKind.STAGED and recipe.reward.model is not None:
        raise ConfigError(
            "reward.model: its scores take the place of verdicts, so reward.kind = staged has "
            "nothing to say; leave one of them away"
        )
    if recipe.reward.compiles + recipe.reward.collects >= 1:
        raise ConfigError(
            "reward.collects: leaves nothing for passing tests; with reward.compiles it must stay "
            "below 1"
        )
    if not 0 < recipe.curriculum.advance_at <= 1:
        raise ConfigError(
            f"curriculum.advance_at: {recipe.curriculum.advance_at} must be above 0 and at most 1"
        )


def _check_episodes(recipe: Recipe) -> None:
    agent = recipe.agent
    if agent.dialect is AgentDialect.NONE:
        return
    _check_place(recipe)
    wrong = {
        "feedback.arm": recipe.feedback.arm is not FeedbackArm.NONE,
        "eval.feedback": recipe.eval.feedback,
        "reward.model": recipe.reward.model is not None,
        "train.method": recipe.train.method is not Method.RL,
    }
    for key in (key for key, is_wrong in wrong.items() if is_wrong):
        raise ConfigError(
            f"{key}: does not go with agent.dialect = {agent.dialect}, whose rollouts have turns "
            "of their own; leave it at its default"
        )
    objective = objective_of(recipe)
    if agent.notes_tokens and (objective.has_values or objective.kl_weight):
        raise ConfigError(
            "agent.notes_tokens: a rollout whose context begins anew goes with neither a value "
            "head nor a divergence from the start; leave it at 0, or take an algorithm without"
        )


def _check_place(recipe: Recipe) -> None:
    """Whether the environment has what the agent's dialect works on."""
    agent, env = recipe.agent, recipe.env
    if agent.dialect is AgentDialect.DEFINITIONS:
        if env.name != "minirepos":
            raise ConfigError(
                f"agent.dialect: definitions is how modules of minirepos are written, {env.name} "
                "has none; set env.name, or another dialect"
            )
    elif not hands_out_broken(env):
        hint = "; set env.pytest" if env.name == "minirepos" else ""
        raise ConfigError(
            f"agent.dialect: {agent.dialect} works in projects (harbor, minirepos with "
            f"env.pytest), and {env.name} as it is set hands out none{hint}"
        )


def hands_out_broken(env: EnvConfig) -> bool:
    """Whether tasks are projects with failing tests."""
    return env.name == "harbor" or (env.name == "minirepos" and env.pytest)
