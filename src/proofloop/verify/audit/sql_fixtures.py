"""The panel for SQL: the attacks of its cards around the task's own solution, results bent by a
query around it, constants, and mutants of its text."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from proofloop.core import value
from proofloop.core.task import SqlQuery, SqlRows, SqlState
from proofloop.verify.audit.fixture import Fixture, Kind
from proofloop.verify.audit.placed import placed
from proofloop.verify.cards.card import Case
from proofloop.verify.cards.sql import QUERY_ATTACKS, STATE_ATTACKS
from proofloop.verify.math.extract import NoFinalAnswer
from proofloop.verify.place import text_at

_COSTLY = frozenset(("endless", "fill", "rows", "wide", "blob", "memory", "sort"))
_MAX_ROWS = 100
"""Of a result that is written out."""


def query_fixtures(key: SqlQuery, oracle: str) -> Iterator[Fixture]:
    solution = _solution(key, oracle)
    if solution is None:
        return
    yield from _of_card(QUERY_ATTACKS, key, solution)
    for row, name, text in _around(key, solution):
        answer = placed(key.place, text, "sql")
        yield Fixture(kind=Kind.ATTACK, row=row, name=name, answer=answer)
    # The newline ends a comment on the last line.
    nested = f"WITH answer AS (\n{solution}\n) SELECT * FROM answer"
    if not any(instance.wanted.ordered for instance in key.instances):
        answer = placed(key.place, nested, "sql")
        yield Fixture(kind=Kind.HONEST, name="nested", answer=answer)
    yield from _honest(key, solution)


def state_fixtures(key: SqlState, oracle: str) -> Iterator[Fixture]:
    solution = _solution(key, oracle)
    if solution is None:
        return
    yield from _of_card(STATE_ATTACKS, key, f"{solution};")
    for row, name, text in (
        ("A10", "nothing", "SELECT 1;"),
        ("C", "rolled-back", f"BEGIN;\n{solution};\nROLLBACK;"),
        ("F", "then-a-broken-statement", f"BEGIN;\n{solution};\nSELEC;"),
    ):
        answer = placed(key.place, text, "sql")
        yield Fixture(kind=Kind.ATTACK, row=row, name=name, answer=answer)
    if "begin" not in solution.casefold():
        answer = placed(key.place, f"BEGIN;\n{solution};\nCOMMIT;", "sql")
        yield Fixture(kind=Kind.HONEST, name="in-a-transaction", answer=answer)
    yield from _honest(key, solution)


def _solution(key: SqlQuery | SqlState, oracle: str) -> str | None:
    """Its text, without a last semicolon; None where the oracle has none to judge."""
    try:
        return text_at(key.place, oracle, tags=("sql", "sqlite", "sqlite3")).rstrip("; \t\n")
    except NoFinalAnswer:
        return None


def _of_card(cases: Sequence[Case], key: SqlQuery | SqlState, solution: str) -> Iterator[Fixture]:
    for case in cases:
        text = case.about(solution).answer
        answer = text if text.startswith("```") else placed(key.place, text, "sql")
        yield Fixture(kind=Kind.ATTACK, row=case.row, name=case.name, answer=answer,
                      costly=case.name in _COSTLY)  # fmt: skip


def _around(key: SqlQuery, solution: str) -> Iterator[tuple[str, str, str]]:
    """Other results: by a query around the solution, or written out."""
    wanted = [value.decode(instance.wanted.rows) for instance in key.instances]
    longest = max(map(len, wanted))
    inner = f"(\n{solution}\n)"
    yield "I1", "no-rows", f"SELECT * FROM {inner} LIMIT 0"
    yield "I3", "all-twice", f"SELECT * FROM {inner} UNION ALL SELECT * FROM {inner}"
    yield "A6", "one-column-more", f"SELECT *, 1 FROM {inner}"
    if longest > 1:
        yield "I4", "first-row-only", f"SELECT * FROM {inner} LIMIT 1"
    if any(rows != [(len(rows),)] for rows in wanted):
        yield "I4", "number-of-rows", f"SELECT COUNT(*) FROM {inner}"
    if any(len(rows) != len(set(rows)) for rows in wanted):
        yield "I3", "without-repeats", f"SELECT DISTINCT * FROM {inner}"
    is_ordered = any(instance.wanted.ordered for instance in key.instances)
    if is_ordered and any(rows[::-1] != rows for rows in wanted):
        numbered = f"SELECT *, ROW_NUMBER() OVER () AS place FROM {inner}"
        columns = ", ".join(f"c{i}" for i in range(len(next(r for r in wanted if r)[0])))
        yield (
            "I3",
            "rows-reversed",
            f"WITH a({columns}, place) AS ({numbered}) SELECT {columns} FROM a ORDER BY place DESC",
        )
    for number, (instance, rows) in enumerate(zip(key.instances, wanted, strict=True), 1):
        if rows and len(rows) <= _MAX_ROWS:
            yield "A1", f"constants-of-database-{number}", _constants(instance.wanted, rows)


def _constants(wanted: SqlRows, rows: Sequence[tuple[Any, ...]]) -> str:
    names = wanted.columns or tuple(f"c{i}" for i in range(len(rows[0])))
    selects = [
        "SELECT " + ", ".join(f'{_literal(x)} AS "{n}"' for x, n in zip(row, names, strict=True))
        for row in rows
    ]
    return " UNION ALL ".join(selects)


def _literal(cell: Any) -> str:
    match cell:
        case None:
            return "NULL"
        case bytes():
            return f"X'{cell.hex()}'"
        case str():
            return "'" + cell.replace("'", "''") + "'"
        case _:
            return repr(cell)


def _honest(key: SqlQuery | SqlState, solution: str) -> Iterator[Fixture]:
    for name, text in (
        ("semicolon", f"{solution}\n;"),
        ("comments", f"-- first; of all\n/* SELECT 1; */\n{solution}\n-- last"),
        ("blank-lines", f"\n\n{solution}\n\n"),
        ("line-ends", solution.replace("\n", "\r\n")),
    ):
        yield Fixture(kind=Kind.HONEST, name=name, answer=placed(key.place, text, "sql"))


_SLIPS: tuple[tuple[str, str, str], ...] = (
    ("join", r"\bLEFT (?:OUTER )?JOIN\b", "JOIN"),
    ("order", r"\bDESC\b", "ASC"),
    ("order", r"\bASC\b", "DESC"),
    ("function", r"\bSUM\(", "MAX("),
    ("function", r"\bAVG\(", "MAX("),
    ("function", r"\bMAX\(", "MIN("),
    ("function", r"\bMIN\(", "MAX("),
    ("repeats", r"\bDISTINCT\b", ""),
    ("repeats", r"\bUNION ALL\b", "UNION"),
    ("boolean", r"\bAND\b", "OR"),
    ("boolean", r"\bOR\b", "AND"),
    ("negation", r"\bNOT\b", ""),
    ("null", r"\bIS NOT NULL\b", "IS NULL"),
    ("comparison", r"(?<![<>=!])=(?!=)", "<>"),
    ("comparison", r"(?<![<>])>(?![=])", ">="),
    ("comparison", r"<(?![=>])", "<="),
    ("comparison", r">=", ">"),
    ("comparison", r"<=", "<"),
    ("arithmetic", r"(?<=[\w) ])\+(?= ?\w)", "-"),
    ("arithmetic", r"(?<=[\w)] )\*(?= \w)", "+"),
    ("off by one", r"(?<![\w.])\d+(?![\w.])", "+1"),
    ("filter", r"\bWHERE\b.*?(?=\bGROUP\b|\bORDER\b|\bLIMIT\b|;|\)|$)", ""),
)
"""Operator, what is there, what is written for it; a number for "+1" grows by one."""


def sql_mutants(key: SqlQuery | SqlState, oracle: str) -> Iterator[tuple[str, str]]:
    """Answers with one slip each, and what it changes; of a script also without one statement."""
    solution = _solution(key, oracle)
    if solution is None:
        return
    seen = {solution}
    for text, what in _mutated(solution, isinstance(key, SqlState)):
        if text not in seen and text.strip():
            seen.add(text)
            yield placed(key.place, text, "sql"), what


def _mutated(solution: str, is_script: bool) -> Iterator[tuple[str, str]]:
    for operator, pattern, other in _SLIPS:
        for found in re.finditer(pattern, solution, re.IGNORECASE | re.DOTALL):
            put = str(int(found[0]) + 1) if other == "+1" else other
            line = solution.count("\n", 0, found.start()) + 1
            text = solution[: found.start()] + put + solution[found.end() :]
            yield text, f"{operator}, line {line}"
    statements = solution.split(";")
    if is_script and len(statements) > 1 and "'" not in solution:
        for place in range(len(statements)):
            rest = ";".join([*statements[:place], *statements[place + 1 :]])
            yield rest, f"removed statement {place + 1}"
