"""What an engine is asked for and what it gives back, token for token."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Protocol, runtime_checkable

from proofloop.core.record import Record


class SamplingParams(Record):
    """The distribution that tokens are drawn from.  Log-probabilities are those of this very
    distribution, so what is trained is what was sampled."""

    max_tokens: int = 64
    temperature: float = 1.0
    """0: always the likeliest token."""
    top_k: int = 0
    """Only so many of the likeliest tokens; 0: all."""
    top_p: float = 1.0
    """Only the fewest tokens that hold so much of the probability."""
    min_p: float = 0.0
    """Only tokens at least so likely, as a share of the likeliest one's probability."""

    stop: tuple[str, ...] = ()
    """Strings that end a completion, which keeps the tokens that they are made of."""

    @property
    def filters(self) -> bool:
        """Whether some tokens can never be drawn."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


class PolicyVersion(Record):
    """Which weights: the optimiser step that made them and the SHA-256 of their bytes."""

    step: int
    sha256: str


class StopReason(StrEnum):
    STOP = "stop"
    """The policy sampled a stop token, which is the last token of the completion."""
    STOP_STRING = "stop_string"
    """One of `sampling.stop` is complete."""
    LENGTH = "length"
    """The policy ran into `max_tokens`."""


class Request(Record):
    """One context, sampled once per seed; the context is processed once for all of them."""

    context: tuple[int, ...]
    seeds: tuple[int, ...]
    sampling: SamplingParams


class Completion(Record):
    """What the policy sampled.  `len(tokens) == len(logprobs)`, the stop token included."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    """nats, under the sampling distribution."""
    entropies: tuple[float, ...]
    """nats, of the sampling distribution that each token was drawn from."""
    stop_reason: StopReason
    seed: int
    sampling: SamplingParams
    policy: PolicyVersion

    def __post_init__(self) -> None:
        if not len(self.tokens) == len(self.logprobs) == len(self.entropies):
            raise ValueError(
                f"a completion of {len(self.tokens)} tokens came with {len(self.logprobs)} "
                f"log-probabilities and {len(self.entropies)} entropies"
            )


class Engine(Protocol):
    """Whatever generates."""

    def version(self) -> PolicyVersion:
        """The weights that the next completion will be sampled from, hashed now."""
        ...

    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        """One list per request, one completion per seed, in order.  A completion depends on its
        context, seed and sampling parameters, not on what else is in the batch."""
        ...


@runtime_checkable
class StreamingEngine(Protocol):
    """An engine that gives answers out while others still grow."""

    def generate_each(self, requests: list[Request]) -> Iterable[tuple[int, list[Completion]]]:
        """As `Engine.generate`: each request's place and its completions, as soon as it has them
        all."""
        ...


def answers(engine: Engine, requests: list[Request]) -> Iterable[tuple[int, list[Completion]]]:
    """Of any engine, each as soon as it gives it out."""
    if isinstance(engine, StreamingEngine):
        return engine.generate_each(requests)
    return enumerate(engine.generate(requests))
