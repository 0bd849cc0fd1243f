"""An OpenAI-compatible server that takes down, token for token, what agents of others sample.

An agent is pointed at `/sessions/NAME/v1` (or sends the header X-Proofloop-Session) and knows of
nothing.  Each call becomes a turn of that session (`agent.sessions`): the tokens that the engine
was given and gave, with their log-probabilities; on disk before the agent is answered.
"""

import asyncio
import hashlib
import os
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from proofloop.agent.sessions import Session, SessionTurn
from proofloop.core import codec
from proofloop.core.completion import Completion, Engine, Request
from proofloop.core.errors import RunError, UserError
from proofloop.engine.live import LiveEngine, Update
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.serve.model_server import is_allowed, read_body
from proofloop.serve.openai import FINISH_REASONS, Asked, TextPart, error_body, usage

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
Complete = Callable[[Request], Awaitable[Completion]]
"""One completion of one request."""


class CalledFunction(msgspec.Struct):
    name: str
    arguments: str


class Called(msgspec.Struct):
    function: CalledFunction
    id: str = ""
    type: str = "function"


class AgentMessage(msgspec.Struct):
    """As agents send them back; fields that they add are passed over."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[Called] | None = None
    tool_call_id: str | None = None
    name: str | None = None

    @property
    def chat(self) -> dict[str, Any]:
        text = self.content
        if isinstance(text, list):
            text = "".join(part.text for part in text)
        role = "system" if self.role == "developer" else self.role
        chat: dict[str, Any] = {"role": role, "content": text}
        if self.tool_calls:
            chat["tool_calls"] = msgspec.to_builtins(self.tool_calls)
        for key in ("tool_call_id", "name"):
            if (value := getattr(self, key)) is not None:
                chat[key] = value
        return chat


class AgentAsked(Asked, kw_only=True, forbid_unknown_fields=True):
    """POST …/v1/chat/completions."""

    messages: list[AgentMessage]
    tools: list[dict[str, Any]] | None = None
    tool_choice: Literal["auto", "none"] | None = None
    parallel_tool_calls: bool | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: Literal[0] | None = None


@dataclass(slots=True, kw_only=True)
class Gateway:
    """What a gateway answers with, and where it takes it down."""

    name: str
    complete: Complete
    tokenizer: ChatTokenizer
    max_positions: int
    folder: Path
    max_turn_tokens: int = 1024
    """Where a call does not say."""
    temperature: float | None = None
    """Instead of what calls say."""
    seed: int = 0
    api_key: str | None = None
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])
    locks: dict[str, asyncio.Lock] = field(default_factory=dict[str, asyncio.Lock])

    def session(self, name: str) -> Session:
        """As it was left, by this process or another.  Raises RunError for a damaged file."""
        if name not in self.sessions:
            session = Session(self.tokenizer)
            for turn in read_session(self.path(name)):
                session.take(turn)
            self.sessions[name] = session
        return self.sessions[name]

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def take_down(self, name: str, turn: SessionTurn) -> None:
        """Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.path(name), "ab") as file:
            file.write(codec.to_json(turn) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def read_session(path: Path) -> list[SessionTurn]:
    """A last line that was cut short by a crash does not count: its answer never left.  Raises
    RunError."""
    if not path.exists():
        return []
    whole, _, rest = path.read_bytes().rpartition(b"\n")
    if rest:
        with open(path, "r+b") as file:
            file.truncate(len(whole) + 1 if whole else 0)
    try:
        return [codec.from_json_with_gaps(line, SessionTurn) for line in whole.splitlines() if line]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: is no session of a gateway ({error})") from error


def completes(engine: Engine) -> Complete:
    """By an engine that generates lists, one call after another, in a thread of its own; calls that
    come meanwhile go together."""
    waiting: list[tuple[Request, asyncio.Future[Completion]]] = []
    busy = asyncio.Lock()

    async def complete(request: Request) -> Completion:
        future: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        waiting.append((request, future))
        async with busy:
            batch, waiting[:] = list(waiting), []
            if batch:
                await _answer(engine, batch)
        return await future

    return complete


async def _answer(engine: Engine, batch: list[tuple[Request, asyncio.Future[Completion]]]) -> None:
    try:
        answers = await asyncio.to_thread(engine.generate, [request for request, _ in batch])
    except Exception as error:  # each who waits hears of it
        for _, future in batch:
            if not future.done():
                future.set_exception(error)
        return
    for (_, future), (completion,) in zip(batch, answers, strict=True):
        if not future.done():
            future.set_result(completion)


def completes_live(live: LiveEngine) -> Complete:
    """By an engine that takes requests while it answers others."""

    async def complete(request: Request) -> Completion:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Update | Exception] = asyncio.Queue()
        ticket = live.submit(request, lambda update: _tell(loop, arrived, update))
        tokens: list[int] = []
        logprobs: list[float] = []
        entropies: list[float] = []
        try:
            while True:
                update = await arrived.get()
                if isinstance(update, Exception):
                    raise update
                tokens += update.tokens
                logprobs += update.logprobs
                entropies += update.entropies
                if update.stop_reason is not None:
                    return Completion(
                        tokens=tuple(tokens),
                        logprobs=tuple(logprobs),
                        entropies=tuple(entropies),
                        stop_reason=update.stop_reason,
                        seed=request.seeds[0],
                        sampling=request.sampling,
                        policy=update.policy,
                    )
        except asyncio.CancelledError:
            live.cancel(ticket)
            raise

    return complete


def _tell(
    loop: asyncio.AbstractEventLoop,
    arrived: "asyncio.Queue[Update | Exception]",
    update: Update | Exception,
) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(arrived.put_nowait, update)


def build_gateway(gateway: Gateway) -> Starlette:
    """The routes."""

    async def models(http: HttpRequest) -> Response:
        card = {"id": gateway.name, "object": "model", "owned_by": "proofloop"}
        return _json({"object": "list", "data": [card]})

    async def health(http: HttpRequest) -> Response:
        return Response()

    async def chat(http: HttpRequest) -> Response:
        return await _respond(gateway, http)

    async def told(http: HttpRequest) -> Response:
        name = http.path_params["name"]
        if not is_allowed(http, gateway.api_key):
            return _json(error_body("wrong or missing API key", "authentication_error"), 401)
        if not _NAME.fullmatch(name) or not gateway.session(name).num_turns:
            return _json(error_body(f"no session {name!r}"), 404)
        return _json(gateway.session(name).rollout(name))

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/sessions/{name}", told),
            Route("/sessions/{name}/v1/models", models),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/sessions/{name}/v1/chat/completions", chat, methods=["POST"]),
        ]
    )


async def _respond(gateway: Gateway, http: HttpRequest) -> Response:
    if not is_allowed(http, gateway.api_key):
        return _json(error_body("wrong or missing API key", "authentication_error"), 401)
    name = http.path_params.get("name") or http.headers.get("x-proofloop-session", "default")
    try:
        if not _NAME.fullmatch(name):
            raise UserError(f"{name!r} is no name of a session: letters, digits, '.', '_' and '-'")
        asked = msgspec.json.decode(await read_body(http), type=AgentAsked)
        async with gateway.locks.setdefault(name, asyncio.Lock()):
            turn, length = await _turn(gateway, name, asked)
    except (msgspec.DecodeError, UserError) as error:
        return _json(error_body(str(error)), 400)
    except Exception as error:
        return _json(error_body(str(error), "server_error"), 500)
    body = _body(gateway, asked, turn, length)
    if not asked.stream:
        return _json(body)
    return StreamingResponse(_stream(body), media_type="text/event-stream")


async def _turn(gateway: Gateway, name: str, asked: AgentAsked) -> tuple[SessionTurn, int]:
    """And the length of its context.  Raises UserError."""
    session = gateway.session(name)
    if asked.num_answers != 1:
        raise UserError("n: a session has one answer a turn")
    tools = None if asked.tool_choice == "none" else asked.tools
    call = session.asked([message.chat for message in asked.messages], tools)
    room = gateway.max_positions - len(call.context)
    wanted = asked.max_completion_tokens or asked.max_tokens or gateway.max_turn_tokens
    if room < 1:
        raise UserError(
            f"the conversation has {len(call.context)} tokens, which fill the model's "
            f"{gateway.max_positions} positions (context_length_exceeded)"
        )
    sampling = asked.sampling(min(wanted, room))
    if gateway.temperature is not None:
        sampling = msgspec.structs.replace(sampling, temperature=gateway.temperature)
    seed = asked.seed
    if seed is None:
        place = f"{gateway.seed} {name} {session.num_turns}".encode()
        seed = int.from_bytes(hashlib.blake2b(place, digest_size=8).digest(), "big") >> 1
    request = Request(context=call.context, seeds=(seed,), sampling=sampling)
    completion = await gateway.complete(request)
    turn = session.said(call, completion)
    gateway.take_down(name, turn)
    return turn, len(call.context)


def _body(gateway: Gateway, asked: AgentAsked, turn: SessionTurn, length: int) -> dict[str, Any]:
    completion = turn.turn.completion
    reason = FINISH_REASONS[completion.stop_reason]
    choice: dict[str, Any] = {
        "index": 0,
        "message": turn.said,
        "finish_reason": "tool_calls" if turn.said.get("tool_calls") else reason,
        "logprobs": None,
    }
    if asked.logprobs:
        texts = [gateway.tokenizer.decode((t,), keep_special=True) for t in completion.tokens]
        choice["logprobs"] = {
            "content": [
                {"token": t, "logprob": p, "bytes": list(t.encode()), "top_logprobs": []}
                for t, p in zip(texts, completion.logprobs, strict=True)
            ]
        }
    if asked.return_token_ids:
        choice["token_ids"] = completion.tokens
    return {
        "id": f"chatcmpl-{hashlib.blake2b(codec.to_json(turn), digest_size=12).hexdigest()}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": gateway.name,
        "choices": [choice],
        "usage": usage(length, len(completion.tokens)),
    }


async def _stream(body: dict[str, Any]) -> AsyncGenerator[bytes]:
    """The whole answer as one piece: nothing is told before it is taken down."""
    (choice,) = body["choices"]
    delta = dict(choice["message"])
    if delta.get("tool_calls"):
        delta["tool_calls"] = [{"index": i, **c} for i, c in enumerate(delta["tool_calls"])]
    chunk = body | {"object": "chat.completion.chunk"}
    chunk["choices"] = [{k: v for k, v in choice.items() if k != "message"} | {"delta": delta}]
    yield b"data: " + msgspec.json.encode(chunk) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _json(body: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
