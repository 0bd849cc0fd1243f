"""Test cases as LiveCodeBench (Jain et al. 2024, arXiv:2403.07974) writes them.

`public_test_cases` is JSON in a string; `private_test_cases` is that, or the same JSON packed:
base64 of zlib of a pickle.  Nothing is ever unpickled: a pickle is read by its opcodes, and one
that is more than a single text is refused.
"""

import base64
import binascii
import json
import pickletools
import zlib
from typing import Any

import msgspec

from proofloop.core import value
from proofloop.core.task import CallTests, Close, Keeps, Returns, TestCall

_MAX_UNPACKED_BYTES = 1024**3
_TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"}
_AROUND = {"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "STOP"}
_OBJECT = "solution"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One test.  Of a `functional` one the input holds an argument a line, the output the result,
    as JSON."""

    input: str
    output: str
    testtype: str = "stdin"


class Unreadable(ValueError):
    """The tests cannot be read; the message says which and why."""


def read_cases(public: str | list[Any], private: str | list[Any]) -> list[Case]:
    """Raises Unreadable."""
    return [*_cases("public_test_cases", public), *_cases("private_test_cases", private)]


def _cases(name: str, packed: str | list[Any]) -> list[Case]:
    try:
        if isinstance(packed, list):
            return msgspec.convert(packed, list[Case])
        if not packed.strip():
            return []
        text = packed if packed.lstrip().startswith("[") else _unpacked(packed)
        return msgspec.json.decode(text, type=list[Case])
    except (msgspec.MsgspecError, Unreadable, UnicodeError) as error:
        raise Unreadable(f"{name}: {error}") from error


def _unpacked(packed: str) -> str:
    """Raises Unreadable."""
    try:
        squeezed = base64.b64decode(packed.encode(), validate=True)
        unzip = zlib.decompressobj()
        data = unzip.decompress(squeezed, _MAX_UNPACKED_BYTES)
    except (binascii.Error, zlib.error) as error:
        raise Unreadable(f"neither JSON nor base64 of zlib ({error})") from error
    if not unzip.eof:
        raise Unreadable(f"cut short, or more than {_MAX_UNPACKED_BYTES} bytes")
    return _text_of_pickle(data) if data.startswith(b"\x80") else data.decode()


def _text_of_pickle(data: bytes) -> str:
    """Of a pickle that is one text and nothing else.  Parses; nothing is built or called."""
    texts: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name in _TEXTS and isinstance(argument, str):
                texts.append(argument)
            elif opcode.name not in _AROUND:
                raise Unreadable(
                    f"a Python pickle of more than a text ({opcode.name}), which we do not load; "
                    "write the tests as JSON"
                )
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(f"a damaged Python pickle ({error})") from error
    if len(texts) != 1:
        raise Unreadable("a Python pickle of something else than a text; write the tests as JSON")
    return texts[0]


def function_of(metadata: str | dict[str, Any] | None) -> str | None:
    """The method that functional tests call.  Raises Unreadable."""
    try:
        given = json.loads(metadata or "{}") if isinstance(metadata, str) else metadata or {}
    except ValueError as error:
        raise Unreadable(f"metadata: not JSON ({error})") from error
    name = given.get("func_name") if isinstance(given, dict) else None
    return name if isinstance(name, str) and name.isidentifier() else None


def call_tests(cases: list[Case], function: str) -> CallTests:
    """Calls of a method of `Solution`, one object for all.  Raises Unreadable."""
    made = TestCall(function="Solution", args=value.encode(()), wanted=Keeps(name=_OBJECT))
    return CallTests(
        calls=(made, *(_call(number, case, function) for number, case in enumerate(cases, 1))),
        comparison=Close(),
    )


def _call(number: int, case: Case, function: str) -> TestCall:
    try:
        lines = [line for line in case.input.split("\n") if line.strip()]
        args = value.encode(tuple(json.loads(line) for line in lines))
        result = value.encode(json.loads(case.output))
    except (ValueError, value.EncodeError) as error:
        raise Unreadable(
            f"test {number}: an argument a line and a result, as JSON ({error})"
        ) from error
    return TestCall(function=f"{_OBJECT}.{function}", args=args, wanted=Returns(value=result))
