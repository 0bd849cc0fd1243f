"""Reward models on disk and at work: a checkpoint, a scalar head, and what is taken off its scores.

A directory `reward-model/` is a plain checkpoint in Hugging Face format with two files beside it:
`reward_head.safetensors` (`score.weight`, `score.bias`: a linear layer on the final hidden state of
an answer's last token) and `reward_model.json` (`RewardSettings`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from proofloop.core import codec
from proofloop.core.errors import ModelError
from proofloop.core.record import Record
from proofloop.core.rollout import Group, Rollout
from proofloop.core.verdict import Scored, Verdict
from proofloop.engine.models.checkpoint import load_model, read_config, save_model
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.scalar_head import ScalarHead
from proofloop.engine.models.weights import adopt, flatten, shared
from proofloop.store import Phase, RecordedGroup
from proofloop.train.config import LengthCorrection
from proofloop.train.crew import Assignment
from proofloop.train.pairs import LENGTH_UNIT, score_question
from proofloop.train.samples import continuation_of
from proofloop.train.scoring import values_of

NAME = "reward-model"
HEAD_NAME = "reward_head.safetensors"
SETTINGS_NAME = "reward_model.json"
_PLACES = 4
"""Decimals of a reward: equal answers must earn the same, whatever they were batched with."""


class RewardSettings(Record):
    """reward = score - length_slope * tokens / 100 - center."""

    length_correction: LengthCorrection
    length_slope: float
    """What the score makes of a hundred tokens more at equal correctness; 0: nothing taken off."""
    center: float
    """Mean over the answers that it was trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModel:
    """As workers are handed it: weights lie in shared memory."""

    model_path: Path
    weights: Tensor
    head: Tensor
    settings: RewardSettings


class LearnedReward:
    """A reward model in a worker."""

    def __init__(self, given: RewardModel, *, max_positions: int) -> None:
        """`max_positions`: most that are run at once."""
        self._model = Decoder(read_config(given.model_path))
        adopt(self._model, given.weights)
        self._head = ScalarHead(self._model.config.hidden_size)
        adopt(self._head, given.head)
        self._settings, self._max_positions = given.settings, max_positions

    def rewards(self, rollouts: Sequence[Rollout]) -> list[float]:
        """Of the state after each one's last token."""
        asked = [
            score_question(r.turns[0].context, tuple(continuation_of(r).tokens)) for r in rollouts
        ]
        found = values_of(self._model, self._head, asked, max_positions=self._max_positions)
        return [
            reward_of(self._settings, values[-1], rollout.num_sampled_tokens)
            for values, rollout in zip(found, rollouts, strict=True)
        ]


def reward_of(settings: RewardSettings, score: float, num_tokens: int) -> float:
    length = settings.length_slope * num_tokens / LENGTH_UNIT
    return round(score - length - settings.center, _PLACES)


def rewarded_groups(
    learned: LearnedReward, assignments: Sequence[Assignment], groups: Sequence[RecordedGroup]
) -> tuple[RecordedGroup, ...]:
    """Of what trains, with scores for rewards; groups of evaluations and impossible tasks as they
    are."""
    trains = [a.phase is Phase.TRAIN and not a.tripwire for a in assignments]
    mine = [g for g, does in zip(groups, trains, strict=True) if does]
    rewards = iter(learned.rewards([j.rollout for g in mine for j in g.group.attempts]))

    def rewarded(recorded: RecordedGroup) -> RecordedGroup:
        attempts = tuple(
            msgspec.structs.replace(j, verdict=with_reward(j.verdict, next(rewards)))
            for j in recorded.group.attempts
        )
        return replace(recorded, group=Group(task_id=recorded.group.task_id, attempts=attempts))

    return tuple(rewarded(g) if does else g for g, does in zip(groups, trains, strict=True))


def with_reward(verdict: Verdict, reward: float) -> Verdict:
    """The verdict with a learned reward in place of its own; what was proven stays, and so does
    that we could not judge."""
    if not isinstance(verdict, Scored):
        return verdict
    return msgspec.structs.replace(verdict, reward=reward)


def save_reward_model(
    model: Decoder,
    head: Tensor,
    settings: RewardSettings,
    directory: Path,
    *,
    tokenizer_from: Path,
    stop_ids: tuple[int, ...],
) -> None:
    save_model(model, directory, tokenizer_from=tokenizer_from, stop_ids=stop_ids)
    layer = ScalarHead(model.config.hidden_size)
    adopt(layer, head.cpu())
    save_file({n: t.clone() for n, t in layer.state_dict().items()}, directory / HEAD_NAME)
    (directory / SETTINGS_NAME).write_bytes(codec.to_json(settings))


def load_reward_model(path: Path) -> RewardModel:
    """Of that directory, or of the run that trained it.  Raises ModelError."""
    directory = path / NAME if (path / NAME).is_dir() else path
    if not (directory / HEAD_NAME).is_file():
        raise ModelError(
            f"reward.model: {path} holds no reward model ({HEAD_NAME}); train one with "
            "train.method = reward-model, and name its run"
        )
    model = load_model(directory)
    head = ScalarHead(model.config.hidden_size)
    try:
        settings = codec.from_json((directory / SETTINGS_NAME).read_bytes(), RewardSettings)
        head.load_state_dict(load_file(directory / HEAD_NAME))
    except (OSError, msgspec.DecodeError, SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"reward.model: {directory}: damaged or of another model "
            f"({str(error).splitlines()[0]}); train it again, or copy it back"
        ) from error
    with torch.no_grad():
        return RewardModel(
            model_path=directory,
            weights=shared(flatten(model)),
            head=shared(flatten(head)),
            settings=settings,
        )
