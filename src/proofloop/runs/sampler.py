"""vLLM as the sampler of a run: in this process, or a server that is found or started; given every
step's weights."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec
from torch import Tensor

from proofloop.core.completion import Engine, PolicyVersion
from proofloop.core.errors import EngineLost, UserError
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.hub_network import named_tensors
from proofloop.engine.models.weights import sha256
from proofloop.engine.vllm_offline import OfflineVllmEngine
from proofloop.engine.vllm_weights import (
    EXTENSION_DIRECTORY,
    WEIGHTS_NAME,
    FollowingEngine,
    options_for_training,
    write_weights,
)
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.checks_engine import check_vllm_here, is_vllm_here
from proofloop.runs.engines import check_gap, open_vllm
from proofloop.runs.manifest import num_workers
from proofloop.runs.models import resolve_model
from proofloop.runs.recipe import EngineKind, Recipe

START_S = 900.0
"""In which a server must be there: large models are read, compiled and tried out first."""
STOP_S = 30.0


class Sampler:
    """The driver's hand on vLLM; workers sample by `recipe`, from a server."""

    def __init__(
        self,
        recipe: Recipe,
        engine: FollowingEngine,
        model: Decoder,
        weights: Tensor,
        tokenizer: ChatTokenizer,
    ) -> None:
        """`weights`: the vector that the model's parameters are views of."""
        self.recipe = recipe
        self._engine = engine
        self._model, self._weights, self._tokenizer = model, weights, tokenizer
        self._directory = Path(recipe.engine.weights_dir)
        self._is_checked = False

    @property
    def here(self) -> Engine | None:
        """What this process samples from itself; None: a server, which any process asks."""
        return self._engine if is_vllm_here(self.recipe.engine) else None

    def send(self, step: int) -> None:
        """Raises ModelError where vLLM does not have these weights then."""
        write_weights(named_tensors(self._model), self._directory)
        self._engine.load(PolicyVersion(step=step, sha256=sha256(self._weights)))
        if not self._is_checked:
            check_gap(self._engine, self._model, self._tokenizer, self.recipe)
            self._is_checked = True

    def close(self) -> None:
        (self._directory / WEIGHTS_NAME).unlink(missing_ok=True)


@contextmanager
def open_sampler(
    recipe: Recipe, out: Path, model: Decoder, weights: Tensor, tokenizer: ChatTokenizer
) -> Generator[Sampler | None]:
    """None where the recipe samples otherwise.  Raises UserError, and EngineLost where vLLM, as
    the recipe has it started, fails."""
    if recipe.engine.kind is not EngineKind.VLLM:
        yield None
        return
    directory = Path(recipe.engine.weights_dir) if recipe.engine.weights_dir else out / "sync"
    directory.mkdir(parents=True, exist_ok=True)
    told = msgspec.structs.replace(recipe.engine, weights_dir=str(directory.resolve()))
    resolved = msgspec.structs.replace(recipe, engine=told)
    opened = _in_this_process if is_vllm_here(told) else _at_a_server
    with opened(resolved, out / "vllm.log", tokenizer) as (resolved, engine):
        sampler = Sampler(resolved, engine, model, weights, tokenizer)
        try:
            yield sampler
        finally:
            sampler.close()


@contextmanager
def _in_this_process(
    recipe: Recipe, log: Path, tokenizer: ChatTokenizer
) -> Generator[tuple[Recipe, FollowingEngine]]:
    check_vllm_here(recipe)
    engine = OfflineVllmEngine(
        resolve_model(recipe.model.path),
        tokenizer.stop_ids,
        Path(recipe.engine.weights_dir),
        options=recipe.engine.options,
        log=log,
        num_threads=num_workers(0),
    )
    with closing(engine):
        yield recipe, engine


@contextmanager
def _at_a_server(
    recipe: Recipe, log: Path, tokenizer: ChatTokenizer
) -> Generator[tuple[Recipe, FollowingEngine]]:
    """With the recipe by which workers find it."""
    with _server(recipe, log) as url:
        told = msgspec.structs.replace(recipe.engine, url=url, python="", options=())
        yield msgspec.structs.replace(recipe, engine=told), open_vllm(told, tokenizer)


@contextmanager
def _server(recipe: Recipe, log: Path) -> Generator[str]:
    """The address of the recipe's server, or of one that runs until the block is left."""
    if not recipe.engine.python:
        yield recipe.engine.url
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = [
        recipe.engine.python,
        str(EXTENSION_DIRECTORY / "proofloop_server.py"),
        *options_for_training(resolve_model(recipe.model.path)),
        *("--host", "127.0.0.1", "--port", str(port)),
        "--disable-uvicorn-access-log",
        *recipe.engine.options,
    ]
    with log.open("ab") as file:
        try:
            process = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env=os.environ
                | {"VLLM_SERVER_DEV_MODE": "1", "PYTHONPATH": str(EXTENSION_DIRECTORY)},
                start_new_session=True,  # Ctrl-C is the run's to answer
            )
        except OSError as error:
            raise UserError(f"engine.python: cannot run {command[0]} ({error})") from error
    try:
        for _ in _until_it_answers(process, port):
            if process.poll() is not None:
                raise EngineLost(
                    f"vLLM ended with status {process.returncode} before it answered: "
                    f"{_last_error(log)} (all of it in {log})"
                )
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        _end(process)


def _until_it_answers(process: "subprocess.Popen[bytes]", port: int) -> Iterator[None]:
    """Raises EngineLost after `START_S`."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        yield
        try:
            with socket.create_connection(("127.0.0.1", port), 1):
                return
        except OSError:
            time.sleep(0.5)
    raise EngineLost(f"vLLM (process {process.pid}) does not answer after {START_S:.0f} s")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """With all that it has started, which is in its session."""
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_error(log: Path) -> str:
    """The last line of a log that names an error, or the last one."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if "Error" in line]
    return (named or lines or ["it said nothing"])[-1].strip()[-300:]
