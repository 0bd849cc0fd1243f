"""What steps over a run's weights: the policy's alone, or with a scalar head beside."""

from collections.abc import Callable

from torch import Tensor

from proofloop.runs.recipe import Recipe
from proofloop.train.actor_critic import ActorCritic
from proofloop.train.optimiser import Optimiser, OptimiserConfig


def build_optimiser(
    recipe: Recipe, trained: Tensor, head: Tensor | None, after: Callable[[], None] | None
) -> Optimiser | ActorCritic:
    config = optimiser_config(recipe)
    if head is None:
        return Optimiser(trained, config, after=after)
    return ActorCritic(
        trained,
        head,
        config,
        head_learning_rate=recipe.train.value_learning_rate,
        head_alone=recipe.train.value_warmup_steps,
        after=after,
    )


def optimiser_config(recipe: Recipe) -> OptimiserConfig:
    return OptimiserConfig(
        learning_rate=recipe.train.learning_rate,
        schedule=recipe.train.schedule or recipe.train.method.schedule,
        warmup_steps=recipe.train.warmup_steps,
        weight_decay=recipe.train.weight_decay,
        grad_clip=recipe.train.grad_clip,
        kind=recipe.train.optimiser,
    )
