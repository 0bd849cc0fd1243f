"""Who does a run's work: several processes on a CPU (`runs.crew`), or this one, where it has a
device or an engine of its own."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TypeVar

import torch
from torch import Tensor

from proofloop.core.completion import Engine, PolicyVersion
from proofloop.core.errors import UserError
from proofloop.engine.models.decoder import Decoder
from proofloop.runs.crew import WorkerCrew
from proofloop.runs.manifest import num_workers
from proofloop.runs.orders import (
    Attempt,
    CrewSetup,
    Differentiate,
    Order,
    Publish,
    Score,
    Scores,
    Value,
    WorkerSetup,
)
from proofloop.runs.worker import Worker
from proofloop.train.config import Whose
from proofloop.train.crew import Assignment, Attempted
from proofloop.train.samples import Bundle, shares
from proofloop.train.scoring import Question
from proofloop.train.trainer import GradientStats

ReplyT = TypeVar("ReplyT")


def _beside(setup: CrewSetup, device: torch.device) -> CrewSetup:
    """The other models' weights where the policy's are."""
    teacher, judge = setup.teacher, setup.reward_model
    if teacher is not None:
        teacher = replace(teacher, weights=teacher.weights.to(device))
    if judge is not None:
        judge = replace(judge, weights=judge.weights.to(device), head=judge.head.to(device))
    return replace(setup, teacher=teacher, reward_model=judge)


class DeviceCrew:
    """One worker in this very process (`train.crew.Crew`): model, gradient and what is compared
    with lie where `weights` are, and nothing is copied between processes."""

    def __init__(
        self,
        setup: CrewSetup,
        model: Decoder,
        *,
        send: Callable[[int], None] | None = None,
        engine: Engine | None = None,
    ) -> None:
        """`model`'s parameters are views of the setup's weights; `send` as for `WorkerCrew`;
        `engine`: to sample from, in place of the recipe's."""
        self._send = send
        self._shares = "" if engine is None else "; --gpu-memory-utilization is vLLM's share"
        self._gradient = setup.new_gradient()
        own = _beside(setup, setup.weights.device)
        mine = WorkerSetup(crew=own, gradient=self._gradient, model=model)
        self._worker = Worker(mine, engine)

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
                f"(lora.rank) in place of all weights{self._shares}; what is recorded stays"
            ) from error
        assert isinstance(reply, type_)
        return reply


Crew = WorkerCrew | DeviceCrew


def open_crew(
    setup: CrewSetup,
    model: Decoder,
    *,
    send: Callable[[int], None] | None = None,
    engine: Engine | None = None,
) -> Crew:
    """By where the weights, of which `model`'s parameters are views, lie; to be used as a
    context.  `engine`: one that samples in this process, where the work is then done, too."""
    if engine is not None or setup.weights.device.type != "cpu":
        return DeviceCrew(setup, model, send=send, engine=engine)
    return WorkerCrew(setup, num_workers=num_workers(setup.recipe.train.workers), send=send)
