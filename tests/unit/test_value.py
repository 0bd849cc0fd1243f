"""The grammar in which values cross the boundary: round trips, strictness, and hostile bytes."""

import math
import struct
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proofloop.core.value import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_INT_BYTES,
    DecodeError,
    EncodeError,
    decode,
    encode,
    strictly_equal,
)

any_text = st.text(st.characters(codec=None, exclude_categories=()))
hashables = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text
    | st.binary() | st.complex_numbers(allow_nan=False),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4),
    max_leaves=6,
)  # fmt: skip
values = st.recursive(
    hashables | st.floats() | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.tuples(inner, inner)
        | st.sets(hashables, max_size=5)
        | st.dictionaries(hashables, inner, max_size=5)
    ),
    max_leaves=20,
)


@given(values)
def test_decoding_gives_back_what_was_encoded(value: Any) -> None:
    again = decode(encode(value))
    assert type(again) is type(value)
    assert strictly_equal(again, value)
    assert encode(again) == encode(value)


@given(values)
@example({"b": 1, "a": 2})
def test_the_order_of_a_dict_survives(value: Any) -> None:
    again = decode(encode(value))
    if type(value) is dict:
        assert list(map(encode, again)) == list(map(encode, value))


@given(values, values)
def test_strict_equality_is_no_laxer_than_python(a: Any, b: Any) -> None:
    if strictly_equal(a, b):
        assert type(a) is type(b)
        assert a == b or "nan" in repr(a)


@given(st.binary(max_size=300))
@example(b"l\xff\xff\xff\xff")
@example(b"s\xff\xff\xff\xff")
@example(b"S\x02\x00\x00\x00TT")
@example(b"d\x01\x00\x00\x00l\x00\x00\x00\x00N")
@example(b"l\x01\x00\x00\x00" * 10_000)
@example(b"i\x00\x00\x00\x00")
@example(b"i\x02\x00\x00\x00\x01\x00")
@example(b"NN")
@example(b"")
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        value = decode(data)
    except DecodeError:
        return
    assert decode(encode(value)) is value or strictly_equal(decode(encode(value)), value)


@given(values, st.integers(0, 400), st.integers(0, 255))
def test_damaged_encodings_decode_or_are_refused(value: Any, at: int, byte: int) -> None:
    data = bytearray(encode(value))
    data[at % len(data)] = byte
    try:
        decode(bytes(data))
    except DecodeError:
        return


@pytest.mark.parametrize("tag", [b"l", b"t", b"S", b"Z", b"d", b"s", b"b", b"i"])
def test_a_claimed_length_allocates_nothing(tag: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(DecodeError):
        decode(tag + struct.pack("<I", 2**32 - 1) + b"N" * 100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100_000


_PRIME = 2**61 - 1
"""Its multiples have one hash."""


@pytest.mark.parametrize(
    "colliding",
    [
        {i * _PRIME for i in range(1, 4400)},
        dict.fromkeys(i * _PRIME for i in range(1, 4000)),
        {(i * _PRIME,) for i in range(1, 2000)},
        {complex(-1000003.0 * i, i) for i in range(1, 2000)},
        [{i * _PRIME for i in range(1, 200)} for _ in range(20)],
    ],
    ids=["set", "dict", "tuples", "complex", "several"],
)
def test_a_table_of_equal_hashes_is_refused_before_it_is_built(colliding: Any) -> None:
    data = encode(colliding)
    assert len(data) <= 64 * 1024
    start = time.process_time()
    with pytest.raises(DecodeError, match="one hash"):
        decode(data)
    assert time.process_time() - start < 0.1


def test_hashes_that_are_equal_by_chance_do_no_harm() -> None:
    """-1 and -2 have one hash, and so have tuples of them; so have many powers of two."""
    grid = {(x, y, z) for x in range(-6, 7) for y in range(-6, 7) for z in range(-6, 7)}
    assert decode(encode(grid)) == grid
    powers = {2.0**k for k in range(-1000, 1000)}
    assert len({hash(power) for power in powers}) == 61
    assert decode(encode(powers)) == powers


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (True, 1), (1, 1.0), (0.0, -0.0), ([1], (1,)), ({1}, frozenset({1})), ("a", b"a"),
        ([1, 2], [2, 1]), ({1: True}, {1: 1}), (0, None), ({1: 2}, {1: 2, 3: 4}), (1.0, 1 + 0j),
    ],
)  # fmt: skip
def test_values_that_are_not_strictly_equal(a: Any, b: Any) -> None:
    assert not strictly_equal(a, b)
    assert strictly_equal(a, a)
    assert strictly_equal(b, b)


def test_values_that_are_strictly_equal() -> None:
    assert strictly_equal(math.nan, struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000001))[0])
    assert strictly_equal({1: 2, 3: 4}, {3: 4, 1: 2})
    assert strictly_equal({3, 1, 2}, {2, 3, 1})
    assert strictly_equal("\ud800", "\ud800")


class _Int(int):
    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0


def _cyclic() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _shared() -> list[Any]:
    nested: list[Any] = [0] * 10
    for _ in range(20):  # 10**21 leaves, a few hundred objects
        nested = [nested] * 10
    return nested


@pytest.mark.parametrize(
    "make",
    [
        lambda: _Int(1), lambda: [_Int(1)], lambda: {_Int(1): 2}, object, lambda: (x for x in ()),
        lambda: range(3), lambda: bytearray(b"x"), _cyclic, _shared,
        lambda: 1 << (8 * MAX_INT_BYTES), lambda: "x" * (MAX_BYTES + 1),
        lambda: [None] * (MAX_BYTES + 1), lambda: int, lambda: len,
    ],
)  # fmt: skip
def test_what_lies_outside_the_grammar_is_refused(make: Any) -> None:
    value = make()
    with pytest.raises(EncodeError):
        encode(value)
    assert not strictly_equal(value, value)


def test_the_caps_are_where_they_are_said_to_be() -> None:
    nested: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        nested = [nested]
    assert decode(encode(nested)) == nested
    with pytest.raises(EncodeError):
        encode([nested])
    with pytest.raises(DecodeError):
        decode(b"l\x01\x00\x00\x00" + encode(nested))
    with pytest.raises(EncodeError):
        encode("x" * 100, max_bytes=100)
    with pytest.raises(DecodeError):
        decode(encode("x" * 100), max_bytes=100)
