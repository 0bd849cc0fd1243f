"""Checkpoint directories in Hugging Face format: config.json, safetensors, tokenizer.

Weights are float32 in memory whatever the file's type; a file saved in the type that it was read
in is the same to the last bit.
"""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import torch

from proofloop.core.codec import to_json
from proofloop.core.errors import ModelError
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.hub_config import hub_config, read_config, read_json, read_raw_config
from proofloop.engine.models.tensors import (
    MAX_SHARD_BYTES,
    check_tensors,
    list_tensors,
    read_tensors,
    write_tensors,
)

__all__ = ["copy_tokenizer", "load_model", "read_config", "save_model"]

TOKENIZER_FILES = ("tokenizer.json",)
"""A checkpoint is not whole without them."""
TOKENIZER_EXTRAS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tokenizer.model",
)
"""Copied where they are there: other tools read them."""
GENERATION_NAME = "generation_config.json"
_SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def load_model(directory: Path) -> Decoder:
    """Raises ModelError where weights are missing, damaged or do not fit the configuration."""
    config = read_config(directory)
    stored = list_tensors(directory)
    # Llama's first conversions saved the rotation's frequencies, too.
    stored = {n: t for n, t in stored.items() if not n.endswith("rotary_emb.inv_freq")}
    model = Decoder(config)
    places = model.state_dict()
    head = "lm_head.weight"
    expected = {name: place.shape for name, place in places.items()}
    if config.tie_word_embeddings and head not in stored:
        del expected[head]
    check_tensors(directory, stored, expected)
    also = {head: stored.pop(head)} if config.tie_word_embeddings and head in stored else {}
    for name, tensor in read_tensors(stored):
        places[name].copy_(tensor)
    for name, tensor in read_tensors(also):
        if not torch.equal(tensor.float(), places[head]):
            raise ModelError(
                f"{also[name].file}: config.json ties {head} to the embedding, but they differ; "
                'set "tie_word_embeddings": false or take the tensor out'
            )
    return model


def save_model(
    model: Decoder,
    directory: Path,
    *,
    tokenizer_from: Path,
    dtype: torch.dtype = torch.float32,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    stop_ids: tuple[int, ...] = (),
) -> None:
    """Writes a directory that Transformers loads; the tokenizer's files, the ids that stop a text
    and what a model's makers advise for sampling are those of `tokenizer_from`.

    stop_ids: with which the model was trained to stop, written beside those that the source has.

    Raises ModelError where a weight is beyond the type's range.
    """
    directory.mkdir(parents=True, exist_ok=True)
    weights = model.state_dict()
    if model.config.tie_word_embeddings:
        del weights["lm_head.weight"]
    ids = _special_ids(tokenizer_from)
    written = write_tensors(weights, directory, dtype=dtype, max_shard_bytes=max_shard_bytes)
    for stale in directory.glob("model*.safetensors*"):
        if stale.name not in written:
            stale.unlink()
    _write_json(
        directory / "config.json",
        hub_config(model.config)
        | {"dtype": str(dtype).removeprefix("torch."), "use_cache": True}
        | ids,
    )
    copy_tokenizer(tokenizer_from, directory)
    _write_generation(tokenizer_from, directory, ids, stop_ids)


def copy_tokenizer(source: Path, directory: Path) -> None:
    """Into `directory`, which is made; nothing to do where it is the source itself."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in TOKENIZER_FILES:
        _copy(source / name, directory / name)
    for pattern in TOKENIZER_EXTRAS:
        for found in sorted(source.glob(pattern)):
            _copy(found, directory / found.relative_to(source))


def _copy(source: Path, target: Path) -> None:
    if source.resolve() == target.resolve():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write_generation(
    source: Path, directory: Path, ids: dict[str, Any], stop_ids: tuple[int, ...]
) -> None:
    """generation_config.json, in which Transformers and vLLM look for what ends a text."""
    advice = {key: id_ for key, id_ in ids.items() if id_ is not None}
    if (source / GENERATION_NAME).exists():
        advice = read_json(source / GENERATION_NAME)
    known = advice.get("eos_token_id")
    stops = known if isinstance(known, list) else [] if known is None else [known]
    new = [stop for stop in stop_ids if stop not in stops]
    if new:
        advice["eos_token_id"] = [*stops, *new] if stops or len(new) > 1 else new[0]
    if advice:
        _write_json(directory / GENERATION_NAME, advice)


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_bytes(msgspec.json.format(to_json(value), indent=2) + b"\n")


def _special_ids(source: Path) -> dict[str, Any]:
    """Ids of the tokens that begin, end and pad a text: those of the source's config.json or, where
    it has none yet, of its tokenizer.  None, which a file must say, where there is no such token:
    left out, a model class of Transformers would have its own makers' ids."""
    found: dict[str, Any] = dict.fromkeys(_SPECIAL_IDS)
    if (source / "config.json").exists():
        raw = read_raw_config(source)
        return {key: raw.get(key) for key in found}
    try:
        tokens = msgspec.json.decode((source / "tokenizer.json").read_bytes())
        names = msgspec.json.decode((source / "tokenizer_config.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return found
    ids = {added["content"]: added["id"] for added in tokens.get("added_tokens", ())}
    for key in found:
        token = names.get(key.removesuffix("_id"))
        token = token["content"] if isinstance(token, dict) else token
        if token in ids:
            found[key] = ids[token]
    return found
