"""From a recipe's `model.path` to a checkpoint directory."""

from pathlib import Path

from proofloop.core.errors import ModelError

EMBEDDED = Path(__file__).parent.parent / "models"


def resolve_model(path: str) -> Path:
    """The directory of an embedded model (`pico`) or the one that is named.

    Raises ModelError where there is none.
    """
    if "/" not in path and (EMBEDDED / path / "config.json").exists():
        return EMBEDDED / path
    directory = Path(path).expanduser()
    if not directory.is_dir():
        raise ModelError(
            f"model.path: no checkpoint directory {path!r}; give a directory in Hugging Face "
            "format, or `pico`, the embedded base model"
        )
    return directory
