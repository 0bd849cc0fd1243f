"""Trying changes: which tests fail with them, twice, and that the same tests pass without.

A change that no test notices, that never ends, that breaks the loading of tests or nearly all of
them, or whose outcome differs from run to run, is dropped with its cause.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from proofloop.core.record import Record
from proofloop.mine.baseline import Baseline, KnownModule, KnownTest
from proofloop.mine.changes import Edit, changed, parses
from proofloop.mine.config import MineConfig
from proofloop.mine.runner import Job, Runner, Told
from proofloop.verify.projects.claims import Failure

_LEAST_S = 2.0
_SLACK, _MORE, _MORE_S = 3, 5, 5.0
"""Times what the tests take without the change; and so many times more, up to so many seconds: what
never ends is let run for all of it."""
_COLLECTED_S = 0.003
"""What it may take to collect one test, run or not."""
_LEAST_SPIN_S, _SPIN_SLACK = 1.0, 10
"""Processor time that a test may take, whose slowest fellow takes so much without the change."""
_JOIN_SLACK = 4
"""Times what one change may take, for several together."""
_BROAD_FROM = 5
"""Tests: of fewer, all may fail."""


class Dropped(StrEnum):
    """Why a change is no task."""

    UNNOTICED = "unnoticed"
    """All tests pass: it does the same, or they are weak there."""
    TIME_LIMIT = "time_limit"
    CRASH = "crash"
    """It ends the tests' process."""
    NOT_LOADED = "not_loaded"
    """Its tests cannot be loaded."""
    TOO_BROAD = "too_broad"
    UNSTEADY = "unsteady"
    """Other tests fail the second time, or its tests fail without it when run together."""
    TOO_MANY_TESTS = "too_many_tests"
    """More tests reach it than one task may run, or they take too long."""
    NO_PYTHON = "no_python"
    """The change leaves text that does not parse."""
    LEAK = "leak"
    """No statement could be written that does not tell the answer."""
    PANEL = "panel"
    """A cheat or doing nothing earns its reward, or its oracle does not."""


class Candidate(Record):
    """What is tried: edits, and the tests that may notice them."""

    edits: dict[str, tuple[Edit, ...]]
    tests: tuple[int, ...]
    """By their number over all modules."""
    is_join: bool = False


class Found(Record):
    """A change that the tests notice."""

    failing: tuple[str, ...]
    passing: tuple[str, ...]
    """The rest of those that reach the change."""
    errors: dict[str, tuple[str, str]]
    """Of failing tests: type and text of the exception."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What trials stand on: the files as they are, the tests that are relied on."""

    files: Mapping[str, bytes]
    baseline: Baseline
    config: MineConfig
    module_of: dict[str, KnownModule] = field(default_factory=dict[str, KnownModule])
    node_ids: list[str] = field(default_factory=list[str])
    tests: dict[str, KnownTest] = field(default_factory=dict[str, KnownTest])
    """Those that are relied on, in their order."""
    sizes: dict[str, int] = field(default_factory=dict[str, int])
    """By module, how many tests are collected."""
    steady: dict[tuple[str, ...], bool] = field(default_factory=dict[tuple[str, ...], bool])
    """Whether these tests, run together without a change, pass: twice."""

    def __post_init__(self) -> None:
        for module in self.baseline.modules:
            self.sizes[module.path] = len(module.tests)
            for test in module.tests:
                self.module_of[test.node_id] = module
                self.node_ids.append(test.node_id)
                if not test.set_aside:
                    self.tests[test.node_id] = test

    def reliable(self, tests: Sequence[int]) -> tuple[str, ...]:
        """In the order in which they run."""
        return tuple(name for n in tests if (name := self.node_ids[n]) in self.tests)

    def modules(self, tests: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sorted(self.module_of[test].path for test in tests)))

    def seconds(self, tests: Sequence[str]) -> float:
        return sum(self.tests[test].seconds for test in tests)

    def job(self, tests: tuple[str, ...], edits: Mapping[str, Sequence[Edit]]) -> Job:
        slowest = max((self.tests[test].seconds for test in tests), default=0.0)
        return Job(
            modules=self.modules(tests),
            select=tests,
            overlay=changed(self.files, edits),
            spin_s=_LEAST_SPIN_S + _SPIN_SLACK * slowest,
        )

    def compiled(self, tests: Sequence[str]) -> set[str]:
        return {path for test in tests for path in self.module_of[test].files}


def try_all(
    runner: Runner, ground: Ground, candidates: Sequence[Candidate]
) -> list[Found | Dropped]:
    """One result a candidate.  Raises SandboxLost."""
    results: list[Found | Dropped | None] = [_unfit(ground, c) for c in candidates]
    tests = [ground.reliable(candidate.tests) for candidate in candidates]
    open_ = [at for at, result in enumerate(results) if result is None]
    jobs = [ground.job(tests[at], candidates[at].edits) for at in open_]
    first = dict(zip(open_, _run(runner, ground, jobs), strict=True))
    for at, claimed in first.items():
        results[at] = _problem(ground, candidates[at], tests[at], claimed)
    again = [at for at in open_ if results[at] is None]
    # Only now, for those that are noticed: do their tests pass together without the change?
    plain = [t for t in dict.fromkeys(tests[at] for at in again) if t not in ground.steady]
    jobs = [ground.job(tests[at], candidates[at].edits) for at in again]
    jobs += [ground.job(own, {}) for own in plain for _ in range(2)]
    told = _run(runner, ground, jobs)
    for at, own in enumerate(plain):
        pair = told[len(again) + 2 * at :][:2]
        ground.steady[own] = all(_failing(claimed, own) == () for claimed in pair)
    for at, claimed in zip(again, told, strict=False):
        earlier = first[at]
        assert isinstance(earlier, Told)
        failing = _failing(earlier, tests[at])
        assert failing
        if ground.steady[tests[at]] and failing == _failing(claimed, tests[at]):
            results[at] = _found(earlier, tests[at], failing)
        else:
            results[at] = Dropped.UNSTEADY
    return [result for result in results if result is not None]


def _unfit(ground: Ground, candidate: Candidate) -> Dropped | None:
    tests = ground.reliable(candidate.tests)
    most = ground.config
    if not tests:
        return Dropped.UNNOTICED
    times = _JOIN_SLACK if candidate.is_join else 1
    if len(tests) > times * most.max_tests or ground.seconds(tests) > times * most.max_tests_s:
        return Dropped.TOO_MANY_TESTS
    if not all(map(parses, changed(ground.files, candidate.edits).values())):
        return Dropped.NO_PYTHON
    return None


def _run(runner: Runner, ground: Ground, jobs: Sequence[Job]) -> list[Told | Failure]:
    """Jobs that take about as long together, so that a hanging one costs little."""
    results: dict[int, Told | Failure] = {}
    by_time: dict[float, list[int]] = {}
    for at, job in enumerate(jobs):
        seconds = ground.seconds(job.select or ())
        wall_s = _LEAST_S + _SLACK * seconds + min(_MORE * seconds, _MORE_S)
        wall_s += _COLLECTED_S * sum(ground.sizes[module] for module in job.modules)
        by_time.setdefault(2.0 ** (math.ceil(2 * math.log2(wall_s)) / 2), []).append(at)
    for wall_s, places in by_time.items():
        own = [jobs[at] for at in places]
        compiled = sorted(set().union(*(ground.compiled(job.select or ()) for job in own)))
        found = runner.run(own, wall_s=wall_s, compiled=compiled)
        results |= dict(zip(places, found, strict=True))
    return [results[at] for at in range(len(jobs))]


def _failing(claimed: Told | Failure, tests: tuple[str, ...]) -> tuple[str, ...] | None:
    """None where not all of them were run."""
    if isinstance(claimed, Failure) or tuple(o.id for o in claimed.outcomes) != tests:
        return None
    return tuple(o.id for o in claimed.outcomes if o.outcome != "passed")


def _problem(
    ground: Ground, candidate: Candidate, tests: tuple[str, ...], claimed: Told | Failure
) -> Dropped | None:
    if isinstance(claimed, Failure):
        return Dropped.TIME_LIMIT if claimed.cause == "time_limit" else Dropped.CRASH
    if claimed.collection_error:
        return Dropped.NOT_LOADED
    failing = _failing(claimed, tests)
    if failing is None:
        return Dropped.CRASH
    if not failing:
        return Dropped.UNNOTICED
    share = len(failing) / len(tests)
    if not candidate.is_join and len(tests) >= _BROAD_FROM and share > ground.config.max_fail_share:
        return Dropped.TOO_BROAD
    return None


def _found(claimed: Told, tests: tuple[str, ...], failing: tuple[str, ...]) -> Found:
    kinds = {outcome.id: outcome.error for outcome in claimed.outcomes}
    return Found(
        failing=failing,
        passing=tuple(test for test in tests if test not in set(failing)),
        errors={test: (kinds[test], claimed.more.said.get(test, "")) for test in failing},
    )
