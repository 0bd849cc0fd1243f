"""Sampling from a server that speaks OpenAI's API and tells token ids: vLLM, or `serve-model`.

Token in, token out: contexts go as ids and completions come back as ids with the log-probability
of each, so nothing is tokenized twice.  A server that gives texts only is refused.  What a server
does not tell stays NaN: vLLM says nothing of entropies.
"""

import http.client
import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from proofloop.core.completion import (
    Completion,
    PolicyVersion,
    Request,
    SamplingParams,
    StopReason,
)
from proofloop.core.errors import EngineLost, UserError

CONCURRENCY = 64
"""Requests under way at once: the server batches them."""
RETRIES = 4
"""Of a connection that breaks, or a server that says it is busy, each after twice the time."""
LONGEST_PAUSE_S = 8.0
"""Between two of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is, and as what it is asked."""

    url: str
    """Up to and with `/v1`."""
    model: str = ""
    """Empty: the first that it lists."""
    api_key: str = ""
    timeout_s: float = 600.0


class ServerEngine:
    """Samples what a server has loaded; its weights are not ours to change."""

    def __init__(self, address: Address, stop_ids: tuple[int, ...]) -> None:
        """Raises UserError where there is no such server or model."""
        self._address = address
        parts = urlsplit(address.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"engine.url: {address.url!r} is no http:// address")
        self._parts = parts
        self._stop_ids = stop_ids
        self.retries = RETRIES
        cards = self._models()
        named = [card for card in cards if address.model in ("", card.get("id"))]
        if not named:
            there = ", ".join(str(card.get("id")) for card in cards)
            raise UserError(f"engine.model: {address.url} has no {address.model!r}; it has {there}")
        self._model = str(named[0]["id"])

    def version(self) -> PolicyVersion:
        """The hash that `serve-model` tells; other servers tell none, and it is empty."""
        card = next((c for c in self._models() if c.get("id") == self._model), {})
        return PolicyVersion(step=0, sha256=str(card.get("weights_sha256", "")))

    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        """Raises EngineLost where the server does not answer, and UserError for what it refuses."""
        version = self.version()
        asked = [(r, seed) for r in requests for seed in r.seeds]

        def answer(one: tuple[Request, int]) -> Completion:
            request, seed = one
            return self._complete(request.context, seed, request.sampling, version)

        with ThreadPoolExecutor(CONCURRENCY) as threads:
            found = iter(list(threads.map(answer, asked)))
        return [[next(found) for _ in r.seeds] for r in requests]

    def _complete(
        self,
        context: tuple[int, ...],
        seed: int,
        sampling: SamplingParams,
        version: PolicyVersion,
    ) -> Completion:
        body = self._body(context, seed, sampling)
        (choice,) = self._ask("POST", "/completions", body)["choices"]
        tokens, told = choice.get("token_ids"), choice.get("logprobs") or {}
        logprobs = told.get("token_logprobs")
        if not tokens or logprobs is None:
            raise UserError(
                f"engine.url: {self._address.url} tells no token ids or no log-probabilities "
                "(return_token_ids); use vLLM 0.10 or newer, or `proofloop serve-model`"
            )
        return Completion(
            tokens=tuple(tokens),
            logprobs=logprobs_of_sampled(logprobs, sampling),
            entropies=(math.nan,) * len(tokens),
            stop_reason=stop_reason(tokens, choice["finish_reason"], self._stop_ids),
            seed=seed,
            sampling=sampling,
            policy=version,
        )

    def _body(
        self, context: tuple[int, ...], seed: int, sampling: SamplingParams
    ) -> dict[str, Any]:
        """Says what is off, too: what a question leaves out, vLLM takes from the checkpoint's
        generation_config.json."""
        own = {"model": self._model, "prompt": context, "return_token_ids": True}
        return own | settings_of(seed, sampling, self._stop_ids)

    def _models(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/models")["data"])

    def _ask(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, beside: bool = False
    ) -> Any:
        """`beside`: not below `/v1`, where servers have what is not OpenAI's.

        Raises UserError for what the server refuses, EngineLost where it does not answer.
        """
        root = self._parts.path.rstrip("/")
        path = (root.removesuffix("/v1") if beside else root) + path
        problem = ""
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(min(0.25 * 2**attempt, LONGEST_PAUSE_S))
            try:
                status, answer = self._exchange(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                problem = str(error) or type(error).__name__
                continue
            if status < 400:
                return msgspec.json.decode(answer)
            problem = f"status {status}: {_message(answer)}"
            if status < 500 and status not in (408, 429):
                raise UserError(f"{self._address.url} refuses: {problem}")
        raise EngineLost(
            f"{self._address.url} does not answer ({problem}, {self.retries + 1} tries); is the "
            "server running? What is resumed goes on where it was"
        )

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        parts, timeout = self._parts, self._address.timeout_s
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        headers = {"Content-Type": "application/json"}
        if self._address.api_key:
            headers["Authorization"] = f"Bearer {self._address.api_key}"
        try:
            connection.request(
                method,
                path,
                None if body is None else msgspec.json.encode(body),
                headers,
            )
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


def settings_of(seed: int, sampling: SamplingParams, stop_ids: tuple[int, ...]) -> dict[str, Any]:
    """By the names that vLLM has for them, of a request as of its own SamplingParams."""
    settings: dict[str, Any] = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "seed": seed,
        "logprobs": 0,
        "stop_token_ids": list(stop_ids),
    }
    if sampling.stop:
        settings["stop"] = list(sampling.stop)
    return settings


def logprobs_of_sampled(told: Sequence[float], sampling: SamplingParams) -> tuple[float, ...]:
    """At temperature 0 a token is certain, whatever vLLM says, which tells temperature 1's."""
    return tuple(map(float, told)) if sampling.temperature else (0.0,) * len(told)


def stop_reason(
    tokens: Sequence[int], finish_reason: str | None, stop_ids: tuple[int, ...]
) -> StopReason:
    """`finish_reason`: as vLLM says it of a completion."""
    if tokens[-1] in stop_ids:
        return StopReason.STOP
    return StopReason.LENGTH if finish_reason == "length" else StopReason.STOP_STRING


def _message(answer: bytes) -> str:
    """The line in an error's body, as servers word it."""
    try:
        found = msgspec.json.decode(answer)
        error = found.get("error", found)
        return str(error.get("message", error) if isinstance(error, dict) else error)
    except (msgspec.DecodeError, AttributeError):
        return answer[:200].decode(errors="replace")
