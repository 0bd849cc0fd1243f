"""What an agent's work is to be, and who does it: a checkpoint's engine, or a server."""

import os
from pathlib import Path
from typing import NamedTuple

from proofloop.agent.dialects import Dialect, NativeCalls, ShellBlocks, Typed
from proofloop.agent.drive import EngineTalker, Talker
from proofloop.agent.limits import EpisodeLimits, Memory
from proofloop.agent.permissions import Permissions
from proofloop.agent.policies import Endpoint, EndpointPolicy
from proofloop.core.record import Record
from proofloop.core.verdict import Tier
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.models import resolve_model
from proofloop.runs.play import person

PERSON = "person"
"""In place of a model: whoever sits at the terminal."""


class SolveConfig(Record):
    """What `solve` is told."""

    repository: Path
    task: str
    model: str = "pico"
    """A checkpoint, `pico`, the URL of a server, up to `/v1`, or `person`."""
    model_name: str = ""
    """At a server; empty: the first that it lists."""
    branch: str = ""
    """Empty: `agent/` and the task's first words."""
    python: str = ""
    """Interpreter with the repository's dependencies and pytest; empty: its .venv's, or ours."""
    tests: tuple[str, ...] = ()
    """Command of the tests; empty: pytest."""
    tier: Tier | None = None
    dialect: str = "auto"
    """native, shell, or auto: as the chat template has it."""
    limits: EpisodeLimits = EpisodeLimits(max_turn_tokens=2048, context_tokens=32_768)
    memory: Memory | None = Memory(max_notes_tokens=1024)
    permissions: Permissions = Permissions()
    temperature: float = 0.7
    seed: int = 0
    context_price: float = 0.0
    """US dollars a million tokens."""
    sampled_price: float = 0.0


class AgentPolicy(NamedTuple):
    talker: Talker
    tokenizer: ChatTokenizer | None
    dialect: Dialect
    max_positions: int | None
    name: str


def open_policy(config: SolveConfig) -> AgentPolicy:
    """Raises UserError, ModelError, EngineLost."""
    if config.model == PERSON:
        return AgentPolicy(person(), None, Typed(), None, PERSON)
    if config.model.startswith(("http://", "https://")):
        key = os.environ.get("PROOFLOOP_API_KEY") or os.environ.get("OPENAI_API_KEY", "")
        endpoint = Endpoint(
            url=config.model,
            model=config.model_name,
            api_key=key,
            context_price=config.context_price,
            sampled_price=config.sampled_price,
        )
        server = EndpointPolicy(endpoint)
        dialect = ShellBlocks() if config.dialect == "shell" else NativeCalls()
        return AgentPolicy(server, None, dialect, None, server.model)
    from proofloop.engine.local import LocalEngine
    from proofloop.engine.models.checkpoint import load_model
    from proofloop.engine.models.weights import flatten

    path = resolve_model(config.model)
    tokenizer = ChatTokenizer.load(path)
    model = load_model(path)
    engine = LocalEngine(
        model,
        flatten(model),
        tokenizer.stop_ids,
        text_of=lambda tokens: tokenizer.decode(tuple(tokens)),
    )
    native = config.dialect == "native" or (config.dialect == "auto" and names_tools(tokenizer))
    dialect = NativeCalls() if native else ShellBlocks()
    most = model.config.max_position_embeddings
    return AgentPolicy(EngineTalker(engine), tokenizer, dialect, most, config.model)


def names_tools(tokenizer: ChatTokenizer) -> bool:
    """Whether the template tells the model of tools."""
    ask = [{"role": "user", "content": "?"}]
    tool = {"type": "function", "function": {"name": "probe", "description": "", "parameters": {}}}
    return "probe" in tokenizer.template.render(ask, tools=[tool])
