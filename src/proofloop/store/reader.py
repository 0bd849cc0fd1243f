"""Reading a run: by the report, by `peek`, and by a trainer that takes up where one was killed.

Opens `run.db` read-only, so it may look on while a trainer writes; what it sees are committed
steps, each whole.  The same questions can be asked with plain `sqlite3` (docs/reference/store.md).
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from proofloop.core.errors import RunError, StoreDamaged
from proofloop.core.rollout import RolloutId
from proofloop.core.task import Stratum, TaskId
from proofloop.core.tripwire import Wire
from proofloop.store import schema
from proofloop.store.rows import (
    LOCATION_COLUMNS,
    ROW_COLUMNS,
    Draw,
    Evaluation,
    Event,
    PassCount,
    Phase,
    RecordedGroup,
    RecordedRollout,
    RolloutRow,
    TrippedRow,
    rollout_row,
)
from proofloop.store.segments import Location, read_group

DATABASE_NAME = "run.db"
_BUSY_TIMEOUT_S = 10.0


def connect(directory: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open and check that this is a run of this version or older.  Raises RunError."""
    path = directory / DATABASE_NAME
    if not path.is_file():
        raise RunError(f"{directory}: not a run directory (no {DATABASE_NAME}); check the path")
    wal = directory / f"{DATABASE_NAME}-wal"
    query = "mode=ro" if read_only else "mode=rw"
    if read_only and not (os.access(directory, os.W_OK) or wal.exists()):
        # A finished run where we may not write: SQLite could not create its side files.
        query += "&immutable=1"
    try:
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?{query}",
            uri=True,
            timeout=_BUSY_TIMEOUT_S,
            isolation_level=None,
        )
    except sqlite3.Error as error:
        raise damaged(directory, error) from error
    try:
        (application_id,) = db.execute("PRAGMA application_id").fetchone()
        if application_id != schema.APPLICATION_ID:
            raise RunError(f"{path}: a SQLite file, but not one that Proofloop wrote")
        if unknown := schema.unknown(db):
            raise RunError(
                f"{path}: written by a newer version of Proofloop "
                f"(unknown migrations: {', '.join(sorted(unknown))}); upgrade, then try again"
            )
        if read_only and schema.pending(db):
            raise RunError(
                f"{path}: written by an older version of Proofloop; resuming the run upgrades it"
            )
    except sqlite3.Error as error:
        db.close()
        raise damaged(directory, error) from error
    except BaseException:
        db.close()
        raise
    return db


def damaged(directory: Path, problem: object) -> RunError:
    return RunError(
        f"{directory / DATABASE_NAME}: damaged or unreadable ({problem}); copy it back from a "
        "backup, or start a new run with --out"
    )


class RunReader:
    """A run directory, read-only.  Bound to the thread and the process that opened it."""

    def __init__(self, directory: Path, db: sqlite3.Connection) -> None:
        self.directory = directory
        self._db = db

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load_draws(self, phase: Phase, step: int) -> list[Draw]:
        """The ledger's entries of a step, by slot; empty where the step was never drawn."""
        return [
            Draw(
                slot=slot,
                task_id=TaskId(task_id),
                stratum=Stratum(family=family, complexity=complexity, horizon=horizon),
                index=index,
                tripwire=bool(tripwire),
            )
            for slot, task_id, family, complexity, horizon, index, tripwire in self._query(
                "SELECT slot, task_id, family, complexity, horizon, idx, tripwire FROM draws"
                " WHERE phase = ? AND step = ? ORDER BY slot",
                (phase, step),
            )
        ]

    def rollouts_recorded(self, phase: Phase, step: int) -> bool:
        """Whether rollouts of the step are in the store: of a training step then all of them are;
        of an evaluation `evaluation` tells."""
        rows = self._query(
            "SELECT 1 FROM rollouts WHERE phase = ? AND step = ? LIMIT 1", (phase, step)
        )
        return any(True for _ in rows)

    def recorded_steps(self, phase: Phase) -> list[int]:
        """Steps whose rollouts are in the store, ascending; of evaluations those that ended."""
        if phase is Phase.EVAL:
            ended = "SELECT step FROM evaluations WHERE ended IS NOT NULL ORDER BY step"
            return [step for (step,) in self._query(ended)]
        return [
            step
            for (step,) in self._query(
                "SELECT DISTINCT step FROM rollouts WHERE phase = ? ORDER BY step", (phase,)
            )
        ]

    def evaluation(self, step: int) -> Evaluation | None:
        """How the measurement after `step` optimiser steps stands; None: not begun."""
        columns = Evaluation.__struct_fields__
        for values in self._query(
            f"SELECT {', '.join(columns)} FROM evaluations WHERE step = ?", (step,)
        ):
            return Evaluation(**dict(zip(columns, values, strict=True)))
        return None

    def recorded_slots(self, phase: Phase, step: int) -> set[int]:
        """Slots of the step whose rollouts are in the store."""
        rows = self._query(
            "SELECT slot FROM rollouts WHERE phase = ? AND step = ? AND sample = 0", (phase, step)
        )
        return {slot for (slot,) in rows}

    def pass_counts(self, phase: Phase, step: int) -> list[PassCount]:
        """Of every task of the step, by slot; impossible ones left out."""
        return [
            PassCount(slot=slot, num_scored=num_scored, num_passed=num_passed or 0)
            for slot, num_scored, num_passed in self._query(
                "SELECT slot, count(passed), sum(passed) FROM rollouts"
                " WHERE phase = ? AND step = ? AND NOT tripwire GROUP BY slot ORDER BY slot",
                (phase, step),
            )
        ]

    def outcomes(self, phase: Phase, step: int, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Rows of the outcome table (view `outcomes`), these columns, by task and sample."""
        return list(
            self._query(
                f"SELECT {', '.join(columns)} FROM outcomes WHERE phase = ? AND step = ?"
                " ORDER BY task_id, sample",
                (phase, step),
            )
        )

    def logprobs(self, policy: str) -> dict[RolloutId, float]:
        """Log-probabilities (nats, all sampled tokens) that rollouts had under another policy than
        the one that sampled them; see `RunStore.record_logprobs`."""
        rows = self._query(
            "SELECT rollout_id, sum_logprob FROM logprobs WHERE policy = ?", (policy,)
        )
        return {RolloutId(rollout_id): value for rollout_id, value in rows}

    def load_groups(self, phase: Phase, step: int) -> list[RecordedGroup]:
        """The step's groups by slot, token for token.  Raises StoreDamaged (file, offset)."""
        return [
            self._group(slot, task_id, bool(tripwire), verifier or "", Location(*location))
            for slot, task_id, tripwire, verifier, *location in self._query(
                f"SELECT slot, task_id, tripwire, verifier, {', '.join(LOCATION_COLUMNS)}"
                " FROM rollouts"
                " WHERE phase = ? AND step = ? AND sample = 0 ORDER BY slot",
                (phase, step),
            )
        ]

    def load_rollout(self, rollout_id: str) -> RecordedRollout:
        """Raises RunError where there is none with this id, StoreDamaged for damaged bytes."""
        for values in self._query(
            f"SELECT {', '.join(ROW_COLUMNS + LOCATION_COLUMNS)} FROM rollouts WHERE id = ?",
            (rollout_id,),
        ):
            row = self._row(values[: len(ROW_COLUMNS)])
            location = Location(*values[len(ROW_COLUMNS) :])
            recorded = self._group(
                row.slot, row.task_id, row.tripwire, row.verifier or "", location
            )
            if row.sample < len(recorded.group.attempts):
                judged = recorded.group.attempts[row.sample]
                if judged.rollout.id == row.id:
                    return RecordedRollout(row=row, task=recorded.task, judged=judged)
            raise self._mismatch(location, row.task_id)
        raise RunError(f"{self.directory}: no rollout {rollout_id!r} in this run")

    def iter_rollouts(
        self, *, phase: Phase | None = None, step: int | None = None
    ) -> Iterator[RolloutRow]:
        """Light rows (no tokens) in the order phase, step, slot, sample."""
        conditions = {"phase": phase, "step": step}
        chosen = {name: value for name, value in conditions.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in chosen) or "1"
        for values in self._query(
            f"SELECT {', '.join(ROW_COLUMNS)} FROM rollouts WHERE {where}"
            " ORDER BY phase, step, slot, sample",
            tuple(chosen.values()),
        ):
            yield self._row(values)

    def num_tripped(self, step: int) -> int:
        """Submissions kept aside in the steps up to this one."""
        rows = self._query("SELECT count(*) FROM tripped WHERE step <= ?", (step,))
        return next(count for (count,) in rows)

    def load_tripped(self, step: int | None = None) -> list[TrippedRow]:
        """Submissions kept aside because they tripped a wire, in the order of their recording; of
        all steps or of one."""
        return [
            TrippedRow(
                rollout_id=RolloutId(rollout_id),
                step=step,
                task_id=TaskId(task_id),
                wire=Wire(wire),
                answer=answer,
            )
            for rollout_id, step, task_id, wire, answer in self._query(
                "SELECT rollout_id, step, task_id, wire, answer FROM tripped"
                " WHERE ?1 IS NULL OR step = ?1 ORDER BY rowid",
                (step,),
            )
        ]

    def completed_steps(self) -> list[int]:
        return [step for (step,) in self._query("SELECT step FROM steps ORDER BY step")]

    def last_step(self) -> int | None:
        """The last optimiser step that was recorded; None before the first."""
        return max(self.completed_steps(), default=None)

    def weights_sha256(self, step: int) -> str | None:
        """Hash of the weights that optimiser step `step` made; None where it is not recorded."""
        rows = self._query("SELECT weights_sha256 FROM steps WHERE step = ?", (step,))
        return next((sha256 for (sha256,) in rows), None)

    def metrics(self, name: str) -> list[tuple[int, float]]:
        """(step, value) by step; NaN where there was nothing to measure."""
        return [
            (step, float("nan") if value is None else value)
            for step, value in self._query(
                "SELECT step, value FROM metrics WHERE name = ? ORDER BY step", (name,)
            )
        ]

    def metric_names(self) -> list[str]:
        return [name for (name,) in self._query("SELECT DISTINCT name FROM metrics ORDER BY name")]

    def step_durations(self) -> list[tuple[int, float]]:
        """(step, wall seconds) by step."""
        return list(self._query("SELECT step, wall_s FROM steps ORDER BY step"))

    def events(self) -> list[Event]:
        return [
            Event(time=time, kind=kind, message=message)
            for time, kind, message in self._query(
                "SELECT time, kind, message FROM events ORDER BY id"
            )
        ]

    def _query(self, sql: str, parameters: tuple[Any, ...] = ()) -> Iterator[Any]:
        try:
            rows = self._db.execute(sql, parameters)
            # Not `yield from`: an abandoned generator would close a cursor whose run is closed.
            while (row := rows.fetchone()) is not None:
                yield row
        except sqlite3.DatabaseError as error:
            raise damaged(self.directory, error) from error

    def _row(self, values: tuple[Any, ...]) -> RolloutRow:
        try:
            return rollout_row(values)
        except (ValueError, msgspec.DecodeError) as error:
            raise damaged(self.directory, f"rollout {values[0]}: {error}") from error

    def _group(
        self, slot: int, task_id: str, tripwire: bool, verifier: str, location: Location
    ) -> RecordedGroup:
        stored = read_group(self.directory, location)
        if stored.task.id != task_id:
            raise self._mismatch(location, task_id)
        return RecordedGroup(
            slot=slot, task=stored.task, group=stored.group, tripwire=tripwire, verifier=verifier
        )

    def _mismatch(self, location: Location, task_id: str) -> StoreDamaged:
        return StoreDamaged(
            f"{self.directory / location.segment}, offset {location.offset}: does not hold the "
            f"rollouts of {task_id} that run.db points to; are both files of the same run?"
        )
