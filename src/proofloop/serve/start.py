"""From a checkpoint to a server that listens."""

import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path

import torch

from proofloop.core.errors import UserError
from proofloop.engine.live import LiveEngine
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.hub_config import read_raw_config
from proofloop.engine.models.weights import flatten
from proofloop.engine.native.library import why_not
from proofloop.engine.server import Address, ServerEngine
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.engines import API_KEY
from proofloop.runs.manifest import num_workers
from proofloop.runs.models import resolve_model
from proofloop.runs.placement import prepare
from proofloop.runs.recipe import TrainConfig
from proofloop.train.config import Precision


def serve_model(
    model: str,
    *,
    host: str,
    port: int,
    name: str | None,
    num_threads: int,
    precision: Precision,
    cache_bytes: int,
    api_key: str | None,
    on_ready: Callable[[str], None],
) -> None:
    """Listens until interrupted.  `on_ready` is told the base URL.

    Raises UserError where the checkpoint, the port or a package is not to be had.
    """
    try:
        import uvicorn

        from proofloop.serve.model_server import Served, build_app
    except ImportError as error:
        raise UserError(
            f"serve-model needs the package {error.name}; `pip install 'proofloop[serve]'`"
        ) from error
    if (reason := why_not()) is not None:
        raise UserError(f"serve-model: {reason}")
    path = resolve_model(model)
    listening = _listen(host, port)
    tokenizer = ChatTokenizer.load(path)
    engine = _engine(path, tokenizer, num_threads, precision, cache_bytes=cache_bytes)
    if engine.sampler is None:
        raise UserError(f"{path}: the kernel does not have this architecture")
    served = Served(
        name=name or model,
        live=LiveEngine(engine),
        tokenizer=tokenizer,
        max_positions=engine.model.config.max_position_embeddings,
        api_key=api_key,
    )
    server = uvicorn.Server(uvicorn.Config(build_app(served), log_level="warning"))
    on_ready(f"http://{host}:{listening.getsockname()[1]}/v1")
    with contextlib.suppress(KeyboardInterrupt):  # how a server is ended
        server.run(sockets=[listening])


def serve_gateway(
    model: str,
    *,
    folder: Path,
    server: str | None,
    host: str,
    port: int,
    name: str | None,
    num_threads: int,
    precision: Precision,
    temperature: float | None,
    max_turn_tokens: int,
    api_key: str | None,
    on_ready: Callable[[str], None],
) -> None:
    """Listens until interrupted, as `serve_model`; `server`: the URL of one that samples (vLLM,
    serve-model) in place of an engine here, with the tokenizer of `model`."""
    try:
        import uvicorn

        from proofloop.serve.gateway import Gateway, build_gateway, completes, completes_live
    except ImportError as error:
        raise UserError(
            f"gateway needs the package {error.name}; `pip install 'proofloop[serve]'`"
        ) from error
    path = resolve_model(model)
    listening = _listen(host, port)
    tokenizer = ChatTokenizer.load(path)
    live: LiveEngine | None = None
    if server is not None:
        address = Address(url=server, api_key=os.environ.get(API_KEY, ""))
        complete = completes(ServerEngine(address, tokenizer.stop_ids))
        max_positions = int(read_raw_config(path).get("max_position_embeddings") or 32768)
    else:
        engine = _engine(path, tokenizer, num_threads, precision, cache_bytes=2 << 30)
        max_positions = engine.model.config.max_position_embeddings
        if engine.sampler is not None:
            live = LiveEngine(engine)
            complete = completes_live(live)
        else:
            complete = completes(engine)
    gateway = Gateway(
        name=name or model,
        complete=complete,
        tokenizer=tokenizer,
        max_positions=max_positions,
        folder=folder,
        max_turn_tokens=max_turn_tokens,
        temperature=temperature,
        api_key=api_key,
    )
    running = uvicorn.Server(uvicorn.Config(build_gateway(gateway), log_level="warning"))
    on_ready(f"http://{host}:{listening.getsockname()[1]}")
    try:
        with contextlib.suppress(KeyboardInterrupt):
            running.run(sockets=[listening])
    finally:
        if live is not None:
            live.close()


def _engine(
    path: Path,
    tokenizer: ChatTokenizer,
    num_threads: int,
    precision: Precision,
    *,
    cache_bytes: int,
) -> LocalEngine:
    torch.set_num_threads(1)
    decoder = load_model(path)
    prepare(decoder, TrainConfig(precision=precision))
    return LocalEngine(
        decoder,
        flatten(decoder),
        tokenizer.stop_ids,
        num_threads=num_workers(num_threads),
        cache_bytes=cache_bytes,
        text_of=lambda tokens: tokenizer.decode(tuple(tokens)),
    )


def _listen(host: str, port: int) -> socket.socket:
    """Before anything that takes long.  Raises UserError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise UserError(
            f"cannot listen at {host}:{port} ({error.strerror}); choose another --port or --host"
        ) from error
    return listening
