"""The one writer of a run.

The invariants: what a step's call recorded is in the store whole or not at all, whenever the
process is killed; nothing is recorded twice.  `synchronous=FULL`: a commit returns after fsync, so
this holds for power loss too (a kill alone would be safe with less).  A step makes three commits
and one fsync of a segment, a few milliseconds together.
"""

import math
import sqlite3
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from proofloop.core.errors import RunError
from proofloop.core.rollout import RolloutId
from proofloop.store import schema
from proofloop.store.files import TEMPORARY_PREFIX, sync_directory
from proofloop.store.lock import WriterLock
from proofloop.store.reader import DATABASE_NAME, RunReader, connect, damaged
from proofloop.store.rows import (
    LOCATION_COLUMNS,
    ROW_COLUMNS,
    Draw,
    Phase,
    RecordedGroup,
    failure_values,
    rollout_values,
    tripped_values,
)
from proofloop.store.segments import NOTHING_COUNTED, Counted, StoredGroup, append

_COLUMNS = ROW_COLUMNS + LOCATION_COLUMNS
_INSERT_ROLLOUT = (
    f"INSERT INTO rollouts ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
)


class RunStore(RunReader):
    """A run directory, open for writing by this process and thread alone.

    Fork workers before opening it, or spawn them: an SQLite connection must not cross a fork.
    """

    def __init__(
        self,
        directory: Path,
        db: sqlite3.Connection,
        lock: WriterLock,
        clock: Callable[[], float],
    ) -> None:
        """Use `create`, `open` or `read`."""
        super().__init__(directory, db)
        self._lock = lock
        self._clock = clock

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        prepare: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Start a run in `directory`, which is made where missing and may hold other files.

        `prepare` writes what a run must never lack, before the database makes it a run: a process
        killed in between leaves no run, and the next `create` starts anew.

        Raises RunError where it already holds a run or cannot be written.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{directory}: cannot be made ({error.strerror})") from error
        lock = WriterLock(directory)
        try:
            if (directory / DATABASE_NAME).exists():
                raise RunError(
                    f"{directory}: already holds a run; continue it with --resume, or give "
                    "another --out"
                )
            prepare()
            _make_database(directory, clock())
        except BaseException:
            lock.release()
            raise
        lock.release()
        return cls.open(directory, clock=clock)

    @classmethod
    def open(cls, directory: Path, *, clock: Callable[[], float] = time.time) -> Self:
        """Take up a run.  Raises RunError: missing, damaged, foreign, newer, or being written."""
        if not (directory / DATABASE_NAME).is_file():
            raise RunError(f"{directory}: not a run directory (no {DATABASE_NAME}); check the path")
        lock = WriterLock(directory)
        db = None
        try:
            db = connect(directory, read_only=False)
            (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise damaged(directory, verdict)
            db.execute("PRAGMA synchronous = FULL")
            schema.migrate(db, time=clock())
            return cls(directory, db, lock, clock)
        except BaseException as error:
            if db is not None:
                db.close()
            lock.release()
            if isinstance(error, sqlite3.Error):
                raise damaged(directory, error) from error
            raise

    @staticmethod
    def read(directory: Path) -> RunReader:
        """Look on, while another process may be writing.  Raises RunError as `open` does."""
        return RunReader(directory, connect(directory, read_only=True))

    def close(self) -> None:
        super().close()
        self._lock.release()

    def record_draws(
        self, phase: Phase, step: int, draws: Sequence[Draw], *, in_rounds: bool = False
    ) -> None:
        """Enter the step's tasks into the ledger.

        A step that is already there is left as it is where the draws are the same (a resumed run
        draws again); raises RunError where they differ.  `in_rounds`: the draws are those of one
        round, and a step may have others in other slots.
        """
        slots = {draw.slot for draw in draws}
        before = self.load_draws(phase, step)
        before = [draw for draw in before if draw.slot in slots or not in_rounds]
        if before:
            if before != sorted(draws, key=lambda draw: draw.slot):
                raise RunError(
                    f"{self.directory}: {phase} step {step} was drawn before and with other tasks; "
                    "the recipe or the environment changed since, start a new run"
                )
            return
        with self._transaction():
            self._db.executemany(
                "INSERT INTO draws VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        *(phase, step, draw.slot, draw.task_id),
                        *(draw.stratum.family, draw.stratum.complexity, draw.stratum.horizon),
                        *(draw.index, draw.tripwire),
                    )
                    for draw in draws
                ],
            )

    def record_rollouts(self, phase: Phase, step: int, groups: Sequence[RecordedGroup]) -> None:
        """Record rollouts in one transaction: all of a training step (or of a round of it), or a
        portion of an evaluation.

        Raises ValueError where they are recorded already, where a group is empty, where an id is
        not new, and where the groups are not those of the ledger.
        """
        if not groups or not all(recorded.group.attempts for recorded in groups):
            raise ValueError(f"{phase} step {step}: no groups, or a group without rollouts")
        given = {recorded.slot: recorded.task.id for recorded in groups}
        known = self.recorded_slots(phase, step)
        if known & given.keys():
            raise ValueError(f"the rollouts of {phase} step {step} are already recorded")
        draws = self.load_draws(phase, step)
        drawn = {draw.slot: draw.task_id for draw in draws if draw.slot not in known}
        if given != drawn if phase is Phase.TRAIN else not given.items() <= drawn.items():
            raise ValueError(f"{phase} step {step}: the groups are not the tasks that were drawn")
        with self._transaction():
            row = self._db.execute(
                "SELECT segment, num_bytes FROM segments ORDER BY segment DESC LIMIT 1"
            ).fetchone()
            locations, counted = append(
                self.directory,
                Counted(*row) if row else NOTHING_COUNTED,
                [StoredGroup(task=recorded.task, group=recorded.group) for recorded in groups],
            )
            for recorded, location in zip(groups, locations, strict=True):
                self._db.executemany(
                    _INSERT_ROLLOUT, rollout_values(phase, step, recorded, location)
                )
                self._db.executemany(
                    "INSERT INTO tripped VALUES (?, ?, ?, ?, ?)", tripped_values(step, recorded)
                )
                self._db.executemany(
                    "INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?)", failure_values(recorded)
                )
            self._db.execute("INSERT OR REPLACE INTO segments VALUES (?, ?)", counted)

    def begin_evaluation(self, step: int, draws: Sequence[Draw], *, num_samples: int) -> None:
        """Enter an evaluation's tasks; one that was begun before goes on.

        Raises RunError where it was begun with other tasks or another number of samples."""
        self.record_draws(Phase.EVAL, step, draws)
        before = self.evaluation(step)
        if before is None:
            with self._transaction():
                self._db.execute(
                    "INSERT INTO evaluations VALUES (?, ?, ?, NULL)",
                    (step, len(draws), num_samples),
                )
        elif before.num_samples != num_samples:
            raise RunError(
                f"{self.directory}: the evaluation at step {step} was begun with "
                f"{before.num_samples} samples a task, not {num_samples}; start a new run"
            )

    def end_evaluation(self, step: int, why: str) -> None:
        """The evaluation at `step` has all that it was to have: from now on it is a result."""
        with self._transaction():
            self._db.execute("UPDATE evaluations SET ended = ? WHERE step = ?", (why, step))

    def record_logprobs(
        self, policy: str, policy_sha256: str, sums: Mapping[RolloutId, float]
    ) -> None:
        """Record what log-probability (nats, all sampled tokens) recorded rollouts have under
        another policy, for example `base`.  Known ones are replaced."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO logprobs VALUES (?, ?, ?, ?)",
                [(policy, rollout_id, policy_sha256, value) for rollout_id, value in sums.items()],
            )

    def record_step(
        self, step: int, *, metrics: Mapping[str, float], weights_sha256: str, wall_s: float
    ) -> bool:
        """Record that optimiser step `step` is done and made weights with this SHA-256.

        A resumed run comes by steps that are recorded already.  Where the weights are the same the
        first record stays; where they differ the new one takes its place, an event `diverged`
        says so, and the result is False.
        """
        before = self.weights_sha256(step)
        if before == weights_sha256:
            return True
        now = self._clock()
        with self._transaction():
            self._db.execute("DELETE FROM metrics WHERE step = ?", (step,))
            self._db.execute(
                "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?)",
                (step, now, wall_s, weights_sha256),
            )
            self._db.executemany(
                "INSERT INTO metrics VALUES (?, ?, ?)",
                # SQLite has no NaN; NULL says the same.
                [(step, n, None if math.isnan(v) else float(v)) for n, v in metrics.items()],
            )
            if before is not None:
                message = f"step {step} was repeated and made other weights than before"
                self._db.execute(
                    "INSERT INTO events (time, kind, message) VALUES (?, 'diverged', ?)",
                    (now, message),
                )
        return before is None

    def event(self, kind: str, message: str) -> None:
        """Note something that a person should know: `resumed`, `checkpoint_damaged`, `alarm`."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO events (time, kind, message) VALUES (?, ?, ?)",
                (self._clock(), kind, message),
            )

    def event_once(self, kind: str, message: str) -> bool:
        """As `event`; False, and nothing is noted, where the same was noted before."""
        if any((e.kind, e.message) == (kind, message) for e in self.events()):
            return False
        self.event(kind, message)
        return True

    @contextmanager
    def _transaction(self) -> Generator[None]:
        """All or nothing, also for Ctrl-C between any two statements."""
        try:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.IntegrityError as error:
            raise ValueError(f"{self.directory}: recorded twice ({error})") from error
        except (sqlite3.Error, OSError) as error:
            raise RunError(
                f"{self.directory}: cannot be written ({error}); what was recorded before is safe: "
                "free some space or mend the disk, then continue with --resume"
            ) from error


def _make_database(directory: Path, now: float) -> None:
    """Build `run.db` beside its name, then rename: a run directory holds a whole one or none."""
    temporary = directory / f"{TEMPORARY_PREFIX}{DATABASE_NAME}"
    temporary.unlink(missing_ok=True)
    try:
        db = sqlite3.connect(temporary, isolation_level=None)
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        schema.migrate(db, time=now)
        # Stays with the file; set last, so that no side file carries the temporary name.
        db.execute("PRAGMA journal_mode = WAL")
        db.close()
        temporary.replace(directory / DATABASE_NAME)
        sync_directory(directory)
    except (sqlite3.Error, OSError) as error:
        raise RunError(f"{directory}: cannot be written ({error})") from error
