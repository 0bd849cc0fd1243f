"""The only place where records become bytes and bytes become records.

MessagePack for what machines read (segments, pipes), JSON for what people and other programs
read, and a content hash that both a task's identity and a policy's version are built on.
"""

import hashlib
import math
from typing import Any, TypeVar, cast

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


def from_json_with_gaps(data: bytes | str, type_: type[T]) -> T:
    """As `from_json`, of records that hold completions with entropies that nobody told: NaN, which
    JSON has as null."""
    return msgspec.convert(_filled(msgspec.json.decode(data)), type_)


def _filled(value: Any) -> Any:
    if isinstance(value, list):
        return [_filled(item) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {
            key: [math.nan if e is None else e for e in item]
            if key == "entropies" and isinstance(item, list)
            else _filled(item)
            for key, item in cast("dict[str, Any]", value).items()
        }
    return value


def content_hash(value: Any, *, length: int = 16) -> str:
    """The first `length` hexadecimal digits of SHA-256 over the deterministic JSON of `value`."""
    return hashlib.sha256(to_json(value)).hexdigest()[:length]
