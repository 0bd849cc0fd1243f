"""What makes a JSON Schema unusable as a key: keywords that are not checked, values that they do
not take, references that leave it or go in circles.  Of a key's schema, never of a model's text.
"""

from typing import Any

from proofloop.core.json_schema import TYPES, BadSchema, pattern_of, resolved

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_ANNOTATIONS = ("$id", "$comment", "title", "description", "default", "examples",
                "deprecated", "readOnly", "writeOnly")  # fmt: skip
_ONE = ("items", "contains", "additionalProperties", "propertyNames", "not", "if", "then", "else")
_SEVERAL = ("prefixItems", "allOf", "anyOf", "oneOf")
_NAMED = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
_COUNTS = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
           "minContains", "maxContains")  # fmt: skip
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_OTHERS = ("$schema", "$ref", "type", "enum", "const", "pattern", "required", "dependentRequired",
           "uniqueItems")  # fmt: skip
_KNOWN = {*_ANNOTATIONS, *_ONE, *_SEVERAL, *_NAMED, *_COUNTS, *_NUMBERS, *_OTHERS}


def fault(schema: Any) -> str | None:
    """One line, with the place in the schema; None where every word of it is checked."""
    try:
        _check(schema, schema, "#")
    except BadSchema as e:
        return str(e)
    return None


def _check(schema: Any, root: Any, at: str) -> None:
    if type(schema) is bool:
        return
    if type(schema) is not dict:
        raise BadSchema(f"{at} is neither an object nor true or false")
    if "$ref" in schema:
        _check_that_it_ends(schema, root, at, ())
    for word, said in schema.items():
        place = f"{at}/{word}"
        if word not in _KNOWN:
            raise BadSchema(f"{place}: this keyword is not checked here")
        if word in _ONE:
            _check(said, root, place)
        elif word in _SEVERAL and type(said) is list and said:
            for index, inner in enumerate(said):
                _check(inner, root, f"{place}/{index}")
        elif word in _NAMED and type(said) is dict:
            for name, inner in said.items():
                if word == "patternProperties":
                    pattern_of(name, place)
                _check(inner, root, f"{place}/{name}")
        elif not _is_well_formed(word, said, root, place):
            raise BadSchema(f"{place} is not what this keyword takes")


def _check_that_it_ends(schema: Any, root: Any, at: str, above: tuple[int, ...]) -> None:
    """That no schema applies itself to one and the same value again and again."""
    if type(schema) is not dict:
        return
    if id(schema) in above:
        raise BadSchema(f"{at} leads to itself")
    above = (*above, id(schema))
    if type(schema.get("$ref")) is str:
        _check_that_it_ends(resolved(schema["$ref"], root, at), root, at, above)
    for word in ("allOf", "anyOf", "oneOf"):
        for inner in schema.get(word, ()):
            _check_that_it_ends(inner, root, at, above)
    for word in ("not", "if", "then", "else"):
        _check_that_it_ends(schema.get(word), root, at, above)


def _is_well_formed(word: str, said: Any, root: Any, place: str) -> bool:
    if word in _ANNOTATIONS or word == "const":
        return True
    if word == "$schema":
        return said == _DRAFT
    if word in _COUNTS:
        return TYPES["integer"](said) and said >= 0
    if word in _NUMBERS:
        return type(said) in (int, float) and (word != "multipleOf" or said > 0)
    if word == "type":
        names = said if type(said) is list else [said]
        return bool(names) and all(type(name) is str and name in TYPES for name in names)
    if word == "pattern":
        return type(said) is str and bool(pattern_of(said, place))
    if word == "$ref":
        return type(said) is str and resolved(said, root, place) is not None
    if word == "uniqueItems":
        return type(said) is bool
    if word == "enum":
        return type(said) is list and bool(said)
    if word == "dependentRequired":
        return type(said) is dict and all(_is_names(names) for names in said.values())
    return word == "required" and _is_names(said)


def _is_names(said: Any) -> bool:
    return type(said) is list and all(type(name) is str for name in said)
