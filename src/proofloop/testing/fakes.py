"""Stand-ins that keep the promises of the real parts: exact log-probabilities, completions that
depend on context, seed and sampling alone, a stop token that is sampled and kept.
"""

import math
import random
from collections.abc import Callable, Sequence

from proofloop.core.completion import (
    Completion,
    PolicyVersion,
    Request,
    SamplingParams,
    StopReason,
)

FAKE_VERSION = PolicyVersion(step=0, sha256="0" * 64)


class FixedClock:
    """Seconds that pass only when told to."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class ByteTokenizer:
    """One token per UTF-8 byte, and one token to stop."""

    stop_token = 256
    vocab_size = 257

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def decode(self, tokens: Sequence[int]) -> str:
        """The text, without stop tokens; bytes that are not UTF-8 become U+FFFD."""
        return bytes(token for token in tokens if token < 256).decode(errors="replace")


class ScriptedEngine:
    """Says what `script(context, seed)` says, then stops; a policy without any doubt.

    Every token has log-probability 0 and entropy 0.  A completion that does not fit `max_tokens`
    with its stop token is cut, as a real one would be.
    """

    def __init__(
        self,
        script: Callable[[tuple[int, ...], int], Sequence[int]],
        *,
        stop_token: int,
        version: PolicyVersion = FAKE_VERSION,
    ) -> None:
        self._script = script
        self._stop_token = stop_token
        self._version = version

    def version(self) -> PolicyVersion:
        return self._version

    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        return [[self._complete(request, seed) for seed in request.seeds] for request in requests]

    def _complete(self, request: Request, seed: int) -> Completion:
        tokens = (*self._script(request.context, seed), self._stop_token)
        tokens = tokens[: request.sampling.max_tokens]
        return _completion(tokens, self._stop_token, 0.0, 0.0, seed, request, self._version)


class UniformEngine:
    """Every token is as likely as any other, at any temperature: log-probability -ln(vocabulary),
    entropy ln(vocabulary)."""

    def __init__(
        self, *, vocab_size: int, stop_token: int, version: PolicyVersion = FAKE_VERSION
    ) -> None:
        if not 0 <= stop_token < vocab_size:
            raise ValueError(f"stop token {stop_token} is not in a vocabulary of {vocab_size}")
        self._vocab_size = vocab_size
        self._stop_token = stop_token
        self._version = version

    def version(self) -> PolicyVersion:
        return self._version

    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        return [[self._complete(request, seed) for seed in request.seeds] for request in requests]

    def _complete(self, request: Request, seed: int) -> Completion:
        # A string seed goes through SHA-512, so it is the same in every process.
        source = random.Random(f"{seed} {request.context}")
        tokens = list[int]()
        while len(tokens) < request.sampling.max_tokens and self._stop_token not in tokens[-1:]:
            tokens.append(source.randrange(self._vocab_size))
        entropy = math.log(self._vocab_size)
        return _completion(
            tuple(tokens), self._stop_token, -entropy, entropy, seed, request, self._version
        )


def _completion(
    tokens: tuple[int, ...],
    stop_token: int,
    logprob: float,
    entropy: float,
    seed: int,
    request: Request,
    version: PolicyVersion,
) -> Completion:
    sampling: SamplingParams = request.sampling
    return Completion(
        tokens=tokens,
        logprobs=(logprob,) * len(tokens),
        entropies=(entropy,) * len(tokens),
        stop_reason=StopReason.STOP if stop_token in tokens[-1:] else StopReason.LENGTH,
        seed=seed,
        sampling=sampling,
        policy=version,
    )
