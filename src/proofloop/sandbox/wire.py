"""The bytes between client, fork-server and candidate.  Standard library only; see `zygote`.

Two kinds of channel:
- control (SEQPACKET), client <-> fork-server: fixed-size orders and reports, never any source,
  argument or result;
- data (STREAM), client <-> one candidate's process: frames, a header and a capped payload.
"""

import marshal
import struct
from collections.abc import Iterable
from typing import Any

HEADER = struct.Struct("<IBI")
"""Payload bytes, kind, index of the call."""

# client -> candidate
SOURCE, CALL, CHECK, REPLY, SCRIPT, DECOYS, CALLS, LEAVE = 1, 2, 3, 4, 5, 6, 7, 8
# candidate -> client
READY, ISOLATION_FAILED, LOADED, LOAD_FAILED = 16, 17, 18, 19
RETURNED, RAISED, UNDEFINED, UNENCODABLE = 20, 21, 22, 23
ASKED, CHECK_PASSED, CHECK_FAILED = 24, 25, 26

SPAWN = struct.Struct("<BIQIIIII")
"""Order: b'S', child, memory_bytes, cpu_s, num_processes, num_open_files, result_bytes, 0.
Descriptors ride along: the data channel, the output pipe and, for a script, its standard input."""
ORDER = struct.Struct("<BI")
"""Order: b'K' (kill child), b'R' (reap strays) or b'C' (kill and reap all strays), child."""
ENDED = struct.Struct("<BIidQB")
"""Report: b'E', child, wait status, CPU seconds, peak resident bytes, whether it was stopped when
it was to be killed."""

STARTED, FAILED = b"A", b"F"
"""First report: the fork-server stands isolated, by the measures named (T0 or T1); or the step that
failed, as text."""
OWNER = b"O"
"""First order; a pidfd of the owner rides along."""
REFUSED = struct.Struct("<BI")
"""Report: b'X', child, then text: our side could not start it."""

MAX_NAME_BYTES = 200
_MARSHAL = 2
"""The last version of `marshal` that writes each value out in full, whoever else refers to it."""


def frame(kind: int, index: int, payload: bytes = b"") -> bytes:
    return HEADER.pack(len(payload), kind, index) + payload


def call_payload(function: str, args: bytes, keep_as: str = "") -> bytes:
    names = [name.encode("utf-8", "surrogatepass") for name in (function, keep_as)]
    return struct.pack("<HH", *map(len, names)) + b"".join(names) + args


def calls_payload(calls: Iterable[tuple[str, str, tuple[Any, ...]]]) -> bytes:
    """Of many calls at once, each as function, name to keep the result under, arguments.

    By `marshal`, which the interpreter at the other end (the same one) reads ten times faster than
    `core.value`; never for what comes back."""
    plain = [(name, keep_as, marshal.dumps(args, _MARSHAL)) for name, keep_as, args in calls]
    return marshal.dumps(plain, _MARSHAL)


def split_calls(payload: bytes) -> list[tuple[str, str, bytes]]:
    """Function, name to keep the result under (empty: claim it), arguments for `marshal.loads`."""
    return marshal.loads(payload)


def split_call(payload: bytes) -> tuple[str, str, bytes]:
    """Function, name to keep the result under (empty: claim it), arguments."""
    function_size, keep_size = struct.unpack_from("<HH", payload)
    keep_at = 4 + function_size
    function, keep_as = payload[4:keep_at], payload[keep_at : keep_at + keep_size]
    return (
        function.decode("utf-8", "surrogatepass"),
        keep_as.decode("utf-8", "surrogatepass"),
        payload[keep_at + keep_size :],
    )
