"""JSON Schema (draft 2020-12), the closed part of it that a reward can rest on.

Known: types, `enum`, `const`, the bounds of numbers, strings, arrays and objects, `pattern`,
`items`, `prefixItems`, `contains`, `properties`, `patternProperties`, `additionalProperties`,
`propertyNames`, `required`, `dependentRequired`, `dependentSchemas`, `allOf`, `anyOf`, `oneOf`,
`not`, `if`, and `$ref` within the schema.  Any other keyword is a fault of the schema: what is not
checked must not look as if it were (`format`, above all).  Nothing is ever fetched.

`fits` validates a model's value, and runs in a sandbox: a `pattern` may backtrack for ever.  Hence
this file imports the standard library only, and holds no more than that needs.  What may stand in
a schema, `json_schema_fault` knows.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

TYPES: dict[str, Callable[[Any], bool]] = {
    "null": lambda x: x is None,
    "boolean": lambda x: type(x) is bool,
    "integer": lambda x: type(x) is int or (type(x) is float and x.is_integer()),
    "number": lambda x: type(x) in (int, float),
    "string": lambda x: type(x) is str,
    "array": lambda x: type(x) is list,
    "object": lambda x: type(x) is dict,
}


class BadSchema(ValueError):
    """The schema is none, or says something that is not known here."""


def fits(schema: Any, value: Any) -> str:
    """Empty where `value` fits `schema`, which has no fault; else the place in the schema, such as
    `#/properties/age/minimum`, that it does not fit."""
    return next(_misfits(schema, value, schema, "#"), "")


def pattern_of(text: str, place: str) -> "re.Pattern[str]":
    """As ECMA-262 means it: `$` is the very end, classes are ASCII."""
    out, in_class, at = "", False, 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            char = text[at : at + 2]
        elif char == "[":
            in_class = True
        elif char == "]":
            in_class = False
        at += len(char)
        out += r"\Z" if char == "$" and not in_class else char
    try:
        return re.compile(out, re.ASCII)
    except (re.error, OverflowError, RecursionError) as e:
        raise BadSchema(f"{place}: {text!r} is no pattern ({e})") from e


def resolved(ref: str, root: Any, place: str) -> Any:
    """Within this schema alone."""
    if ref != "#" and not ref.startswith("#/"):
        raise BadSchema(f"{place}: {ref!r} is not within this schema, and nothing is fetched")
    found = root
    for name in ref.split("/")[1:]:
        name = name.replace("~1", "/").replace("~0", "~")
        if type(found) is list and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        elif type(found) is dict and name in found:
            found = found[name]
        else:
            raise BadSchema(f"{place}: there is no {ref!r}")
    if type(found) not in (dict, bool):
        raise BadSchema(f"{place}: {ref!r} is no schema")
    return found


def _misfits(schema: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    """Places in the schema that the value does not fit."""
    if type(schema) is bool:
        if not schema:
            yield at
        return
    kind = type(value)
    for word, said in schema.items():
        place = f"{at}/{word}"
        if word in _GENERAL:
            yield from _GENERAL[word](schema, said, value, root, place)
        elif kind is dict and word in _OF_OBJECTS:
            yield from _OF_OBJECTS[word](schema, said, value, root, place)
        elif kind is list and word in _OF_ARRAYS:
            yield from _OF_ARRAYS[word](schema, said, value, root, place)
        elif (kind is str and word in _OF_STRINGS and not _OF_STRINGS[word](said, value)) or (
            kind in (int, float) and word in _OF_NUMBERS and not _OF_NUMBERS[word](said, value)
        ):
            yield place


def _is_valid(schema: Any, value: Any, root: Any, at: str) -> bool:
    return not any(True for _ in _misfits(schema, value, root, at))


def _same(a: Any, b: Any) -> bool:
    """Equality of JSON Schema: 1 is 1.0, true is not 1."""
    if type(a) is bool or type(b) is bool or a is None or b is None:
        return a is b
    if type(a) in (int, float) and type(b) in (int, float):
        return a == b
    if type(a) is not type(b):
        return False
    if type(a) is list:
        return len(a) == len(b) and all(map(_same, a, b))
    if type(a) is dict:
        return a.keys() == b.keys() and all(_same(a[name], b[name]) for name in a)
    return a == b


_Check = Callable[[Any, Any, Any, Any, str], Iterator[str]]


def _unless(holds: bool, at: str) -> Iterator[str]:
    if not holds:
        yield at


def _type(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    return _unless(any(TYPES[n](value) for n in (said if type(said) is list else [said])), at)


def _all_of(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    for index, inner in enumerate(said):
        yield from _misfits(inner, value, root, f"{at}/{index}")


def _one_of(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    return _unless(sum(_is_valid(inner, value, root, at) for inner in said) == 1, at)


def _if(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    branch = "then" if _is_valid(said, value, root, at) else "else"
    return _misfits(schema.get(branch, True), value, root, f"{at[:-2]}{branch}")


_GENERAL: dict[str, _Check] = {
    "type": _type,
    "enum": lambda s, said, v, root, at: _unless(any(_same(x, v) for x in said), at),
    "const": lambda s, said, v, root, at: _unless(_same(said, v), at),
    "$ref": lambda s, said, v, root, at: _misfits(resolved(said, root, at), v, root, said),
    "allOf": _all_of,
    "anyOf": lambda s, said, v, root, at: _unless(
        any(_is_valid(inner, v, root, at) for inner in said), at
    ),
    "oneOf": _one_of,
    "not": lambda s, said, v, root, at: _unless(not _is_valid(said, v, root, at), at),
    "if": _if,
}


def _properties(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    for name in said.keys() & value.keys():
        yield from _misfits(said[name], value[name], root, f"{at}/{name}")


def _pattern_properties(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    for text, inner in said.items():
        pattern = pattern_of(text, at)
        for name, member in value.items():
            if pattern.search(name):
                yield from _misfits(inner, member, root, f"{at}/{text}")


def _additional(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    named = schema.get("properties", {})
    patterns = [pattern_of(text, at) for text in schema.get("patternProperties", {})]
    for name, member in value.items():
        if name not in named and not any(pattern.search(name) for pattern in patterns):
            yield from _misfits(said, member, root, at)


def _property_names(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    for name in value:
        yield from _misfits(said, name, root, at)


def _dependent_required(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    needed = (name for given, names in said.items() if given in value for name in names)
    return _unless(all(name in value for name in needed), at)


def _dependent_schemas(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    for name, inner in said.items():
        if name in value:
            yield from _misfits(inner, value, root, f"{at}/{name}")


_OF_OBJECTS: dict[str, _Check] = {
    "properties": _properties,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "propertyNames": _property_names,
    "required": lambda s, said, v, root, at: _unless(all(name in v for name in said), at),
    "minProperties": lambda s, said, v, root, at: _unless(len(v) >= said, at),
    "maxProperties": lambda s, said, v, root, at: _unless(len(v) <= said, at),
    "dependentRequired": _dependent_required,
    "dependentSchemas": _dependent_schemas,
}


def _items(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    for item in value[len(schema.get("prefixItems", [])) :]:
        yield from _misfits(said, item, root, at)


def _prefix_items(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    for index, (inner, item) in enumerate(zip(said, value, strict=False)):
        yield from _misfits(inner, item, root, f"{at}/{index}")


def _contains(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    found = sum(_is_valid(said, item, root, at) for item in value)
    most = schema.get("maxContains", len(value))
    return _unless(schema.get("minContains", 1) <= found <= most, at)


def _unique(schema: Any, said: Any, value: Any, root: Any, at: str) -> Iterator[str]:
    repeated = (_same(a, b) for i, a in enumerate(value) for b in value[:i])
    return _unless(not said or not any(repeated), at)


_OF_ARRAYS: dict[str, _Check] = {
    "items": _items,
    "prefixItems": _prefix_items,
    "contains": _contains,
    "uniqueItems": _unique,
    "minItems": lambda s, said, v, root, at: _unless(len(v) >= said, at),
    "maxItems": lambda s, said, v, root, at: _unless(len(v) <= said, at),
}
_OF_STRINGS: dict[str, Callable[[Any, str], bool]] = {
    "minLength": lambda said, text: len(text) >= said,
    "maxLength": lambda said, text: len(text) <= said,
    "pattern": lambda said, text: pattern_of(said, "pattern").search(text) is not None,
}


def _is_multiple(said: Any, number: Any) -> bool:
    """As decimals: 0.3 is a multiple of 0.1, though no float arithmetic says so."""
    from fractions import Fraction  # takes as long to load as all else here

    return Fraction(str(number)) % Fraction(str(said)) == 0


_OF_NUMBERS: dict[str, Callable[[Any, Any], bool]] = {
    "minimum": lambda said, number: number >= said,
    "maximum": lambda said, number: number <= said,
    "exclusiveMinimum": lambda said, number: number > said,
    "exclusiveMaximum": lambda said, number: number < said,
    "multipleOf": _is_multiple,
}
