"""The gateway over loopback: what is stored is what the engine was given and gave."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from agent_places import make_repository, native_tokenizer, scripted
from test_serve_model import ask as ask_model
from test_serve_model import server as model_server

from proofloop.agent.dialects import NativeCalls
from proofloop.agent.drive import talk
from proofloop.agent.episode import episode
from proofloop.agent.policies import Endpoint, EndpointPolicy
from proofloop.agent.site import Site
from proofloop.core import codec
from proofloop.core.completion import Completion, Engine, PolicyVersion, Request
from proofloop.core.rollout import Rollout
from proofloop.core.task import Message
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten
from proofloop.engine.native.library import why_not
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.sandbox import open_sandbox

uvicorn = pytest.importorskip("uvicorn")
BASH = {"type": "function", "function": {"name": "bash", "parameters": {}}}


def _call(command: str) -> str:
    body = json.dumps({"name": "bash", "arguments": {"command": command}})
    return f"Now.\n<tool_call>{body}</tool_call>"


class Watched:
    """An engine that remembers what it was asked and what it said."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.seen: list[tuple[Request, Completion]] = []

    def version(self) -> PolicyVersion:
        return self.engine.version()

    def generate(self, requests: list[Request]) -> list[list[Completion]]:
        answers = self.engine.generate(requests)
        self.seen += [(r, a[0]) for r, a in zip(requests, answers, strict=True)]
        return answers


@contextlib.contextmanager
def serving(engine: Engine, folder: Path, tokenizer: ChatTokenizer) -> Iterator[int]:
    from proofloop.serve.gateway import Gateway, build_gateway, completes

    gateway = Gateway(
        name="m", complete=completes(engine), tokenizer=tokenizer, max_positions=100_000,
        folder=folder,
    )  # fmt: skip
    server = uvicorn.Server(uvicorn.Config(build_gateway(gateway), port=0, log_level="warning"))
    started = threading.Event()
    thread = threading.Thread(target=lambda: server.run(), daemon=True)
    thread.start()
    while not server.started:
        started.wait(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def ask(port: int, messages: list[Any], session: str = "s", **more: Any) -> Any:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        body = {"model": "m", "messages": messages, **more}
        path = f"/sessions/{session}/v1/chat/completions"
        connection.request("POST", path, json.dumps(body))
        return json.loads(connection.getresponse().read())


def rollout_of(port: int, session: str = "s") -> Rollout:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("GET", f"/sessions/{session}")
        return codec.from_json_with_gaps(connection.getresponse().read(), Rollout)


def check_as_sampled(rollout: Rollout, seen: list[tuple[Request, Completion]]) -> None:
    """Contexts and completions are exactly those of the engine, in each part."""
    stored: list[tuple[tuple[int, ...], Completion]] = []
    for part in rollout.contexts:
        tokens: tuple[int, ...] = ()
        for turn in part:
            tokens += turn.context
            stored.append((tokens, turn.completion))
            tokens += turn.completion.tokens
    assert sorted(stored, key=str) == sorted(((r.context, c) for r, c in seen), key=str)


def test_a_conversation_that_goes_on_is_one_part(tmp_path: Path) -> None:
    tokenizer = native_tokenizer()
    engine = Watched(scripted(tokenizer, [_call("ls"), _call("cat x"), "done"]))
    with serving(engine, tmp_path, tokenizer) as port:
        messages: list[Any] = [{"role": "user", "content": "go"}]
        for number in range(2):
            answer = ask(port, messages, tools=[BASH])["choices"][0]
            assert answer["finish_reason"] == "tool_calls"
            said = answer["message"]
            assert said["content"] == "Now."
            (call,) = said["tool_calls"]
            # As clients send it back: other blanks, fields of their own, JSON in another order.
            arguments = json.dumps(json.loads(call["function"]["arguments"]), indent=1)
            back = {**said, "content": " Now.\n", "provider": None, "function_call": None,
                    "tool_calls": [{**call, "index": 0, "function": {"name": "bash",
                                    "arguments": arguments}}]}  # fmt: skip
            messages += [back, {"role": "tool", "tool_call_id": call["id"], "content": f"{number}"}]
        last = ask(port, messages, tools=[BASH])["choices"][0]
        assert last["message"] == {"role": "assistant", "content": "done"}
        rollout = rollout_of(port)
    assert [len(part) for part in rollout.contexts] == [3]
    check_as_sampled(rollout, engine.seen)
    second = tokenizer.decode(rollout.turns[1].context, keep_special=True)
    assert second == "<|user|><tool_response>0</tool_response><|assistant|>"


def test_what_does_not_go_on_begins_a_part(tmp_path: Path) -> None:
    """An edited history, a retry, other tools, and two conversations that take turns."""
    tokenizer = native_tokenizer()
    engine = Watched(scripted(tokenizer, [f"a{i}" for i in range(9)]))
    go = {"role": "user", "content": "go"}

    def after(text: str, reply: str) -> list[Any]:
        return [go, {"role": "assistant", "content": text}, {"role": "user", "content": reply}]

    with serving(engine, tmp_path, tokenizer) as port:
        ask(port, [go])
        ask(port, [{"role": "user", "content": "another"}])
        ask(port, after("a0", "x"))
        ask(port, after("a0, edited", "x"))
        ask(port, after("a0", "x"))
        ask(port, after("a0", "x"), tools=[BASH])
        rollout = rollout_of(port)
        assert ask(port, [go], session="other")["choices"][0]["message"]["content"] == "a6"
        assert len(rollout_of(port).turns) == 6
    check_as_sampled(rollout, engine.seen[:6])
    assert [len(part) for part in rollout.contexts] == [2, 1, 1, 1, 1]
    tokens = [turn.completion.tokens for turn in rollout.turns]
    assert len(set(tokens)) == 6, "each sampled token stands once"


def test_a_gateway_that_died_goes_on(tmp_path: Path) -> None:
    tokenizer = native_tokenizer()
    go: list[Any] = [{"role": "user", "content": "go"}]
    more = [*go, {"role": "assistant", "content": "a"}, {"role": "user", "content": "on"}]
    engine = Watched(scripted(tokenizer, ["a", "b"]))
    with serving(engine, tmp_path, tokenizer) as port:
        ask(port, go)
    with open(tmp_path / "s.jsonl", "ab") as file:
        file.write(b'{"chain": 1, "tur')  # killed while it wrote
    with serving(engine, tmp_path, tokenizer) as port:
        assert ask(port, more)["choices"][0]["message"]["content"] == "b"
        rollout = rollout_of(port)
    assert [len(part) for part in rollout.contexts] == [2]
    check_as_sampled(rollout, engine.seen)
    assert len((tmp_path / "s.jsonl").read_bytes().splitlines()) == 2


def test_refusals_are_one_line(tmp_path: Path) -> None:
    tokenizer = native_tokenizer()
    with serving(scripted(tokenizer, []), tmp_path, tokenizer) as port:
        go = [{"role": "user", "content": "go"}]
        for body, said in (
            ({"n": 2}, "one answer a turn"),
            ({"top_logprobs": 3}, "top_logprobs"),
            ({"wings": 1}, "wings"),
            ({"tools": 1}, "tools"),
        ):
            assert said in ask(port, go, **body)["error"]["message"]
        assert "no name of a session" in ask(port, go, session="a%20b")["error"]["message"]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(why_not() is not None, reason=f"no kernel: {why_not()}")
def test_the_real_engine_behind_the_verb(tiny_model: Path, tmp_path: Path) -> None:
    """Stored tokens are those that the same weights sample from the stored contexts."""
    command = [sys.executable, "-m", "proofloop", "gateway", "--model", str(tiny_model),
               "--name", "m", "--port", "0", "--out", str(tmp_path), "--threads", "1"]  # fmt: skip
    with gateway_process(command) as port:
        messages: list[Any] = [{"role": "user", "content": "assert f(1) == 2\n"}]
        for number in range(3):
            answer = ask(port, messages, max_tokens=20, logprobs=True)["choices"][0]
            messages += [answer["message"], {"role": "user", "content": f"again {number}"}]
        rollout = rollout_of(port)
    assert [len(part) for part in rollout.contexts] == [3]
    tokenizer = ChatTokenizer.load(tiny_model)
    model = load_model(tiny_model)
    engine = LocalEngine(model, flatten(model), tokenizer.stop_ids)
    tokens: tuple[int, ...] = ()
    for turn in rollout.turns:
        tokens += turn.context
        stored = turn.completion
        request = Request(context=tokens, seeds=(stored.seed,), sampling=stored.sampling)
        ((again,),) = engine.generate([request])
        assert again.tokens == stored.tokens
        assert again.logprobs == pytest.approx(stored.logprobs, abs=1e-5)
        assert stored.policy.sha256 == engine.version().sha256
        tokens += stored.tokens


@contextlib.contextmanager
def gateway_process(command: list[str]) -> Iterator[int]:
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"at http://127\.0\.0\.1:(\d+)/sessions", said)
        assert found, said + process.stderr.read()
        yield int(found[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        if process.stderr is not None:
            process.stderr.close()


def test_our_own_agent_through_it_is_one_conversation(tmp_path: Path) -> None:
    """What it sends back each time is taken for what was sampled."""
    tokenizer = native_tokenizer()
    base = make_repository(tmp_path / "base")
    says = [
        '<tool_call>{"name": "view", "arguments": {"path": "pkg/add.py"}}</tool_call>',
        "no call",
        'So.\n<tool_call>{"name": "edit", "arguments": {"path": "pkg/add.py", "old": "a - b", '
        '"new": "a + b"}}</tool_call><tool_call>{"name": "shell", "arguments": {"command": "ls"}}'
        "</tool_call>",
        '<tool_call>{"name": "submit", "arguments": {}}</tool_call>',
    ]
    engine = Watched(scripted(tokenizer, says))
    with (
        serving(engine, tmp_path / "sessions", tokenizer) as port,
        open_sandbox() as sandbox,
        closing(sandbox.open_workspace(base)) as workspace,
    ):
        endpoint = Endpoint(url=f"http://127.0.0.1:{port}/sessions/s/v1")
        asks = episode(
            (Message(role="user", content="Mend it."),), site=Site(workspace=workspace),
            dialect=NativeCalls(), tokenizer=None,
        )  # fmt: skip
        done = talk(EndpointPolicy(endpoint), asks)
        rollout = rollout_of(port)
    assert done.trajectory.ending == "submitted"
    assert [len(step.results) for step in done.trajectory.steps] == [1, 0, 2, 1]
    assert [len(part) for part in rollout.contexts] == [4]
    check_as_sampled(rollout, engine.seen)


@pytest.mark.slow
@pytest.mark.skipif(why_not() is not None, reason=f"no kernel: {why_not()}")
def test_a_server_in_place_of_the_engine(tiny_model: Path, tmp_path: Path) -> None:
    """The gateway before serve-model (or vLLM): tokens in, tokens out, taken down as they came."""
    with model_server(tiny_model) as model_port:
        command = [sys.executable, "-m", "proofloop", "gateway", "--model", str(tiny_model),
                   "--server", f"http://127.0.0.1:{model_port}/v1", "--name", "m", "--port", "0",
                   "--temperature", "1", "--out", str(tmp_path)]  # fmt: skip
        with gateway_process(command) as port:
            messages: list[Any] = [{"role": "user", "content": "assert f(1) == 2\n"}]
            for number in range(2):
                answer = ask(port, messages, max_tokens=12, temperature=0)["choices"][0]
                messages += [answer["message"], {"role": "user", "content": f"again {number}"}]
            rollout = rollout_of(port)
        body = {"prompt": list(rollout.turns[0].context), "max_tokens": 12, "logprobs": 0,
                "seed": rollout.turns[0].completion.seed, "return_token_ids": True}  # fmt: skip
        _, again = ask_model(model_port, "/v1/completions", body)
    stored = rollout.turns[0].completion
    assert tuple(again["choices"][0]["token_ids"]) == stored.tokens
    assert again["choices"][0]["logprobs"]["token_logprobs"] == pytest.approx(stored.logprobs)
    assert stored.sampling.temperature == 1
    assert len(rollout.contexts) == 1
