"""Which engine a recipe means, and whether a server has the weights that it is said to have."""

import os

from proofloop.core.completion import Engine, Request, SamplingParams
from proofloop.core.errors import ModelError
from proofloop.core.task import Message
from proofloop.engine.local import LocalEngine
from proofloop.engine.server import Address, ServerEngine
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.recipe import EngineConfig, EngineKind
from proofloop.train.scoring import Question, logprobs_of

API_KEY = "PROOFLOOP_API_KEY"
_PROBE = (Message(role="user", content="assert f(3) == 4\nassert f(-1) == 0\n"),)
_PROBE_TOKENS, _PROBE_SAMPLES = 16, 8


def open_engine(config: EngineConfig, local: LocalEngine, tokenizer: ChatTokenizer) -> Engine:
    """`local` itself, or the server.  Raises UserError, and ModelError for other weights."""
    if config.kind is EngineKind.LOCAL:
        return local
    address = Address(url=config.url, model=config.model, api_key=os.environ.get(API_KEY, ""))
    server = ServerEngine(address, tokenizer.stop_ids)
    if config.max_gap:
        _check_weights(server, local, tokenizer, config)
    return server


def _check_weights(
    server: ServerEngine, local: LocalEngine, tokenizer: ChatTokenizer, config: EngineConfig
) -> None:
    """By the hash where the server tells one, and by what both say of the same answers."""
    told, own = server.version().sha256, local.version().sha256
    if told and told != own:
        raise ModelError(
            f"engine.url: {config.url} serves weights {told[:12]}, model.path has {own[:12]}; "
            "name the checkpoint that the server has loaded"
        )
    request = Request(
        context=tokenizer.context(_PROBE),
        seeds=tuple(range(_PROBE_SAMPLES)),
        sampling=SamplingParams(max_tokens=_PROBE_TOKENS),
    )
    (answers,) = server.generate([request])
    asked = [Question(context=request.context, tokens=a.tokens) for a in answers]
    ours = logprobs_of(local.model, asked, max_positions=1024)
    gaps = [
        abs(a - b)
        for x, y in zip(answers, ours, strict=True)
        for a, b in zip(x.logprobs, y, strict=True)
    ]
    gap = sum(gaps) / len(gaps)
    if not gap <= config.max_gap:
        raise ModelError(
            f"engine.url: {config.url} and model.path disagree by {gap:.4f} nats a token, at most "
            f"{config.max_gap:g} wanted (engine.max_gap). The server probably has other weights, "
            "or runs them in less precision"
        )
