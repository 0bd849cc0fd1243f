"""Whether a claimed value is the wanted one: exactly, or as the task declares.

Pure.  Both values are exact built-ins that our own decoder made, so no code of a candidate's runs
in a comparison.  Whatever is not loosened by name stays strict: types, nesting, the rest of the
values.
"""

import math
from collections import Counter
from typing import Any, assert_never

from proofloop.core import value
from proofloop.core.task import AnyOrder, Close, Comparison, Exact, SameItems


def agree(wanted: Any, claimed: Any, comparison: Comparison) -> bool:
    match comparison:
        case Exact():
            return value.strictly_equal(wanted, claimed)
        case Close():
            return _close(wanted, claimed, comparison)
        case AnyOrder():
            if type(wanted) is not type(claimed) or not isinstance(wanted, list | tuple):
                return value.strictly_equal(wanted, claimed)
            return Counter(_items(wanted)) == Counter(_items(claimed))
        case SameItems():
            if not isinstance(wanted, _COLLECTIONS) or not isinstance(claimed, _COLLECTIONS):
                return value.strictly_equal(wanted, claimed)
            return set(_items(wanted)) == set(_items(claimed))
        case _:
            assert_never(comparison)


_COLLECTIONS = (list, tuple, set, frozenset)


def _items(collection: Any) -> list[bytes]:
    """As bytes, which are equal where the items are strictly equal, and can always be hashed."""
    return [value.canonical(item) for item in collection]


def _close(wanted: Any, claimed: Any, comparison: Close) -> bool:
    if type(wanted) is float and type(claimed) in (float, int):
        return _near(wanted, claimed, comparison)
    if type(wanted) is not type(claimed):
        return False
    if type(wanted) is complex:
        parts = ((wanted.real, claimed.real), (wanted.imag, claimed.imag))
        return all(_near(w, c, comparison) for w, c in parts)
    if isinstance(wanted, list | tuple):
        return len(wanted) == len(claimed) and all(
            _close(w, c, comparison) for w, c in zip(wanted, claimed, strict=True)
        )
    if isinstance(wanted, dict):
        claims = {value.canonical(key): item for key, item in claimed.items()}
        return len(wanted) == len(claims) and all(
            (at := value.canonical(key)) in claims and _close(item, claims[at], comparison)
            for key, item in wanted.items()
        )
    return value.strictly_equal(wanted, claimed)


def _near(wanted: float, claimed: float, comparison: Close) -> bool:
    try:
        near = math.isclose(wanted, claimed, rel_tol=0, abs_tol=_allowed(wanted, comparison))
    except OverflowError:  # an int beyond all floats
        return False
    return near or (wanted != wanted and claimed != claimed)


def _allowed(wanted: float, comparison: Close) -> float:
    if not math.isfinite(wanted):
        return 0.0
    return max(comparison.abs_tol, comparison.rel_tol * abs(wanted))
