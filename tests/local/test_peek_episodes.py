"""Reading an agent's rollout: turn by turn, and in the interchange format."""

import contextlib
import json
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
import store_examples
from agent_places import make_repository, native_tokenizer, permissions, scripted
from tiny_runs import tiny_recipe

from proofloop.agent.atif import atif
from proofloop.agent.dialects import NativeCalls
from proofloop.agent.drive import drive, talk
from proofloop.agent.episode import episode
from proofloop.agent.limits import EpisodeLimits, Memory
from proofloop.agent.policies import Script
from proofloop.agent.site import Site
from proofloop.cli.app import main
from proofloop.core import codec
from proofloop.core.episode import Episode
from proofloop.core.task import Message
from proofloop.measure.report import write_report
from proofloop.runs.config import CONFIG_NAME, dump_toml
from proofloop.sandbox import open_sandbox
from proofloop.store import Phase, RecordedGroup, RunStore

TASK = (Message(role="user", content="Mend \x1b[31m it."),)


def _call(tool: str, **arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': tool, 'arguments': arguments})}</tool_call>"


@pytest.fixture(scope="module", name="done")
def _done(tmp_path_factory: pytest.TempPathFactory) -> Episode:
    """With a denial, a fault, and a context that is full."""
    tokenizer = native_tokenizer()
    base = make_repository(tmp_path_factory.mktemp("place") / "base")
    memory = Memory(max_notes_tokens=60)

    def policy(context: str) -> str:
        if context.endswith(f"{memory.ask}<|assistant|>"):
            return "All is well."
        if "All is well" in context:
            return _call("submit")
        if "denied" in context:
            return _call("shell", command="seq 300") if "not understood" in context else "hm"
        return _call("edit", path="tests/test_add.py", old="a", new="b") + _call("view", path=".")

    with open_sandbox() as sandbox, contextlib.closing(sandbox.open_workspace(base)) as workspace:
        site = Site(workspace=workspace, permissions=permissions(no_write=("tests/**",)))
        asks = episode(
            TASK, site=site, dialect=NativeCalls(), tokenizer=tokenizer, memory=memory,
            limits=EpisodeLimits(max_turn_tokens=200, context_tokens=1300), id="one",
        )  # fmt: skip
        (done,) = drive(scripted(tokenizer, policy), [asks])
    assert isinstance(done, Episode)
    assert [step.is_memory for step in done.trajectory.steps] == [False, False, False, True, False]
    return done


def test_it_is_shown_turn_by_turn(
    done: Episode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "episode.json").write_bytes(codec.to_json(done))
    assert main(["peek", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    for text in (
        "5 turns, 4 calls",
        "in 2 contexts",
        "Mend \\x1b[31m it.",
        '→ edit {"path": "tests/test_add.py", "old": "a", "new": "b"}',
        "denied: write tests/test_add.py (no_write: tests/**)",
        "no call: no tool call; every answer must call a tool",
        "characters cut",
        "All is well.\n  kept as notes",
        "— a new context, of the task and the notes —",
        "ended: submitted",
        "denied in turn 1: write tests/test_add.py",
    ):
        assert text in shown, text
    assert "\x1b" not in shown
    assert main(["peek", str(tmp_path / "episode.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ending"] == "submitted"
    (tmp_path / "episode.json").write_text("{}")
    assert main(["peek", str(tmp_path)]) == 2
    assert "is no record of an episode" in capsys.readouterr().err


# The schema, as docs of the format describe version 1.8: unknown keys are refused.


class _Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    pass


class AtifAgent(_Strict, kw_only=True):
    name: str
    version: str
    model_name: str | None = None
    tool_definitions: list[dict[str, Any]] | None = None
    extra: dict[str, Any] | None = None


class AtifCall(_Strict, kw_only=True):
    tool_call_id: str
    function_name: str
    arguments: dict[str, Any]
    extra: dict[str, Any] | None = None


class AtifResult(_Strict, kw_only=True):
    source_call_id: str | None = None
    content: str | None = None
    subagent_trajectory_ref: list[dict[str, Any]] | None = None


class AtifObservation(_Strict, kw_only=True):
    results: list[AtifResult]


class AtifMetrics(_Strict, kw_only=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost_usd: float | None = None
    prompt_token_ids: list[int] | None = None
    completion_token_ids: list[int] | None = None
    logprobs: list[float] | None = None
    extra: dict[str, Any] | None = None


class AtifStep(_Strict, kw_only=True):
    step_id: int
    source: Literal["system", "user", "agent"]
    message: str
    timestamp: str | None = None
    model_name: str | None = None
    reasoning_effort: str | float | None = None
    reasoning_content: str | None = None
    tool_calls: list[AtifCall] | None = None
    observation: AtifObservation | None = None
    metrics: AtifMetrics | None = None
    is_copied_context: bool | None = None
    llm_call_count: int | None = None
    extra: dict[str, Any] | None = None


class AtifTotals(_Strict, kw_only=True):
    total_prompt_tokens: int | None = None
    total_completion_tokens: int | None = None
    total_cached_tokens: int | None = None
    total_cost_usd: float | None = None
    total_steps: int | None = None
    extra: dict[str, Any] | None = None


class Atif(_Strict, kw_only=True):
    schema_version: Literal["ATIF-v1.8"]
    session_id: str
    trajectory_id: str | None = None
    agent: AtifAgent
    steps: list[AtifStep]
    notes: str | None = None
    final_metrics: AtifTotals | None = None
    continued_trajectory_ref: str | None = None
    subagent_trajectories: list[dict[str, Any]] | None = None
    extra: dict[str, Any] | None = None


def _check(found: Atif) -> None:
    """What the format asks for beyond its types."""
    assert [step.step_id for step in found.steps] == list(range(1, len(found.steps) + 1))
    for step in found.steps:
        calls = {call.tool_call_id for call in step.tool_calls or ()}
        assert len(calls) == len(step.tool_calls or ())
        if step.source != "agent":
            assert step.tool_calls is step.metrics is step.observation is None
        if step.observation is not None:
            assert {result.source_call_id for result in step.observation.results} <= calls


def test_the_interchange_format_holds_all_of_it(
    done: Episode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "episode.json").write_bytes(codec.to_json(done))
    file = tmp_path / "atif.json"
    assert main(["peek", str(tmp_path), "--atif", str(file)]) == 0
    assert "wrote" in capsys.readouterr().err
    found = msgspec.json.decode(file.read_bytes(), type=Atif)
    _check(found)
    assert [s.source for s in found.steps] == ["user", *["agent"] * 5]
    first = found.steps[1]
    assert [c.function_name for c in first.tool_calls or ()] == ["edit", "view"]
    assert first.observation is not None
    assert (first.observation.results[0].content or "").startswith("denied: write")
    for step, turn in zip(found.steps[1:], done.rollout.turns, strict=True):
        assert step.metrics is not None
        assert tuple(step.metrics.completion_token_ids or ()) == turn.completion.tokens
        assert len(step.metrics.prompt_token_ids or ()) == step.metrics.prompt_tokens
    assert found.final_metrics is not None
    assert found.final_metrics.total_steps == 6
    assert (found.extra or {})["ending"] == "submitted"


def test_an_episode_without_tokens_is_one_too(tmp_path: Path) -> None:
    base = make_repository(tmp_path / "base")
    says = [_call("view", path="pkg/add.py"), '<tool_call>{"name": "view"}</tool_call>']
    with open_sandbox() as sandbox, contextlib.closing(sandbox.open_workspace(base)) as workspace:
        asks = episode(
            TASK, site=Site(workspace=workspace), dialect=NativeCalls(), tokenizer=None, id="two"
        )
        done = talk(Script(says), asks)
    assert done.rollout.turns == ()
    assert done.trajectory.ending == "interrupted"
    assert done.trajectory.steps[1].results[0].text == "view: argument 'path' is missing"
    found = msgspec.json.decode(msgspec.json.encode(atif(done, session="s")), type=Atif)
    _check(found)
    again = codec.from_json_with_gaps(codec.to_json(done), Episode)
    assert again == done


def test_a_runs_rollout_says_what_trained(
    done: Episode, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    recorded = store_examples.group(Phase.TRAIN, 1, 0)
    first, *others = recorded.group.attempts
    rollout = msgspec.structs.replace(
        done.rollout, id=first.rollout.id, task_id=first.rollout.task_id
    )
    first = msgspec.structs.replace(first, rollout=rollout, trajectory=done.trajectory)
    group = msgspec.structs.replace(recorded.group, attempts=(first, *others))
    recipe = tiny_recipe(Path("pico"))
    with RunStore.create(run) as store:
        (run / CONFIG_NAME).write_text(dump_toml(recipe))
        store.record_draws(Phase.TRAIN, 1, store_examples.draws(1, 1))
        store.record_rollouts(
            Phase.TRAIN, 1, [RecordedGroup(slot=0, task=recorded.task, group=group)]
        )
    assert main(["peek", str(run), rollout.id]) == 0
    shown = capsys.readouterr().out
    assert "verdict passed, reward 1" in shown
    sampled = done.trajectory.steps[0].num_sampled_tokens
    assert f"{sampled} sampled, {sampled} train, advantage +" in shown
    assert "→ submit {}" in shown
    assert "sampler logp" not in shown
    assert main(["peek", str(run), rollout.id, "--tokens"]) == 0
    assert "sampler logp" in capsys.readouterr().out
    assert main(["peek", str(run), rollout.id, "--atif", str(tmp_path / "atif.json")]) == 0
    found = msgspec.json.decode((tmp_path / "atif.json").read_bytes(), type=Atif)
    _check(found)
    assert (found.extra or {})["task_id"] == rollout.task_id
    capsys.readouterr()
    page = write_report(run).read_text()
    assert "Turn 1: edit, view, " in page
    assert "Ended: submitted, 1 actions denied" in page
    assert "denied: write tests/test_add.py" in page
    assert "\x1b" not in page
    other = others[0].rollout.id
    assert main(["peek", str(run), other, "--atif", str(tmp_path / "no.json")]) == 2
    assert "is no agent's rollout" in capsys.readouterr().err
