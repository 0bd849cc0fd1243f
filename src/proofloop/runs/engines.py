"""Which engine a recipe means, and whether a server has the weights that it is said to have."""

import os
from pathlib import Path

from proofloop.core.completion import Engine, Request, SamplingParams
from proofloop.core.errors import ModelError
from proofloop.core.task import Message
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.server import Address, ServerEngine
from proofloop.engine.vllm import VllmEngine
from proofloop.engine.vllm_offline import HERE
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.recipe import EngineConfig, EngineKind, Recipe
from proofloop.train.scoring import Question, logprobs_of

API_KEY = "PROOFLOOP_API_KEY"
_PROBE = (Message(role="user", content="assert f(3) == 4\nassert f(-1) == 0\n"),)
_PROBE_TOKENS, _PROBE_SAMPLES = 16, 8


def open_engine(recipe: Recipe, local: LocalEngine, tokenizer: ChatTokenizer) -> Engine:
    """`local` itself, or the server.  Raises UserError, and ModelError for other weights."""
    match recipe.engine.kind:
        case EngineKind.LOCAL:
            return local
        case EngineKind.VLLM:  # has its weights yet to come
            return open_vllm(recipe.engine, tokenizer)
        case EngineKind.SERVER:
            server = ServerEngine(address_of(recipe.engine), tokenizer.stop_ids)
            told, own = server.version().sha256, local.version().sha256
            if told and told != own:
                raise ModelError(
                    f"engine.url: {recipe.engine.url} serves weights {told[:12]}, model.path has "
                    f"{own[:12]}; name the checkpoint that the server has loaded"
                )
            check_gap(server, local.model, tokenizer, recipe)
            return server


def open_vllm(config: EngineConfig, tokenizer: ChatTokenizer) -> VllmEngine:
    """Raises UserError where there is no server that takes weights."""
    return VllmEngine(address_of(config), tokenizer.stop_ids, Path(config.weights_dir))


def address_of(config: EngineConfig) -> Address:
    return Address(url=config.url, model=config.model, api_key=os.environ.get(API_KEY, ""))


def check_gap(engine: Engine, model: Decoder, tokenizer: ChatTokenizer, recipe: Recipe) -> None:
    """By what both say of the same answers, at the temperature of the run.  Raises ModelError."""
    config, temperature = recipe.engine, recipe.sampling.temperature
    if not config.max_gap:
        return
    request = Request(
        context=tokenizer.context(_PROBE),
        seeds=tuple(range(_PROBE_SAMPLES)),
        sampling=SamplingParams(max_tokens=_PROBE_TOKENS, temperature=temperature),
    )
    (answers,) = engine.generate([request])
    asked = [Question(context=request.context, tokens=a.tokens) for a in answers]
    ours = logprobs_of(model, asked, max_positions=1024, temperature=temperature)
    gaps = [
        abs(a - b)
        for x, y in zip(answers, ours, strict=True)
        for a, b in zip(x.logprobs, y, strict=True)
    ]
    gap = sum(gaps) / len(gaps)
    if not gap <= config.max_gap:
        where = f"engine.url: {config.url}" if config.url else f"engine.kind: {HERE}"
        raise ModelError(
            f"{where} and model.path disagree by {gap:.4f} nats a token, at most "
            f"{config.max_gap:g} wanted (engine.max_gap). It probably has other weights, runs them "
            "in less precision, or (vLLM) was started without `--logprobs-mode processed_logprobs`"
        )
