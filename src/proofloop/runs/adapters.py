"""Low-rank adapters of a run: what `[lora]` and `model.adapter` ask for, made and saved."""

from pathlib import Path

import msgspec
from torch import Tensor

from proofloop.core.errors import ConfigError
from proofloop.engine.models.config import LoraConfig
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.lora import Lora
from proofloop.engine.models.peft import load_adapter, read_adapter_config, save_adapter
from proofloop.engine.models.weights import adopt
from proofloop.runs.models import resolve_model
from proofloop.runs.placement import placed
from proofloop.runs.recipe import LoraRecipe, Recipe
from proofloop.runs.start import start_model


def start_policy(recipe: Recipe) -> tuple[Decoder, Lora | None]:
    """The model to train, where the recipe places it, its weights merged, and the adapters that
    train in place of them, where the recipe says so: new ones, or those of `model.adapter`.

    Raises ModelError, and ConfigError for a device that is not there and for an adapter of other
    dimensions than `[lora]`.
    """
    if not recipe.lora.rank:
        return placed(start_model(recipe.model), recipe), None
    model = placed(start_model(msgspec.structs.replace(recipe.model, adapter=None)), recipe)
    lora = Lora(model, lora_config(recipe.lora), seed=recipe.train.seed)
    if recipe.model.adapter is not None:
        directory = Path(recipe.model.adapter).expanduser()
        found = read_adapter_config(directory)
        if found != lora.config:
            raise ConfigError(
                f"model.adapter: {directory} has rank {found.rank}, alpha {found.alpha:g} and "
                f"targets {', '.join(found.targets)}; to train it on, set lora.rank, lora.alpha "
                "and lora.targets to these"
            )
        load_adapter(lora, directory)
    lora.hold_base()
    return model, lora


def lora_config(recipe: LoraRecipe) -> LoraConfig:
    return LoraConfig(rank=recipe.rank, alpha=recipe.alpha, targets=recipe.targets)


def learn_by_adapters(model: Decoder, recipe: Recipe, flat: Tensor) -> Lora:
    """In a worker: backward through `model` adds to the gradients of the adapters in `flat`."""
    lora = Lora(model, lora_config(recipe.lora))
    adopt(lora, flat)
    lora.learn()
    return lora


def save_trained_adapter(lora: Lora, recipe: Recipe, directory: Path) -> None:
    """In PEFT's format; its base is the hub id or the directory of `model.path`."""
    path = resolve_model(recipe.model.path)
    is_local = path.resolve() == Path(recipe.model.path).expanduser().resolve()
    embedded = "/" not in recipe.model.path
    base = str(path.resolve()) if is_local or embedded else recipe.model.path.partition("@")[0]
    save_adapter(lora, directory, base=base)
