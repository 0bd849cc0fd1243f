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

_Place = tuple[str, str]
"""A test's function: the module's path, and its name there."""


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
    planned = [  # without what came later: a verdict of then can be had again
        {"node_id": t.node_id, "must_pass": t.must_pass, "has_twins": t.has_twins}
        for t in tests.planned
    ]
    key = hashlib.sha256(to_msgpack((tests.modules, planned)))
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
    yield Run(modules=_sources(tests), select=_selected(tests), twins=frozenset(), seed=seed)
    places = sorted(functions)
    dice.shuffle(places)
    for half in (places[0::2], places[1::2]):
        if half:
            yield _with_twins(tests, functions, half, None, dice, seed)


def _by_test(
    tests: ProjectTests, functions: dict[_Place, TestFunction], dice: random.Random, seed: int
) -> Iterable[Run]:
    for test in filter(lambda test: test.is_run, tests.planned):
        yield Run(modules=_sources(tests), select=(test.node_id,), twins=frozenset(), seed=seed)
        place = _place(test)
        if place in functions:
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
    done: set[_Place] = set()
    for place in places:
        chosen = edits.setdefault(place[0], [])
        options = functions[place].twins
        if not any(edit in chosen for edit in options):  # of a helper that another test calls
            free = [edit for edit in options if not any(_overlap(edit, c) for c in chosen)]
            if not free:
                continue
            chosen.append(dice.choice(free))
        done.add(place)
    modules = {path: apply(s, edits.get(path, [])) for path, s in _sources(tests).items()}
    planned = tests.planned if only is None else (only,)
    twins = {t.node_id for t in planned if t.is_run and t.must_pass and _place(t) in done}
    select = _selected(tests) if only is None else (only.node_id,)
    return Run(modules=modules, select=select, twins=frozenset(twins), seed=seed)


def _selected(tests: ProjectTests) -> tuple[str, ...] | None:
    """None: all."""
    run = tuple(test.node_id for test in tests.planned if test.is_run)
    return None if len(run) == len(tests.planned) else run


def _sources(tests: ProjectTests) -> dict[str, bytes]:
    return {module.path: module.content for module in tests.modules}


def _overlap(a: Edit, b: Edit) -> bool:
    return (a.start < b.end and b.start < a.end) or a.start == b.start


def _functions(tests: ProjectTests) -> dict[_Place, TestFunction]:
    """Tests with twins, but for those of which some case is excepted or need not pass."""
    sources = _sources(tests)
    excepted = {_place(test) for test in tests.planned if not (test.has_twins and test.must_pass)}
    found: dict[_Place, TestFunction] = {}
    for place in dict.fromkeys(_place(test) for test in tests.planned if test.is_run):
        path, name = place
        function = twins_of(sources[path]).get(name) if path in sources else None
        if function is not None and place not in excepted:
            found[place] = function
    return found


def _place(test: PlannedTest) -> _Place:
    path, _, name = test.node_id.partition("::")
    return path, name.partition("[")[0]
