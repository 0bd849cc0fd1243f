"""Cards of SQL: a query on two hidden databases, and a script judged by the state it leaves."""

from typing import Any

from proofloop.core import value
from proofloop.core.task import (
    Close,
    SqlCheck,
    SqlInstance,
    SqlQuery,
    SqlRows,
    SqlState,
    SqlStateInstance,
)
from proofloop.core.verdict import ScoredCause as C
from proofloop.verify.cards.card import Card, fails, passes

_TABLES = """CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, score REAL);
CREATE TABLE visits (person INTEGER, place TEXT);
"""
_FIRST = (
    _TABLES
    + """INSERT INTO people VALUES (1, 'Ada', 36, 1.5), (2, 'Bob', NULL, 0.1),
    (3, 'Eve', 36, 2.25);
INSERT INTO visits VALUES (1, 'x'), (1, 'y'), (3, 'x');
"""
)
_SECOND = (
    _TABLES
    + """INSERT INTO people VALUES (7, 'Zoe', 20, 0.5);
INSERT INTO visits VALUES (7, 'q'), (7, 'q'), (7, 'r'), (9, 'q');
"""
)


def _rows(*rows: tuple[Any, ...], columns: tuple[str, ...] = (), ordered: bool = False,
          close: Close | None = None) -> SqlRows:  # fmt: skip
    return SqlRows(rows=value.encode(list(rows)), columns=columns, ordered=ordered, close=close)


def _query(first: SqlRows, second: SqlRows) -> SqlQuery:
    return SqlQuery(
        instances=(
            SqlInstance(setup=_FIRST, wanted=first),
            SqlInstance(setup=_SECOND, wanted=second),
        )
    )


_COUNT = (
    "SELECT name, COUNT(place) AS n FROM people LEFT JOIN visits ON person = people.id "
    "GROUP BY people.id"
)
_ENDLESS = "WITH RECURSIVE t(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM t)"

QUERY_ATTACKS = (
    fails("two", "J11: two statements", "SELECT 1; $SOLUTION", C.INVALID_PROGRAM),
    fails("two-blocks", "J11: two blocks", "```sql\nSELECT 1\n```\n```sql\n$SOLUTION\n```",
          C.CONFLICTING_ANSWERS),
    fails("commit", "F: no transaction is ended", "COMMIT", C.INVALID_PROGRAM),
    fails("explain", "I: no query", "EXPLAIN $SOLUTION", C.EXCEPTION, C.INVALID_PROGRAM),
    fails("pragma", "F: no setting", "PRAGMA writable_schema = ON", C.INVALID_PROGRAM),
    fails("pragma-table", "F: nor as a table", "SELECT * FROM pragma_table_info('people')",
          C.INVALID_PROGRAM),
    fails("attach", "G1: no other database", "ATTACH '/etc/passwd' AS p", C.INVALID_PROGRAM),
    fails("vacuum-into", "E3: no file", "VACUUM INTO '/tmp/x'", C.INVALID_PROGRAM, C.EXCEPTION),
    fails("extension", "F: no extension", "SELECT load_extension('/tmp/x.so'), 2",
          C.INVALID_PROGRAM, C.EXCEPTION),
    fails("tokenizer", "F: no pointer", "SELECT fts3_tokenizer('simple', x'00'), 2",
          C.INVALID_PROGRAM, C.EXCEPTION),
    fails("read-file", "G1: no file", "SELECT readfile('/etc/passwd'), 1", C.EXCEPTION),
    fails("endless", "H: processor time is counted", f"{_ENDLESS} SELECT MAX(x), 1 FROM t",
          C.TIME_LIMIT),
    fails("rows", "H8: the result is capped", f"{_ENDLESS} SELECT x, x FROM t", C.INVALID_RESULT),
    fails("wide", "H8: the result is capped",
          f"{_ENDLESS} SELECT printf('%.*c', 100000, 'x'), x FROM t LIMIT 100",
          C.INVALID_RESULT),
    fails("blob", "H8: a value is capped", "SELECT randomblob(900000000), 1",
          C.EXCEPTION, C.MEMORY_LIMIT),
    fails("memory", "H8: memory is capped",
          f"{_ENDLESS} SELECT COUNT(*), group_concat(hex(randomblob(400000)), x) FROM "
          "(SELECT x FROM t LIMIT 2000) ORDER BY 2",
          C.EXCEPTION, C.MEMORY_LIMIT, C.TIME_LIMIT),
    fails("sort", "H8: memory is capped",
          f"{_ENDLESS} SELECT x, hex(randomblob(200000)) FROM t ORDER BY 2",
          C.MEMORY_LIMIT, C.TIME_LIMIT, C.EXCEPTION),
    fails("bound", "I: there is nothing to bind", "SELECT ?, ?", C.INVALID_PROGRAM, C.EXCEPTION),
    fails("nul", "E2: a NUL", "SELECT 1\0, 2", C.INVALID_PROGRAM, C.EXCEPTION),
    fails("surrogate", "C12: a text that is no Unicode", "SELECT '\ud800', 2", C.EXCEPTION,
          C.INVALID_PROGRAM),
    fails("long", "H8: a text that is too long", "SELECT " + "1," * 300_000 + "1",
          C.INVALID_PROGRAM),
    fails("nested", "H8: an expression that is too deep", "SELECT " + "(" * 5000 + "1" + ")" * 5000,
          C.EXCEPTION),
)  # fmt: skip
"""Of any query; `$SOLUTION` stands for a right one."""

QUERY = Card(
    name="sql query",
    tests=_query(_rows(("Ada", 2), ("Bob", 0), ("Eve", 1)), _rows(("Zoe", 3))),
    gold=_COUNT,
    accepted=(
        passes("fenced", "the block is the query", f"So:\n```sql\n{_COUNT};\n```\n"),
        passes("order", "rows have no order", f"{_COUNT} ORDER BY name DESC"),
        passes("subquery", "another way, with comments",
               "-- counts\nSELECT name, (SELECT COUNT(*) FROM visits WHERE person = p.id)\n"
               "FROM people p /* all */;\n"),
        passes("columns", "the columns' own names do not count",
               _COUNT.replace("AS n", 'AS "any name"')),
        passes("with", "a common table expression",
               "WITH v AS (SELECT person, COUNT(*) AS n FROM visits GROUP BY 1)\n"
               "SELECT name, COALESCE(n, 0) FROM people LEFT JOIN v ON person = id"),
    ),
    rejected=(
        fails("inner-join", "I1: a row is missing", _COUNT.replace("LEFT ", ""), C.WRONG_ANSWER),
        fails("surplus-column", "a column too many", _COUNT.replace("name,", "people.id, name,"),
              C.WRONG_ANSWER),
        fails("real", "1.0 is not 1", _COUNT.replace("COUNT(place)", "COUNT(place) * 1.0"),
              C.WRONG_ANSWER),
        fails("text", "'1' is not 1", _COUNT.replace("COUNT(place)", "CAST(COUNT(place) AS TEXT)"),
              C.WRONG_ANSWER),
        fails("twice", "I3: rows are a multiset", f"{_COUNT} UNION ALL SELECT 'Bob', 0",
              C.WRONG_ANSWER),
        fails("syntax", "it does not compile", "SELEC name FROM people", C.EXCEPTION),
        fails("no-table", "there is no such table", "SELECT * FROM persons", C.EXCEPTION),
        fails("chat", "words are no SQL", "You should count the visits.", C.EXCEPTION),
    ),
    adversarial=(
        fails("constants", "A1: the rows of one database", "VALUES ('Ada', 2), ('Bob', 0), "
              "('Eve', 1)", C.WRONG_ANSWER),
        fails("insert", "F: it only reads",
              "INSERT INTO visits VALUES (1, 'z') RETURNING person, 2", C.INVALID_PROGRAM),
        fails("drop", "F: it only reads", "DROP TABLE people", C.INVALID_PROGRAM),
        fails("cross-join", "H: a slow query",
              "SELECT COUNT(*), 1 FROM " + ", ".join(f"people AS p{i}" for i in range(30)),
              C.TIME_LIMIT),
        *(case.about(_COUNT) for case in QUERY_ATTACKS),
    ),
)  # fmt: skip

ORDERED = Card(
    name="sql query, ordered and near",
    tests=_query(
        _rows(("Eve", 2.25, 36), ("Ada", 1.5, 36), ("Bob", 0.1, None),
              columns=("name", "score", "age"), ordered=True, close=Close(abs_tol=1e-6)),
        _rows(("Zoe", 0.5, 20), columns=("name", "score", "age"), ordered=True,
              close=Close(abs_tol=1e-6)),
    ),
    gold="SELECT name, score, age FROM people ORDER BY score DESC",
    accepted=(
        passes("near", "within the tolerance",
               "SELECT name, score + 1e-7 AS score, age FROM people ORDER BY 2 DESC"),
    ),
    rejected=(
        fails("order", "the order counts", "SELECT name, score, age FROM people ORDER BY score",
              C.WRONG_ANSWER),
        fails("names", "the names count", "SELECT name, score + 0, age FROM people ORDER BY 2 DESC",
              C.WRONG_ANSWER),
        fails("far", "over the tolerance",
              "SELECT name, score + 1e-3 AS score, age FROM people ORDER BY 2 DESC",
              C.WRONG_ANSWER),
        fails("null", "NULL is not 0",
              "SELECT name, score, COALESCE(age, 0) AS age FROM people ORDER BY 2 DESC",
              C.WRONG_ANSWER),
    ),
)  # fmt: skip

AVERAGES = Card(
    name="sql query, near in any order",
    tests=_query(
        _rows((36, 1.875), (None, 0.1), close=Close(abs_tol=0.01)),
        _rows((20, 0.5), close=Close(abs_tol=0.01)),
    ),
    gold="SELECT age, AVG(score) FROM people GROUP BY age",
    accepted=(
        passes("rounded", "within the tolerance",
               "SELECT age, ROUND(AVG(score), 2) FROM people GROUP BY age ORDER BY age DESC"),
    ),
    rejected=(
        fails("sum", "another value", "SELECT age, SUM(score) FROM people GROUP BY age",
              C.WRONG_ANSWER),
        fails("age", "whole numbers are exact",
              "SELECT age + 0.001, AVG(score) FROM people GROUP BY age", C.WRONG_ANSWER),
    ),
)  # fmt: skip

_MOVE = """UPDATE people SET age = age + 1 WHERE age IS NOT NULL;
DELETE FROM visits WHERE place = 'x';
"""
_PEOPLE = "SELECT name, age, score FROM people"
_VISITS = "SELECT person, place FROM visits"
_STATE = SqlState(
    instances=(
        SqlStateInstance(
            setup=_FIRST,
            checks=(
                SqlCheck(query=_PEOPLE, wanted=_rows(("Ada", 37, 1.5), ("Bob", None, 0.1),
                                                     ("Eve", 37, 2.25))),
                SqlCheck(query=_VISITS, wanted=_rows((1, "y"))),
            ),
        ),
        SqlStateInstance(
            setup=_SECOND,
            checks=(
                SqlCheck(query=_PEOPLE, wanted=_rows(("Zoe", 21, 0.5))),
                SqlCheck(query=_VISITS, wanted=_rows((7, "q"), (7, "q"), (7, "r"), (9, "q"))),
            ),
        ),
    )
)  # fmt: skip
_FAKE = ("SELECT 'Ada' AS name, 37 AS age, 1.5 AS score UNION ALL SELECT 'Bob', NULL, 0.1 "
         "UNION ALL SELECT 'Eve', 37, 2.25")  # fmt: skip

STATE_ATTACKS = (
    fails("open", "C: what is not committed does not count", "BEGIN;\n$SOLUTION", C.WRONG_ANSWER),
    fails("savepoint", "C: nor what is rolled back",
          "SAVEPOINT s;\n$SOLUTION\nROLLBACK TO s;", C.WRONG_ANSWER),
    fails("writable-schema", "F: no setting",
          "PRAGMA writable_schema = ON;\n$SOLUTION", C.INVALID_PROGRAM),
    fails("attach", "F: no other database", "ATTACH ':memory:' AS people;\n$SOLUTION",
          C.INVALID_PROGRAM),
    fails("detach", "F: nor none", "DETACH main;\n$SOLUTION", C.INVALID_PROGRAM, C.EXCEPTION),
    fails("temp-store", "F: no files", "PRAGMA temp_store = FILE;\n$SOLUTION", C.INVALID_PROGRAM),
    fails("vacuum-into", "E3: no file", "VACUUM INTO '/tmp/x';\n$SOLUTION", C.INVALID_PROGRAM,
          C.EXCEPTION),
    fails("extension", "F: no extension", "SELECT load_extension('/tmp/x.so');",
          C.INVALID_PROGRAM, C.EXCEPTION),
    fails("endless", "H: processor time is counted",
          f"CREATE TABLE big AS {_ENDLESS} SELECT MAX(x) FROM t;", C.TIME_LIMIT),
    fails("fill", "H: memory is counted",
          f"CREATE TABLE big AS {_ENDLESS} SELECT randomblob(100000) FROM t;",
          C.MEMORY_LIMIT, C.TIME_LIMIT, C.EXCEPTION),
)  # fmt: skip
"""Of any script; `$SOLUTION` stands for a right one."""

STATE = Card(
    name="sql state",
    tests=_STATE,
    gold=_MOVE,
    accepted=(
        passes("transaction", "in a transaction of its own", f"BEGIN;\n{_MOVE}COMMIT;"),
        passes("fenced", "the block is the script", f"```sql\n{_MOVE}```"),
        passes("helpers", "temporary tables and triggers of its own",
               "CREATE TEMP TABLE old AS SELECT id FROM people WHERE age IS NOT NULL;\n"
               "UPDATE people SET age = age + 1 WHERE id IN (SELECT id FROM old);\n"
               "DELETE FROM visits WHERE place = 'x'; DROP TABLE old;"),
        passes("rebuilt", "the table made anew",
               "PRAGMA foreign_keys = OFF;\nCREATE TABLE new AS SELECT id, name, age + 1 AS age, "
               "score FROM people;\nDROP TABLE people;\nALTER TABLE new RENAME TO people;\n"
               "DELETE FROM visits WHERE place = 'x';"),
    ),
    rejected=(
        fails("nothing", "the state as it was", "SELECT 1;", C.WRONG_ANSWER),
        fails("half", "the second check", _MOVE.split("\n")[0], C.WRONG_ANSWER),
        fails("more", "other rows are gone", _MOVE.replace("WHERE place = 'x'", ""),
              C.WRONG_ANSWER),
        fails("syntax", "it does not compile", "UPDAT people", C.EXCEPTION),
        fails("dropped", "a table that is checked is gone", "DROP TABLE visits;", C.WRONG_ANSWER,
              C.EXCEPTION),
    ),
    adversarial=(
        fails("temp-view", "F5: a temporary view shadows nothing",
              f"CREATE TEMP VIEW people AS {_FAKE};\nDELETE FROM visits WHERE place = 'x';",
              C.WRONG_ANSWER),
        fails("temp-table", "F5: nor does a temporary table",
              f"CREATE TEMP TABLE people AS {_FAKE};\nDELETE FROM visits WHERE place = 'x';",
              C.WRONG_ANSWER),
        fails("view", "F5: a view in place of a table",
              f"DROP TABLE people;\nCREATE VIEW people AS {_FAKE};\n"
              "DELETE FROM visits WHERE place = 'x';", C.INVALID_RESULT),
        fails("constants", "A1: the rows of one database",
              "DELETE FROM people; INSERT INTO people VALUES (1, 'Ada', 37, 1.5), "
              "(2, 'Bob', NULL, 0.1), (3, 'Eve', 37, 2.25); DELETE FROM visits WHERE place = 'x';",
              C.WRONG_ANSWER),
        fails("trigger", "F: a trigger that undoes the rest",
              "CREATE TRIGGER t AFTER UPDATE ON people BEGIN DELETE FROM people; END;\n" + _MOVE,
              C.WRONG_ANSWER),
        fails("slow-view", "H: a slow table for the checks",
              "DROP TABLE visits; CREATE TABLE v(person, place); "
              f"CREATE VIEW visits AS {_ENDLESS} SELECT MAX(x), 1 FROM t;", C.INVALID_RESULT),
        fails("many-rows", "H8: rows are capped",
              f"INSERT INTO visits {_ENDLESS} SELECT x, 'y' FROM t LIMIT 50000;\n"
              "UPDATE people SET age = age + 1;", C.INVALID_RESULT, C.WRONG_ANSWER),
        *(case.about(_MOVE) for case in STATE_ATTACKS),
    ),
)  # fmt: skip

CARDS: tuple[Card, ...] = (QUERY, ORDERED, AVERAGES, STATE)
