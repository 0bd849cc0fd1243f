"""JSON of a model's, parsed strictly: one text, no key twice, no NaN or Infinity, no more nesting,
digits or bytes than the caps allow, nothing after it.

Safe in the trusted process: linear in the text, and the caps come before the parser.
"""

import json
import math
import re
from typing import Any, NoReturn

MAX_BYTES = 1 << 18
"""In UTF-8.  No JSON text becomes four times as long as a `core.value`, so all that is parsed can
cross a boundary."""
MAX_DEPTH = 48
"""Of arrays and objects; less than `core.value` lets cross a boundary."""
MAX_DIGITS = 1000
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
"""A string, closed or not, or a bracket; so that brackets in strings do not count."""


class NotJson(ValueError):
    """The text is not one JSON text within the caps; the message says why."""


def parse(text: str) -> Any:
    """Built-in values; how a number is written decides between int and float.  Raises NotJson."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise NotJson(f"{size} bytes, more than {MAX_BYTES}")
    depth = 0
    for token in _TOKENS.finditer(text):
        if token[0][0] != '"':
            depth += 1 if token[0] in "[{" else -1
        if depth > MAX_DEPTH:
            raise NotJson(f"nested more than {MAX_DEPTH} deep")
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_int=_integer,
            parse_float=_float,
        )
    except json.JSONDecodeError as e:
        raise NotJson(f"{e.msg}, at character {e.pos}") from e


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotJson("a key twice in one object")
    return members


def _constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is no JSON")


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise NotJson(f"a number of more than {MAX_DIGITS} digits")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise NotJson(f"a number of more than {MAX_DIGITS} digits")
    number = float(digits)
    if not math.isfinite(number):
        raise NotJson("a number beyond all floats")
    return number
