"""What the section `engine` of a recipe must satisfy."""

from importlib.util import find_spec

from proofloop.core.errors import ConfigError
from proofloop.runs.recipe import EngineConfig, EngineKind, Recipe


def is_vllm_here(engine: EngineConfig) -> bool:
    """Whether vLLM is to sample in the run's own process."""
    return engine.kind is EngineKind.VLLM and not engine.url and not engine.python


def check_engine(recipe: Recipe) -> None:
    """Raises ConfigError."""
    engine = recipe.engine
    starts_own = engine.kind is EngineKind.VLLM and bool(engine.python)
    has_none = engine.kind is EngineKind.LOCAL or starts_own
    if (engine.url and has_none) or (engine.kind is EngineKind.SERVER and not engine.url):
        raise ConfigError(
            f"engine.url: {engine.url or 'none'} does not go with engine.kind = {engine.kind}"
            f"{' and engine.python' if starts_own else ''}: a server, and nothing else, has an "
            "address"
        )
    if engine.kind is not EngineKind.VLLM and (engine.python or engine.weights_dir):
        key = "python" if engine.python else "weights_dir"
        raise ConfigError(f"engine.{key}: goes with engine.kind = vllm, not {engine.kind}")
    if engine.options and (engine.url or engine.kind is not EngineKind.VLLM):
        raise ConfigError(
            "engine.options: are of a vLLM that starts with the run (engine.kind = vllm without "
            "engine.url)"
        )
    if is_vllm_here(engine):
        check_vllm_here(recipe)


def check_vllm_here(recipe: Recipe) -> None:
    """That the run's own process can sample from vLLM.  Raises ConfigError."""
    if recipe.train.workers > 1:
        raise ConfigError(
            f"train.workers: {recipe.train.workers} processes do not go with vLLM in this process, "
            "which does all work; leave it at 0, or have vLLM started as a server (engine.python)"
        )
    if find_spec("vllm") is None:
        raise ConfigError(
            "engine.kind: vllm without engine.python and engine.url is vLLM in this process, whose "
            "interpreter has none; name one that has (engine.python), or a server (engine.url), or "
            "install vllm beside proofloop"
        )
