"""What the client of a vLLM server makes of its answers; vLLM itself runs in `test_vllm_server.py`.

The part that runs inside vLLM is tried on layers that are joined and packed as vLLM's are.
"""

import contextlib
import http.server
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from proofloop.core.completion import PolicyVersion, Request, SamplingParams
from proofloop.core.errors import ConfigError, EngineLost, ModelError, UserError
from proofloop.engine import server as server_module
from proofloop.engine.models import weights
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten, sha256
from proofloop.engine.server import Address
from proofloop.engine.vllm import VllmEngine
from proofloop.engine.vllm_weights import EXTENSION_DIRECTORY, write_weights
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.checks import load_recipe
from proofloop.runs.sampler import open_sampler

sys.path.insert(0, str(EXTENSION_DIRECTORY))
import proofloop_vllm

FIRST = PolicyVersion(step=1, sha256="a" * 64)
REQUEST = Request(context=(5, 6), seeds=(1, 2), sampling=SamplingParams(max_tokens=3))
Handler = Callable[[str, dict[str, Any]], tuple[int, Any]]


class Scripted:
    """A server's state, which a test changes under the client's hands."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = {"step": 0, "sha256": "", "problem": ""}
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.on_completion: Callable[[], None] = lambda: None
        self.refuses = ""
        self.caches_reset = True

    def __call__(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        if path == "/v1/models":
            return 200, {"data": [{"id": "m"}]}
        if path == "/reset_prefix_cache":
            self.asked.append("reset")
            return 200, {"success": self.caches_reset}
        if path == "/collective_rpc":
            return 200, {"results": [self.call(body["method"], body["kwargs"])]}
        self.bodies.append(body)
        self.on_completion()
        choice = {"token_ids": [3, 0], "logprobs": {"token_logprobs": [-1.0, -2.0]}}
        return 200, {"choices": [choice | {"finish_reason": "stop"}]}

    def call(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if method == "proofloop_version":
            return self.now
        self.asked.append(method)
        if self.refuses:
            return {"problem": self.refuses}
        self.now |= {"step": arguments["step"], "sha256": arguments["sha256"]}
        return {"read_back": 1.0}

    def restart(self) -> None:
        self.now |= {"step": 0, "sha256": ""}


@contextlib.contextmanager
def serving(handler: Handler) -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def answer(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, body = handler(self.path, json.loads(raw) if raw else {})
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_address[1]}/v1"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def engine(url: str, directory: Path) -> VllmEngine:
    return VllmEngine(Address(url=url), (0,), directory)


def test_what_is_loaded_is_sampled_and_a_restarted_server_gets_it_again(tmp_path: Path) -> None:
    script = Scripted()
    with serving(script) as url:
        client = engine(url, tmp_path)
        assert client.load(FIRST) == 1.0
        assert script.asked == ["proofloop_load", "reset"]
        (answers,) = client.generate([REQUEST])
        assert [a.policy for a in answers] == [FIRST, FIRST]
        assert script.bodies[0]["repetition_penalty"] == 1.0
        assert script.bodies[0]["ignore_eos"] is True
        script.restart()  # between two batches
        client.generate([REQUEST])
        assert script.asked == ["proofloop_load", "reset"] * 2
        restarts = iter([script.restart])  # in the middle of one: its answers are thrown away
        script.on_completion = lambda: next(restarts, lambda: None)()
        before = len(script.bodies)
        client.generate([REQUEST])
        assert len(script.bodies) - before == 4
        script.on_completion = script.restart
        with pytest.raises(EngineLost, match="restarted 3 times while it sampled"):
            client.generate([REQUEST])


def test_other_weights_are_refused_before_and_after_sampling(tmp_path: Path) -> None:
    script = Scripted()

    def intrude() -> None:
        script.now |= {"step": 7, "sha256": "b" * 64}

    with serving(script) as url:
        client = engine(url, tmp_path)
        client.load(FIRST)
        script.on_completion = intrude
        with pytest.raises(ModelError, match=r"has weights b{12} of step 7, not a{12} of step 1"):
            client.generate([REQUEST])
        num_asked = len(script.bodies)
        with pytest.raises(ModelError, match="another run uses it"):
            client.generate([REQUEST])
        assert len(script.bodies) == num_asked
        client.load(FIRST)  # who publishes, owns
        script.refuses = "after loading, lm_head.weight is not what was sent"
        with pytest.raises(ModelError, match=r"lm_head\.weight is not what was sent"):
            client.load(FIRST)
        script.refuses, script.caches_reset = "", False
        with pytest.raises(ModelError, match="keeps keys and values of older weights"):
            client.load(FIRST)


def test_a_server_that_takes_no_weights_is_named_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module.time, "sleep", lambda s: None)
    models = {"data": [{"id": "m"}]}

    def plain(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return (200, models) if path == "/v1/models" else (404, {"detail": "Not Found"})

    def bare(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        error = {"message": "'CPUWorker' object has no attribute 'proofloop_version'"}
        return (200, models) if path == "/v1/models" else (500, {"error": error})

    for server in (plain, bare):
        with (
            serving(server) as url,
            pytest.raises(UserError, match=r"takes no weights: start vLLM with VLLM_SERVER_DEV"),
        ):
            engine(url, tmp_path)
    script = Scripted()
    script.now["problem"] = "log-probabilities are not of what was sampled: --logprobs-mode x"
    with serving(script) as url, pytest.raises(UserError, match="are not of what was sampled"):
        engine(url, tmp_path)


def test_settings_of_the_recipe_that_do_not_go_together() -> None:
    for settings, match in (
        (("engine.kind=server",), r"engine\.url: none does not go with"),
        (("engine.kind=vllm", "train.workers=2"), r"train\.workers: 2 processes do not go with"),
        (("engine.kind=vllm", "engine.url=http://x/v1", "engine.python=p"), "and engine.python"),
        (("engine.python=p",), r"engine\.python: goes with engine\.kind = vllm"),
        (("engine.kind=vllm", "engine.url=http://x/v1", "engine.options=['-x']"), "starts with"),
        (("engine.options=['-x']",), r"engine\.options: are of a vLLM that starts with the run"),
    ):
        with pytest.raises(ConfigError, match=match):
            load_recipe("quickstart", settings)
    load_recipe("quickstart", ("engine.kind=vllm", "engine.python=p", "engine.options=['-x']"))


def test_vllm_in_this_process_is_asked_of_an_interpreter_that_has_it(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = (f"model.path={tiny_model}", "engine.kind=vllm")
    if find_spec("vllm") is None:
        with pytest.raises(ConfigError, match=r"^engine\.kind: vllm .*interpreter has none; name"):
            load_recipe("quickstart", here)
    # One that is there, and broken, as vLLM is beside another torch.
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("import no_such_torch\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, name)
    recipe = load_recipe("quickstart", here)
    model, before = load_model(tiny_model), dict(os.environ)
    with (
        pytest.raises(ConfigError, match=r"^engine\.kind: vllm cannot .*no_such_torch.*; name one"),
        open_sampler(recipe, tmp_path, model, flatten(model), ChatTokenizer.load(tiny_model)),
    ):
        pass
    assert dict(os.environ) == before


def test_an_interpreter_that_cannot_serve_is_named(tiny_model: Path, tmp_path: Path) -> None:
    model = load_model(tiny_model)
    tokenizer = ChatTokenizer.load(tiny_model)
    for python, error, match in (
        (str(tmp_path / "none"), UserError, r"engine\.python: cannot run .*none"),
        (sys.executable, EngineLost, r"ended with status 1 before it answered: .*No module.*vllm"),
    ):
        settings = (f"model.path={tiny_model}", "engine.kind=vllm", f"engine.python={python}")
        recipe = load_recipe("quickstart", settings)
        with (
            pytest.raises(error, match=match),
            open_sampler(recipe, tmp_path, model, flatten(model), tokenizer),
        ):
            pass


class Packed:
    """As vLLM's CPU kernels: the matrix is in the layer's product, and in no parameter."""

    def apply(self, layer: Any, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        return x @ layer.packed


class Joined(nn.Module):
    def __init__(self, *parts: torch.Tensor) -> None:
        super().__init__()
        self.packed = torch.cat(parts).T.contiguous().clone()
        self.input_size = parts[0].shape[1]
        self.weight = nn.Parameter(torch.empty(0))
        self.quant_method = Packed()


class Block(nn.Module):
    def __init__(self, of: dict[str, torch.Tensor], i: int) -> None:
        super().__init__()

        def get(name: str) -> torch.Tensor:
            return of[f"model.layers.{i}.{name}.weight"].detach()

        self.self_attn = nn.Module()
        self.self_attn.qkv_proj = Joined(*(get(f"self_attn.{x}_proj") for x in "qkv"))
        self.self_attn.o_proj = Joined(get("self_attn.o_proj"))
        self.mlp = nn.Module()
        self.mlp.gate_up_proj = Joined(get("mlp.gate_proj"), get("mlp.up_proj"))
        self.mlp.down_proj = Joined(get("mlp.down_proj"))
        for norm in ("input_layernorm", "post_attention_layernorm"):
            module = nn.Module()
            module.weight = nn.Parameter(get(norm).clone())
            setattr(self, norm, module)


class AsVllm(nn.Module):
    """A tiny model's weights, laid out as vLLM does, `packed_modules_mapping` left out."""

    def __init__(self, of: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.model = nn.Module()
        num_layers = len({n.split(".")[2] for n in of if n.startswith("model.layers")})
        self.model.layers = nn.ModuleList(Block(of, i) for i in range(num_layers))
        for name in ("embed_tokens", "norm"):
            module = nn.Module()
            module.weight = nn.Parameter(of[f"model.{name}.weight"].detach().clone())
            setattr(self.model, name, module)


class Worker(proofloop_vllm.Weights):
    """What the mix-in asks of vLLM's worker class."""

    def __init__(self, model: nn.Module) -> None:
        parallel = type("P", (), {"world_size": 1})
        self.vllm_config = type("C", (), {"parallel_config": parallel})
        self.model_runner = type("R", (), {"get_model": lambda _: model})()
        self.loaded: list[str] = []

    def reload_weights(self, weights_iterator: Any) -> None:
        self.loaded = [name for name, _ in weights_iterator]


def test_both_sides_hash_alike_where_there_are_many_pieces(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(tiny_model)
    flat = flatten(model)
    path = str(write_weights(dict(model.named_parameters()), tmp_path))
    for num_bytes in (4 * flat.numel(), 4 * flat.numel() - 1, 1001):
        monkeypatch.setattr(weights, "PIECE_BYTES", num_bytes)
        monkeypatch.setattr(proofloop_vllm, "_PIECE_BYTES", num_bytes)
        assert proofloop_vllm._sha256(path) == sha256(flat) == sha256(flat, num_threads=3)


def test_the_worker_reads_back_what_it_runs(tiny_model: Path, tmp_path: Path) -> None:
    model = load_model(tiny_model)
    flat = flatten(model)
    named = dict(model.named_parameters())
    path = str(write_weights(named, tmp_path))
    worker = Worker(AsVllm(named))
    told = worker.proofloop_load(path=path, step=2, sha256=sha256(flat))
    assert told == {"step": 2, "sha256": sha256(flat), "read_back": 1.0}
    assert worker.loaded == list(named)
    for name in ("self_attn.v_proj", "self_attn.o_proj", "mlp.up_proj", "input_layernorm"):
        stale = Worker(AsVllm(named))
        weight = named[f"model.layers.1.{name}.weight"]
        weight.data.view(-1)[3] += 1e-6
        path = str(write_weights(named, tmp_path))
        told = stale.proofloop_load(path=path, step=3, sha256=sha256(flat))
        assert (
            told["problem"] == f"after loading, model.layers.1.{name}.weight is not what was sent"
        )
        assert stale.proofloop_now is None


def test_the_worker_refuses_another_content_untouched(tiny_model: Path, tmp_path: Path) -> None:
    named = dict(load_model(tiny_model).named_parameters())
    worker = Worker(AsVllm(named))
    path = str(write_weights(named, tmp_path))
    told = worker.proofloop_load(path=path, step=1, sha256="f" * 64)
    assert "announced were ffffffffffff" in told["problem"]
    told = worker.proofloop_load(path=str(tmp_path / "none"), step=1, sha256="f" * 64)
    assert "does this machine see that folder?" in told["problem"]
    assert not worker.loaded
