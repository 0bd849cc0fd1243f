"""Safetensors files of a checkpoint directory: one file, or shards named by an index.

Names, shapes and types are checked by the files' headers, before any weight is read; weights are
read one at a time, so that a checkpoint needs no memory twice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from proofloop.core.codec import to_json
from proofloop.core.errors import ModelError

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"
MAX_SHARD_BYTES = 5 * 10**9
_DTYPES = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One tensor of a checkpoint, not yet read."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


class _Index(msgspec.Struct):
    weight_map: dict[str, str]


def list_tensors(directory: Path) -> dict[str, Stored]:
    """By name.  Raises ModelError where files are missing or damaged, or contradict the index."""
    single, index = directory / WEIGHTS_NAME, directory / INDEX_NAME
    if single.exists():
        return _headers(single)
    if not index.exists():
        pickled = next(directory.glob("pytorch_model*.bin"), None)
        if pickled is not None:
            raise ModelError(
                f"{pickled}: weights in pickle, which can run any code, are not read; save the "
                "model as safetensors (in Transformers: save_pretrained)"
            )
        raise ModelError(f"{directory}: no {WEIGHTS_NAME} and no {INDEX_NAME}: no weights")
    return _sharded(index)


def _sharded(index: Path) -> dict[str, Stored]:
    try:
        places = msgspec.json.decode(index.read_bytes(), type=_Index).weight_map
    except (OSError, msgspec.DecodeError) as error:
        raise ModelError(f"{index}: cannot be read ({error}); fetch the file again") from error
    found: dict[str, Stored] = {}
    for name in sorted(set(places.values())):
        if Path(name).name != name:
            raise ModelError(f"{index}: names a file outside its directory: {name!r}")
        if not (index.parent / name).exists():
            raise ModelError(
                f"{index.parent / name}: named by {index.name}, but not there; fetch it again"
            )
        found |= _headers(index.parent / name)
    for tensor, name in places.items():
        if tensor not in found or found[tensor].file.name != name:
            raise ModelError(
                f"{index.parent / name}: has no tensor {tensor}, which {index.name} says it has; "
                "fetch both again"
            )
    return found


def _headers(path: Path) -> dict[str, Stored]:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: Stored(file=path, shape=tuple(s.get_shape()), dtype=s.get_dtype())
                for name, s in slices.items()
            }
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path}: cannot read the weights ({error}); truncated or damaged: fetch it again"
        ) from error


def check_tensors(
    directory: Path, stored: Mapping[str, Stored], expected: Mapping[str, torch.Size]
) -> None:
    """Raises ModelError, one line, for what is missing, left over, of another shape or type."""
    missing = [name for name in expected if name not in stored]
    if missing:
        raise ModelError(
            f"{directory}: weights do not fit config.json: missing {_some(missing)}; the download "
            "may be incomplete, or the architecture another"
        )
    extra = [name for name in stored if name not in expected]
    if extra:
        raise ModelError(
            f"{directory}: weights do not fit config.json: {_some(extra)} have no place in it"
        )
    for name, tensor in stored.items():
        if tensor.shape != tuple(expected[name]):
            raise ModelError(
                f"{tensor.file}: weights do not fit config.json: {name} has shape "
                f"{list(tensor.shape)}, should have {list(expected[name])}"
            )
        if tensor.dtype not in _DTYPES:
            raise ModelError(
                f"{tensor.file}: {name} is of type {tensor.dtype} (quantised?); supported: "
                f"{', '.join(_DTYPES)}"
            )


def _some(names: list[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")


def read_tensors(stored: Mapping[str, Stored]) -> Iterator[tuple[str, Tensor]]:
    """One at a time, in the type of the file.  Raises ModelError for values that are no numbers."""
    for path in sorted({tensor.file for tensor in stored.values()}):
        with safe_open(path, framework="pt") as file:
            for name in (n for n, tensor in stored.items() if tensor.file == path):
                tensor = file.get_tensor(name)
                if not tensor.isfinite().all():
                    raise ModelError(f"{path}: {name} has values that are not finite: damaged")
                yield name, tensor


def write_tensors(
    tensors: Mapping[str, Tensor],
    directory: Path,
    *,
    dtype: torch.dtype,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> set[str]:
    """As one file, or as shards of at most `max_shard_bytes` (a larger tensor: a shard of its own)
    and their index; returns the files' names.  Raises ModelError where a weight is beyond the
    type's range."""
    shards: list[list[str]] = [[]]
    room = max_shard_bytes
    size = {name: t.numel() * dtype.itemsize for name, t in tensors.items()}
    for name in tensors:
        if shards[-1] and size[name] > room:
            shards.append([])
            room = max_shard_bytes
        shards[-1].append(name)
        room -= size[name]
    files = [
        WEIGHTS_NAME if len(shards) == 1 else f"model-{i:05}-of-{len(shards):05}.safetensors"
        for i in range(1, len(shards) + 1)
    ]
    for file, names in zip(files, shards, strict=True):
        part = {name: _converted(name, tensors[name], dtype) for name in names}
        save_file(part, directory / file, metadata={"format": "pt"})
    if len(shards) > 1:
        index: dict[str, Any] = {
            "metadata": {"total_size": sum(size.values())},
            "weight_map": {n: f for f, names in zip(files, shards, strict=True) for n in names},
        }
        (directory / INDEX_NAME).write_bytes(msgspec.json.format(to_json(index), indent=2) + b"\n")
        files.append(INDEX_NAME)
    return set(files)


def _converted(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    converted = tensor.detach().to("cpu", dtype).contiguous()
    if not converted.isfinite().all():
        raise ModelError(f"{name} does not fit {dtype}'s range; save as bfloat16 or float32")
    return converted
