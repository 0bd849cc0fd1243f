"""Append-only files of checksummed frames: where token arrays live.

    frame = b"PLG1" · length of payload (u32, little-endian) · CRC-32 of payload (u32) · payload

A payload is the zlib-deflated MessagePack of one `StoredGroup` (deflating costs some 16 µs a
rollout and makes it two to three times smaller: answers and contexts repeat in a group).
The invariant: bytes are on disk before the rows that point to them commit, and the table
`segments` says how far each file counts.  Bytes past that are the tail of a write that a killed
process did not finish; the next writer overwrites them.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from proofloop.core import codec
from proofloop.core.errors import StoreDamaged
from proofloop.core.record import Record
from proofloop.core.rollout import Group
from proofloop.core.task import Task
from proofloop.store.files import sync_directory

_HEADER = struct.Struct("<4sII")
_MAGIC = b"PLG1"
_MAX_SEGMENT_BYTES = 256 * 1024 * 1024


class StoredGroup(Record):
    """What one frame holds.  The task comes without its key, which is never stored."""

    task: Task
    group: Group


class Location(NamedTuple):
    """Where a frame is; the same four columns stand in the table `rollouts`."""

    segment: str
    """Path relative to the run directory."""
    offset: int
    num_bytes: int
    """The whole frame, header included."""
    crc32: int


class Counted(NamedTuple):
    """A row of table `segments`: how far the newest segment file counts."""

    segment: str
    num_bytes: int


NOTHING_COUNTED = Counted("segments/000001.seg", 0)


def append(
    run_directory: Path, counted: Counted, groups: list[StoredGroup]
) -> tuple[list[Location], Counted]:
    """Write and fsync one frame per group behind `counted`.

    Gives the place of each and what counts once the rows that point there are committed.  Nothing
    is remembered between calls: an append whose rows did not commit is overwritten by the next.
    Raises OSError.
    """
    counted = _with_room(run_directory, counted)
    path = run_directory / counted.segment
    is_new = not path.exists()
    frames, locations = list[bytes](), list[Location]()
    end = counted.num_bytes
    for group in groups:
        payload = zlib.compress(codec.to_msgpack(group), 1)
        crc32 = zlib.crc32(payload)
        frame = _HEADER.pack(_MAGIC, len(payload), crc32) + payload
        frames.append(frame)
        locations.append(Location(counted.segment, end, len(frame), crc32))
        end += len(frame)
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.truncate(counted.num_bytes)
        file.writelines(frames)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_directory(path.parent)
        sync_directory(run_directory)
    return locations, Counted(counted.segment, end)


def _with_room(run_directory: Path, counted: Counted) -> Counted:
    """The same segment, or the start of the next one."""
    path = run_directory / counted.segment
    size = path.stat().st_size if path.exists() else 0
    # A file that lost counted bytes is left alone: reading them says so, filling the gap would not.
    if counted.num_bytes < _MAX_SEGMENT_BYTES and size >= counted.num_bytes:
        return counted
    return Counted(f"segments/{int(path.stem) + 1:06d}.seg", 0)


def read_group(run_directory: Path, location: Location) -> StoredGroup:
    """Raises StoreDamaged, naming file and offset, where the bytes are not those written."""
    try:
        with (run_directory / location.segment).open("rb") as file:
            frame = os.pread(file.fileno(), location.num_bytes, location.offset)
    except OSError as error:
        raise _damaged(run_directory, location, error.strerror or "unreadable") from error
    if len(frame) != location.num_bytes:
        raise _damaged(run_directory, location, "the file ends too early")
    payload = memoryview(frame)[_HEADER.size :]
    header = _HEADER.pack(_MAGIC, len(payload), location.crc32)
    if frame[: _HEADER.size] != header or zlib.crc32(payload) != location.crc32:
        raise _damaged(run_directory, location, "the bytes do not match their checksum")
    try:
        return codec.from_msgpack(zlib.decompress(payload), StoredGroup)
    except (zlib.error, msgspec.DecodeError) as error:
        # The checksum holds, so the bytes are as written: another version's record.
        raise _damaged(
            run_directory, location, f"not a record of this version ({error})"
        ) from error


def _damaged(run_directory: Path, location: Location, problem: str) -> StoreDamaged:
    return StoreDamaged(
        f"{run_directory / location.segment}, offset {location.offset}: {problem} (a disk fault, "
        "or the file was changed); copy the file back from a backup, or start a new run. "
        "Everything in run.db is still readable"
    )
