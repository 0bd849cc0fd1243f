"""The tables of `run.db` and how older files grow into them.

Every column is explained in docs/reference/store.md; a test compares the two.  Migrations are
named functions, recorded in the table `migrations` when done; append, never edit one that shipped.
"""

import sqlite3
from collections.abc import Callable

APPLICATION_ID = 0x50_4C_52_31
"""In the header of every `run.db` ("PLR1"), so that a foreign SQLite file is told from a run."""


def initial_tables(db: sqlite3.Connection) -> None:
    for statement in _INITIAL:
        db.execute(statement)


_INITIAL = (
    """CREATE TABLE draws (
        phase TEXT NOT NULL,
        step INTEGER NOT NULL,
        slot INTEGER NOT NULL,
        task_id TEXT NOT NULL,
        family TEXT NOT NULL,
        complexity INTEGER NOT NULL,
        horizon INTEGER NOT NULL,
        idx INTEGER NOT NULL,
        PRIMARY KEY (phase, step, slot)
    ) WITHOUT ROWID""",
    """CREATE TABLE rollouts (
        id TEXT PRIMARY KEY NOT NULL,
        phase TEXT NOT NULL,
        step INTEGER NOT NULL,
        slot INTEGER NOT NULL,
        sample INTEGER NOT NULL,
        task_id TEXT NOT NULL,
        env TEXT NOT NULL,
        split TEXT NOT NULL,
        family TEXT NOT NULL,
        complexity INTEGER NOT NULL,
        horizon INTEGER NOT NULL,
        policy_step INTEGER NOT NULL,
        policy_sha256 TEXT NOT NULL,
        num_context_tokens INTEGER NOT NULL,
        num_sampled_tokens INTEGER NOT NULL,
        stop_reason TEXT NOT NULL,
        sum_logprob REAL NOT NULL,
        mean_entropy REAL,
        verdict TEXT NOT NULL,
        reward REAL,
        passed INTEGER,
        cause TEXT NOT NULL,
        parts TEXT NOT NULL,
        detail TEXT NOT NULL,
        tier TEXT NOT NULL,
        segment TEXT NOT NULL,
        segment_offset INTEGER NOT NULL,
        segment_bytes INTEGER NOT NULL,
        segment_crc32 INTEGER NOT NULL,
        UNIQUE (phase, step, slot, sample)
    )""",
    """CREATE TABLE segments (
        segment TEXT PRIMARY KEY NOT NULL,
        num_bytes INTEGER NOT NULL
    )""",
    """CREATE TABLE steps (
        step INTEGER PRIMARY KEY NOT NULL,
        time REAL NOT NULL,
        wall_s REAL NOT NULL,
        weights_sha256 TEXT NOT NULL
    )""",
    """CREATE TABLE metrics (
        step INTEGER NOT NULL,
        name TEXT NOT NULL,
        value REAL,
        PRIMARY KEY (name, step)
    ) WITHOUT ROWID""",
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY NOT NULL,
        time REAL NOT NULL,
        kind TEXT NOT NULL,
        message TEXT NOT NULL
    )""",
)


def tripwires(db: sqlite3.Connection) -> None:
    for statement in _TRIPWIRES:
        db.execute(statement)


_TRIPWIRES = (
    "ALTER TABLE draws ADD COLUMN tripwire INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE rollouts ADD COLUMN tripwire INTEGER NOT NULL DEFAULT 0",
    """CREATE TABLE tripped (
        rollout_id TEXT PRIMARY KEY NOT NULL,
        step INTEGER NOT NULL,
        task_id TEXT NOT NULL,
        wire TEXT NOT NULL,
        answer TEXT NOT NULL
    )""",
)


def outcomes(db: sqlite3.Connection) -> None:
    for statement in _OUTCOMES:
        db.execute(statement)


_OUTCOMES = (
    # NULL in rows that were written before these were kept.
    "ALTER TABLE rollouts ADD COLUMN num_turns INTEGER",
    "ALTER TABLE rollouts ADD COLUMN max_tokens INTEGER",
    "ALTER TABLE rollouts ADD COLUMN temperature REAL",
    "ALTER TABLE rollouts ADD COLUMN verifier TEXT",
    "ALTER TABLE rollouts ADD COLUMN integrity TEXT",
    """CREATE TABLE evaluations (
        step INTEGER PRIMARY KEY NOT NULL,
        num_tasks INTEGER NOT NULL,
        num_samples INTEGER NOT NULL,
        ended TEXT
    )""",
    # What older versions recorded, they recorded whole.
    """INSERT INTO evaluations
        SELECT step, count(DISTINCT slot), max(sample) + 1, 'all tasks'
        FROM rollouts WHERE phase = 'eval' GROUP BY step""",
    """CREATE TABLE logprobs (
        policy TEXT NOT NULL,
        rollout_id TEXT NOT NULL,
        policy_sha256 TEXT NOT NULL,
        sum_logprob REAL NOT NULL,
        PRIMARY KEY (policy, rollout_id)
    ) WITHOUT ROWID""",
    """CREATE VIEW outcomes AS
        SELECT
            rollouts.task_id,
            sample,
            policy_step AS checkpoint,
            rollouts.id AS rollout_id,
            phase,
            step,
            env,
            split,
            family,
            complexity,
            horizon,
            verdict,
            passed,
            reward,
            cause,
            num_sampled_tokens AS num_tokens,
            num_turns,
            stop_reason = 'length' AS truncated,
            rollouts.sum_logprob AS logprob,
            base.sum_logprob AS base_logprob,
            temperature,
            max_tokens,
            verifier,
            integrity,
            tier,
            rollouts.policy_sha256 AS policy_sha256
        FROM rollouts
        LEFT JOIN logprobs AS base ON base.policy = 'base' AND base.rollout_id = rollouts.id
        WHERE NOT tripwire""",
)


def feedback_turns(db: sqlite3.Connection) -> None:
    db.execute(_FAILURES)


_FAILURES = """CREATE TABLE failures (
    rollout_id TEXT NOT NULL,
    turn INTEGER NOT NULL,
    cause TEXT NOT NULL,
    reward REAL NOT NULL,
    detail TEXT NOT NULL,
    num_sampled_tokens INTEGER NOT NULL,
    feedback TEXT NOT NULL,
    PRIMARY KEY (rollout_id, turn)
) WITHOUT ROWID"""

MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (
    initial_tables,
    tripwires,
    outcomes,
    feedback_turns,
)


def applied(db: sqlite3.Connection) -> set[str]:
    """Names of the migrations that this file has seen; empty where it has no such table."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone():
        return set()
    return {name for (name,) in db.execute("SELECT name FROM migrations")}


def unknown(db: sqlite3.Connection) -> set[str]:
    """Migrations in the file that this version does not have: a newer one wrote it."""
    return applied(db) - {migration.__name__ for migration in MIGRATIONS}


def pending(db: sqlite3.Connection) -> list[Callable[[sqlite3.Connection], None]]:
    done = applied(db)
    return [migration for migration in MIGRATIONS if migration.__name__ not in done]


def migrate(db: sqlite3.Connection, *, time: float) -> None:
    """Apply what is pending, each migration and its record in one transaction.

    `db` must be in autocommit mode (`isolation_level=None`).
    """
    db.execute(
        "CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY NOT NULL, time REAL NOT NULL)"
    )
    for migration in pending(db):
        db.execute("BEGIN IMMEDIATE")
        migration(db)
        db.execute("INSERT INTO migrations VALUES (?, ?)", (migration.__name__, time))
        db.execute("COMMIT")
