"""`proofloop solve`: a branch comes back, and nothing else is touched."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from agent_places import make_repository
from test_agent_repository import shell_git

from proofloop.cli.app import main

Answer = Callable[[dict[str, Any]], tuple[int, dict[str, Any]]]
TASK = "add() subtracts: mend it!"
CALLS = [
    ("view", {"path": "pkg/add.py"}),
    ("edit", {"path": "tests/test_add.py", "old": "== 5", "new": "== -1"}),
    ("edit", {"path": "pkg/add.py", "old": "a - b", "new": "a + b"}),
    ("run_tests", {}),
    ("submit", {}),
]


@contextmanager
def endpoint(answer: Answer) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server with OpenAI's API that says what it is told to, and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(200, {"data": [{"id": "toy"}]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(body)
            self._send(*answer(body))

        def _send(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # who asked has left
                self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", asked
    finally:
        server.shutdown()
        server.server_close()


def scripted_server(calls: list[tuple[str, dict[str, Any]]]) -> Answer:
    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        turn = sum(m["role"] == "assistant" for m in body["messages"])
        name, arguments = calls[turn]
        call = {"id": f"c{turn}", "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)}}  # fmt: skip
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        usage = {"prompt_tokens": 100, "completion_tokens": 10}
        return 200, {"choices": [{"message": message}], "usage": usage}

    return answer


def make_checkout(folder: Path) -> Path:
    make_repository(folder)
    shell_git(folder, "init", "-q", "-b", "main")
    shell_git(folder, "add", "-A")
    shell_git(folder, "commit", "-qm", "one")
    return folder


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    return make_checkout(tmp_path / "checkout")


def state(folder: Path) -> dict[str, object]:
    """All that must stay: the working tree, the index, what Git names."""
    files = {
        str(p): (p.lstat().st_mtime_ns, p.read_bytes() if p.is_file() else None)
        for p in sorted(folder.rglob("*"))
        if "proofloop" not in p.parts and ".git" not in p.parts
    }
    git = folder / ".git"
    return files | {
        "index": (git / "index").read_bytes(),
        "head": (git / "HEAD").read_text(),
        "config": (git / "config").read_text(),
        "refs": shell_git(folder, "for-each-ref"),
        "worktrees": shell_git(folder, "worktree", "list"),
    }


def test_a_server_solves_it(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "untracked.txt").write_text("the user's")
    before = state(checkout)
    with endpoint(scripted_server(CALLS)) as (url, asked):
        code = main([
            "solve", str(checkout), "--task", TASK, "--model", url, "--no-write", "tests/**",
            "--price", "2", "10", "--json",
        ])  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    report = json.loads(said.out)
    after = state(checkout)
    refs = str(after.pop("refs"))
    assert {k: v for k, v in before.items() if k != "refs"} == after
    assert report["branch"] == "agent/add-subtracts-mend-it"
    assert f"refs/heads/{report['branch']}" in refs
    shown = shell_git(checkout, "show", "--format=%s", report["branch"])
    assert shown.startswith(TASK)
    assert "+    return a + b" in shown
    assert "test_add.py" not in shown
    assert "pkg/add.py | 2 +-" in report["diffstat"]
    assert report["ending"] == "submitted"
    assert not report["tests_before"]["passed"]
    assert "1 failed" in report["tests_before"]["summary"]
    assert report["tests_after"]["passed"]
    assert "1 passed" in report["tests_after"]["summary"]
    assert [d["action"] for d in report["denied"]] == ["write tests/test_add.py"]
    assert (report["num_turns"], report["num_sampled_tokens"]) == (5, 50)
    assert report["cost"] == pytest.approx(5 * (100 * 2 + 10 * 10) / 1e6)
    assert [t["function"]["name"] for t in asked[0]["tools"]][:2] == ["shell", "view"]
    roles = [m["role"] for m in asked[-1]["messages"]]
    assert roles == ["user", *["assistant", "tool"] * 4]
    assert asked[-1]["messages"][2]["tool_call_id"] == "c0"
    assert sorted(p.name for p in Path(report["records"]).iterdir()) == [
        "atif.json", "episode.json", "report.json",
    ]  # fmt: skip


def test_pico_runs_into_its_limits_and_leaves_nothing(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = state(checkout)
    code = main(["solve", str(checkout), "--task", TASK, "--model", "pico", "--max-turns", "2",
                 "--max-tokens", "30"])  # fmt: skip
    said = capsys.readouterr()
    assert code == 1, said.err
    assert "nothing was changed, so there is no branch" in said.out
    assert "ended: turn limit" in said.out
    assert state(checkout) == before


@pytest.mark.parametrize(
    ("spoil", "options", "wanted"),
    [
        ("echo x >> pkg/add.py", [], "a dirty checkout (1 changed files, such as pkg/add.py)"),
        ("rm -rf .git", [], "not the working tree of a Git repository"),
        ("rm -rf .git; git init -q", [], "a repository without commits"),
        ("git branch taken", ["--branch", "taken"], "'taken' is there already"),
        ("true", ["--branch", "a..b"], "no name of a branch"),
        ("true", ["--python", "/no/python"], "/no/python: cannot be run"),
        ("true", ["--task", " "], "--task: says nothing"),
        ("true", ["--model", "http://127.0.0.1:9/v1"], "does not answer"),
        ("true", ["--model", "no/such/model"], "no checkpoint directory"),
    ],
)
def test_what_is_not_ready_is_refused(
    checkout: Path,
    spoil: str,
    options: list[str],
    wanted: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("proofloop.agent.policies._WAIT_S", 0.001)
    subprocess.run(["sh", "-c", spoil], cwd=checkout, check=True)
    code = main(["solve", str(checkout), "--task", "x", "--model", "pico", *options])
    said = capsys.readouterr()
    assert code in (1, 2)
    assert wanted in said.err
    assert len(said.err.splitlines()) == 1
    assert not (checkout / ".git" / "proofloop").exists()


def test_an_interrupt_leaves_nothing(checkout: Path, tmp_path: Path) -> None:
    before = state(checkout)
    asked_once = threading.Event()

    def slow(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        asked_once.set()
        time.sleep(3)
        return 500, {}

    with endpoint(slow) as (url, _):
        environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp")}
        (tmp_path / "tmp").mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "proofloop", "solve", str(checkout), "--task", "x", "--model",
             url], env=environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert asked_once.wait(60)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == "proofloop: error: interrupted"
    assert state(checkout) == before
    assert not list((tmp_path / "tmp").glob("proofloop-solve*"))


def test_a_busy_server_is_asked_again(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from proofloop.agent.policies import Endpoint, EndpointPolicy
    from proofloop.core.errors import EngineLost, UserError

    monkeypatch.setattr("proofloop.agent.policies._WAIT_S", 0.001)
    answers = [(503, {}), (429, {"error": {"message": "slow down"}})]
    plain = {"choices": [{"message": {"content": "hi"}}]}

    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return answers.pop(0) if answers else (200, plain)

    from proofloop.agent.episode import Ask
    from proofloop.core.completion import Request, SamplingParams

    request = Request(context=(), seeds=(0,), sampling=SamplingParams())
    ask = Ask(request=request, messages=({"role": "user", "content": "x"},), tools=None)
    with endpoint(answer) as (url, asked):
        policy = EndpointPolicy(Endpoint(url=url))
        assert policy.answer(ask).text == "hi"
        assert len(asked) == 3
        answers += [(400, {"error": {"message": "too long"}})]
        with pytest.raises(UserError, match="status 400: too long"):
            policy.answer(ask)
        answers += [(500, {})] * 9
        with pytest.raises(EngineLost, match="5 tries"):
            policy.answer(ask)
        answers.clear()
        plain.clear()
        with pytest.raises(UserError, match="does not answer as OpenAI's API does"):
            policy.answer(ask)
