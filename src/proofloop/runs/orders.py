"""What driver and workers say to each other (`runs.crew`, `runs.worker`)."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from proofloop.core.completion import PolicyVersion
from proofloop.engine.models.decoder import Decoder
from proofloop.runs.recipe import Recipe
from proofloop.runs.reward_models import RewardModel
from proofloop.train.config import Whose
from proofloop.train.crew import Assignment, Attempted
from proofloop.train.samples import Bundle
from proofloop.train.scoring import Question
from proofloop.train.trainer import GradientStats


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """Another model, whose weights lie in shared memory, too."""

    model_path: Path
    weights: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class CrewSetup:
    """What all workers of a run are started with; the tensors lie in shared memory or, where the
    one worker is in the driver's own process, on its device."""

    recipe: Recipe
    model_path: Path
    weights: Tensor
    reference: Tensor | None = None
    """The weights that the run started with, where anything is compared with them."""
    teacher: Teacher | None = None
    adapter: Tensor | None = None
    """What the gradient is of, where it is not the weights."""
    head: Tensor | None = None
    """Weights of a scalar head on the model, whose gradient comes after the other."""
    reward_model: RewardModel | None = None
    """Where training is rewarded by one."""

    def new_gradient(self) -> Tensor:
        """Zeros where the weights are: of what is trained, and of the head after it."""
        trained = self.weights if self.adapter is None else self.adapter
        size = trained.numel() + (0 if self.head is None else self.head.numel())
        return torch.zeros(size, device=self.weights.device)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What one of them is started with."""

    crew: CrewSetup
    gradient: Tensor
    """Its own, of its share of a batch."""
    model: Decoder | None = None
    """The driver's own, whose parameters are views of `weights`, where the worker is in its
    process."""


@dataclass(frozen=True, slots=True)
class Attempt:
    assignments: list[Assignment]


@dataclass(frozen=True, slots=True)
class Differentiate:
    bundles: list[Bundle]
    denominator: int


@dataclass(frozen=True, slots=True)
class Score:
    """Log-probabilities of given tokens under some weights."""

    questions: list[Question]
    temperature: float = 1.0
    whose: Whose = Whose.OWN


@dataclass(frozen=True, slots=True)
class Value:
    """What the scalar head says before each of given tokens."""

    questions: list[Question]


@dataclass(frozen=True, slots=True)
class Scores:
    """One tuple a question, nats (or what values are in)."""

    logprobs: list[tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Publish:
    step: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The worker's reply where it could not do what it was told."""

    error: BaseException
    trace: str


Order = Attempt | Differentiate | Score | Value | Publish
Reply = Attempted | GradientStats | Scores | PolicyVersion | Failed
