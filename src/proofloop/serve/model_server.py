"""A model behind OpenAI's API: one engine, any number of callers, each answer its own stream.

An answer depends on its question, its seed and the weights, not on who else asks.  A caller who
leaves is noticed, and nothing more is sampled for them.
"""

import asyncio
import contextlib
import hashlib
import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from proofloop.core.completion import Request, SamplingParams
from proofloop.core.errors import UserError
from proofloop.engine.live import LiveEngine, Update
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.serve.answers import GrowingText
from proofloop.serve.openai import (
    FINISH_REASONS,
    Asked,
    ChatAsked,
    CompletionAsked,
    error_body,
    usage,
)

MAX_BODY_BYTES = 32 * 2**20
PATIENCE_S = 0.5
"""Between two looks at whether a caller is still there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a server answers with."""

    name: str
    live: LiveEngine
    tokenizer: ChatTokenizer
    max_positions: int
    api_key: str | None = None


@dataclass(slots=True)
class _Answer:
    """One choice while it grows."""

    text: GrowingText
    logprobs: list[float] = field(default_factory=list[float])
    said: str = ""
    finish_reason: str | None = None

    @property
    def tokens(self) -> list[int]:
        return self.text.tokens


class _Question:
    """One request to the engine, and how its answer is worded."""

    def __init__(self, served: Served, asked: Asked, context: tuple[int, ...]) -> None:
        """Raises UserError."""
        room = served.max_positions - len(context)
        wanted = asked.max_tokens
        if isinstance(asked, ChatAsked) and asked.max_completion_tokens is not None:
            wanted = asked.max_completion_tokens
        self.sampling: SamplingParams = asked.sampling(room if wanted is None else wanted)
        if not context:
            raise UserError("prompt: is empty")
        own = served.tokenizer.stop_ids
        if asked.stop_token_ids is not None and set(asked.stop_token_ids) != set(own):
            raise UserError(f"stop_token_ids: this model ends with {list(own)} and nothing else")
        if len(context) + self.sampling.max_tokens > served.max_positions:
            raise UserError(
                f"max_tokens: {len(context)} tokens of context and {self.sampling.max_tokens} of "
                f"answer need more than the model's {served.max_positions} positions"
            )
        base = secrets.randbits(63) if asked.seed is None else asked.seed
        self.request = Request(
            context=context,
            seeds=tuple(_seed(base, i) for i in range(asked.num_answers)),
            sampling=self.sampling,
        )
        self.served, self.asked = served, asked
        self.chat = isinstance(asked, ChatAsked)
        self.answers = [
            _Answer(GrowingText(lambda t: served.tokenizer.decode(tuple(t)), self.sampling.stop))
            for _ in self.request.seeds
        ]
        self.id = f"{'chatcmpl' if self.chat else 'cmpl'}-{secrets.token_hex(12)}"
        self.created = int(time.time())

    @property
    def num_sampled(self) -> int:
        return sum(len(answer.tokens) for answer in self.answers)

    async def updates(self, http: HttpRequest) -> AsyncGenerator[Update]:
        """To the end, or until the caller has left.  Raises what the engine raised."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Update | Exception] = asyncio.Queue()

        def tell(update: Update | Exception) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
                loop.call_soon_threadsafe(arrived.put_nowait, update)

        ticket = self.served.live.submit(self.request, tell)
        left = len(self.answers)
        try:
            while left:
                try:
                    update = await asyncio.wait_for(arrived.get(), PATIENCE_S)
                except TimeoutError:
                    if await http.is_disconnected():
                        return
                    continue
                if isinstance(update, Exception):
                    raise update
                left -= update.stop_reason is not None
                yield update
        finally:
            if left:
                self.served.live.cancel(ticket)

    def take(self, update: Update) -> str:
        """Adds an update to its answer; the text that can be shown."""
        answer = self.answers[update.place]
        answer.logprobs += update.logprobs
        ended = update.stop_reason is not None
        new = answer.text.grow(update.tokens, ended=ended)
        answer.said += new
        if update.stop_reason is not None:
            answer.finish_reason = FINISH_REASONS[update.stop_reason]
        return new

    def head(self, *, chunk: bool) -> dict[str, Any]:
        kind = ("chat.completion" if self.chat else "text_completion") + (
            ".chunk" if chunk and self.chat else ""
        )
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.served.name,
            "system_fingerprint": self.served.live.version.sha256[:16],
        }

    def choice(
        self, place: int, text: str, tokens: list[int], logprobs: list[float], *, chunk: bool
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "index": place,
            "finish_reason": self.answers[place].finish_reason,
            "logprobs": None,
        }
        if self.chat:
            body["delta" if chunk else "message"] = {"role": "assistant", "content": text}
        else:
            body["text"] = text
        asks_logprobs = (
            self.asked.logprobs
            if isinstance(self.asked, ChatAsked)
            else (isinstance(self.asked, CompletionAsked) and self.asked.logprobs is not None)
        )
        if asks_logprobs:
            body["logprobs"] = self._logprobs(tokens, logprobs)
        if self.asked.return_token_ids:
            body["token_ids"] = tokens
        return body

    def _logprobs(self, tokens: list[int], logprobs: list[float]) -> dict[str, Any]:
        texts = [self.served.tokenizer.decode((t,), keep_special=True) for t in tokens]
        if not self.chat:
            return {"tokens": texts, "token_logprobs": logprobs, "top_logprobs": None}
        return {
            "content": [
                {"token": t, "logprob": p, "bytes": list(t.encode()), "top_logprobs": []}
                for t, p in zip(texts, logprobs, strict=True)
            ]
        }


def _seed(base: int, place: int) -> int:
    digest = hashlib.blake2b(f"{base} {place}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def build_app(served: Served) -> Starlette:
    """The routes."""

    async def models(http: HttpRequest) -> Response:
        version = served.live.version
        card = {"id": served.name, "object": "model", "owned_by": "proofloop"}
        return _json({"object": "list", "data": [card | {"weights_sha256": version.sha256}]})

    async def health(http: HttpRequest) -> Response:
        return Response()

    async def chat(http: HttpRequest) -> Response:
        return await _respond(served, http, ChatAsked)

    async def completions(http: HttpRequest) -> Response:
        return await _respond(served, http, CompletionAsked)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        yield
        served.live.close()

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
        ],
        lifespan=lifespan,
    )


async def _respond(
    served: Served, http: HttpRequest, kind: type[ChatAsked] | type[CompletionAsked]
) -> Response:
    if not is_allowed(http, served.api_key):
        return _json(error_body("wrong or missing API key", "authentication_error"), 401)
    try:
        asked = msgspec.json.decode(await read_body(http), type=kind)
        if asked.model not in ("", served.name):
            return _json(error_body(f"model: {asked.model!r} is not here; {served.name!r} is"), 404)
        question = _Question(served, asked, _context(served, asked))
        if asked.stream:
            served.live.check(question.request)
            stream = _stream(question, http)
            return StreamingResponse(stream, media_type="text/event-stream")
        async for update in question.updates(http):
            question.take(update)
        return _json(_whole(question))
    except (msgspec.DecodeError, UserError) as error:
        return _json(error_body(str(error)), 400)
    except Exception as error:
        return _json(error_body(str(error), "server_error"), 500)


def is_allowed(http: HttpRequest, api_key: str | None) -> bool:
    given = http.headers.get("authorization", "").removeprefix("Bearer ")
    return api_key is None or secrets.compare_digest(given.encode(), api_key.encode())


async def read_body(http: HttpRequest) -> bytes:
    """Raises UserError for one that is too large, before all of it is read."""
    body = bytearray()
    async for part in http.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise UserError(f"a request may have {MAX_BODY_BYTES} bytes")
    return bytes(body)


def _context(served: Served, asked: ChatAsked | CompletionAsked) -> tuple[int, ...]:
    """Raises UserError for token ids that are none."""
    if isinstance(asked, ChatAsked):
        return served.tokenizer.context(tuple(m.message for m in asked.messages))
    if isinstance(asked.prompt, str):
        encoded = served.tokenizer.tokenizer.encode(asked.prompt, add_special_tokens=False)
        return tuple(encoded.ids)
    size = served.tokenizer.tokenizer.get_vocab_size()
    wrong = [token for token in asked.prompt if not 0 <= token < size]
    if wrong:
        raise UserError(f"prompt: token {wrong[0]} is not in the vocabulary of {size}")
    return tuple(asked.prompt)


def _whole(question: _Question) -> dict[str, Any]:
    body = question.head(chunk=False)
    body["choices"] = [
        question.choice(i, a.said, a.tokens, a.logprobs, chunk=False)
        for i, a in enumerate(question.answers)
    ]
    body["usage"] = usage(len(question.request.context), question.num_sampled)
    if question.asked.return_token_ids:
        body["prompt_token_ids"] = question.request.context
    return body


async def _stream(question: _Question, http: HttpRequest) -> AsyncGenerator[bytes]:
    """Server-sent events; an error under way is one, too."""
    head = question.head(chunk=True)
    try:
        async for update in question.updates(http):
            text = question.take(update)
            tokens, logprobs = list(update.tokens), list(update.logprobs)
            choice = question.choice(update.place, text, tokens, logprobs, chunk=True)
            yield _event(head | {"choices": [choice]})
    except Exception as error:
        yield _event(error_body(str(error), "server_error"))
        return
    if question.asked.wants_usage:
        counted = usage(len(question.request.context), question.num_sampled)
        yield _event(head | {"choices": [], "usage": counted})
    yield b"data: [DONE]\n\n"


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
