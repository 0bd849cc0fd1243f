"""Tripwires in the store: flags, what is kept aside, and runs from before there were any."""

import dataclasses
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from store_examples import draws, group, groups, record_whole_step

from proofloop.core.errors import RunError
from proofloop.core.tripwire import Wire
from proofloop.store import Phase, RunStore, schema
from proofloop.store.reader import DATABASE_NAME


def test_a_run_from_before_tripwires_is_taken_up_with_all_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[tuple[str, list[Any]]] = []
    with RunStore.create(tmp_path / "new") as store:
        record_whole_step(store, 1)
    run = tmp_path / "old"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (schema.initial_tables,))
        RunStore.create(run).close()
    for table in ("draws", "rollouts", "segments", "steps", "metrics"):
        with closing(sqlite3.connect(run / DATABASE_NAME)) as db:
            names = [column[1] for column in db.execute(f"PRAGMA table_info({table})")]
        columns, places = ", ".join(names), ", ".join("?" * len(names))
        insert = f"INSERT INTO {table} ({columns}) VALUES ({places})"
        with closing(sqlite3.connect(tmp_path / "new" / DATABASE_NAME)) as db:
            statements.append((insert, db.execute(f"SELECT {columns} FROM {table}").fetchall()))
    shutil.copytree(tmp_path / "new" / "segments", run / "segments")
    with sqlite3.connect(run / DATABASE_NAME) as db:
        for insert, rows in statements:
            db.executemany(insert, rows)
    with pytest.raises(RunError, match="older version of Proofloop; resuming the run upgrades it"):
        RunStore.read(run)
    with RunStore.open(run) as store:
        assert store.load_groups(Phase.TRAIN, 1) == groups(Phase.TRAIN, 1)
        assert store.load_draws(Phase.TRAIN, 1) == draws(1)
        assert store.load_tripped() == []
        record_whole_step(store, 2)
    with RunStore.read(run) as reader:
        assert reader.load_groups(Phase.TRAIN, 2) == groups(Phase.TRAIN, 2)


def test_what_tripped_a_wire_is_kept_with_its_text(tmp_path: Path) -> None:
    impossible = dataclasses.replace(group(Phase.TRAIN, 1, 2), tripwire=True)
    flagged = [*draws(1)[:2], dataclasses.replace(draws(1)[2], tripwire=True)]
    with RunStore.create(tmp_path) as store:
        store.record_draws(Phase.TRAIN, 1, flagged)
        store.record_draws(Phase.TRAIN, 1, flagged)
        with pytest.raises(RunError, match="drawn before and with other tasks"):
            store.record_draws(Phase.TRAIN, 1, draws(1))
        recorded = [*groups(Phase.TRAIN, 1)[:2], impossible]
        store.record_rollouts(Phase.TRAIN, 1, recorded)
    with RunStore.read(tmp_path) as reader:
        assert reader.load_draws(Phase.TRAIN, 1) == flagged
        assert reader.load_groups(Phase.TRAIN, 1) == recorded
        (row,) = reader.load_tripped()
        assert (reader.load_tripped(1), reader.load_tripped(2)) == ([row], [])
        assert (reader.num_tripped(0), reader.num_tripped(1)) == (0, 1)
        assert [r.id for r in reader.iter_rollouts() if r.tripwire] == [
            f"train-1-2-{i}" for i in range(4)
        ]
    passed = impossible.group.attempts[0].rollout
    assert (row.rollout_id, row.step, row.wire, row.answer) == (
        passed.id,
        1,
        Wire.IMPOSSIBLE,
        passed.answer,
    )


def test_an_event_is_noted_once_where_that_is_asked_for(tmp_path: Path) -> None:
    with RunStore.create(tmp_path) as store:
        assert store.event_once("alarm", "a")
        assert store.event_once("alarm", "b")
        assert not store.event_once("alarm", "a")
        assert [e.message for e in store.events()] == ["a", "b"]
