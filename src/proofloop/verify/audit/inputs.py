"""New arguments from old ones, changed according to their types.

Pure; the same for the same seed.  Values are plain built-ins (`core.value`), small ones.
"""

import math
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from proofloop.core import value
from proofloop.verify.audit.seen import Place, Seen

MAX_INPUT_BYTES = 2048
"""Of the encoded arguments: hidden tests are read by people, too."""
_TRIES_PER_INPUT = 40
_EDGES: dict[type, tuple[Any, ...]] = {
    int: (0, 1, -1, 2, -2, 10, 100, -100, 10**6),
    float: (0.0, 1.0, -1.0, 0.5, -0.5, 1e-9, 1e9),
    str: ("", " ", "a", "A", "0", "aa", "aA", "a b", "é", "ß", "日本", "\n", "\t x "),
    list: ([],),
    tuple: ((),),
    set: (set[Any](),),
    dict: ({},),
    bool: (False, True),
}


def grow(
    old: Sequence[tuple[Any, ...]], *, at_most: int, beyond: bool, seed: str
) -> Iterator[tuple[Any, ...]]:
    """Up to `at_most` argument tuples that are not among `old`, each of a kind that was seen;
    `beyond`: also edge values, and whatever else the types allow."""
    rng = Random(seed)
    seen = Seen(old)
    known = {value.canonical(args) for args in old}
    num_found = 0
    for args in _candidates(old, seen, rng, at_most, beyond):
        if not (beyond or seen.admits(args)):
            continue
        try:
            key = value.canonical(args, max_bytes=MAX_INPUT_BYTES)
        except value.EncodeError:
            continue
        if key in known:
            continue
        known.add(key)
        yield args
        num_found += 1
        if num_found == at_most:
            return


def _candidates(
    old: Sequence[tuple[Any, ...]], seen: Seen, rng: Random, at_most: int, beyond: bool
) -> Iterator[tuple[Any, ...]]:
    """Edge values first, one argument at a time; then one to three changes of arguments seen."""
    for args in old[:4]:
        for at, x in enumerate(args):
            for edge in _EDGES.get(type(x), ()):
                yield (*args[:at], edge, *args[at + 1 :])
    usable = [args for args in old if args]
    for _ in range(_TRIES_PER_INPUT * at_most if usable else 0):
        args = list(rng.choice(usable))
        places = seen.places[len(args)]
        if rng.random() < 0.2:
            args = [rng.choice(place.pool) for place in places]
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(args))
            args[at] = changed(args[at], places[at], rng)
        yield tuple(args)


def changed(x: Any, place: Place | None, rng: Random) -> Any:
    """Another value for the same place, as a rule of the same type."""
    if place is not None and rng.random() < 0.15:
        return rng.choice(place.pool)
    match x:
        case bool():
            return not x
        case int():
            return _changed_int(x, place, rng)
        case float():
            return _changed_float(x, rng)
        case str():
            return _changed_text(x, place, rng)
        case list():
            return _changed_items(x, place, rng)
        case tuple():
            return tuple(_changed_items(list(x), place, rng))
        case set() | frozenset():
            items = _changed_items(sorted(x, key=repr), place, rng)
            return type(x)(item for item in items if _is_hashable(item))
        case dict():
            return _changed_dict(x, place, rng)
        case _:
            return x


def _changed_int(x: int, place: Place | None, rng: Random) -> int:
    low, high = (int(place.low), int(place.high)) if place is not None else (x - 5, x + 5)
    return rng.choice(
        (x + 1, x - 1, x + 2, x - 2, 0, 1, -x, 2 * x, x // 2, 10 * x, x * x,
         rng.randint(low, high), rng.randint(low, 2 * abs(high) + 10 + max(low, 0)))
    )  # fmt: skip


def _changed_float(x: float, rng: Random) -> float:
    if not math.isfinite(x):
        return 0.0
    return rng.choice(
        (x + 1, x - 1, x + 0.5, x - 0.25, -x, 2 * x, x / 2, 0.0, float(round(x)), round(x, 1),
         x + rng.uniform(-2, 2), round(x + rng.uniform(-2, 2), 2))
    )  # fmt: skip


def _changed_text(x: str, place: Place | None, rng: Random) -> str:
    letters = sorted(place.letters) if place is not None and place.letters else list(x) or ["a"]
    letters += [letter.swapcase() for letter in letters]
    at = rng.randint(0, len(x))
    letter = rng.choice(letters)
    if letter.isascii() and letter.isalpha() and rng.random() < 0.5:
        letter = rng.choice("abcdefghijklmnopqrstuvwxyz")
    return rng.choice(
        (x[:at] + x[at + 1 :], x[:at] + letter + x[at:], x[:at] + letter + x[at + 1 :], x + x,
         x[::-1], x.swapcase(), x.upper(), x.lower(), x[:at], x[at:], x[at:] + x[:at], letter * 3,
         x + letter, letter + x, x + x[:1],
         "".join(rng.choice(letters) for _ in range(rng.randint(1, 2 + len(x)))))
    )  # fmt: skip


def _changed_items(x: list[Any], place: Place | None, rng: Random) -> list[Any]:
    inner = place.items if place is not None else None
    pool = inner.pool if inner is not None else x
    at = rng.randint(0, len(x))
    item = rng.choice(pool) if pool else None
    kind = rng.randrange(10)
    if kind < 3 and x:
        at = min(at, len(x) - 1)
        return [*x[:at], changed(x[at], inner, rng), *x[at + 1 :]]
    if kind == 3:
        return x[:at] + x[at + 1 :]
    if kind == 4:
        return x[:at] + x[at - 1 : at] + x[at:]
    if kind == 5:
        return rng.sample(x, len(x))
    if kind == 6:
        return rng.choice((x[::-1], x + x, x[:at], x[at:], _in_order(x)))
    if not pool:
        return x
    new = changed(item, inner, rng) if kind == 7 else item
    if kind == 8:
        return [rng.choice(pool) for _ in range(rng.randint(1, len(x) + 2))]
    return [*x[:at], new, *x[at:]]


def _changed_dict(x: dict[Any, Any], place: Place | None, rng: Random) -> dict[Any, Any]:
    keys = place.items if place is not None else None
    values = place.values if place is not None else None
    entries = list(x.items())
    kind = rng.randrange(4)
    if entries and kind < 3:
        at = rng.randrange(len(entries))
        key, item = entries[at]
        if kind == 0:
            del entries[at]
        elif kind == 1:
            entries[at] = (key, changed(item, values, rng))
        else:
            entries[at] = (changed(key, keys, rng), item)
    elif keys is not None and values is not None:
        entries.append((changed(rng.choice(keys.pool), keys, rng), rng.choice(values.pool)))
    return {key: item for key, item in entries if _is_hashable(key)}


def _in_order(x: list[Any]) -> list[Any]:
    try:
        return sorted(x)
    except TypeError:
        return x


def _is_hashable(x: Any) -> bool:
    try:
        hash(x)
    except TypeError:
        return False
    return True
