"""Checkpoints: directories `step-000050/` of files and a manifest of their SHA-256.

The invariant: a directory of that name was complete when it got it (temporary name, fsync,
rename), and whatever happened to it since is found by its checksums, never loaded.  What the
files mean is not known here.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from proofloop.core import codec
from proofloop.core.errors import StoreDamaged
from proofloop.core.record import Record
from proofloop.store.files import TEMPORARY_PREFIX, sync_directory, write_synced

MANIFEST_NAME = "checkpoint.json"
_STEP_NAME = re.compile(r"step-(\d{6,})")


class Manifest(Record):
    """`checkpoint.json`."""

    step: int
    sha256: dict[str, str]
    """By file name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint whose checksums held when it was looked at."""

    path: Path
    step: int
    sha256: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A checkpoint that was passed over, and why, in one line that names the file."""

    path: Path
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The newest usable checkpoint, and the newer ones that are not usable."""

    checkpoint: Checkpoint | None
    problems: tuple[Problem, ...]


def save(directory: Path, step: int, files: Mapping[str, bytes], *, keep: int) -> Checkpoint:
    """Write a checkpoint, then remove all but the newest `keep` up to this step.

    One already there for this step is replaced.  Those of later steps stay: the run was resumed
    before them because they are damaged, and it will come by and replace them.
    Raises ValueError (names, `keep` below 2: damage to the newest must leave one), OSError.
    """
    if keep < 2:
        raise ValueError(f"keep must be at least 2, not {keep}")
    for name in files:
        if not name or Path(name).name != name or name == MANIFEST_NAME:
            raise ValueError(f"{name!r} cannot be the name of a file in a checkpoint")
    directory.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(directory)
    manifest = Manifest(step=step, sha256={name: _sha256(data) for name, data in files.items()})
    path = directory / f"step-{step:06d}"
    temporary = directory / f"{TEMPORARY_PREFIX}{path.name}"
    temporary.mkdir()
    for name, data in files.items():
        write_synced(temporary / name, data)
    write_synced(temporary / MANIFEST_NAME, codec.to_json(manifest))
    sync_directory(temporary)
    if path.exists():
        _remove(path)
    temporary.rename(path)
    sync_directory(directory)
    for old in [old for old_step, old in _candidates(directory) if old_step <= step][keep:]:
        _remove(old)
    return Checkpoint(path=path, step=step, sha256=manifest.sha256)


def latest(directory: Path) -> Latest:
    """Look for the newest checkpoint whose checksums hold; `problems` are the newer ones."""
    problems = list[Problem]()
    for step, path in _candidates(directory):
        try:
            return Latest(checkpoint=_verify(path, step), problems=tuple(problems))
        except StoreDamaged as error:
            problems.append(Problem(path=path, problem=str(error)))
    return Latest(checkpoint=None, problems=tuple(problems))


def load(checkpoint: Checkpoint) -> dict[str, bytes]:
    """The files by name.  Raises StoreDamaged where they changed since they were looked at."""
    return {name: _read(checkpoint.path, name, sha) for name, sha in checkpoint.sha256.items()}


def _verify(path: Path, step: int) -> Checkpoint:
    try:
        manifest = codec.from_json((path / MANIFEST_NAME).read_bytes(), Manifest)
    except OSError as error:
        raise StoreDamaged(f"{path / MANIFEST_NAME}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreDamaged(f"{path / MANIFEST_NAME}: {error}") from error
    if manifest.step != step:
        raise StoreDamaged(f"{path / MANIFEST_NAME}: is of step {manifest.step}")
    checkpoint = Checkpoint(path=path, step=step, sha256=manifest.sha256)
    load(checkpoint)
    return checkpoint


def _read(path: Path, name: str, sha256: str) -> bytes:
    try:
        data = (path / name).read_bytes()
    except OSError as error:
        raise StoreDamaged(f"{path / name}: {error.strerror}") from error
    if _sha256(data) != sha256:
        raise StoreDamaged(f"{path / name}: does not match its checksum")
    return data


def _candidates(directory: Path) -> list[tuple[int, Path]]:
    """Checkpoint directories, newest first."""
    if not directory.is_dir():
        return []
    found = [(m, path) for path in directory.iterdir() if (m := _STEP_NAME.fullmatch(path.name))]
    return sorted(((int(m.group(1)), path) for m, path in found), reverse=True)


def _remove(path: Path) -> None:
    """Rename, then delete: a kill half way must not leave half a checkpoint under a good name."""
    doomed = path.with_name(f"{TEMPORARY_PREFIX}removed-{path.name}")
    os.replace(path, doomed)
    shutil.rmtree(doomed)


def _remove_leftovers(directory: Path) -> None:
    for leftover in directory.glob(f"{TEMPORARY_PREFIX}*"):
        shutil.rmtree(leftover)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
