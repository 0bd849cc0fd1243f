"""Who answers in texts: a server that speaks OpenAI's API, a person, a script.

Engines answer in tokens (`agent.drive.drive`); what these say cannot train.
"""

import http.client
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from proofloop.agent.asks import Ask, Said
from proofloop.core.episode import EpisodeEnding, ToolCall
from proofloop.core.errors import EngineLost, UserError

RETRIES = 4
"""Of a connection that breaks, or a server that says it is busy, each after twice the time."""
_WAIT_S = 0.5
_BUSY = (408, 409, 425, 429, 529)


class _Function(msgspec.Struct):
    name: str = ""
    arguments: str = "{}"


class _Called(msgspec.Struct):
    function: _Function
    id: str = ""


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[_Called] | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None


class _Answered(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server, up to and with `/v1`; prices in US dollars a million tokens, where known."""

    url: str
    model: str = ""
    """Empty: the first that it lists."""
    api_key: str = ""
    timeout_s: float = 600.0
    context_price: float = 0.0
    sampled_price: float = 0.0


T = TypeVar("T")


class EndpointPolicy:
    """Any server with chat completions; tools natively where the dialect shows them."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises UserError where there is no such server or model, EngineLost where it does not
        answer."""
        parts = urlsplit(endpoint.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UserError(f"--model: {endpoint.url!r} is no http:// address")
        self._endpoint, self._parts = endpoint, parts
        self.model = endpoint.model or self._first_model()

    def answer(self, ask: Ask) -> Said:
        """Raises EngineLost, and UserError for what the server refuses."""
        sampling = ask.request.sampling
        body: dict[str, Any] = {
            "model": self.model,
            "messages": ask.messages,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
        }
        if sampling.top_p < 1:
            body["top_p"] = sampling.top_p
        if sampling.stop:
            body["stop"] = sampling.stop
        if ask.tools:
            body["tools"] = ask.tools
        began = time.monotonic()
        answered = self._ask("POST", "/chat/completions", body, _Answered)
        if not answered.choices:
            raise UserError(f"{self._endpoint.url}: answers without a choice")
        message, usage = answered.choices[0].message, answered.usage or _Usage()
        spent = (
            usage.prompt_tokens * self._endpoint.context_price
            + usage.completion_tokens * self._endpoint.sampled_price
        )
        return Said(
            text=message.content or "",
            calls=tuple(
                ToolCall(tool=c.function.name, arguments=c.function.arguments or "{}", id=c.id)
                for c in message.tool_calls or ()
            ),
            num_context_tokens=usage.prompt_tokens,
            num_sampled_tokens=usage.completion_tokens,
            cost=spent / 1e6 if usage.cost is None else usage.cost,
            seconds=time.monotonic() - began,
        )

    def _first_model(self) -> str:
        cards = self._ask("GET", "/models", None, dict[str, Any]).get("data") or []
        if not cards or "id" not in cards[0]:
            raise UserError(f"{self._endpoint.url} lists no models; name one with --model-name")
        return str(cards[0]["id"])

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, kind: type[T]) -> T:
        problem, wait_s = "", _WAIT_S
        for attempt in range(RETRIES + 1):
            if attempt:
                time.sleep(wait_s)
                wait_s *= 2
            try:
                status, data, after = self._exchange(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                problem = str(error) or type(error).__name__
                continue
            if status < 400:
                try:
                    return msgspec.json.decode(data, type=kind)
                except msgspec.DecodeError as error:
                    raise UserError(
                        f"{self._endpoint.url}{path} does not answer as OpenAI's API does ({error})"
                    ) from error
            problem = f"status {status}: {_message(data)}"
            wait_s = max(wait_s, min(after, 60.0))
            if status < 500 and status not in _BUSY:
                raise UserError(f"{self._endpoint.url} refuses: {problem}")
        raise EngineLost(
            f"{self._endpoint.url} does not answer ({problem}, {RETRIES + 1} tries); is the server "
            "running, and is the address the one up to /v1?"
        )

    def _exchange(
        self, method: str, path: str, body: dict[str, Any] | None
    ) -> tuple[int, bytes, float]:
        """Status, body, and the seconds that it asks to wait."""
        parts, timeout = self._parts, self._endpoint.timeout_s
        secure = parts.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=timeout)
        headers = {"Content-Type": "application/json"}
        if self._endpoint.api_key:
            headers["Authorization"] = f"Bearer {self._endpoint.api_key}"
        try:
            data = None if body is None else msgspec.json.encode(body)
            connection.request(method, parts.path.rstrip("/") + path, data, headers)
            response = connection.getresponse()
            after = response.headers.get("retry-after", "0")
            return response.status, response.read(), float(after) if after.isdecimal() else 0.0
        finally:
            connection.close()


def _message(data: bytes) -> str:
    """The line in an error's body, as servers word it."""
    try:
        found = msgspec.json.decode(data)
        error = found.get("error", found)
        return str(error.get("message", error) if isinstance(error, dict) else error)[:300]
    except (msgspec.DecodeError, AttributeError):
        return data[:200].decode(errors="replace")


@dataclass(slots=True)
class Script:
    """Says these texts in turn, then ends the episode."""

    texts: Sequence[str]
    said: int = 0

    def answer(self, ask: Ask) -> Said | EpisodeEnding:
        if self.said == len(self.texts):
            return EpisodeEnding.INTERRUPTED
        self.said += 1
        return Said(text=self.texts[self.said - 1])


@dataclass(slots=True)
class Person:
    """Is shown what is new, and types an answer; end of input ends the episode."""

    show: Callable[[str, str], None]
    """Role and text of a message."""
    read: Callable[[], str | None]
    """None: no more."""
    num_shown: int = 0

    def answer(self, ask: Ask) -> Said | EpisodeEnding:
        if len(ask.messages) < self.num_shown:  # a new context
            self.num_shown = 0
        for message in ask.messages[self.num_shown :]:
            if message["role"] != "assistant":
                self.show(str(message["role"]), str(message.get("content") or ""))
        self.num_shown = len(ask.messages) + 1  # and what is about to be said
        text = self.read()
        return EpisodeEnding.INTERRUPTED if text is None else Said(text=text)
