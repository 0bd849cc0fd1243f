"""The step through Proofloop's own sampler, trainer and optimiser, over worker processes.

What `runs.worker` and `runs.crew` do, less the environment and the verifier: each worker has one
thread, sees the weights through shared memory and leaves its gradient in a shared vector.
"""

import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch.multiprocessing as mp
from step_job import MATRIX_SIZE, Job, StepTime, reward
from torch import Tensor

from proofloop.core.completion import Completion, Request, SamplingParams
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.arithmetic import compute_in
from proofloop.engine.models.checkpoint import load_model, read_config
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.weights import adopt, flatten
from proofloop.runs.crew import Sums
from proofloop.runs.recipe import TrainConfig
from proofloop.train.advantages import group_advantages
from proofloop.train.config import Precision
from proofloop.train.objective import Objective
from proofloop.train.optimiser import Optimiser, OptimiserConfig
from proofloop.train.packing import packs
from proofloop.train.samples import Bundle, Sample, bundles_of, shares
from proofloop.train.trainer import GradientStats, accumulate, check_logprob_gap

RECIPE = TrainConfig()


@dataclass(frozen=True)
class _Sampling:
    requests: list[Request]


@dataclass(frozen=True)
class _Gradient:
    bundles: list[Bundle]
    denominator: int


@dataclass(frozen=True)
class _Matrices:
    """Large float32 products, for the machine's rate."""

    repeats: int


_Order = _Sampling | _Gradient | _Matrices


def _serve(
    model_path: Path,
    stop_ids: tuple[int, ...],
    precision: Precision,
    weights: Tensor,
    gradient: Tensor,
    pipe: Connection,
) -> None:
    torch.set_num_threads(1)
    model = Decoder(read_config(model_path))
    adopt(model, weights)
    compute_in(model, torch.bfloat16 if precision is Precision.BFLOAT16 else None)
    parameters = list(model.parameters())
    for p, piece in zip(parameters, gradient.split([p.numel() for p in parameters]), strict=True):
        p.grad = piece.view_as(p)
    engine = LocalEngine(model, weights, stop_ids)
    square = torch.ones(MATRIX_SIZE, MATRIX_SIZE)
    product = torch.empty_like(square)
    while True:
        try:
            order: _Order = pipe.recv()
        except EOFError:
            return
        match order:
            case _Sampling(requests):
                pipe.send(engine.generate(requests))
            case _Gradient(bundles, denominator):
                gradient.zero_()
                stats = accumulate(
                    model,
                    bundles,
                    objective=Objective(loss=RECIPE.loss),
                    denominator=denominator,
                    temperature=1.0,
                    max_positions=RECIPE.micro_batch_tokens,
                )
                pipe.send(stats)
            case _Matrices(repeats):
                began = time.perf_counter()
                for _ in range(repeats):
                    torch.mm(square, square, out=product)
                pipe.send(2 * MATRIX_SIZE**3 * repeats / (time.perf_counter() - began))


class Ours:
    """`stop_ids` empty: every completion runs to its full length."""

    def __init__(
        self,
        job: Job,
        model_path: Path,
        *,
        workers: int,
        stop_ids: tuple[int, ...] = (),
        precision: Precision = Precision.FLOAT32,
    ) -> None:
        self._job, self._precision = job, precision
        self._round = 0
        weights = flatten(load_model(model_path)).share_memory_()
        gradients = [torch.zeros_like(weights).share_memory_() for _ in range(workers)]
        self._sums = Sums(gradients)
        config = OptimiserConfig(
            learning_rate=job.learning_rate,
            schedule=RECIPE.method.schedule,
            warmup_steps=0,
            weight_decay=0.0,
            grad_clip=1.0,
        )
        self._optimiser = Optimiser(weights, config)
        context = mp.get_context("spawn")
        self._pipes: list[Connection] = []
        for gradient in gradients:
            mine, theirs = context.Pipe()
            arguments = (model_path, stop_ids, precision, weights, gradient, theirs)
            context.Process(target=_serve, args=arguments, daemon=True).start()
            theirs.close()
            self._pipes.append(mine)

    def step(self) -> StepTime:
        began = time.perf_counter()
        requests, groups = self._sample()
        sampled = time.perf_counter()
        samples = self._samples(requests, groups)
        num_tokens = sum(s.num_trained_tokens for group in samples for s in group)
        halves, stats = [], GradientStats()
        for half in (samples[::2], samples[1::2]):
            bundles = [bundle for group in half for bundle in bundles_of(group, padded=not packs())]
            gradient, replies = self._gradient(bundles, num_tokens)
            halves.append(gradient)
            stats = sum(replies, stats)
        self._optimiser.update(*halves)
        ended = time.perf_counter()
        assert stats.num_tokens == num_tokens
        if self._precision is Precision.FLOAT32:
            assert stats.gap_max < 1e-3, f"trainer and sampler differ by {stats.gap_max} nats"
        check_logprob_gap(stats, self._precision.max_gap)
        return StepTime(
            seconds=ended - began,
            sample_s=sampled - began,
            train_s=ended - sampled,
            sampled_tokens=sum(len(c.tokens) for group in groups for c in group),
            trained_tokens=num_tokens,
        )

    def flops_per_s(self, repeats: int) -> float:
        """All workers' matrix rates at once, added up."""
        return sum(self._all([_Matrices(repeats)] * len(self._pipes)))

    def close(self) -> None:
        for pipe in self._pipes:
            pipe.close()

    def _sample(self) -> tuple[list[Request], list[list[Completion]]]:
        job, n = self._job, len(self._pipes)
        self._round += 1
        sampling = SamplingParams(max_tokens=job.completion_tokens)
        first_seed = self._round * 1_000_000
        requests = [
            Request(
                context=tuple(prompt.tokens),
                seeds=tuple(first_seed + 1000 * i + s for s in range(job.samples_per_prompt)),
                sampling=sampling,
            )
            for i, prompt in enumerate(job.prompts)
        ]
        parts = self._all([_Sampling(requests[i::n]) for i in range(n)])
        return requests, [parts[i % n][i // n] for i in range(len(requests))]

    def _samples(
        self, requests: list[Request], groups: list[list[Completion]]
    ) -> list[list[Sample]]:
        rewards_GS = torch.tensor([[reward(c.tokens) for c in g] for g in groups]).double().numpy()
        advantages = [group_advantages(rewards_S) for rewards_S in rewards_GS]
        return [
            [
                Sample(
                    context=request.context,
                    tokens=c.tokens,
                    trained=(True,) * len(c.tokens),
                    sampler_logprobs=c.logprobs,
                    advantages=(float(advantage),) * len(c.tokens),
                )
                for c, advantage in zip(group, advantages_S, strict=True)
            ]
            for request, group, advantages_S in zip(requests, groups, advantages, strict=True)
        ]

    def _gradient(
        self, bundles: list[Bundle], num_tokens: int
    ) -> tuple[Tensor, list[GradientStats]]:
        dealt = shares(bundles, len(self._pipes))
        replies = self._all([_Gradient(part, num_tokens) for part in dealt])
        return self._sums.next(), replies

    def _all(self, orders: list[_Order]) -> list:
        for pipe, order in zip(self._pipes, orders, strict=True):
            pipe.send(order)
        return [pipe.recv() for pipe in self._pipes]
