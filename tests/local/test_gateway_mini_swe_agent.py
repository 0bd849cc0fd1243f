"""mini-swe-agent as PyPI has it, through the gateway: unmodified, and its tokens as sampled.

Runs where PROOFLOOP_MINI_SWE_AGENT names the `mini` of an environment that has it:

    python -m venv agent && agent/bin/pip install mini-swe-agent mcp
    PROOFLOOP_MINI_SWE_AGENT=agent/bin/mini pytest tests/local/test_gateway_mini_swe_agent.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from agent_places import make_repository, native_tokenizer, scripted
from test_gateway import Watched, check_as_sampled, gateway_process, rollout_of, serving

from proofloop.core.completion import Request
from proofloop.core.rollout import Rollout
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten
from proofloop.render.tokenizer import ChatTokenizer

MINI = os.environ.get("PROOFLOOP_MINI_SWE_AGENT", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not MINI, reason="PROOFLOOP_MINI_SWE_AGENT names no mini-swe-agent"),
]
TASK = "add() in pkg/add.py subtracts. Mend it."


def run_mini(port: int, repository: Path, trajectory: Path, *options: str) -> dict[str, object]:
    """What it saves of its run, in the end."""
    environment = {
        **os.environ, "OPENAI_API_BASE": f"http://127.0.0.1:{port}/sessions/mini/v1",
        "OPENAI_API_KEY": "none", "MSWEA_CONFIGURED": "true", "MSWEA_SILENT_STARTUP": "1",
        "MSWEA_COST_TRACKING": "ignore_errors", "HOME": str(trajectory.parent),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True", "MSWEA_MODEL_RETRY_STOP_AFTER_ATTEMPT": "1",
    }  # fmt: skip
    command = [MINI, "-m", "openai/m", "-t", TASK, "-y", "--exit-immediately", "-o",
               str(trajectory), *options]  # fmt: skip
    done = subprocess.run(
        command, cwd=repository, env=environment, capture_output=True, text=True, timeout=120,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert trajectory.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(trajectory.read_text())


def _bash(command: str) -> str:
    body = json.dumps({"name": "bash", "arguments": {"command": command}})
    return f"Let me see.\n<tool_call>\n{body}\n</tool_call>"


def test_a_whole_episode_is_stored_as_sampled(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    tokenizer = native_tokenizer()
    python = sys.executable
    says = [
        _bash("cat pkg/add.py"),
        "I forgot to call a tool.",
        _bash("sed -i 's/a - b/a + b/' pkg/add.py"),
        _bash(f"PYTHONPATH=. {python} -m pytest -q tests; ls") + _bash('echo "tw\'o"'),
        _bash("echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"),
    ]
    engine = Watched(scripted(tokenizer, says))
    with serving(engine, tmp_path / "sessions", tokenizer) as port:
        saved = run_mini(port, repository, tmp_path / "saved.json")
        rollout = rollout_of(port, "mini")
    assert saved["info"]["exit_status"] == "Submitted", saved["info"]  # type: ignore[index]
    assert "a + b" in (repository / "pkg" / "add.py").read_text()
    assert len(engine.seen) == len(says)
    check_as_sampled(rollout, engine.seen)
    # It drops an answer without a call from its own history: what follows is another context.
    assert [len(part) for part in rollout.contexts] == [2, 3]
    assert "1 passed" in tokenizer.decode(rollout.turns[4].context)


def test_the_real_engine_answers_it(tiny_model: Path, tmp_path: Path) -> None:
    """Random weights call no tools, so it gives up; what it was answered is in the store."""
    repository = make_repository(tmp_path / "repository")
    folder = tmp_path / "sessions"
    command = [sys.executable, "-m", "proofloop", "gateway", "--model", "pico", "--name", "m",
               "--port", "0", "--out", str(folder), "--max-tokens", "24"]  # fmt: skip
    config = tmp_path / "short.yaml"
    config.write_text(
        "agent:\n  system_template: You have a shell.\n  instance_template: '{{task}}'\n"
        "  mode: yolo\n"
    )
    with gateway_process(command) as port:
        saved = run_mini(port, repository, tmp_path / "saved.json", "-c", str(config))
        rollout = rollout_of(port, "mini")
    assert saved["info"]["exit_status"] == "RepeatedFormatError"  # type: ignore[index]
    assert len(rollout.turns) == 3
    check_sampled_again(rollout)


def check_sampled_again(rollout: Rollout) -> None:
    from proofloop.runs.models import resolve_model

    path = resolve_model("pico")
    tokenizer, model = ChatTokenizer.load(path), load_model(path)
    engine = LocalEngine(model, flatten(model), tokenizer.stop_ids)
    for part in rollout.contexts:
        tokens: tuple[int, ...] = ()
        for turn in part:
            tokens += turn.context
            stored = turn.completion
            request = Request(context=tokens, seeds=(stored.seed,), sampling=stored.sampling)
            ((again,),) = engine.generate([request])
            assert again.tokens == stored.tokens
            assert again.logprobs == pytest.approx(stored.logprobs, abs=1e-5)
            tokens += stored.tokens
