"""A policy whose weights vLLM follows, for tests of every way to reach vLLM."""

from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest
import torch

from proofloop.core.completion import PolicyVersion, Request, SamplingParams, StopReason
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten, sha256
from proofloop.engine.torch_batch import effective_logprobs
from proofloop.engine.vllm_weights import FollowingEngine, write_weights
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.models import resolve_model

EngineT = TypeVar("EngineT", bound=FollowingEngine)
GAP = 2e-5
"""nats: both compute in float32, in another order."""
CONTEXT = (5, 6, 7, 8)


class FollowedPolicy(Generic[EngineT]):
    """`pico`, its weights as a vector, and the file that carries them."""

    engine: EngineT

    def __init__(self, directory: Path) -> None:
        self.path = resolve_model("pico")
        self.model = load_model(self.path)
        self.flat = flatten(self.model)
        self.tokenizer = ChatTokenizer.load(self.path)
        self.stop_ids = self.tokenizer.stop_ids
        self.directory = directory

    def write(self, step: int = 1) -> PolicyVersion:
        write_weights(dict(self.model.named_parameters()), self.directory)
        return PolicyVersion(step=step, sha256=sha256(self.flat))

    def check(self, **settings: Any) -> list[tuple[int, ...]]:
        """That what vLLM says of its samples is what we say of them.  Their tokens."""
        sampling = SamplingParams(max_tokens=20, **settings)
        request = Request(context=CONTEXT, seeds=tuple(range(6)), sampling=sampling)
        (answers,) = self.engine.generate([request])
        for seed, answer in enumerate(answers):
            tokens_T = torch.tensor(request.context + answer.tokens)[None]
            hidden, _ = self.model.encode_context(tokens_T, torch.tensor([tokens_T.shape[1]]))
            logits = self.model.logits(hidden[0, len(request.context) - 1 : -1])
            all_NV = effective_logprobs(logits.detach(), sampling)
            ours = all_NV.gather(-1, torch.tensor(answer.tokens)[:, None])[:, 0]
            assert answer.logprobs == pytest.approx(ours.tolist(), abs=GAP)
            assert answer.policy.sha256 == sha256(self.flat)
            assert (answer.seed, answer.sampling) == (seed, sampling)
            stopped = answer.tokens[-1] in self.stop_ids
            assert stopped == (answer.stop_reason is StopReason.STOP)
            assert stopped or len(answer.tokens) == 20
        return [answer.tokens for answer in answers]
