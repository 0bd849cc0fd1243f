"""The tests of a repository before anything is changed: which there are, which can be relied on,
what they reach.

Every module runs twice, each time in a process of its own (a large one in several, which share its
tests out): watched, for what its tests reach; and strictly, with nothing to write to and no threads
or processes.  Where a test does not pass strictly, the module runs a third time, as it is.  A test
counts if it passed while it was watched and in one of the others.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec

from proofloop.core.errors import UserError
from proofloop.core.record import Record
from proofloop.core.verdict import ScoredCause
from proofloop.mine.benches import Benches
from proofloop.mine.config import MineConfig
from proofloop.mine.portions import Portion, joined, portions_of
from proofloop.mine.runner import OVER_TIME, Job, Reached, Runner, Setting, Told
from proofloop.sandbox import ForkServerSandbox
from proofloop.verify.projects.claims import Failure

_NAMED = 5
"""Tests that a message names."""
_MANY = 3
"""Test modules for which it pays to compile all sources once."""
_COMMON = (
    "argparse", "asyncio", "collections.abc", "concurrent.futures", "copy", "csv", "ctypes",
    "dataclasses", "datetime", "decimal", "difflib", "doctest", "fractions", "functools",
    "hashlib", "heapq", "html", "http.client", "inspect", "itertools", "json", "logging",
    "numbers", "pickle", "pprint", "queue", "random", "shutil", "socket", "sqlite3", "statistics",
    "string", "subprocess", "tempfile", "textwrap", "typing", "unittest", "urllib.request",
    "uuid", "warnings", "weakref", "xml.etree.ElementTree",
)  # fmt: skip
"""Of the standard library; imported once for many runs, until it is known what is needed."""
_SETTLED = ("passed", "skipped", "expected_failure")
_LEAST_S = 10.0
_WATCHED_SLACK = 4
"""Times what a test may take that takes it while it is watched."""


class KnownTest(Record):
    node_id: str
    seconds: float
    set_aside: str = ""
    """Why it is not relied on: `failing`, `flaky`, `hanging`, `skipped`; empty for others."""
    is_loose: bool = False
    """It writes files, or starts threads or programs."""


class KnownModule(Record):
    path: str
    tests: tuple[KnownTest, ...]
    """In the order in which pytest runs them."""
    files: tuple[str, ...]
    """Of the project, that it imports."""
    helpers: tuple[str, ...] = ()
    """Other test modules that it imports."""


_Order = tuple[Sequence[Portion], str]
"""Of modules, and how they are run: `plain`, `watched` or `strict`."""


class Baseline(Record):
    modules: tuple[KnownModule, ...]
    preload: tuple[str, ...]
    functions: dict[str, tuple[int, ...]]
    """By `path:first line`: the tests that call it, by their number over all modules."""
    loading: frozenset[str]
    """Functions that run while tests are loaded."""
    lines: dict[str, frozenset[int]]
    """By path: lines that some test was seen to reach."""
    notes: tuple[str, ...]


def take_baseline(
    benches: Benches,
    setting: Setting,
    modules: Sequence[str],
    sources: Sequence[str],
    packages: Sequence[str],
    config: MineConfig,
) -> Baseline:
    """Raises UserError where the suite is no ground to stand on."""
    prefixes = tuple(p if p.endswith(".py") else f"{p}/" for p in packages)
    setting = msgspec.structs.replace(setting, preload=_COMMON)
    portions = portions_of(
        {module: Path(setting.tree, module).stat().st_size for module in modules}, benches.num
    )
    told_of: dict[tuple[Portion, str], Told | Failure] = {}
    told: dict[tuple[str, str], Told | Failure] = {}

    def run_all(own: Sequence[str], how: str) -> None:
        """These modules."""
        parts = [portion for portion in portions if portion.module in own]
        orders = [(hand, how) for hand in _dealt(parts, benches.num)]
        for (hand, _), found in zip(orders, benches.map(run, orders), strict=True):
            told_of.update({(p, how): claimed for p, claimed in zip(hand, found, strict=True)})
        for module in own:
            told[module, how] = joined([told_of[p, how] for p in parts if p.module == module])

    def run(sandbox: ForkServerSandbox, order: _Order) -> list[Told | Failure]:
        own, how = order
        watched, wall_s = how == "watched", config.max_module_s
        if how == "strict":  # in which a test may wait for ever for what it may not do
            known = [told_of[portion, "watched"] for portion in own]
            most_s = max(sum(t.more.seconds.values()) for t in known if isinstance(t, Told))
            wall_s = min(wall_s, _LEAST_S + 2 * most_s)
        test_s = config.max_tests_s * (_WATCHED_SLACK if watched else 1)
        trace = prefixes if watched else ()
        return Runner(sandbox, setting).run(
            [
                Job(modules=(p.module,), share=(p.first, p.num), trace=trace, test_s=test_s)
                for p in own
            ],
            wall_s=wall_s,
            compiled=sources if len(own) >= _MANY else (),
            strict=how == "strict",
        )

    run_all(modules, "watched")
    alive = [m for m in modules if isinstance(told[m, "watched"], Told)]
    run_all(alive, "strict")
    told |= {(m, "plain"): told[m, "strict"] for m in alive if _is_settled(told[m, "strict"])}
    run_all([m for m in alive if (m, "plain") not in told], "plain")
    notes: list[str] = []
    known: list[KnownModule] = []
    for module in modules:
        watched = told[module, "watched"]
        plain = told.get((module, "plain"), watched)
        if why := _left_out((plain, watched), config):
            notes.append(f"{module}: {why}; left out")
        else:
            known.append(_module(module, plain, watched, told[module, "strict"], sources, modules))
    _judge(known, notes, config)
    functions, loading, lines = _reached(known, [told[m.path, "watched"] for m in known])
    return Baseline(
        modules=tuple(known),
        preload=_preload(list(told.values()), packages, modules),
        notes=(*notes, *_named(known)),
        functions=functions,
        loading=loading,
        lines=lines,
    )


def _dealt(portions: Sequence[Portion], num: int) -> list[Sequence[Portion]]:
    return [hand for start in range(num) if (hand := portions[start::num])]


def _is_settled(strict: Told | Failure) -> bool:
    """Whether there is nothing that a run with more freedom could tell."""
    return (
        isinstance(strict, Told)
        and bool(strict.collected)
        and len(strict.outcomes) == len(strict.collected)
        and all(o.outcome in _SETTLED for o in strict.outcomes)
    )


def _left_out(both: Sequence[Told | Failure], config: MineConfig) -> str:
    """Why a module can tell nothing; empty where it can."""
    names: list[tuple[str, ...]] = []
    for claimed in both:
        if isinstance(claimed, Failure):
            if claimed.cause == ScoredCause.TIME_LIMIT:
                return f"hangs, or takes over {config.max_module_s:g} s (mine.max_module_s)"
            return f"cannot be run ({claimed.cause}: {claimed.detail})"
        said = claimed.more.said.get("", "").strip().splitlines()
        if claimed.collection_error:
            return f"cannot be loaded ({claimed.collection_error}: {said[-1] if said else ''})"
        if not claimed.collected:
            return f"no test was collected (pytest ended with status {claimed.status})"
        names.append(claimed.collected)
    if names[0] != names[1] or len(set(names[0])) < len(names[0]):
        return "its tests are named differently each time"
    return ""


def _module(
    path: str, plain: Told | Failure, watched: Told | Failure, strict: Told | Failure,
    sources: Sequence[str], modules: Sequence[str],
) -> KnownModule:  # fmt: skip
    assert isinstance(plain, Told)
    assert isinstance(watched, Told)
    passed = [{o.id for o in run.outcomes if o.outcome == "passed"} for run in (plain, watched)]
    steady = set[str]()
    if isinstance(strict, Told) and strict.collected == plain.collected:
        steady = {o.id for o in strict.outcomes if o.outcome == "passed"}
    hanging = {o.id for r in (plain, watched) for o in r.outcomes if o.error == OVER_TIME}
    skipped = {o.id for o in plain.outcomes if o.outcome in ("skipped", "expected_failure")}
    tests = tuple(
        KnownTest(
            node_id=test,
            seconds=round(plain.more.seconds.get(test, 0.0), 4),
            set_aside="hanging"
            if test in hanging
            else _aside(test in passed[0], test in passed[1], test in skipped),
            is_loose=test not in steady,
        )
        for test in plain.collected
    )
    names = set(plain.more.loaded)
    files = tuple(path for path in sources if _name_of(path) & names)
    helpers = tuple(other for other in modules if other != path and _name_of(other) & names)
    return KnownModule(path=path, tests=tests, files=files, helpers=helpers)


def _aside(first: bool, second: bool, skipped: bool) -> str:
    if first and second:
        return ""
    return "skipped" if skipped else "flaky" if first != second else "failing"


def _name_of(path: str) -> set[str]:
    """Names under which a file may have been imported."""
    parts = path.removesuffix(".py").removesuffix("/__init__").split("/")
    return {".".join(parts[at:]) for at in range(min(2, len(parts)))}


def _judge(known: Sequence[KnownModule], notes: Sequence[str], config: MineConfig) -> None:
    tests = [t for module in known for t in module.tests if t.set_aside != "skipped"]
    bad = [test for test in tests if test.set_aside]
    if not tests or len(bad) == len(tests):
        why = notes[0] if notes else f"{len(tests)} tests, none of which passes"
        raise UserError(
            f"no test passes before anything is changed: {why}.  Mend the suite, or say what it "
            "needs with --set mine.extra"
        )
    if len(bad) > config.max_failing * len(tests):
        counts = Counter(test.set_aside for test in bad)
        what = " and ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
        raise UserError(
            f"{what} of {len(tests)} tests before anything is changed, such as {bad[0].node_id}; "
            f"tests see no network and may write to temporary folders only.  Leave modules out "
            f"(mine.leave_out) or allow more (mine.max_failing, now {config.max_failing:g})"
        )


def _named(known: Sequence[KnownModule]) -> list[str]:
    notes: list[str] = []
    for kind in ("flaky", "failing", "hanging"):
        tests = [t.node_id for m in known for t in m.tests if t.set_aside == kind]
        if tests:
            more = f" and {len(tests) - _NAMED} more" if len(tests) > _NAMED else ""
            notes.append(f"{kind}, set aside: {', '.join(tests[:_NAMED])}{more}")
    return notes


def _preload(
    told: Sequence[Told | Failure], packages: Sequence[str], modules: Sequence[str]
) -> tuple[str, ...]:
    """Modules that several test modules import and that are neither the project's nor ours."""
    counts: Counter[str] = Counter()
    for claimed in told:
        if isinstance(claimed, Told):
            counts.update(set(claimed.more.loaded))
    own = {p.rpartition("/")[2].removesuffix(".py") for p in packages}
    own |= {part.removesuffix(".py") for module in modules for part in module.split("/")}
    return tuple(
        sorted(
            name
            for name, count in counts.items()
            if count >= 2 and not own & {name.partition(".")[0]} and not name.startswith("_")
            and name.partition(".")[0] not in ("conftest", "sitecustomize", "antigravity", "this")
            and not name.endswith(".conftest")
        )
    )  # fmt: skip


def _reached(
    known: Sequence[KnownModule], told: Sequence[Told | Failure]
) -> tuple[dict[str, tuple[int, ...]], frozenset[str], dict[str, frozenset[int]]]:
    functions: dict[str, set[int]] = {}
    loading: set[str] = set()
    lines: dict[str, set[int]] = {}
    numbers = {t: n for n, t in enumerate(t.node_id for m in known for t in m.tests)}
    for claimed in told:
        assert isinstance(claimed, Told)
        reach = claimed.more.reach
        assert isinstance(reach, Reached)
        keys = [f"{path}:{line}" for path, line, _ in reach.functions]
        for test, places in reach.tests.items():
            if not test:
                loading.update(keys[place] for place in places)
            elif test in numbers:
                for place in places:
                    functions.setdefault(keys[place], set()).add(numbers[test])
        for path, seen in reach.lines.items():
            lines.setdefault(path, set()).update(seen)
    return (
        {place: tuple(sorted(tests)) for place, tests in functions.items()},
        frozenset(loading),
        {path: frozenset(seen) for path, seen in lines.items()},
    )
