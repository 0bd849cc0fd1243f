"""From a checkpoint to a server that listens."""

import contextlib
import socket
from collections.abc import Callable

import torch

from proofloop.core.errors import UserError
from proofloop.engine.live import LiveEngine
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten
from proofloop.engine.native.library import why_not
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.manifest import num_workers
from proofloop.runs.models import resolve_model


def serve_model(
    model: str,
    *,
    host: str,
    port: int,
    name: str | None,
    num_threads: int,
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
    torch.set_num_threads(1)
    decoder = load_model(path)
    tokenizer = ChatTokenizer.load(path)
    engine = LocalEngine(
        decoder,
        flatten(decoder),
        tokenizer.stop_ids,
        num_threads=num_workers(num_threads),
        cache_bytes=cache_bytes,
        text_of=lambda tokens: tokenizer.decode(tuple(tokens)),
    )
    if engine.sampler is None:
        raise UserError(f"{path}: the kernel does not have this architecture")
    served = Served(
        name=name or model,
        live=LiveEngine(engine),
        tokenizer=tokenizer,
        max_positions=decoder.config.max_position_embeddings,
        api_key=api_key,
    )
    server = uvicorn.Server(uvicorn.Config(build_app(served), log_level="warning"))
    on_ready(f"http://{host}:{listening.getsockname()[1]}/v1")
    with contextlib.suppress(KeyboardInterrupt):  # how a server is ended
        server.run(sockets=[listening])


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
