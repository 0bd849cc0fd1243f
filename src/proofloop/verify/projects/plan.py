"""The runs of a suite that one verification makes: one of the real tests, and two in which each
half of the tests in turn is replaced by twins.

Neither the sandbox nor a run is told which is which: that stays here.  The choice depends on the
hidden tests and the answer alone, so that a verdict can be had again; and no program can compute
it, since none holds both.
"""

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from proofloop.core.codec import to_msgpack
from proofloop.core.project import PlannedTest, ProjectTests
from proofloop.verify.projects.assertions import Edit
from proofloop.verify.projects.twins import TestFunction, apply, twins_of

_Place = tuple[str, int]
"""A test's function: the module's path, and where it begins in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the suite, or of one test of it."""

    modules: dict[str, bytes]
    select: tuple[str, ...] | None
    """Node ids; None: all."""
    twins: frozenset[str]
    """Node ids whose test is a twin here."""
    seed: int
    """Of `random` in the run: the same in every run of a verification."""


def runs_of(tests: ProjectTests, answer: str) -> tuple[Run, ...]:
    """In random order."""
    key = hashlib.sha256(to_msgpack((tests.modules, tests.planned)))
    key.update(answer.encode("utf-8", "surrogatepass"))
    dice = random.Random(key.digest())
    seed = dice.getrandbits(64)
    functions = _functions(tests)
    plan = _by_test if tests.process_per_test else _by_suite
    runs = list(plan(tests, functions, dice, seed))
    dice.shuffle(runs)
    return tuple(runs)


def _by_suite(
    tests: ProjectTests, functions: dict[_Place, TestFunction], dice: random.Random, seed: int
) -> Iterable[Run]:
    yield Run(modules=_sources(tests), select=None, twins=frozenset(), seed=seed)
    places = sorted(functions)
    dice.shuffle(places)
    for half in (places[0::2], places[1::2]):
        if half:
            yield _with_twins(tests, functions, half, None, dice, seed)


def _by_test(
    tests: ProjectTests, functions: dict[_Place, TestFunction], dice: random.Random, seed: int
) -> Iterable[Run]:
    for test in tests.planned:
        yield Run(modules=_sources(tests), select=(test.node_id,), twins=frozenset(), seed=seed)
        place = _place(tests, test)
        if place in functions and test.must_pass:
            yield _with_twins(tests, functions, [place], test, dice, seed)


def _with_twins(
    tests: ProjectTests,
    functions: dict[_Place, TestFunction],
    places: Sequence[_Place],
    only: PlannedTest | None,
    dice: random.Random,
    seed: int,
) -> Run:
    edits: dict[str, list[Edit]] = {}
    for path, start in places:
        edits.setdefault(path, []).append(dice.choice(functions[path, start].twins))
    modules = {path: apply(s, edits.get(path, [])) for path, s in _sources(tests).items()}
    planned = tests.planned if only is None else (only,)
    twins = {t.node_id for t in planned if t.must_pass and _place(tests, t) in set(places)}
    select = None if only is None else (only.node_id,)
    return Run(modules=modules, select=select, twins=frozenset(twins), seed=seed)


def _sources(tests: ProjectTests) -> dict[str, bytes]:
    return {module.path: module.content for module in tests.modules}


def _functions(tests: ProjectTests) -> dict[_Place, TestFunction]:
    """Tests with twins, but for those of which some case is excepted or need not pass."""
    found: dict[_Place, TestFunction] = {}
    excepted: set[_Place] = set()
    for test in tests.planned:
        function = _function_of(tests, test)
        if function is not None:
            place = (test.node_id.partition("::")[0], function.start)
            found[place] = function
            if not (test.has_twins and test.must_pass):
                excepted.add(place)
    return {place: function for place, function in found.items() if place not in excepted}


def _function_of(tests: ProjectTests, test: PlannedTest) -> TestFunction | None:
    path, _, name = test.node_id.partition("::")
    source = _sources(tests).get(path)
    return None if source is None else twins_of(source).get(name.partition("[")[0])


def _place(tests: ProjectTests, test: PlannedTest) -> _Place | None:
    function = _function_of(tests, test)
    return None if function is None else (test.node_id.partition("::")[0], function.start)
