"""`proofloop serve-model` over loopback: OpenAI's words, our engine's numbers."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import torch

from proofloop.core.completion import Request, SamplingParams
from proofloop.core.task import Message
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.arithmetic import compute_in
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten
from proofloop.engine.native.library import why_not
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.serve.answers import GrowingText
from proofloop.train.scoring import Question, logprobs_of

pytest.importorskip("uvicorn")
pytestmark = pytest.mark.skipif(why_not() is not None, reason=f"no kernel: {why_not()}")
MESSAGES = [{"role": "user", "content": "assert f(1) == 2\n"}]


@contextlib.contextmanager
def server(model: Path, *options: str) -> Iterator[int]:
    """The port of a running server."""
    command = [sys.executable, "-m", "proofloop", "serve-model", "--model", str(model)]
    process = subprocess.Popen(
        [*command, "--port", "0", "--name", "tiny", "--threads", "2", *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"serving tiny at http://127\.0\.0\.1:(\d+)/v1", said)
        assert found, said + process.stderr.read()
        yield int(found[1])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        if process.stderr is not None:
            process.stderr.close()


@pytest.fixture(scope="module", name="port")
def _port(tiny_model: Path) -> Iterator[int]:
    with server(tiny_model) as port:
        yield port


def ask(port: int, path: str, body: Any, **headers: str) -> tuple[int, Any]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def events(port: int, path: str, body: Any) -> list[Any]:
    with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", path, json.dumps(body | {"stream": True}))
        response = connection.getresponse()
        assert response.status == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.read().decode().split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_an_answer_has_the_engines_tokens_and_logprobs(port: int, tiny_model: Path) -> None:
    body = {"messages": MESSAGES, "n": 3, "seed": 5, "max_tokens": 30, "logprobs": True}
    status, answer = ask(port, "/v1/chat/completions", body | {"return_token_ids": True})
    assert status == 200
    tokenizer = ChatTokenizer.load(tiny_model)
    context = tokenizer.context((Message(role="user", content=MESSAGES[0]["content"]),))
    assert tuple(answer["prompt_token_ids"]) == context
    model = load_model(tiny_model)
    for choice in answer["choices"]:
        tokens = choice["token_ids"]
        whole = torch.tensor([[*context, *tokens]])
        with torch.no_grad():
            hidden, _ = model.encode_context(whole, torch.tensor([whole.shape[1]]))
            wanted = model.logits(hidden[0]).log_softmax(-1)
        found = [entry["logprob"] for entry in choice["logprobs"]["content"]]
        exact = [float(wanted[len(context) - 1 + i, t]) for i, t in enumerate(tokens)]
        assert found == pytest.approx(exact, abs=1e-4)
        assert choice["message"]["content"] == tokenizer.decode(tuple(tokens))
        assert choice["finish_reason"] == ("length" if len(tokens) == 30 else "stop")
    assert answer["usage"]["completion_tokens"] == sum(
        len(c["token_ids"]) for c in answer["choices"]
    )
    assert ask(port, "/v1/chat/completions", body)[1]["choices"] == [
        {k: v for k, v in c.items() if k != "token_ids"} for c in answer["choices"]
    ]


def test_in_bfloat16(tiny_model: Path) -> None:
    """Answers have the probabilities that a trainer in bfloat16 gives them, not float32's."""
    body = {"prompt": [5, 6, 7, 8], "seed": 3, "max_tokens": 20, "logprobs": 1}
    with server(tiny_model, "--precision", "bfloat16") as port:
        status, answer = ask(port, "/v1/completions", body | {"return_token_ids": True})
    assert status == 200
    (choice,) = answer["choices"]
    told, model = torch.tensor(choice["logprobs"]["token_logprobs"]), load_model(tiny_model)
    question = Question(context=(5, 6, 7, 8), tokens=tuple(choice["token_ids"]))

    def gap(arithmetic: torch.dtype | None) -> float:
        compute_in(model, arithmetic)
        (rated,) = logprobs_of(model, [question], max_positions=1024)
        return float((told - torch.tensor(rated)).abs().mean())

    assert gap(torch.bfloat16) < 0.1 * gap(None)


@pytest.mark.parametrize("chat", [True, False])
def test_a_stream_is_the_whole_answer_in_pieces(port: int, chat: bool) -> None:
    path = "/v1/chat/completions" if chat else "/v1/completions"
    question: dict[str, Any] = {"messages": MESSAGES} if chat else {"prompt": "assert f(1"}
    body = question | {"n": 2, "seed": 1, "max_tokens": 40, "stop": ["e", "\n  "]}
    body["return_token_ids"] = True
    _, whole = ask(port, path, body)
    found = events(port, path, body | {"stream_options": {"include_usage": True}})
    assert found[-1]["choices"] == []
    assert found[-1]["usage"] == whole["usage"]
    for place, choice in enumerate(whole["choices"]):
        pieces = [c for e in found for c in e["choices"] if c["index"] == place]
        texts = [p["delta"]["content"] if chat else p["text"] for p in pieces]
        wanted = choice["message"]["content"] if chat else choice["text"]
        assert "".join(texts) == wanted
        assert "e" not in wanted
        assert [t for p in pieces for t in p["token_ids"]] == choice["token_ids"]
        assert pieces[-1]["finish_reason"] == choice["finish_reason"]


def test_token_ids_are_taken_as_they_are(port: int, tiny_model: Path) -> None:
    tokenizer = ChatTokenizer.load(tiny_model)
    context = tokenizer.context((Message(role="user", content=MESSAGES[0]["content"]),))
    common = {"seed": 3, "max_tokens": 12, "return_token_ids": True}
    _, by_ids = ask(port, "/v1/completions", common | {"prompt": list(context)})
    _, by_chat = ask(port, "/v1/chat/completions", common | {"messages": MESSAGES})
    assert by_ids["choices"][0]["token_ids"] == by_chat["choices"][0]["token_ids"]
    model = load_model(tiny_model)
    engine = LocalEngine(model, flatten(model), tokenizer.stop_ids)
    greedy = Request(
        context=context, seeds=(0,), sampling=SamplingParams(max_tokens=12, temperature=0.0)
    )
    ((exact,),) = engine.generate([greedy])
    _, likeliest = ask(
        port, "/v1/completions", common | {"prompt": list(context), "temperature": 0}
    )
    assert tuple(likeliest["choices"][0]["token_ids"]) == exact.tokens


def test_many_at_once_get_what_each_gets_alone(port: int) -> None:
    bodies = [
        {"prompt": list(range(4, 10 + i)), "seed": i, "max_tokens": 25, "return_token_ids": True}
        for i in range(24)
    ]
    alone = [ask(port, "/v1/completions", body)[1]["choices"] for body in bodies]
    together: list[Any] = [None] * len(bodies)

    def fetch(i: int) -> None:
        together[i] = ask(port, "/v1/completions", bodies[i])[1]["choices"]

    threads = [threading.Thread(target=fetch, args=(i,)) for i in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"temperature": -1}, "temperature: -1.0 must lie between 0 and 100"),
        ({"n": 0}, "n: must lie between 1 and 128"),
        ({"max_tokens": 5000}, "need more than the model's 512 positions"),
        ({"tools": []}, "unknown field `tools`"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"top_logprobs": 5}, "top_logprobs"),
        ({"stop": [""]}, "stop: "),
        ({"messages": "hello"}, "Expected `array`"),
        ({"messages": [{"role": "user", "content": "x" * 4000}]}, "no room is left"),
    ],
)
def test_what_cannot_be_done_is_said(port: int, change: Any, said: str) -> None:
    status, answer = ask(port, "/v1/chat/completions", {"messages": MESSAGES} | change)
    assert status == 400
    assert said in answer["error"]["message"]


def test_other_refusals(port: int) -> None:
    assert ask(port, "/v1/chat/completions", {"messages": MESSAGES, "model": "gpt"})[0] == 404
    status, answer = ask(port, "/v1/completions", {"prompt": [10**6]})
    assert status == 400
    assert "not in the vocabulary" in answer["error"]["message"]


def test_a_caller_who_leaves_costs_nothing_more(port: int) -> None:
    """Very long answers that nobody waits for, then a short one that is answered soon."""
    for _ in range(3):
        body = {"prompt": [5], "n": 128, "max_tokens": 500, "temperature": 50, "stream": True}
        with closing(HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("POST", "/v1/completions", json.dumps(body))
            with closing(connection.getresponse()) as response:
                response.read(200)
    began = time.monotonic()
    assert ask(port, "/v1/completions", {"prompt": [5], "max_tokens": 3})[0] == 200
    assert time.monotonic() - began < 20


def test_a_key_is_asked_for_where_there_is_one(tiny_model: Path) -> None:
    with server(tiny_model, "--api-key", "secret") as port:
        body = {"prompt": [5], "max_tokens": 3}
        assert ask(port, "/v1/completions", body)[0] == 401
        assert ask(port, "/v1/completions", body, Authorization="Bearer wrong")[0] == 401
        assert ask(port, "/v1/completions", body, Authorization="Bearer secret")[0] == 200


def test_a_port_that_is_taken_is_one_line(port: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proofloop", "serve-model", "--port", str(port)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert f"cannot listen at 127.0.0.1:{port}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_nothing_is_shown_that_could_be_taken_back() -> None:
    bytes_of = [b"a", b"\xc3", b"\xa9", b"s", b"to", b"st", b"op", b"x"]
    text = GrowingText(
        lambda ts: b"".join(bytes_of[t] for t in ts).decode(errors="replace"), ["stop"]
    )
    shown = [text.grow([i], ended=False) for i in range(7)]
    assert shown == ["a", "", "é", "", "", "sto", ""]
    assert text.grow([7], ended=True) == ""
