"""Who does a run's work: several processes on a CPU (`runs.crew`), or one with a device."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import torch
from torch import Tensor

from proofloop.core.completion import PolicyVersion
from proofloop.core.errors import UserError
from proofloop.engine.models.decoder import Decoder
from proofloop.runs.crew import WorkerCrew
from proofloop.runs.manifest import num_workers
from proofloop.runs.orders import (
    Attempt,
    Differentiate,
    Order,
    Publish,
    Score,
    Scores,
    Teacher,
    Value,
    WorkerSetup,
)
from proofloop.runs.recipe import Recipe
from proofloop.runs.reward_models import RewardModel
from proofloop.runs.worker import Worker
from proofloop.train.config import Whose
from proofloop.train.crew import Assignment, Attempted
from proofloop.train.samples import Bundle, shares
from proofloop.train.scoring import Question
from proofloop.train.trainer import GradientStats

ReplyT = TypeVar("ReplyT")


class DeviceCrew:
    """One worker in this very process (`train.crew.Crew`): model, gradient and what is compared
    with lie where `weights` are, and nothing is copied between processes."""

    def __init__(
        self,
        recipe: Recipe,
        model_path: Path,
        model: Decoder,
        weights: Tensor,
        *,
        reference: Tensor | None = None,
        teacher: Teacher | None = None,
        adapter: Tensor | None = None,
        head: Tensor | None = None,
        reward_model: RewardModel | None = None,
        send: Callable[[int], None] | None = None,
    ) -> None:
        """`model`'s parameters are views of `weights`; the others are as for `WorkerCrew`."""
        self._send = send
        device = weights.device
        trained = weights if adapter is None else adapter
        size = trained.numel() + (0 if head is None else head.numel())
        self._gradient = torch.zeros(size, device=device)
        if teacher is not None:
            teacher = replace(teacher, weights=teacher.weights.to(device))
        if reward_model is not None:
            reward_model = replace(
                reward_model,
                weights=reward_model.weights.to(device),
                head=reward_model.head.to(device),
            )
        self._worker = Worker(
            WorkerSetup(
                recipe=recipe,
                model_path=model_path,
                weights=weights,
                gradient=self._gradient,
                reference=reference,
                teacher=teacher,
                adapter=adapter,
                head=head,
                reward_model=reward_model,
                model=model,
            )
        )

    def __enter__(self) -> "DeviceCrew":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._worker.close()

    def attempt(self, assignments: Sequence[Assignment]) -> Attempted:
        return self._obeyed(Attempt(list(assignments)), Attempted)

    def gradient(self, bundles: list[Bundle], denominator: int) -> tuple[Tensor, GradientStats]:
        (mine,) = shares(bundles, 1)  # in the order in which one worker would get them
        stats = self._obeyed(Differentiate(mine, denominator), GradientStats)
        return self._gradient.clone(), stats

    def score(
        self, questions: Sequence[Question], temperature: float = 1.0, whose: Whose = Whose.OWN
    ) -> list[tuple[float, ...]]:
        return self._obeyed(Score(list(questions), temperature, whose), Scores).logprobs

    def values(self, questions: Sequence[Question]) -> list[tuple[float, ...]]:
        return self._obeyed(Value(list(questions)), Scores).logprobs

    def publish(self, step: int) -> list[PolicyVersion]:
        if self._send is not None:
            self._send(step)
        return [self._obeyed(Publish(step), PolicyVersion)]

    def _obeyed(self, order: Order, type_: type[ReplyT]) -> ReplyT:
        """Raises UserError where the device's memory is too small for it."""
        try:
            reply = self._worker.obey(order)
        except torch.OutOfMemoryError as error:
            first = str(error).partition("\n")[0].partition(". ")[0]
            raise UserError(
                f"train.device: {first}. Begin again with a lower train.micro_batch_tokens, "
                "train.activation_checkpointing = true, train.precision = bfloat16, or adapters "
                "(lora.rank) in place of all weights; what is recorded stays"
            ) from error
        assert isinstance(reply, type_)
        return reply


Crew = WorkerCrew | DeviceCrew


def open_crew(
    recipe: Recipe,
    model_path: Path,
    model: Decoder,
    weights: Tensor,
    *,
    reference: Tensor | None = None,
    teacher: Teacher | None = None,
    adapter: Tensor | None = None,
    head: Tensor | None = None,
    reward_model: RewardModel | None = None,
    send: Callable[[int], None] | None = None,
) -> Crew:
    """By where `weights`, of which `model`'s parameters are views, lie; to be used as a context."""
    if weights.device.type != "cpu":
        return DeviceCrew(
            recipe,
            model_path,
            model,
            weights,
            reference=reference,
            teacher=teacher,
            adapter=adapter,
            head=head,
            reward_model=reward_model,
            send=send,
        )
    return WorkerCrew(
        recipe,
        model_path,
        weights,
        num_workers=num_workers(recipe.train.workers),
        reference=reference,
        teacher=teacher,
        adapter=adapter,
        head=head,
        reward_model=reward_model,
        send=send,
    )
