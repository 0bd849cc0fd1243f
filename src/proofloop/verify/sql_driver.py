"""What runs a model's SQL: a program of ours, in a sandboxed process of its own.

It gets a setup script and the model's text, and gives rows; what they should be, it never learns.
The model's SQL runs under an authorizer that knows what it may do, so that nothing else reaches
the database: no file, no extension, no setting.  End states are read through a copy of the main
database on a new connection, without the temporary tables and views that would shadow it.

Standard library only: this file is the program's source.
"""

import sqlite3
from typing import Any

MAX_ROWS = 20_000
MAX_VALUE_BYTES = 1 << 20
MAX_SQL_BYTES = 1 << 18
_REFUSED = ("load_extension", "fts3_tokenizer")
_READS = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
_FORBIDDEN = {sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH}
_PRAGMAS = ("foreign_keys", "defer_foreign_keys")
"""What a script may set: it changes how statements work, and nothing of how we look at the end."""


class NotOneQuery(Exception):
    """The answer is not one statement that only reads."""


class Forbidden(Exception):
    """A statement that no answer needs: another database, a setting, an extension."""


class TooManyRows(Exception):
    pass


class ReplacedTable(Exception):
    """A table of the setup is something else now, such as a view."""


class _State:
    database: sqlite3.Connection
    tables: set[str]
    copy: sqlite3.Connection


def prepare(setup: str) -> None:
    """Make the hidden database."""
    database = _State.database = _connection()
    database.executescript(setup)
    if database.in_transaction:
        database.commit()
    _State.tables = _names(database, "table")


def query(text: str) -> tuple[list[str], list[Any]]:
    """Column names and rows of the model's one query."""
    database = _State.database
    refused: list[bool] = []
    database.set_authorizer(_reading(refused))
    _limit(database)
    try:
        database.execute("EXPLAIN " + text).close()  # compiles it, and runs nothing
    except (sqlite3.Warning, sqlite3.ProgrammingError):
        raise NotOneQuery from None
    except sqlite3.Error:
        if refused:
            raise NotOneQuery from None
        raise
    return _rows(database, text)


def apply(script: str) -> None:
    """Run the model's script.  What it leaves uncommitted does not count."""
    database = _State.database
    refused: list[bool] = []
    database.set_authorizer(_changing(refused))
    _limit(database)
    try:
        database.executescript(script)
    except sqlite3.DatabaseError:
        if refused:
            raise Forbidden from None
        raise
    finally:
        if database.in_transaction:
            database.rollback()
    database.set_authorizer(None)
    copy = _State.copy = _connection()
    database.backup(copy)
    database.close()
    if _State.tables & _names(copy, "view"):
        raise ReplacedTable
    copy.set_authorizer(_reading([]))
    _limit(copy)


def check(text: str) -> tuple[list[str], list[Any]]:
    """Column names and rows of a query of ours on the end state."""
    return _rows(_State.copy, text)


def _connection() -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)
    database.execute("PRAGMA temp_store = MEMORY")
    database.execute("PRAGMA trusted_schema = OFF")
    return database


def _limit(database: sqlite3.Connection) -> None:
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    database.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_BYTES)
    database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)


def _names(database: sqlite3.Connection, kind: str) -> set[str]:
    rows = database.execute("SELECT lower(name) FROM main.sqlite_master WHERE type = ?", (kind,))
    return {name for (name,) in rows}


def _rows(database: sqlite3.Connection, text: str) -> tuple[list[str], list[Any]]:
    cursor = database.execute(text)
    rows = cursor.fetchmany(MAX_ROWS + 1)
    if len(rows) > MAX_ROWS:
        raise TooManyRows
    return [column[0] for column in cursor.description or ()], rows


def _reading(refused: list[bool]) -> Any:
    def authorize(action: int, first: str | None, second: str | None, *_: Any) -> int:
        is_refused_function = action == sqlite3.SQLITE_FUNCTION and second in _REFUSED
        if action in _READS and not is_refused_function:
            return sqlite3.SQLITE_OK
        refused.append(True)
        return sqlite3.SQLITE_DENY

    return authorize


def _changing(refused: list[bool]) -> Any:
    def authorize(action: int, first: str | None, second: str | None, *_: Any) -> int:
        is_setting = action == sqlite3.SQLITE_PRAGMA and (first or "").lower() not in _PRAGMAS
        is_function = action == sqlite3.SQLITE_FUNCTION and second in _REFUSED
        if is_setting or is_function or action in _FORBIDDEN:
            refused.append(True)
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    return authorize
