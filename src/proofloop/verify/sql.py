"""SQL answers on SQLite: the rows that a query gives, and the state that a script leaves.

Every hidden database is a process of its own, in which a driver of ours (`sql_driver`) runs the
model's text; rows come back as values of the closed grammar and are compared here.  Wanted rows
never enter.  The first database or check that fails ends the judging.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from proofloop.core import value
from proofloop.core.sandbox import (
    Call,
    Claim,
    ClaimKind,
    Ending,
    Execution,
    Limits,
    Program,
    Sandbox,
)
from proofloop.core.task import Close, Place, SqlQuery, SqlRows, SqlState
from proofloop.core.verdict import ScoredCause, UnscoredCause, Verdict
from proofloop.verify import sql_driver
from proofloop.verify.comparison import agree
from proofloop.verify.math.extract import NoFinalAnswer
from proofloop.verify.outcome import (
    cause_of_claim,
    cause_of_ending,
    exception_name,
    scored,
    unscored,
)
from proofloop.verify.place import text_at

MAX_WANTED_BYTES = value.MAX_BYTES // 2
"""Of one query's wanted rows."""
MAX_SETUP_BYTES = value.MAX_BYTES - 1024
MAX_CLOSE_ROWS = 500
"""Wanted rows that are compared in any order under a tolerance: each with each."""
_DRIVER = Path(sql_driver.__file__).read_text(encoding="utf-8")
_NO_ROWS = value.encode([])
_TAGS = ("sql", "sqlite", "sqlite3")
_RAISED = {
    "NotOneQuery": (ScoredCause.INVALID_PROGRAM, "not one statement that only reads"),
    "Forbidden": (ScoredCause.INVALID_PROGRAM, "a statement that no answer may use"),
    "ReplacedTable": (ScoredCause.INVALID_RESULT, "a table was replaced by a view"),
    "TooManyRows": (ScoredCause.INVALID_RESULT, f"more than {sql_driver.MAX_ROWS} rows"),
}
_Problem = tuple[ScoredCause, str]
_Step = tuple[str, str | None]
"""A function of the driver's, and its argument; None: what the model wrote."""


class _BrokenKey(Exception):
    """The setup does not run."""


def verify_query(sandbox: Sandbox, key: SqlQuery, answer: str, limits: Limits) -> Verdict:
    """Raises SandboxLost when our side broke."""
    plans = [(i.setup, (i.wanted,), (("query", None),)) for i in key.instances]
    if all(i.wanted.rows == _NO_ROWS for i in key.instances):
        problem = "no database has rows to give: any empty result would pass"
        return unscored(UnscoredCause.INVALID_KEY, problem, sandbox.tier)
    return _verify(sandbox, key.place, plans, answer, limits)


def verify_state(sandbox: Sandbox, key: SqlState, answer: str, limits: Limits) -> Verdict:
    """Raises SandboxLost when our side broke."""
    plans = [
        (
            i.setup,
            tuple(check.wanted for check in i.checks),
            (("apply", None), *(("check", check.query) for check in i.checks)),
        )
        for i in key.instances
    ]
    return _verify(sandbox, key.place, plans, answer, limits)


def _verify(
    sandbox: Sandbox,
    place: Place,
    plans: Sequence[tuple[str, tuple[SqlRows, ...], tuple[_Step, ...]]],
    answer: str,
    limits: Limits,
) -> Verdict:
    """A plan: setup, wanted rows, steps."""
    if problem := _problem_of_key(tuple((setup, wanted) for setup, wanted, _ in plans)):
        return unscored(UnscoredCause.INVALID_KEY, problem, sandbox.tier)
    num_planned, num_passed = sum(len(wanted) for _, wanted, _ in plans), 0
    try:
        text = text_at(place, answer, tags=_TAGS)
    except NoFinalAnswer as e:
        return scored(e.cause, e.detail, sandbox.tier, num_passed=0, num_planned=num_planned)
    if len(text.encode("utf-8", "surrogatepass")) > sql_driver.MAX_SQL_BYTES:
        cause, detail = ScoredCause.INVALID_PROGRAM, f"more than {sql_driver.MAX_SQL_BYTES} bytes"
        return scored(cause, detail, sandbox.tier, num_passed=0, num_planned=num_planned)
    enough = msgspec.structs.replace(limits, result_bytes=value.MAX_BYTES)
    failure: _Problem | None = None
    for index, (setup, wanted, steps) in enumerate(plans, 1):
        calls = [_call("prepare", setup)]
        calls += [_call(name, text if given is None else given) for name, given in steps]
        program = Program(source=_DRIVER, calls=tuple(calls), limits=enough)
        try:
            right, failure = _judged(wanted, len(calls), sandbox.run(program))
        except _BrokenKey as e:
            problem = f"database {index}: {e}"
            return unscored(UnscoredCause.INVALID_KEY, problem, sandbox.tier)
        num_passed += right
        if failure is not None:
            failure = failure[0], f"database {index} of {len(plans)}: {failure[1]}"
            break
    cause, detail = failure or (ScoredCause.PASSED, f"{num_planned} of {num_planned} results")
    return scored(cause, detail, sandbox.tier, num_passed=num_passed, num_planned=num_planned)


def _call(function: str, argument: str) -> Call:
    return Call(function=function, args=value.encode((argument,)))


def _judged(
    wanted: tuple[SqlRows, ...], num_calls: int, execution: Execution
) -> tuple[int, _Problem | None]:
    """How many results were as wanted, up to the first that was not, and what it was.  Pure."""
    prepared, *rest = execution.claims or (None,)
    if prepared is None or prepared.kind is not ClaimKind.RETURNED:
        raised = exception_name(prepared) if prepared is not None else execution.detail
        raise _BrokenKey(f"the setup does not run: {raised}")
    for claim in rest[: num_calls - 1 - len(wanted)]:  # the script's
        if claim.kind is not ClaimKind.RETURNED:
            return 0, _of_claim(claim)
    results = rest[num_calls - 1 - len(wanted) :]
    for index, (rows, claim) in enumerate(zip(wanted, results, strict=False)):
        problem = _compared(rows, claim)
        if problem is not None:
            where = f"result {index + 1} of {len(wanted)}: " if len(wanted) > 1 else ""
            return index, (problem[0], where + problem[1])
    if execution.ending is not Ending.COMPLETED or len(results) != len(wanted):
        cause = cause_of_ending(execution.ending, execution.detail)
        return len(results), (cause, f"{execution.ending}: {execution.detail}")
    return len(wanted), None


def _of_claim(claim: Claim) -> _Problem:
    name = exception_name(claim)
    if claim.kind is ClaimKind.RAISED and name in _RAISED:
        return _RAISED[name]
    if claim.kind is ClaimKind.RAISED:
        return cause_of_claim(claim), f"raised {name}"
    return ScoredCause.INVALID_RESULT, "a result over the size limit"


def _compared(wanted: SqlRows, claim: Claim) -> _Problem | None:
    if claim.kind is not ClaimKind.RETURNED:
        return _of_claim(claim)
    result = _result(claim.data)
    if result is None:
        return ScoredCause.INVALID_RESULT, "bytes that are no rows"
    columns, rows = result
    width = len(columns)
    rows_wanted = value.decode(wanted.rows)
    if wanted.columns and tuple(columns) != wanted.columns:
        return ScoredCause.WRONG_ANSWER, "other columns"
    if any(len(row) != width for row in rows_wanted):
        return ScoredCause.WRONG_ANSWER, "another number of columns"
    if len(rows) != len(rows_wanted):
        return ScoredCause.WRONG_ANSWER, f"{len(rows)} rows, another number"
    if same_rows(rows_wanted, rows, ordered=wanted.ordered, close=wanted.close):
        return None
    return ScoredCause.WRONG_ANSWER, "other rows"


def _result(data: bytes) -> tuple[list[Any], list[Any]] | None:
    """Columns and rows; None where they are none, for SQL may have overwritten the driver."""
    try:
        result: Any = value.decode(data)
    except value.DecodeError:
        return None
    if type(result) is not tuple or [type(x) for x in result] != [list, list]:
        return None
    return result if all(type(row) is tuple for row in result[1]) else None


def same_rows(wanted: list[Any], rows: list[Any], *, ordered: bool, close: Close | None) -> bool:
    """As many as each other; tuples of exact built-ins.  -0.0 is 0.0, as SQL has it."""
    wanted, rows = _without_signed_zeros(wanted), _without_signed_zeros(rows)
    if close is None:
        if ordered:
            return value.strictly_equal(wanted, rows)
        return sorted(map(value.canonical, wanted)) == sorted(map(value.canonical, rows))
    if ordered:
        return agree(wanted, rows, close)
    return _match_each(
        [[j for j, row in enumerate(rows) if agree(want, row, close)] for want in wanted]
    )


def _without_signed_zeros(rows: list[Any]) -> list[Any]:
    return [tuple(x + 0.0 if type(x) is float else x for x in row) for row in rows]


def _match_each(candidates: list[list[int]]) -> bool:
    """Whether each can have one of its candidates that no other has (augmenting paths)."""
    holder: dict[int, int] = {}
    held: dict[int, int] = {}
    for start in range(len(candidates)):
        asked: dict[int, int] = {}  # a candidate, and by whom
        waiting, free = [start], None
        while waiting and free is None:
            asking = waiting.pop()
            for place in candidates[asking]:
                if place not in asked:
                    asked[place] = asking
                    if place not in holder:
                        free = place
                        break
                    waiting.append(holder[place])
        if free is None:
            return False
        while free is not None:  # each hands on what it held, back to the start
            asking = asked[free]
            given = held.get(asking)
            holder[free], held[asking] = asking, free
            free = given
    return True


@lru_cache(maxsize=256)  # a key is asked for once per rollout of its group
def _problem_of_key(databases: tuple[tuple[str, tuple[SqlRows, ...]], ...]) -> str | None:
    """Why the key cannot judge anything, if so."""
    if not databases or not all(wanted for _, wanted in databases):
        return "the key plans no results"
    for setup, wanted in databases:
        if len(setup.encode("utf-8", "surrogatepass")) > MAX_SETUP_BYTES:
            return f"a setup of more than {MAX_SETUP_BYTES} bytes"
        for rows in wanted:
            if problem := _problem_of_rows(rows):
                return problem
    return None


def _problem_of_rows(wanted: SqlRows) -> str | None:
    try:
        rows: Any = value.decode(wanted.rows, max_bytes=MAX_WANTED_BYTES)
    except value.DecodeError as e:
        return f"the wanted rows do not decode: {e}"
    if not isinstance(rows, list) or not all(isinstance(row, tuple) for row in rows):
        return "the wanted rows are no list of tuples"
    if any(type(x) not in (type(None), int, float, str, bytes) for row in rows for x in row):
        return "a wanted row holds something that SQLite has no type for"
    widths = {len(row) for row in rows} | ({len(wanted.columns)} if wanted.columns else set())
    if len(widths) > 1:
        return "wanted rows of several widths"
    if wanted.close is not None and not wanted.ordered and len(rows) > MAX_CLOSE_ROWS:
        return f"more than {MAX_CLOSE_ROWS} rows in any order under a tolerance"
    return None
