"""The panel for JSON answers: values that a lenient comparison takes for the wanted one, texts that
a lenient parser takes for JSON, and the same value otherwise written."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from proofloop.core.task import JsonAnswer, Place
from proofloop.verify.audit.fixture import Fixture, Kind
from proofloop.verify.audit.placed import hedges, placed
from proofloop.verify.math.extract import NoFinalAnswer
from proofloop.verify.place import text_at

_Rebuild = Callable[[Any], Any]
MAX_PLACES = 200
"""Values of the wanted one that are bent in turn, at most."""


def json_fixtures(key: JsonAnswer, oracle: str) -> Iterator[Fixture]:
    try:
        gold = text_at(key.place, oracle, tags=("json",))
        value = json.loads(gold)
    except (NoFinalAnswer, ValueError):
        return  # the oracle fails, which its own trial says
    for row, name, text in _texts(gold, value):
        yield _attack(row, name, placed(key.place, text, "json"))
    other = "[]" if value == {} else "{}"
    for row, name, answer in hedges(key.place, gold, other, "json"):
        if name.startswith("canary") and key.schema and not key.wanted:
            continue  # it may be what the schema wants
        yield _attack(row, name, answer)
    if key.wanted:
        seen: set[str] = set()
        for row, name, bent in _values(value, key):
            if name not in seen:
                seen.add(name)
                yield _attack(row, name, placed(key.place, json.dumps(bent), "json"))
    for name, text in _honest(value):
        yield Fixture(kind=Kind.HONEST, name=name, answer=placed(key.place, text, "json"))
    if key.place is Place.BLOCK:
        answer = f"Thus:\n\n{placed(key.place, gold)}\nin Python:\n```python\nx = 1\n```\n"
        yield Fixture(kind=Kind.HONEST, name="in-prose", answer=answer)


def _attack(row: str, name: str, answer: str) -> Fixture:
    return Fixture(kind=Kind.ATTACK, row=row, name=name, answer=answer)


def _texts(gold: str, value: Any) -> Iterator[tuple[str, str, str]]:
    """No JSON, or more than one."""
    yield "J11", "two-texts", f"{gold} {gold}"
    yield "I2", "among-words", f"It is {gold} I think."
    yield "I6", "comment", f"{gold} // so"
    yield "B11", "not-a-number", "NaN"
    yield "B11", "overflow", "[1e999]"
    yield "J12", "many-digits", "9" * 200_000
    yield "J12", "deep", "[" * 100_000
    yield "J12", "deep-and-closed", "[" * 999 + "]" * 999
    yield "J12", "huge", '"' + "x" * 300_000 + '"'
    yield "E2", "null-byte", f"{gold}\0"
    yield "E2", "byte-order-mark-inside", f" \ufeff{gold}"
    if isinstance(value, dict | list) and value:
        yield "I6", "trailing-comma", f"{gold[:-1]},{gold[-1]}"
        yield "J6", "cut-off", gold[:-1]
    if isinstance(value, dict) and value:
        name = json.dumps(next(iter(value)))
        yield "A6", "key-twice", f"{{{name}: null, {gold[1:]}"
        yield "A6", "key-twice-escaped", f"{{{_escaped(next(iter(value)))}: null, {gold[1:]}"
    if "'" in repr(value) or any(word in repr(value) for word in ("None", "True", "False")):
        yield "I6", "another-language", repr(value)


def _escaped(name: str) -> str:
    return '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in name) + '"'


def _values(value: Any, key: JsonAnswer) -> Iterator[tuple[str, str, Any]]:
    """Other values: one place of the wanted one bent at a time."""
    places = list(_places(value, lambda bent: bent))
    for inner, rebuilt in places[:MAX_PLACES]:
        for row, name, bent in _bends(inner, key):
            yield row, name, rebuilt(bent)
    yield "I4", "in-an-array", [value]
    yield "I", "as-text", json.dumps(value)


def _places(value: Any, rebuilt: _Rebuild) -> Iterator[tuple[Any, _Rebuild]]:
    """Every value within, and how the whole looks with another one there."""
    yield value, rebuilt
    inside = value.items() if isinstance(value, dict) else ()
    for at, inner in enumerate(value) if isinstance(value, list) else inside:
        yield from _places(inner, _with(value, at, rebuilt))


def _with(value: Any, at: str | int, rebuilt: _Rebuild) -> _Rebuild:
    def changed(inner: Any) -> Any:
        copy = value.copy()
        copy[at] = inner
        return rebuilt(copy)

    return changed


def _bends(value: Any, key: JsonAnswer) -> Iterator[tuple[str, str, Any]]:
    far = 10 + 10 * key.close.abs_tol if key.close is not None else 1
    match value:
        case bool():
            yield "I", "truth-as-number", int(value)
            yield "I", "other-truth", not value
        case int():
            yield "I", "number-as-text", str(value)
            yield "I5", "off-by-one", value + 1
            if not key.integral_floats and float(value) == value:
                yield "I5", "as-a-real", float(value)
            if value in (0, 1):
                yield "I", "number-as-truth", bool(value)
        case float():
            yield "I", "number-as-text", str(value)
            yield "I5", "far-off", value * 3 + far
            if key.close is None:
                yield "I5", "a-little-off", value + 1e-6
        case str():
            yield "I6", "other-case", value.swapcase() if value.swapcase() != value else f"{value}x"
            yield "I6", "blank-behind", f"{value} "
            yield "I", "empty-text", "" if value else " "
        case None:
            yield "I", "null-as-text", "null"
            yield "I", "null-as-nothing", ""
        case list():
            if value:
                yield "I1", "last-item-missing", value[:-1]
                yield "I3", "last-item-twice", [*value, value[-1]]
                if value[::-1] != value and not key.any_order:
                    yield "I3", "items-reversed", value[::-1]
            yield "A6", "one-item-more", [*value, "more"]
        case dict():
            if value:
                yield "I1", "member-missing", dict(list(value.items())[:-1])
                name, last = list(value.items())[-1]
                yield (
                    "I6",
                    "name-in-other-case",
                    {
                        **dict(list(value.items())[:-1]),
                        f"{name}_" if name.swapcase() == name else name.swapcase(): last,
                    },
                )
            yield "A6", "member-more", {**value, "a member more": None}
        case _:
            pass


def _honest(value: Any) -> Iterator[tuple[str, str]]:
    yield "compact", json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    yield "indented", json.dumps(value, indent=2)
    yield "tabs", json.dumps(value, indent="\t")
    yield "escaped", json.dumps(value, ensure_ascii=True)
    yield "other-order", json.dumps(_reordered(value), ensure_ascii=False)


def _reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _reordered(inner) for name, inner in reversed(list(value.items()))}
    return [_reordered(inner) for inner in value] if isinstance(value, list) else value
