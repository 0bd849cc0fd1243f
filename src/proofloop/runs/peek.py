"""One recorded rollout, with its tokens' texts and the advantage that the trainer gave it."""

from pathlib import Path

import msgspec

from proofloop.core.codec import from_json_with_gaps
from proofloop.core.episode import Episode
from proofloop.core.errors import RunError
from proofloop.measure.peek import Peek, peek_of
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.config import load_run_config
from proofloop.runs.models import resolve_model
from proofloop.runs.recipe import Recipe, advantage_rule
from proofloop.store import (
    Phase,
    RecordedRollout,
    RunReader,
    RunStore,
    TrippedRow,
    rollout_id,
)
from proofloop.train.advantages import AdvantageRule, credit
from proofloop.train.config import Baseline, FeedbackArm, TurnCredit
from proofloop.train.tripwires import training

TRAJECTORY = "episode.json"
"""What `solve` records of an episode."""
MODEL_NAME = "model"
"""A finished run's trained model, in the run directory."""


def is_episode(path: Path) -> bool:
    """Whether it is the record of an episode and no run: the file, or a folder of `solve`'s."""
    return path.is_file() or (path / TRAJECTORY).is_file()


def load_episode(path: Path) -> Episode:
    """Raises RunError."""
    file = path if path.is_file() else path / TRAJECTORY
    try:
        return from_json_with_gaps(file.read_bytes(), Episode)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{file}: is no record of an episode ({error})") from error


def recorded_episode(run: Path, rollout: str) -> Episode:
    """Of a run.  Raises RunError where there is none, or it is no agent's."""
    with RunStore.read(run) as store:
        judged = store.load_rollout(rollout).judged
    if judged.trajectory is None:
        raise RunError(f"{run}: {rollout} is no agent's rollout, it has no calls to tell of")
    return Episode(rollout=judged.rollout, trajectory=judged.trajectory)


def find_rollout_id(run: Path, *, phase: Phase, step: int | None, task: int, sample: int) -> str:
    """The id of a rollout by its place; without a step, in the newest one.  Raises RunError."""
    with RunStore.read(run) as store:
        steps = store.recorded_steps(phase)
    if not steps:
        raise RunError(f"{run}: holds no rollouts of phase {phase}; try the other with --phase")
    return rollout_id(phase, steps[-1] if step is None else step, task, sample)


def find_tripped(run: Path) -> list[TrippedRow]:
    """Submissions kept aside.  Raises RunError."""
    with RunStore.read(run) as store:
        return store.load_tripped()


def peek_rollout(run: Path, rollout: str) -> Peek:
    """Raises RunError where the run or the rollout is missing."""
    recipe = load_run_config(Recipe, run)
    trained = run / MODEL_NAME
    tokenizer = ChatTokenizer.load(
        trained if trained.is_dir() else resolve_model(recipe.model.path)
    )
    with RunStore.read(run) as store:
        recorded = store.load_rollout(rollout)
        advantage = _advantage(store, recorded, advantage_rule(recipe))
    note = ""
    if recipe.feedback.arm is FeedbackArm.DISTIL and recorded.row.phase is Phase.TRAIN:
        note = "the self-teacher's advantages, token by token, are mixed in and not recorded"
        if advantage is None and recorded.judged.feedback is not None:
            advantage = 0.0  # only the teacher tells this group's rollouts apart
    if recipe.train.baseline is Baseline.VALUE and recorded.row.phase is Phase.TRAIN:
        note = "what is shown is the reward: the value head's advantages are by token, not recorded"
    if recipe.train.turn_credit is not TurnCredit.ROLLOUT and recorded.row.phase is Phase.TRAIN:
        note = "what is shown is the rollout's advantage: those by turn are not recorded"
    return peek_of(
        recorded,
        lambda token: tokenizer.decode((token,), keep_special=True),
        advantage=advantage,
        note=note,
    )


def _advantage(store: RunReader, recorded: RecordedRollout, rule: AdvantageRule) -> float | None:
    """By the trainer's own function, from the recorded verdicts of the whole step; None where the
    rollout did not train (held out, unscored, without variance, at an impossible task)."""
    row = recorded.row
    if row.phase is not Phase.TRAIN:
        return None
    credits = credit([g.group for g in training(store.load_groups(row.phase, row.step))], rule)
    return next(
        (c.advantage for group in credits.groups for c in group if c.rollout.id == row.id), None
    )
