"""From a recipe's `model.path` to a checkpoint directory."""

import re
from pathlib import Path

from proofloop.core.errors import ModelError

EMBEDDED = Path(__file__).parent.parent / "models"

_HUB_ID = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "merges.txt", "vocab.txt", "tokenizer.model"]


def resolve_model(path: str) -> Path:
    """The directory of an embedded model (`pico`), the one that is named, or the snapshot of a hub
    id (`org/name` or `org/name@revision`), which is fetched where it is not in the hub's cache.

    Raises ModelError where there is none.
    """
    if "/" not in path and (EMBEDDED / path / "config.json").exists():
        return EMBEDDED / path
    directory = Path(path).expanduser()
    if directory.is_dir():
        return directory
    hub_id = _HUB_ID.fullmatch(path)
    if hub_id is None or path.startswith("."):
        raise ModelError(
            f"model.path: no checkpoint directory {path!r}; give a directory in Hugging Face "
            "format, a hub id (org/name), or an embedded base model, such as `pico`"
        )
    return _snapshot(path, hub_id["name"], hub_id["revision"])


def _snapshot(path: str, name: str, revision: str | None) -> Path:
    """Through the hub's own client, which keeps to HF_HUB_OFFLINE, HF_HOME and HF_TOKEN."""
    try:
        import huggingface_hub
    except ImportError:
        raise ModelError(
            f"model.path: no checkpoint directory {path!r}; to fetch it as a hub id, install "
            "`proofloop[hf]`"
        ) from None
    try:
        found = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=_HUB_FILES
        )
    except Exception as error:  # of the client, its transport, and the file system
        first = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"model.path: no checkpoint directory {path!r}, and as a hub id it cannot be had "
            f"({type(error).__name__}: {first}); check its spelling, the connection, HF_TOKEN for "
            "a gated model, and HF_HUB_OFFLINE"
        ) from error
    return Path(found)
