"""What crosses between the trusted side and the controller of a suite: jobs in over standard
input, reports out over descriptor 3.  Standard library only."""

import os
import struct

READY, RUN = 1, 2
"""Reports: the controller can begin; a run has ended."""
ENDED, TIME_LIMIT, FLOOD = 0, 1, 2
"""Why a run is over: by itself, or stopped by the controller."""

REPORT_FD = 3
SIZE = struct.Struct("<I")
REPORT = struct.Struct("<BHBidI")
"""Kind, number of the run, why it is over, wait status, processor time (s), size of the claims."""


def frame(payload: bytes) -> bytes:
    return SIZE.pack(len(payload)) + payload


def read(fd: int) -> bytes:
    """The next frame, and not a byte more.  Raises EOFError."""
    (size,) = SIZE.unpack(_exactly(fd, SIZE.size))
    return _exactly(fd, size)


def _exactly(fd: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = os.read(fd, min(size - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
