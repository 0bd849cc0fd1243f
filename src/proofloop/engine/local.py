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
from proofloop.engine.hub_batch import sample_hub
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.hub_network import HubNetwork
from proofloop.engine.models.weights import sha256
from proofloop.engine.native.build import KernelUnavailable
from proofloop.engine.native.network import NativeNetwork, can_run
from proofloop.engine.native.sampler import (
    AT_LENGTH,
    AT_STOP_STRING,
    AT_STOP_TOKEN,
    NativeSampler,
    Sample,
)
from proofloop.engine.stops import TextOf, first_stop
from proofloop.engine.torch_batch import Draft, sample

CACHE_BYTES = 2**30
"""Most memory for keys and values; what is not needed is not taken."""
ROWS = 64
"""Samples that grow together in a thread: few fit a core's cache, many share what weights cost."""


STOP_REASONS = {
    AT_STOP_TOKEN: StopReason.STOP,
    AT_STOP_STRING: StopReason.STOP_STRING,
    AT_LENGTH: StopReason.LENGTH,
}


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
        text_of: TextOf | None = None,
        kernel: bool = True,
    ) -> None:
        """`max_rows`: most samples of a batch without the kernel.  `text_of`: what tokens say, for
        stop strings.  `kernel`: whether to use it."""
        self.model = model
        self.step = step
        self._flat = flat
        self._stop_ids = np.array(stop_ids)
        self._max_rows = max_rows
        self._num_threads = num_threads
        self._text_of = text_of
        self.sampler = (
            native_sampler(
                model,
                stop_ids,
                cache_bytes=cache_bytes,
                num_threads=num_threads,
                text_of=text_of,
            )
            if kernel and not isinstance(model, HubNetwork)
            else None
        )
        """None where PyTorch samples."""
        self._sampled_by: str | None = None
        """SHA-256 of the weights that the kernel has."""

    def version(self) -> PolicyVersion:
        return PolicyVersion(step=self.step, sha256=sha256(self._flat, self._num_threads))

    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        """Raises UserError where a context and its completion exceed the model's positions, and
        ModelError where its logits are not finite."""
        found = dict(self.generate_each(requests))
        return [found[i] for i in range(len(requests))]

    @torch.inference_mode()
    def generate_each(self, requests: list[Request]) -> Iterator[tuple[int, list[Completion]]]:
        """As `generate` (`core.completion.StreamingEngine`).  Weights may not change amid it."""
        for request in requests:
            self.check_fits(request)
        version = self.use_newest_weights()
        if self.sampler is None:
            yield from enumerate(self._in_pytorch(requests, version))
        else:
            yield from self._by_kernel(self.sampler, requests, version)

    def use_newest_weights(self) -> PolicyVersion:
        """What is sampled from now on is sampled from the weights as they are at this moment."""
        version = self.version()
        if self.sampler is not None and version.sha256 != self._sampled_by:
            self.sampler.weights_changed()
            self._sampled_by = version.sha256
        return version

    def _by_kernel(
        self, sampler: NativeSampler, requests: list[Request], version: PolicyVersion
    ) -> Iterator[tuple[int, list[Completion]]]:
        growing = [begin(request) for request in requests]
        places = {id(one): i for i, group in enumerate(growing) for one in group}
        num_left = [len(group) for group in growing]
        try:
            for group in growing:
                for one in group:
                    sampler.submit(one)
            while sampler.busy:
                for ended in sampler.advance():
                    place = places[id(ended)]
                    num_left[place] -= 1
                    if not num_left[place]:
                        yield place, [completion_of(one, version) for one in growing[place]]
        except BaseException:  # of the one who asks, too
            sampler.clear()
            raise

    def _in_pytorch(
        self, requests: list[Request], version: PolicyVersion
    ) -> Iterator[list[Completion]]:
        for sampling, same in groupby(requests, key=lambda r: r.sampling):
            for chunk in self._chunks(list(same)):
                for group in self._drafts(chunk, sampling):
                    yield [self._of_draft(draft, sampling, version) for draft in group]

    def _drafts(self, requests: list[Request], sampling: SamplingParams) -> list[list[Draft]]:
        if isinstance(self.model, HubNetwork):
            return sample_hub(self.model, requests, sampling, self._stop_ids)
        return sample(self.model, requests, sampling, self._stop_ids)

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

    def check_fits(self, request: Request) -> None:
        """Raises UserError where a request can never be answered."""
        limit = self.model.config.max_position_embeddings
        needed = len(request.context) + request.sampling.max_tokens
        if request.sampling.stop and self._text_of is None:
            raise UserError("sampling.stop: this engine was made without a tokenizer")
        if needed > limit:
            raise UserError(
                f"a context of {len(request.context)} tokens and completions of up to "
                f"{request.sampling.max_tokens} need {needed} positions, the model has {limit}; "
                "lower sampling.max_tokens"
            )
        if self.sampler is not None:
            self.sampler.check_fits(request)

    def _of_draft(
        self, draft: Draft, sampling: SamplingParams, version: PolicyVersion
    ) -> Completion:
        check_finite(draft.logprobs)
        stopped = draft.tokens[-1] in self._stop_ids
        reason = StopReason.STOP if stopped else StopReason.LENGTH
        end = None
        if sampling.stop and self._text_of is not None:
            end = first_stop(draft.tokens, sampling.stop, self._text_of)
            reason = reason if end is None else StopReason.STOP_STRING
        return Completion(
            tokens=tuple(draft.tokens[:end]),
            logprobs=tuple(draft.logprobs[:end]),
            entropies=tuple(draft.entropies[:end]),
            stop_reason=reason,
            seed=draft.seed,
            sampling=sampling,
            policy=version,
        )


def check_finite(logprobs: Iterable[float]) -> None:
    """Raises ModelError."""
    if not np.isfinite(np.fromiter(logprobs, np.float64)).all():
        raise ModelError(
            "the model gives no probabilities: its logits are not finite. Its weights are damaged "
            "or have diverged; take an earlier checkpoint"
        )


def begin(request: Request) -> list[Sample]:
    """One a seed."""
    return [Sample.begin(request.context, seed, request.sampling) for seed in request.seeds]


def completion_of(one: Sample, version: PolicyVersion) -> Completion:
    """Of a sample that has ended.  Raises ModelError where its logits were not finite."""
    n = one.num_sampled
    check_finite(one.logprobs[:n])
    return Completion(
        tokens=tuple(one.tokens[:n].tolist()),
        logprobs=tuple(one.logprobs[:n].tolist()),
        entropies=tuple(one.entropies[:n].tolist()),
        stop_reason=STOP_REASONS[one.stopped],
        seed=one.seed,
        sampling=one.sampling,
        policy=version,
    )


def native_sampler(
    model: Decoder,
    stop_ids: tuple[int, ...],
    *,
    cache_bytes: int,
    num_threads: int,
    text_of: TextOf | None = None,
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
        text_of=text_of,
    )
