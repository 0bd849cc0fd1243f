"""Test modules in portions, so that one that has most of a suite keeps no bench waiting."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from proofloop.core.verdict import ScoredCause
from proofloop.mine.runner import More, Reached, Told
from proofloop.verify.projects.claims import Failure

_LEAST_BYTES = 16_384
"""Of a test module that is worth more than one process."""


class Portion(NamedTuple):
    """Of a test module: every `num`-th of its tests, from the `first`-th on."""

    module: str
    first: int = 0
    num: int = 1


def portions_of(sizes: Mapping[str, int], num_benches: int) -> list[Portion]:
    """By the sizes of modules in bytes: none with more than a bench's fair part of all of them."""
    fair = max(_LEAST_BYTES, sum(sizes.values()) / num_benches)
    return [
        Portion(module, first, num)
        for module, size in sizes.items()
        for num in (min(num_benches, max(1, math.ceil(size / fair))),)
        for first in range(num)
    ]


def joined(parts: Sequence[Told | Failure]) -> Told | Failure:
    """What all portions of a module tell; where one failed, its failure."""
    told = [part for part in parts if isinstance(part, Told)]
    if len(told) < len(parts):
        return next(part for part in parts if isinstance(part, Failure))
    first = told[0]
    for part in told:
        if part.collection_error:
            return part
        if part.collected != first.collected:  # its portions are of different lists
            return Failure(cause=ScoredCause.CRASH, detail="its tests are named differently")
    place = {test: number for number, test in enumerate(first.collected)}
    outcomes = [outcome for part in told for outcome in part.outcomes]
    outcomes.sort(key=lambda outcome: place.get(outcome.id, len(place)))
    more = [part.more for part in told]
    return msgspec.structs.replace(
        first,
        outcomes=tuple(outcomes),
        status=max(part.status for part in told),
        more=More(
            said={test: text for m in more for test, text in m.said.items()},
            seconds={test: s for m in more for test, s in m.seconds.items()},
            loaded=tuple(sorted({name for m in more for name in m.loaded})),
            reach=_reach([m.reach for m in more if m.reach is not None]),
        ),
    )


def _reach(parts: Sequence[Reached]) -> Reached | None:
    """Functions are numbered anew, for every process numbers its own."""
    if not parts:
        return None
    numbers: dict[tuple[str, int, str], int] = {}
    tests: dict[str, set[int]] = {}
    lines: dict[str, set[int]] = {}
    for part in parts:
        new = [numbers.setdefault(function, len(numbers)) for function in part.functions]
        for test, places in part.tests.items():
            tests.setdefault(test, set()).update(new[place] for place in places)
        for path, seen in part.lines.items():
            lines.setdefault(path, set()).update(seen)
    return Reached(
        functions=tuple(numbers),
        tests={test: tuple(sorted(places)) for test, places in tests.items()},
        lines={path: tuple(sorted(seen)) for path, seen in lines.items()},
    )
