"""Sampling from a server: the same tokens and numbers as here, other weights refused, faults named.

The server is `serve-model`; `test_vllm_server.py` tries vLLM's own.
"""

import contextlib
import http.server
import json
import math
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_serve_model import server

from proofloop.core.completion import Request, SamplingParams, StopReason
from proofloop.core.errors import ConfigError, EngineLost, ModelError, UserError
from proofloop.engine import server as server_module
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import load_model, save_model
from proofloop.engine.models.weights import flatten
from proofloop.engine.native.library import why_not
from proofloop.engine.server import Address, ServerEngine
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.checks import load_recipe
from proofloop.runs.engines import open_engine
from proofloop.runs.evaluation import run_evaluation
from proofloop.runs.recipe import EngineConfig, EngineKind, Recipe
from proofloop.runs.training import run_training
from proofloop.store import Phase, RunStore

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no kernel: {why_not()}")


@pytest.fixture(scope="module", name="url")
def _url(tiny_model: Path) -> Iterator[str]:
    with server(tiny_model) as port:
        yield f"http://127.0.0.1:{port}/v1"


def local_engine(directory: Path) -> LocalEngine:
    model = load_model(directory)
    return LocalEngine(model, flatten(model), ChatTokenizer.load(directory).stop_ids)


def request(**settings: Any) -> Request:
    sampling = SamplingParams(max_tokens=settings.pop("max_tokens", 20), **settings)
    return Request(context=(5, 6, 7, 8), seeds=(1, 2, 3), sampling=sampling)


def test_answers_are_the_servers_with_its_logprobs_and_hash(url: str, tiny_model: Path) -> None:
    stop_ids = ChatTokenizer.load(tiny_model).stop_ids
    engine = ServerEngine(Address(url=url), stop_ids)
    local = local_engine(tiny_model)
    batch = [request(), request(temperature=0.7, top_k=9), request(stop=("e",)), request(top_p=0.5)]
    for asked, answers in zip(batch, engine.generate(batch), strict=True):
        assert [a.seed for a in answers] == list(asked.seeds)
        for answer in answers:
            assert answer.policy == local.version()
            assert all(map(math.isnan, answer.entropies))
            ended = answer.tokens[-1] in stop_ids
            assert (answer.stop_reason is StopReason.STOP) == ended
    greedy = request(temperature=0.0)
    ((mine, *_),) = local.generate([greedy])
    assert {a.tokens for a in engine.generate([greedy])[0]} == {mine.tokens}
    assert engine.generate([request()]) == engine.generate([request()])


def test_an_evaluation_over_a_server_is_recorded_as_any_other(
    url: str, tiny_model: Path, tmp_path: Path
) -> None:
    settings = (
        *(f"model.path={tiny_model}", "engine.kind=server", f"engine.url={url}"),
        *("eval.final_num_tasks=6", "eval.final_num_samples=4", "train.workers=2"),
        "sampling.max_tokens=24",
    )
    run_evaluation(
        load_recipe("quickstart", settings),
        tmp_path / "e",
        resume=False,
        on_progress=lambda r: None,
    )
    with RunStore.read(tmp_path / "e") as store:
        assert sum(c.num_scored for c in store.pass_counts(Phase.EVAL, 0)) == 24
        rows = store.outcomes(Phase.EVAL, 0, ("policy_sha256", "logprob"))
    assert {sha for sha, _ in rows} == {local_engine(tiny_model).version().sha256}
    assert all(logprob < 0 for _, logprob in rows)


def test_a_server_with_other_weights_is_refused(
    url: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = load_model(tiny_model)
    other.model.norm.weight.data *= 1.5
    save_model(other, tmp_path / "other", tokenizer_from=tiny_model)
    config = EngineConfig(kind=EngineKind.SERVER, url=url)
    tokenizer = ChatTokenizer.load(tiny_model)
    assert isinstance(
        open_engine(Recipe(engine=config), local_engine(tiny_model), tokenizer), ServerEngine
    )
    with pytest.raises(ModelError, match=r"serves weights \w{12}, model\.path has"):
        open_engine(Recipe(engine=config), local_engine(tmp_path / "other"), tokenizer)
    hashless = ServerEngine.version
    monkeypatch.setattr(
        ServerEngine,
        "version",
        lambda self: type(hashless(self))(step=0, sha256=""),
    )
    assert isinstance(
        open_engine(Recipe(engine=config), local_engine(tiny_model), tokenizer), ServerEngine
    )
    with pytest.raises(ModelError, match=r"disagree by .* nats a token, at most"):
        open_engine(Recipe(engine=config), local_engine(tmp_path / "other"), tokenizer)


@contextlib.contextmanager
def answering(*answers: tuple[int, Any]) -> Iterator[str]:
    """A server that gives these answers in turn, the last one for ever."""
    left = list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}/v1"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


MODELS = {"data": [{"id": "m"}]}


def test_a_busy_server_is_asked_again_and_a_dead_one_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module.time, "sleep", lambda s: None)
    with answering((503, b"busy"), (429, b"{}"), (200, MODELS)) as url:
        ServerEngine(Address(url=url), (0,))
    with (
        answering((500, {"error": {"message": "out of memory"}})) as url,
        pytest.raises(EngineLost, match=r"does not answer \(status 500: out of memory, 5 tries\)"),
    ):
        ServerEngine(Address(url=url), (0,))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(EngineLost, match="refused"):
        ServerEngine(Address(url=f"http://127.0.0.1:{port}/v1"), (0,))


def test_what_a_server_cannot_do_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        answering((200, MODELS)) as url,
        pytest.raises(UserError, match=r"engine\.model: .* has no 'x'; it has m"),
    ):
        ServerEngine(Address(url=url, model="x"), (0,))
    with pytest.raises(UserError, match="is no http:// address"):
        ServerEngine(Address(url="localhost:8000"), (0,))
    texts = {"choices": [{"text": "hello", "finish_reason": "stop"}]}
    with answering((200, MODELS), (200, MODELS), (200, texts)) as url:
        engine = ServerEngine(Address(url=url), (0,))
        with pytest.raises(UserError, match="tells no token ids"):
            engine.generate([request()])
    refusal = {"error": {"message": "temperature: too high"}}
    with answering((200, MODELS), (200, MODELS), (400, refusal)) as url:
        engine = ServerEngine(Address(url=url), (0,))
        with pytest.raises(UserError, match="refuses: status 400: temperature: too high"):
            engine.generate([request()])


def test_settings_that_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"engine\.url: none does not go with"):
        load_recipe("quickstart", ("engine.kind=server",))
    recipe = load_recipe("quickstart", ("engine.kind=server", "engine.url=http://localhost/v1"))
    with pytest.raises(ConfigError, match=r"engine\.kind: server is for eval"):
        run_training(recipe, tmp_path / "r", resume=False, on_progress=lambda r: None)
