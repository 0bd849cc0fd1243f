"""What the loops ask of workers: attempts, gradients, and which weights they have."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from proofloop.core.completion import PolicyVersion
from proofloop.core.record import Record
from proofloop.core.task import Split, Stratum
from proofloop.store import Phase, RecordedGroup
from proofloop.train.config import Whose
from proofloop.train.samples import Bundle
from proofloop.train.scoring import Question
from proofloop.train.trainer import GradientStats


class Assignment(Record):
    """A task to attempt, by its place, and how often."""

    phase: Phase
    step: int
    slot: int
    split: Split
    stratum: Stratum
    index: int
    num_samples: int
    tripwire: bool = False
    """Whether to ask for the impossible (`train.tripwires.tripwire_problem`)."""
    num_attempts: int = 1
    """Turns that a rollout may take until it passes, each after feedback on the one before."""
    with_feedback: bool = False
    """Whether to find out what a rollout that failed in the end may be told."""
    chances: int = 0
    """Seed of sampling at held-out tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """Groups in the order of their assignments, and the seconds that the slowest worker spent."""

    groups: tuple[RecordedGroup, ...]
    sample_s: float
    verify_s: float
    num_rounds: int = 1

    def __add__(self, later: "Attempted") -> "Attempted":
        return Attempted(
            groups=self.groups + later.groups,
            sample_s=self.sample_s + later.sample_s,
            verify_s=self.verify_s + later.verify_s,
            num_rounds=self.num_rounds + later.num_rounds,
        )


class Crew(Protocol):
    """The workers: they sample and judge, and they compute gradients."""

    def attempt(self, assignments: Sequence[Assignment]) -> Attempted: ...

    def gradient(self, bundles: list[Bundle], denominator: int) -> tuple[Tensor, GradientStats]:
        """Good until the gradient after the next; the caller may write into it."""
        ...

    def score(
        self, questions: Sequence[Question], temperature: float, whose: Whose = Whose.OWN
    ) -> list[tuple[float, ...]]:
        """Log-probabilities of given tokens (`train.scoring`).  The start's only where
        `train.kl_weight` keeps them, the teacher's where there is one."""
        ...

    def values(self, questions: Sequence[Question]) -> list[tuple[float, ...]]:
        """What the scalar head says before every token; only where there is one."""
        ...

    def publish(self, step: int) -> list[PolicyVersion]:
        """Tells every engine which step its weights are of; returns the versions they report."""
        ...
