"""The bytes between client and keeper: parcels of JSON and raw data, with descriptors.

Standard library only; see `keeper`.  Both ends are trusted; what comes from a command (output,
file contents, file names) crosses as data within.
"""

import json
import socket
import struct
from typing import Any

_HEADER = struct.Struct("<IQ")
_CHUNK_BYTES = 1 << 20
MAX_DESCRIPTORS = 4


def words(words: dict[str, Any]) -> bytes:
    """Words alone, for a channel that keeps messages apart."""
    return json.dumps(words).encode()


def pack(words: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(words).encode()
    return _HEADER.pack(len(text), len(data)) + text + data


def unpack(parcel: bytes) -> dict[str, Any]:
    """The words of one whole parcel without data."""
    return json.loads(parcel[_HEADER.size :])


class Receiver:
    """Takes parcels off a stream, whole or not at all."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._received = bytearray()
        self.descriptors: list[int] = []
        """Those that came along, for the reader of the parcel to take."""

    def take(self) -> tuple[dict[str, Any], bytes] | None:
        """The next parcel, if all of it is here."""
        if len(self._received) < _HEADER.size:
            return None
        num_words, num_data = _HEADER.unpack_from(self._received)
        start = _HEADER.size + num_words
        if len(self._received) < start + num_data:
            return None
        words = json.loads(self._received[_HEADER.size : start])
        data = bytes(self._received[start : start + num_data])
        del self._received[: start + num_data]
        return words, data

    def receive(self) -> bool:
        """Read what is there; False at the end of the stream.  Raises OSError."""
        room = socket.CMSG_SPACE(4 * MAX_DESCRIPTORS)
        data, ancillary, _, _ = self._channel.recvmsg(_CHUNK_BYTES, room, socket.MSG_CMSG_CLOEXEC)
        for level, kind, packed in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                self.descriptors += struct.unpack(f"{len(packed) // 4}i", packed)
        self._received += data
        return bool(data)
