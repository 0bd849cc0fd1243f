"""Structured answers, for real: keys that cannot judge, and the rows of the example file."""

from pathlib import Path

import pytest
from judging import verdict_of
from msgspec.structs import replace

from proofloop.core import value
from proofloop.core.sandbox import Claim, ClaimKind, Execution, Limits, Program
from proofloop.core.task import (
    Close,
    Composite,
    JsonAnswer,
    Part,
    Split,
    SqlCheck,
    SqlInstance,
    SqlQuery,
    SqlRows,
    SqlState,
    SqlStateInstance,
    Tests,
    TextAnswer,
)
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause
from proofloop.envs.answers import AnswersEnvironment
from proofloop.runs.environments import iter_problems
from proofloop.sandbox import ForkServerSandbox
from proofloop.verify import ProgramVerifier

ONE = SqlRows(rows=value.encode([(1,)]))


def query(setup: str = "SELECT 1", wanted: SqlRows = ONE) -> SqlQuery:
    return SqlQuery(instances=(SqlInstance(setup=setup, wanted=wanted),))


def state(*checks: SqlCheck, setup: str = "SELECT 1") -> SqlState:
    return SqlState(instances=(SqlStateInstance(setup=setup, checks=checks),))


MANY = value.encode([(0.5,)] * 501)


@pytest.mark.parametrize(
    "tests",
    [
        TextAnswer(gold=" "),
        JsonAnswer(),
        JsonAnswer(wanted="{"),
        JsonAnswer(schema='{"format": "email"}'),
        JsonAnswer(wanted="[]", any_order=True, close=Close()),
        SqlQuery(instances=()),
        query("CREATE TABLE"),
        query("WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t) SELECT 1 FROM t"),
        query("-" * (1 << 20)),
        query(wanted=SqlRows(rows=value.encode([]))),
        query(wanted=SqlRows(rows=b"x")),
        query(wanted=SqlRows(rows=value.encode([[1]]))),
        query(wanted=SqlRows(rows=value.encode([(True,)]))),
        query(wanted=SqlRows(rows=value.encode([(1,), (1, 2)]))),
        query(wanted=SqlRows(rows=value.encode([(1,)]), columns=("a", "b"))),
        query(wanted=SqlRows(rows=MANY, close=Close())),
        state(),
        state(SqlCheck(query="SELECT 1", wanted=ONE), setup="SELEC 1"),
        Composite(parts=()),
        Composite(parts=(Part(name="inner", tests=JsonAnswer()),)),
    ],
    ids=lambda tests: repr(tests)[:60],
)
def test_a_key_that_cannot_judge_is_unscored(verifier: ProgramVerifier, tests: Tests) -> None:
    verdict = verdict_of(verifier, tests, "SELECT 1")
    assert isinstance(verdict, Unscored)
    assert verdict.cause is UnscoredCause.INVALID_KEY, verdict


def test_the_example_file_s_oracles_pass_and_those_of_other_rows_fail(
    verifier: ProgramVerifier,
) -> None:
    environment = AnswersEnvironment(Path(__file__).parents[2] / "examples" / "answers.jsonl")
    problems = list(iter_problems(environment, Split.HELDOUT, 100))
    assert len({type(problem.key.tests) for problem in problems}) == 6
    for problem, other in zip(problems, problems[1:] + problems[:1], strict=True):
        assert verifier.verify(problem.task, problem.key, problem.oracle).cause == "passed"
        for wrong in ("", other.oracle):
            verdict = verifier.verify(problem.task, problem.key, wrong)
            assert isinstance(verdict, Scored)
            assert verdict.reward == 0.0, (problem.task.id, wrong)


def test_an_empty_check_is_not_the_answer_s_to_fill_in(verifier: ProgramVerifier) -> None:
    tests = state(SqlCheck(query="", wanted=ONE))
    verdict = verdict_of(verifier, tests, "SELECT 1")
    assert isinstance(verdict, Scored)
    assert not verdict.passed


class _Forges(ForkServerSandbox):
    """A real sandbox whose driver, as if SQL had overwritten it, answers what it likes."""

    def __init__(self, tier: Tier, forged: bytes) -> None:
        super().__init__(tier)
        self.forged = forged

    def run(self, program: Program) -> Execution:
        execution = super().run(program)
        claim = Claim(kind=ClaimKind.RETURNED, data=self.forged)
        return replace(execution, claims=(execution.claims[0], claim))


@pytest.mark.parametrize(
    "forged",
    [b"", b"l\xff\xff\xff\xff", *map(value.encode, (None, 1, (), [[], []], ([1], [1]), ([], 1)))],
)
def test_a_forged_result_is_the_answer_s_fault(verifier: ProgramVerifier, forged: bytes) -> None:
    with ProgramVerifier(_Forges(verifier.tier, forged), Limits()) as subverted:
        verdict = verdict_of(subverted, query(), "SELECT 1")
    assert isinstance(verdict, Scored), verdict
    assert verdict.cause is ScoredCause.INVALID_RESULT
