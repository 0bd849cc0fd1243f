"""A crew of one worker in the test's own process."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from proofloop.core.completion import Engine, PolicyVersion
from proofloop.engine.models.weights import sha256
from proofloop.runs.orders import (
    Attempt,
    CrewSetup,
    Differentiate,
    Score,
    Scores,
    Teacher,
    Value,
    WorkerSetup,
)
from proofloop.runs.recipe import Recipe
from proofloop.runs.worker import Worker
from proofloop.train.config import Whose
from proofloop.train.crew import Assignment, Attempted
from proofloop.train.samples import Bundle
from proofloop.train.scoring import Question
from proofloop.train.trainer import GradientStats


class ScriptedCrew:
    """One worker in this process, which samples from a script (None: from the weights) and computes
    real gradients."""

    def __init__(
        self,
        recipe: Recipe,
        model: Path,
        weights: Tensor,
        engine: Engine | None,
        reference: Tensor | None = None,
        teacher: Teacher | None = None,
    ):
        self._weights, self._gradient = weights, torch.zeros_like(weights)
        setup = CrewSetup(
            recipe=recipe,
            model_path=model,
            weights=weights,
            reference=reference,
            teacher=teacher,
        )
        self._worker = Worker(WorkerSetup(crew=setup, gradient=self._gradient), engine)

    def attempt(self, assignments: Sequence[Assignment]) -> Attempted:
        attempted = self._worker.obey(Attempt(list(assignments)))
        assert isinstance(attempted, Attempted)
        return attempted

    def gradient(self, bundles: list[Bundle], denominator: int) -> tuple[Tensor, GradientStats]:
        stats = self._worker.obey(Differentiate(bundles, denominator))
        assert isinstance(stats, GradientStats)
        return self._gradient.clone(), stats

    def score(
        self, questions: Sequence[Question], temperature: float, whose: Whose = Whose.OWN
    ) -> list[tuple[float, ...]]:
        scores = self._worker.obey(Score(list(questions), temperature, whose))
        assert isinstance(scores, Scores)
        return scores.logprobs

    def values(self, questions: Sequence[Question]) -> list[tuple[float, ...]]:
        scores = self._worker.obey(Value(list(questions)))
        assert isinstance(scores, Scores)
        return scores.logprobs

    def publish(self, step: int) -> list[PolicyVersion]:
        return [PolicyVersion(step=step, sha256=sha256(self._weights))]

    def close(self) -> None:
        self._worker.close()
