"""The workers of a run as one: shares work out, puts results back in order, adds gradients up."""

import itertools
import signal
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import TypeVar

import torch
from torch import Tensor

from proofloop.core.completion import PolicyVersion
from proofloop.core.errors import ProofloopError, WorkerLost
from proofloop.engine.native.library import why_not
from proofloop.runs.orders import (
    Attempt,
    CrewSetup,
    Differentiate,
    Failed,
    Order,
    Publish,
    Score,
    Scores,
    Value,
    WorkerSetup,
)
from proofloop.runs.processes import environment, in_environment, process_context
from proofloop.runs.retries import circle_of
from proofloop.runs.worker import serve
from proofloop.train.config import FeedbackControl, Whose
from proofloop.train.crew import Assignment, Attempted
from proofloop.train.samples import Bundle, shares
from proofloop.train.scoring import Question
from proofloop.train.trainer import GradientStats

ReplyT = TypeVar("ReplyT")


@contextmanager
def _interrupts_held() -> Generator[None]:
    """A process started here begins with SIGINT blocked, and unblocks it once it ignores it:
    Ctrl-C reaches the whole process group and would end a worker that is still importing."""
    resource_tracker.ensure_running()  # its start, which is part of the first one's, would unblock
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def deal(
    assignments: Sequence[Assignment], num_workers: int, *, in_circles: bool
) -> list[list[int]]:
    """Each worker's places in `assignments`: one after another in turn or, where tasks tell each
    other something, circle after circle (`retries.circle_of`)."""
    hands: list[list[int]] = [[] for _ in range(num_workers)]
    seen: dict[int, int] = {}
    for place, assignment in enumerate(assignments):
        key = circle_of(assignment) if in_circles else place
        hands[seen.setdefault(key, len(seen)) % num_workers].append(place)
    return hands


class Sums:
    """Of a step's gradients, in vectors that are used in turn: memory that the system has to give
    anew takes as long as the sum."""

    def __init__(self, gradients: Sequence[Tensor]) -> None:
        self._gradients = gradients
        self._turns = itertools.cycle([torch.empty_like(gradients[0]) for _ in range(2)])

    def next(self) -> Tensor:
        """One after another, in their order; a reduction over all of them stacked takes seven times
        as long for large models.  Good until the sum after the next."""
        total = next(self._turns).copy_(self._gradients[0])
        for gradient in self._gradients[1:]:
            total += gradient
        return total


class WorkerCrew:
    """Worker processes over one shared vector of weights (`train.crew.Crew`)."""

    def __init__(
        self,
        setup: CrewSetup,
        *,
        num_workers: int,
        send: Callable[[int], None] | None = None,
    ) -> None:
        """`send` gives a step's weights to a sampler that does not see them."""
        why_not()  # compiles the kernel where it must be, once, and not in every worker
        self._send = send
        self._in_circles = setup.recipe.feedback.control is FeedbackControl.SHUFFLED
        context = process_context()
        gradients = [setup.new_gradient().share_memory_() for _ in range(num_workers)]
        self._sums = Sums(gradients)
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        for gradient in gradients:
            ours, theirs = context.Pipe()
            own = WorkerSetup(crew=setup, gradient=gradient)
            life = (environment(), serve, own, theirs)
            process = context.Process(target=in_environment, args=life, daemon=True)
            with _interrupts_held():
                process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> "WorkerCrew":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def attempt(self, assignments: Sequence[Assignment]) -> Attempted:
        """Deals assignments out in turn; groups come back in the order of the assignments."""
        dealt = deal(assignments, len(self._pipes), in_circles=self._in_circles)
        orders = [Attempt([assignments[i] for i in hand]) for hand in dealt]
        parts = self._all(orders, Attempted)
        ordered = {
            i: group
            for hand, part in zip(dealt, parts, strict=True)
            for i, group in zip(hand, part.groups, strict=True)
        }
        assert len(ordered) == len(assignments), "every assignment is attempted, once"
        return Attempted(
            groups=tuple(ordered[i] for i in range(len(assignments))),
            sample_s=max(p.sample_s for p in parts),
            verify_s=max(p.verify_s for p in parts),
        )

    def gradient(self, bundles: list[Bundle], denominator: int) -> tuple[Tensor, GradientStats]:
        """The whole batch's gradient; shares are added in the workers' order, always the same.  It
        is good until the gradient after the next."""
        dealt = shares(bundles, len(self._pipes))
        replies = self._all([Differentiate(part, denominator) for part in dealt], GradientStats)
        stats = GradientStats()
        for reply in replies:
            stats += reply
        return self._sums.next(), stats

    def score(
        self, questions: Sequence[Question], temperature: float = 1.0, whose: Whose = Whose.OWN
    ) -> list[tuple[float, ...]]:
        """Answers come back in the order of the questions."""
        return self._ask(questions, lambda hand: Score(hand, temperature, whose))

    def values(self, questions: Sequence[Question]) -> list[tuple[float, ...]]:
        """As `score`, of what the scalar head says."""
        return self._ask(questions, Value)

    def _ask(
        self, questions: Sequence[Question], order: Callable[[list[Question]], Order]
    ) -> list[tuple[float, ...]]:
        """Deals questions out in turn."""
        n = len(self._pipes)
        parts = self._all([order(list(questions[i::n])) for i in range(n)], Scores)
        return [parts[i % n].logprobs[i // n] for i in range(len(questions))]

    def publish(self, step: int) -> list[PolicyVersion]:
        if self._send is not None:
            self._send(step)
        return self._all([Publish(step)] * len(self._pipes), PolicyVersion)

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.terminate()
                process.join()

    def _all(self, orders: Sequence[Order], type_: type[ReplyT]) -> list[ReplyT]:
        """One order a worker, all at once.  Raises WorkerLost where one died, and a worker's own
        ProofloopError as it is."""
        try:
            for pipe, order in zip(self._pipes, orders, strict=True):
                pipe.send(order)
            replies = [pipe.recv() for pipe in self._pipes]
        except (EOFError, OSError) as error:
            raise WorkerLost(self._obituary()) from error
        for reply in replies:
            if isinstance(reply, Failed):
                if isinstance(reply.error, ProofloopError):
                    raise reply.error
                raise WorkerLost(f"a worker failed; resume the run.\n{reply.trace}")
        assert all(isinstance(reply, type_) for reply in replies)
        return replies

    def _obituary(self) -> str:
        for process in self._processes:
            process.join(timeout=1)
        ends = [
            f"worker {i} exited with {p.exitcode}"
            for i, p in enumerate(self._processes)
            if p.exitcode is not None
        ]
        return (
            f"{'; '.join(ends) or 'a worker stopped answering'} (-9: probably out of memory). "
            "Nothing recorded is lost; resume the run, perhaps with fewer train.workers"
        )
