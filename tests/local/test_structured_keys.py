"""Keys of structured answers that cannot judge: unscored, whatever the answer is."""

import pytest
from judging import verdict_of

from proofloop.core import value
from proofloop.core.task import (
    Close,
    Composite,
    JsonAnswer,
    Part,
    SqlCheck,
    SqlInstance,
    SqlQuery,
    SqlRows,
    SqlState,
    SqlStateInstance,
    Tests,
    TextAnswer,
)
from proofloop.core.verdict import Unscored, UnscoredCause
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
