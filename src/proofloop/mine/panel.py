"""The admission panel: every task against its oracle (1), doing nothing (0) and cheats (0).

It goes the way of any answer: the hidden tests and their perturbed twins, by the verifier of
project suites.  A task that is judged wrongly once is refused, with the name of what went wrong.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from proofloop.core.project import ProjectTests
from proofloop.core.sandbox import Sandbox
from proofloop.core.verdict import ScoredCause
from proofloop.mine.cheats import cheats
from proofloop.verify.projects.claims import Claims, Failure
from proofloop.verify.projects.judge import Judgement, judge
from proofloop.verify.projects.plan import Run, runs_of
from proofloop.verify.projects.submission import Refusal, submission_of
from proofloop.verify.projects.suite import run_side_by_side, run_suite

ORACLE, NO_OP = "oracle", "no-op"


class Admission(NamedTuple):
    refused: tuple[str, ...]
    """What was judged wrongly, and how; empty: the task is admitted."""
    no_twins: tuple[str, ...]
    """Tests of which a perturbed copy passes on the oracle: these do without."""


class _Try(NamedTuple):
    tests: ProjectTests
    """Those that this answer is shown to."""
    name: str
    answer: str
    files: dict[str, bytes]
    runs: tuple[Run, ...]


def admit(sandbox: Sandbox, tests: ProjectTests, oracle: str, right: dict[str, bytes]) -> Admission:
    """`oracle`: as an answer; `right`: its files.  Raises SandboxLost."""
    refused: list[str] = []
    tries = [_try(tests, ORACLE, oracle, right)]
    broken = {file.path: file.content for file in tests.changed}
    # Whoever earns the reward passes these; who passes these is shown to all.
    few = only_failing(tests)
    tries.append(_try(few, NO_OP, "", broken, with_twins=False))
    for cheat in cheats(tests):
        files = submission_of(cheat.answer, tests)
        if not isinstance(files, Refusal):  # which earns 0 before anything runs
            # Perturbed tests that pass are enough to give away who makes tests pass.
            runs = _only_twins if cheat.needs_twins else _only_real
            own = runs(runs_of(few, cheat.answer))
            tries.append(_Try(few, cheat.name, cheat.answer, files, own))
    claimed = run_side_by_side(sandbox, tests, [(t.files, t.runs) for t in tries])
    no_twins = _liars(tries[0].runs, claimed[0])
    if no_twins:
        tests = without_twins(tests, no_twins)
        tries[0] = _try(tests, ORACLE, oracle, right)
        claimed[0] = run_suite(sandbox, tests, right, tries[0].runs)
    for attempt, told in zip(tries, claimed, strict=True):
        found = judge(attempt.tests, attempt.runs, told)
        passed = found.cause is ScoredCause.PASSED
        if passed and attempt.name != ORACLE:  # by these runs; what do all of them say?
            runs = runs_of(tests, attempt.answer)
            found = judge(tests, runs, run_suite(sandbox, tests, attempt.files, runs))
            passed = found.cause is ScoredCause.PASSED
        if passed != (attempt.name == ORACLE):
            refused.append(_described(attempt.name, found))
    return Admission(tuple(refused), no_twins)


def only_failing(tests: ProjectTests) -> ProjectTests:
    """The tests that fail before, and their modules."""
    paths = {test.node_id.partition("::")[0] for test in tests.planned if test.was_failing}
    planned = tuple(
        msgspec.structs.replace(test, is_run=test.was_failing)
        for test in tests.planned
        if test.node_id.partition("::")[0] in paths
    )
    modules = tuple(module for module in tests.modules if module.path in paths)
    return msgspec.structs.replace(tests, planned=planned, modules=modules)


def without_twins(tests: ProjectTests, names: Sequence[str]) -> ProjectTests:
    planned = tuple(
        msgspec.structs.replace(test, has_twins=test.has_twins and test.node_id not in names)
        for test in tests.planned
    )
    return msgspec.structs.replace(tests, planned=planned)


def _try(
    tests: ProjectTests, name: str, answer: str, files: dict[str, bytes], *, with_twins: bool = True
) -> _Try:
    runs = runs_of(tests, answer)
    return _Try(tests, name, answer, files, runs if with_twins else _only_real(runs))


def _only_real(runs: Sequence[Run]) -> tuple[Run, ...]:
    return tuple(run for run in runs if not run.twins)


def _only_twins(runs: Sequence[Run]) -> tuple[Run, ...]:
    """One run; where no test has twins, the real one."""
    return tuple(run for run in runs if run.twins)[:1] or _only_real(runs)


def _liars(runs: Sequence[Run], claimed: Sequence[Claims | Failure]) -> tuple[str, ...]:
    return tuple(
        outcome.id
        for run, claims in zip(runs, claimed, strict=False)
        if isinstance(claims, Claims)
        for outcome in claims.outcomes
        if outcome.id in run.twins and outcome.outcome == "passed"
    )


def _described(name: str, found: Judgement) -> str:
    wanted = "1" if name == ORACLE else "0"
    return f"{name}: should earn {wanted}: {found.cause}: {found.detail}"
