"""Plain Python values as bytes, in a closed grammar: the only form in which a value crosses the
boundary to an untrusted program.

Tag-length-value; no pickle, no eval, no repr.  `encode` takes exact built-in types only: an
instance of a subclass is refused, so that no candidate's `__eq__` ever reaches a comparison.
`decode` trusts nothing: depth, nodes and sizes are capped before anything is built, and it raises
nothing but DecodeError.  The same source runs inside the candidate's process as a convenience; a
candidate may subvert its copy there, and then merely makes claims that this one checks.

Hence this file imports the standard library only.

    N T F                       None, True, False
    i <u32 n> <n bytes>         int, minimal two's complement, little-endian
    f <8>   c <16>              float, complex: IEEE 754 bits, little-endian
    s <u32 n> <n bytes>         str, UTF-8 with lone surrogates let through
    b <u32 n> <n bytes>         bytes
    l t S Z <u32 n> <n values>  list, tuple, set, frozenset
    d <u32 n> <n key, value>    dict, in insertion order
"""

import struct
from typing import Any

MAX_BYTES = 1 << 20
"""Longest encoding, unless the caller says otherwise."""
MAX_DEPTH = 64
MAX_INT_BYTES = 4096
"""About 9 800 decimal digits."""

_U32 = struct.Struct("<I")
_F64 = struct.Struct("<d")
_NAN = _F64.pack(float("nan"))
_SMALL = {n: b"i" + _U32.pack(1) + n.to_bytes(1, "little", signed=True) for n in range(-128, 128)}
"""Ready-made encodings: most of what tests pass around is small ints."""
_SMALL_BACK = {data: n for n, data in _SMALL.items()}
_SMALL_BYTES = 6


class EncodeError(ValueError):
    """The value lies outside the grammar, or over a cap."""


class DecodeError(ValueError):
    """The bytes are not the encoding of a value, or over a cap."""


def encode(value: Any, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Raises EncodeError for anything but exact built-in types within the caps."""
    out = bytearray()
    _write(value, out, max_bytes, 0, False)
    return bytes(out)


def strictly_equal(a: Any, b: Any) -> bool:
    """Same types all the way down, same order in sequences, same bits in floats.

    True is not 1, 1 is not 1.0, 0.0 is not -0.0; a NaN equals a NaN, whatever its payload.  Sets
    and dicts compare by content.  Values outside the grammar are equal to nothing.
    """
    try:
        return canonical(a) == canonical(b)
    except EncodeError:
        return False


def canonical(value: Any, *, max_bytes: int = MAX_BYTES) -> bytes:
    """An encoding in which strictly equal values, and only they, have the same bytes."""
    out = bytearray()
    _write(value, out, max_bytes, 0, True)
    return bytes(out)


def _write(value: Any, out: bytearray, max_bytes: int, depth: int, canon: bool) -> None:
    kind = type(value)
    if kind is int:
        size = _int_bytes(value)
        if size > MAX_INT_BYTES:
            raise EncodeError("an int over the size limit")
        out += b"i" + _U32.pack(size) + value.to_bytes(size, "little", signed=True)
    elif value is None:
        out += b"N"
    elif kind is bool:
        out += b"T" if value else b"F"
    elif kind is float:
        out += b"f" + _float_bytes(value, canon)
    elif kind is complex:
        out += b"c" + _float_bytes(value.real, canon) + _float_bytes(value.imag, canon)
    elif kind is str or kind is bytes:
        if len(value) > max_bytes:
            raise EncodeError("over the size limit")
        data = value if kind is bytes else value.encode("utf-8", "surrogatepass")
        out += (b"b" if kind is bytes else b"s") + _U32.pack(len(data)) + data
    elif kind in _CONTAINER_TAGS:
        if depth >= MAX_DEPTH:
            raise EncodeError("nested too deeply, or cyclic")
        _write_container(value, kind, out, max_bytes, depth + 1, canon)
    else:
        raise EncodeError("not a plain built-in value")
    if len(out) > max_bytes:
        raise EncodeError("over the size limit")


def _write_container(
    value: Any, kind: type, out: bytearray, max_bytes: int, depth: int, canon: bool
) -> None:
    if len(value) > max_bytes:
        raise EncodeError("over the size limit")
    out += _CONTAINER_TAGS[kind] + _U32.pack(len(value))
    if kind is list or kind is tuple:
        for item in value:
            if type(item) is int and -128 <= item <= 127:
                out += _SMALL[item]
            else:
                _write(item, out, max_bytes, depth, canon)
        return
    # Sets have no order of their own, so they are always sorted by bytes: equal sets, equal
    # encodings.  Dicts keep theirs, which a program that reads them may depend on.
    parts: list[bytes] = []
    size = len(out)
    for item in value.items() if kind is dict else value:
        part = bytearray()
        for x in item if kind is dict else (item,):
            _write(x, part, max_bytes - size, depth, canon)
        size += len(part)
        parts.append(bytes(part))
    if canon or kind is not dict:
        parts.sort()
    out += b"".join(parts)


def _int_bytes(value: int) -> int:
    bits = value.bit_length() if value >= 0 else (value + 1).bit_length()
    return bits // 8 + 1


def _float_bytes(value: float, canon: bool) -> bytes:
    return _NAN if canon and value != value else _F64.pack(value)


_CONTAINER_TAGS = {list: b"l", tuple: b"t", set: b"S", frozenset: b"Z", dict: b"d"}


def decode(data: bytes, *, max_bytes: int = MAX_BYTES) -> Any:
    """Rebuild exact built-in types.  Raises DecodeError, and nothing else, on any other bytes."""
    if len(data) > max_bytes:
        raise DecodeError(f"{len(data)} bytes, more than {max_bytes}")
    reader = _Reader(data)
    value = reader.value(0)
    if reader.at != len(data):
        raise DecodeError("bytes after the value")
    return value


class _Reader:
    """A cursor that never reads, nor allocates, past the bytes it was given."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise DecodeError("cut short")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def count(self, least_bytes_each: int = 1) -> int:
        (n,) = _U32.unpack(self.take(4))
        if n * least_bytes_each > len(self.data) - self.at:
            raise DecodeError("a length that the bytes do not hold")
        return n

    def value(self, depth: int) -> Any:
        tag = self.take(1)
        if tag == b"i":
            return self.integer()
        if tag == b"N":
            return None
        if tag == b"T" or tag == b"F":
            return tag == b"T"
        if tag == b"f":
            return _F64.unpack(self.take(8))[0]
        if tag == b"c":
            return complex(_F64.unpack(self.take(8))[0], _F64.unpack(self.take(8))[0])
        if tag == b"s":
            try:
                return self.take(self.count()).decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:
                raise DecodeError("a str that is not UTF-8") from None
        if tag == b"b":
            return self.take(self.count())
        if depth >= MAX_DEPTH:
            raise DecodeError("nested too deeply")
        return self.container(tag, depth + 1)

    def integer(self) -> int:
        start = self.at + 4
        size = int.from_bytes(self.data[self.at : start], "little")
        self.at = start + size
        if not 0 < size <= MAX_INT_BYTES or self.at > len(self.data):
            raise DecodeError("an int of no or too many bytes, or cut short")
        value = int.from_bytes(self.data[start : self.at], "little", signed=True)
        if size > 1 and _int_bytes(value) != size:
            raise DecodeError("an int that is not minimal")
        return value

    def items(self, num: int, depth: int) -> list[Any]:
        items: list[Any] = []
        data, small = self.data, _SMALL_BACK
        for _ in range(num):
            at = self.at
            item: Any = small.get(data[at : at + _SMALL_BYTES])
            if item is None:
                item = self.value(depth)
            else:
                self.at = at + _SMALL_BYTES
            items.append(item)
        return items

    def container(self, tag: bytes, depth: int) -> Any:
        if tag == b"l" or tag == b"t":
            items = self.items(self.count(), depth)
            return items if tag == b"l" else tuple(items)
        try:
            if tag == b"S" or tag == b"Z":
                n = self.count()
                members = {self.value(depth) for _ in range(n)}
                if len(members) != n:
                    raise DecodeError("a set with equal members")
                return members if tag == b"S" else frozenset(members)
            if tag == b"d":
                n = self.count(2)
                entries: dict[Any, Any] = {}
                for _ in range(n):
                    key = self.value(depth)
                    entries[key] = self.value(depth)
                if len(entries) != n:
                    raise DecodeError("a dict with equal keys")
                return entries
        except TypeError:
            raise DecodeError("an unhashable member or key") from None
        raise DecodeError("an unknown tag")
