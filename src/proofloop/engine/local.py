"""The local engine: sampling on the trainer's own network, in this process.

A completion depends on its context, seed and sampling parameters only: random numbers belong to the
sample, and neighbours share arithmetic but no state.  On a CPU with float32 weights a kernel in C
does the work (`engine.native`) where this machine can compile it, else PyTorch (`torch_batch`).
"""

from collections.abc import Iterable, Iterator
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from proofloop.core.completion import (
    Completion,
    PolicyVersion,
    Request,
    SamplingParams,
    StopReason,
)
from proofloop.core.errors import ModelError, UserError
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.weights import sha256
from proofloop.engine.native.build import KernelUnavailable
from proofloop.engine.native.network import NativeNetwork, can_run
from proofloop.engine.native.sampler import AT_STOP_TOKEN, NativeSampler, Sample
from proofloop.engine.torch_batch import Draft, sample

CACHE_BYTES = 2**30
"""Most memory for keys and values; what is not needed is not taken."""
ROWS = 64
"""Samples that grow together in a thread: few fit a core's cache, many share what weights cost."""


class LocalEngine:
    """Samples from a Decoder in this process.

    `flat` is the vector that the model's parameters are views of (`engine.models.weights`), so
    the version reported is the hash of the very numbers that generate.
    """

    def __init__(
        self,
        model: Decoder,
        flat: Tensor,
        stop_ids: tuple[int, ...],
        *,
        step: int = 0,
        max_rows: int = 512,
        num_threads: int = 1,
        cache_bytes: int = CACHE_BYTES,
        kernel: bool = True,
    ) -> None:
        """`max_rows`: most samples of a batch without the kernel.  `kernel`: whether to use it."""
        self.model = model
        self.step = step
        self._flat = flat
        self._stop_ids = np.array(stop_ids)
        self._max_rows = max_rows
        self._sampler = (
            native_sampler(model, stop_ids, cache_bytes=cache_bytes, num_threads=num_threads)
            if kernel
            else None
        )
        self._sampled_by: str | None = None
        """SHA-256 of the weights that the kernel has."""

    @property
    def uses_kernel(self) -> bool:
        return self._sampler is not None

    def version(self) -> PolicyVersion:
        return PolicyVersion(step=self.step, sha256=sha256(self._flat))

    @torch.inference_mode()
    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        """Raises UserError where a context and its completion exceed the model's positions, and
        ModelError where its logits are not finite."""
        for request in requests:
            self._check_fits(request)
        version = self.version()
        if self._sampler is None:
            return list(self._in_pytorch(requests, version))
        if version.sha256 != self._sampled_by:
            self._sampler.weights_changed()
            self._sampled_by = version.sha256
        return self._by_kernel(self._sampler, requests, version)

    def _by_kernel(
        self, sampler: NativeSampler, requests: list[Request], version: PolicyVersion
    ) -> list[list[Completion]]:
        growing = [
            [Sample.begin(r.context, seed, r.sampling) for seed in r.seeds] for r in requests
        ]
        try:
            for group in growing:
                for one in group:
                    sampler.submit(one)
            while sampler.busy:
                sampler.advance()
        except BaseException:
            sampler.clear()
            raise
        return [[_of_sample(one, version) for one in group] for group in growing]

    def _in_pytorch(
        self, requests: list[Request], version: PolicyVersion
    ) -> Iterator[list[Completion]]:
        for sampling, same in groupby(requests, key=lambda r: r.sampling):
            for chunk in self._chunks(list(same)):
                for group in sample(self.model, chunk, sampling, self._stop_ids):
                    yield [self._of_draft(draft, sampling, version) for draft in group]

    def _chunks(self, requests: list[Request]) -> list[list[Request]]:
        """Requests in order, cut so that a batch stays under the row limit."""
        chunks: list[list[Request]] = [[]]
        rows = 0
        for request in requests:
            if chunks[-1] and rows + len(request.seeds) > self._max_rows:
                chunks.append([])
                rows = 0
            chunks[-1].append(request)
            rows += len(request.seeds)
        return [c for c in chunks if c]

    def _check_fits(self, request: Request) -> None:
        limit = self.model.config.max_position_embeddings
        needed = len(request.context) + request.sampling.max_tokens
        if needed > limit:
            raise UserError(
                f"a context of {len(request.context)} tokens and completions of up to "
                f"{request.sampling.max_tokens} need {needed} positions, the model has {limit}; "
                "lower sampling.max_tokens"
            )

    def _of_draft(
        self, draft: Draft, sampling: SamplingParams, version: PolicyVersion
    ) -> Completion:
        _check_finite(draft.logprobs)
        stopped = draft.tokens[-1] in self._stop_ids
        return Completion(
            tokens=tuple(draft.tokens),
            logprobs=tuple(draft.logprobs),
            entropies=tuple(draft.entropies),
            stop_reason=StopReason.STOP if stopped else StopReason.LENGTH,
            seed=draft.seed,
            sampling=sampling,
            policy=version,
        )


def _check_finite(logprobs: Iterable[float]) -> None:
    """Raises ModelError."""
    if not np.isfinite(np.fromiter(logprobs, np.float64)).all():
        raise ModelError(
            "the model gives no probabilities: its logits are not finite. Its weights are damaged "
            "or have diverged; take an earlier checkpoint"
        )


def _of_sample(one: Sample, version: PolicyVersion) -> Completion:
    n = one.num_sampled
    _check_finite(one.logprobs[:n])
    return Completion(
        tokens=tuple(one.tokens[:n].tolist()),
        logprobs=tuple(one.logprobs[:n].tolist()),
        entropies=tuple(one.entropies[:n].tolist()),
        stop_reason=StopReason.STOP if one.stopped == AT_STOP_TOKEN else StopReason.LENGTH,
        seed=one.seed,
        sampling=one.sampling,
        policy=version,
    )


def native_sampler(
    model: Decoder, stop_ids: tuple[int, ...], *, cache_bytes: int, num_threads: int
) -> NativeSampler | None:
    """None where the kernel cannot be had, or does not have this architecture."""
    weights = next(model.parameters())
    if weights.device.type != "cpu" or weights.dtype != torch.float32 or not can_run(model.config):
        return None
    try:
        network = NativeNetwork(model)
    except KernelUnavailable:
        return None
    return NativeSampler(
        network,
        stop_ids,
        cache_bytes=cache_bytes,
        rows_per_thread=ROWS,
        num_threads=num_threads,
    )
