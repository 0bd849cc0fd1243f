"""From the claims of a verification's runs to the cause on its verdict.  Pure.

A pass needs, of every planned test and in the planned order, the claim that it passed; and of
every twin the claim that it did not.  Anything missing, skipped, surplus or reordered is no pass.
"""

from collections.abc import Sequence
from typing import NamedTuple

from proofloop.core.project import ProjectTests
from proofloop.core.verdict import ScoredCause
from proofloop.verify.projects.claims import Claims, Failure, Outcome
from proofloop.verify.projects.plan import Run

_REFUTED = ("AssertionError", "Failed")
"""What a test raises that saw something else than it wants; `Failed` is pytest's own."""


_SYNTAX = ("SyntaxError", "IndentationError", "TabError")


class Judgement(NamedTuple):
    cause: ScoredCause
    detail: str
    num_passed: int = 0
    num_twins_failed: int = 0
    passed: frozenset[str] = frozenset()
    """Node ids, where every run was reported as it must be and no twin passed."""
    compiles: bool = True
    """Whether nothing says that a file does not."""


def judge(
    tests: ProjectTests, runs: Sequence[Run], claimed: Sequence[Claims | Failure]
) -> Judgement:
    """`claimed` may be shorter than `runs`: the rest never came."""
    pairs = list(zip(runs, claimed, strict=False))
    # Real runs first: what a wrong answer's twins say means nothing.
    passed = 0
    names = _believed(tests, runs, pairs)
    for run, claims in sorted(pairs, key=lambda pair: bool(pair[0].twins)):
        if isinstance(claims, Failure):
            return Judgement(claims.cause, claims.detail, 0 if run.twins else passed)
        problem = _problem(tests, run, claims)
        if problem is not None:
            is_syntax = claims.collection_error in _SYNTAX
            passed_before = 0 if run.twins else passed
            return Judgement(*problem, num_passed=passed_before, compiles=not is_syntax)
        if not run.twins:
            passed += sum(outcome.outcome == "passed" for outcome in claims.outcomes)
            problem = _failed_test(tests, claims)
            if problem is not None:
                return Judgement(*problem, num_passed=passed, passed=names)
    if len(claimed) < len(runs):
        return Judgement(ScoredCause.CRASH, "the tests ended before their time")
    lies = _lies(pairs)
    num_twins = sum(len(run.twins) for run in runs)
    if lies:
        detail = f"{len(lies)} of {num_twins} perturbed tests passed, which no honest answer can"
        return Judgement(ScoredCause.TAMPERING, detail, 0, num_twins - len(lies))
    total = sum(test.is_run for test in tests.planned)
    return Judgement(ScoredCause.PASSED, f"{total} of {total} tests", total, num_twins, names)


def _believed(
    tests: ProjectTests, runs: Sequence[Run], pairs: Sequence[tuple[Run, Claims | Failure]]
) -> frozenset[str]:
    """What passed, where nothing speaks against the claims as a whole."""
    claims = [claimed for _, claimed in pairs if isinstance(claimed, Claims)]
    sound = len(claims) == len(runs) and not _lies(pairs)
    if not sound or any(_problem(tests, *pair) for pair in zip(runs, claims, strict=True)):
        return frozenset()
    real = [c for run, c in zip(runs, claims, strict=True) if not run.twins]
    return frozenset(o.id for c in real for o in c.outcomes if o.outcome == "passed")


def _lies(pairs: Sequence[tuple[Run, Claims | Failure]]) -> list[Outcome]:
    """Twins that are said to have passed."""
    return [
        outcome
        for run, claims in pairs
        if isinstance(claims, Claims)
        for outcome in claims.outcomes
        if outcome.id in run.twins and outcome.outcome == "passed"
    ]


def _problem(tests: ProjectTests, run: Run, claims: Claims) -> tuple[ScoredCause, str] | None:
    """What is wrong with what a run reports, whatever its tests' outcomes."""
    if claims.collection_error:
        memory = claims.collection_error == "MemoryError"
        cause = ScoredCause.MEMORY_LIMIT if memory else ScoredCause.INVALID_PROGRAM
        return cause, f"the tests could not be loaded: {_name(claims.collection_error)}"
    if claims.collected != tuple(test.node_id for test in tests.planned):
        return ScoredCause.INVALID_RESULT, "other tests than planned, or in another order"
    planned = _planned(tests, run)
    ids = tuple(outcome.id for outcome in claims.outcomes)
    if ids == planned:
        return None
    if ids == planned[: len(ids)]:
        return ScoredCause.CRASH, f"{len(planned) - len(ids)} of {len(planned)} tests missing"
    return ScoredCause.INVALID_RESULT, "other results than planned, or in another order"


def _failed_test(tests: ProjectTests, claims: Claims) -> tuple[ScoredCause, str] | None:
    """The first that must pass and did not."""
    must_pass = {test.node_id: place for place, test in enumerate(tests.planned, 1)
                 if test.must_pass and test.is_run}  # fmt: skip
    for outcome in claims.outcomes:
        if outcome.id in must_pass and outcome.outcome != "passed":
            where = f"test {must_pass[outcome.id]} of {len(tests.planned)}"
            return _cause(outcome), f"{where}: {_describe(outcome)}"
    return None


def _planned(tests: ProjectTests, run: Run) -> tuple[str, ...]:
    return run.select or tuple(test.node_id for test in tests.planned)


def _cause(outcome: Outcome) -> ScoredCause:
    if outcome.error == "MemoryError":
        return ScoredCause.MEMORY_LIMIT
    wrong = outcome.outcome == "failed" and outcome.error in _REFUTED
    return ScoredCause.WRONG_ANSWER if wrong else ScoredCause.EXCEPTION


def _describe(outcome: Outcome) -> str:
    known = outcome.outcome if outcome.outcome in ("failed", "skipped") else "no result"
    return f"{known} ({_name(outcome.error)})" if outcome.error else known


def _name(text: str) -> str:
    """A plausible name: it comes from the answer's own process."""
    return text if text.isidentifier() and text.isascii() and len(text) <= 60 else "Exception"
