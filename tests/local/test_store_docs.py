"""docs/reference/store.md says what is in `run.db`: all of it, and nothing else."""

import re
import sqlite3
from pathlib import Path

import pytest
from store_examples import record_whole_step

from proofloop.store import RunStore
from proofloop.store.reader import DATABASE_NAME

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "store.md"


@pytest.fixture
def db(tmp_path: Path):
    with RunStore.create(tmp_path) as store:
        record_whole_step(store, 1)
    connection = sqlite3.connect(tmp_path / DATABASE_NAME)
    yield connection
    connection.close()


def documented_tables() -> dict[str, list[str]]:
    sections = re.split(r"^### `(\w+)`", PAGE.read_text(), flags=re.MULTILINE)[1:]
    rows = re.compile(r"^\| `(\w+)` \| (?:TEXT|INTEGER|REAL) \| \S.* \|$", re.MULTILINE)
    return {t: rows.findall(s) for t, s in zip(sections[::2], sections[1::2], strict=True)}


def test_every_table_and_column_is_documented_in_order(db: sqlite3.Connection) -> None:
    kinds = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
    tables = [name for (name,) in db.execute(kinds)]
    real = {t: [c[1] for c in db.execute(f"PRAGMA table_info({t})")] for t in tables}
    assert documented_tables() == real


def test_the_documented_queries_run(db: sqlite3.Connection) -> None:
    queries = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert queries
    for query in queries:
        assert db.execute(query).fetchall()
