"""The only place where records become bytes and bytes become records.

MessagePack for what machines read (segments, pipes), JSON for what people and other programs
read, and a content hash that both a task's identity and a policy's version are built on.
"""

import hashlib
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_msgpack = msgspec.msgpack.Encoder()
_json = msgspec.json.Encoder(order="deterministic")


def to_msgpack(value: Any) -> bytes:
    return _msgpack.encode(value)


def from_msgpack(data: bytes | memoryview, type_: type[T]) -> T:
    """Decode and validate.  Raises msgspec.DecodeError (truncated or foreign bytes) or
    msgspec.ValidationError (the path of the offending field is in its message)."""
    return msgspec.msgpack.decode(data, type=type_)


def to_json(value: Any) -> bytes:
    return _json.encode(value)


def from_json(data: bytes | str, type_: type[T]) -> T:
    """Decode and validate JSON; raises as `from_msgpack` does."""
    return msgspec.json.decode(data, type=type_)


def content_hash(value: Any, *, length: int = 16) -> str:
    """The first `length` hexadecimal digits of SHA-256 over the deterministic JSON of `value`."""
    return hashlib.sha256(to_json(value)).hexdigest()[:length]
