"""A run on disk: one SQLite file as ledger and index, append-only segments for token arrays,
checkpoints by rename.  Imports no torch: what it keeps of a model is bytes."""

from proofloop.store.reader import RunReader
from proofloop.store.rows import (
    Draw,
    Evaluation,
    Event,
    PassCount,
    Phase,
    RecordedGroup,
    RecordedRollout,
    RolloutRow,
    TrippedRow,
    rollout_id,
)
from proofloop.store.run_store import RunStore

__all__ = [
    "Draw",
    "Evaluation",
    "Event",
    "PassCount",
    "Phase",
    "RecordedGroup",
    "RecordedRollout",
    "RolloutRow",
    "RunReader",
    "RunStore",
    "TrippedRow",
    "rollout_id",
]
