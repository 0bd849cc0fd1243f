"""Agents at mined tasks, in real workspaces: scripted ones are judged as they deserve, random ones
are measured and trained, and what breaks on our side is no score."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
import torch
from agent_places import NATIVE
from hypothesis import given
from hypothesis import strategies as st
from test_serve_model import server
from tiny_project import SUBMIT, command, mends, mined
from tiny_runs import ignore, tiny_recipe

from proofloop.cli.app import main
from proofloop.core.errors import ConfigError, SandboxLost
from proofloop.core.rollout import Judged
from proofloop.core.sandbox import Command, Execution, Sandbox, Workspace
from proofloop.core.task import Message, Problem, Split, Stratum
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten
from proofloop.envs.harbor import HarborEnvironment
from proofloop.envs.minirepos import MiniReposEnvironment
from proofloop.envs.minirepos.repository import oracle_sources
from proofloop.measure.report import write_report
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs import settings
from proofloop.runs.checks import load_recipe
from proofloop.runs.episodes import cut_to_fit
from proofloop.runs.evaluation import run_evaluation
from proofloop.runs.models import resolve_model
from proofloop.runs.orders import Attempt, CrewSetup, WorkerSetup
from proofloop.runs.recipe import (
    EngineConfig,
    EngineKind,
    EnvConfig,
    EvalConfig,
    Recipe,
    RewardConfig,
    RewardKind,
    SamplingConfig,
)
from proofloop.runs.recipe_agent import AgentConfig, AgentDialect
from proofloop.runs.training import run_training
from proofloop.runs.worker import Worker
from proofloop.sandbox import open_sandbox
from proofloop.store import Phase, RunStore
from proofloop.testing.fakes import ScriptedEngine
from proofloop.train.crew import Assignment, Attempted
from proofloop.train.samples import continuation_of
from proofloop.train.scoring import logprobs_of, question_of

PICO = resolve_model("pico")
TOKENIZER = ChatTokenizer.load(PICO)
AGENT = AgentConfig(dialect=AgentDialect.SHELL, context_tokens=20_000)


@pytest.fixture(scope="module", name="tasks")
def _tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mined(tmp_path_factory.mktemp("mined"))


def recipe_of(tasks: Path, agent: AgentConfig = AGENT, **train: object) -> Recipe:
    settled = {"num_steps": 2, "tasks_per_step": 2, "samples_per_task": 2}
    return msgspec.structs.replace(
        tiny_recipe(PICO, **(settled | train)),
        env=EnvConfig(name="harbor", data=str(tasks)),
        sampling=SamplingConfig(max_tokens=800),
        agent=agent,
    )


def place_of(tasks: Path, horizon: int) -> tuple[Problem, Stratum]:
    environment = HarborEnvironment(tasks)
    stratum = next(s for s in environment.strata(Split.TRAIN) if s.horizon == horizon)
    return environment.problem(Split.TRAIN, stratum, 0), stratum


class Workers:
    """One a recipe; the policy of each says what stands in `says`."""

    def __init__(self) -> None:
        self.says: list[str] = []
        self._known: dict[str, Worker] = {}

    def of(self, recipe: Recipe) -> Worker:
        name = repr(recipe)
        if name not in self._known:
            engine = ScriptedEngine(
                lambda context, seed: TOKENIZER.encode(self.says.pop(0)),
                stop_token=TOKENIZER.stop_ids[0],
            )
            weights, path = flatten(load_model(PICO)), resolve_model(recipe.model.path)
            crew = CrewSetup(recipe=recipe, model_path=path, weights=weights)
            setup = WorkerSetup(crew=crew, gradient=torch.zeros_like(weights))
            self._known[name] = Worker(setup, engine=engine)
        return self._known[name]

    def close(self) -> None:
        for worker in self._known.values():
            worker.close()
        self._known.clear()


WORKERS = Workers()


@pytest.fixture(scope="module", autouse=True, name="closing_workers")
def _closing_workers() -> Iterator[None]:
    yield
    WORKERS.close()


def said_by(
    recipe: Recipe, answers: Sequence[str], stratum: Stratum, phase: Phase = Phase.EVAL
) -> Judged:
    """One episode of a policy that says these, one after the other."""
    WORKERS.says = list(answers)
    assignment = Assignment(
        phase=phase, step=0, slot=0, split=Split.TRAIN, stratum=stratum, index=0, num_samples=1
    )
    done = WORKERS.of(recipe).obey(Attempt([assignment]))
    assert isinstance(done, Attempted)
    ((attempt,),) = (group.group.attempts for group in done.groups)
    return attempt


def results_of(attempt: Judged) -> list[str]:
    assert attempt.trajectory is not None
    return ["\n".join(r.text for r in step.results) for step in attempt.trajectory.steps]


@pytest.mark.parametrize("horizon", [1, 2])
def test_who_mends_it_earns_1(tasks: Path, horizon: int) -> None:
    problem, stratum = place_of(tasks, horizon)
    says = [command("ls tests; python -m pytest -q"), *mends(problem), SUBMIT]
    attempt = said_by(recipe_of(tasks), says, stratum)
    assert isinstance(attempt.verdict, Scored)
    assert attempt.verdict.passed, (attempt.verdict, results_of(attempt))
    assert len(attempt.rollout.turns) == len(says)
    assert attempt.trajectory is not None
    assert attempt.trajectory.ending == "submitted"
    (first, *_) = attempt.trajectory.opening[1:]
    assert ("python -m pytest" in first.content) == (horizon == 1), "the other module is whole"
    assert "```diff" not in first.content, "that is for who answers at once"


def native_model(folder: Path) -> Path:
    """Pico with a template that tells of tools."""
    shutil.copytree(PICO, folder)
    settled = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(settled | {"chat_template": NATIVE}))
    return folder


def call(tool: str, **arguments: object) -> str:
    return f"<tool_call>{json.dumps({'name': tool, 'arguments': arguments})}</tool_call>"


def test_mini_repositories_are_repaired_with_tools(tmp_path: Path) -> None:
    """Native calls, and pytest for feedback and for the verdict."""
    model, stratum = (
        native_model(tmp_path / "model"),
        Stratum(family="list", complexity=1, horizon=1),
    )
    env = EnvConfig(name="minirepos", complexity=(1,), horizon=(1,), pytest=True)
    agent = AgentConfig(dialect=AgentDialect.NATIVE, context_tokens=20_000)
    recipe = msgspec.structs.replace(recipe_of(Path(), agent), env=env)
    recipe = msgspec.structs.replace(
        recipe, model=msgspec.structs.replace(recipe.model, path=str(model))
    )
    settings.check_template(recipe, ChatTokenizer.load(model))
    environment = MiniReposEnvironment(complexity=(1,), horizon=(1,), pytest=True)
    modules = environment.repository(Split.TRAIN, stratum, 0)
    (broken,) = (m for m in modules if m.is_buggy)
    right = oracle_sources(modules)[broken.path]
    says = [
        call("view", path="."),
        call("run_tests"),
        call("edit", path=broken.path, old=broken.source, new=right) + call("run_tests"),
        call("note", text="mended") + call("submit"),
    ]
    attempt = said_by(recipe, says, stratum)
    assert isinstance(attempt.verdict, Scored)
    listed, failing, mended, _ = results_of(attempt)
    assert listed.split() == [*sorted(m.path for m in modules), "tests/"]
    assert "1 failed" in failing or "2 failed" in failing or "3 failed" in failing
    assert mended.endswith("3 passed"), "and not in how many seconds"
    assert attempt.verdict.passed
    assert attempt.verdict.parts["staged"] == 1.0


def test_half_of_it_earns_0_and_stages_tell_how_far_it_came(tasks: Path) -> None:
    problem, stratum = place_of(tasks, 2)
    half = [mends(problem)[0], SUBMIT]
    strict = said_by(recipe_of(tasks), half, stratum, Phase.TRAIN)
    coin = msgspec.structs.replace(recipe_of(tasks), reward=RewardConfig(kind=RewardKind.STAGED))
    staged = said_by(coin, half, stratum, Phase.TRAIN)
    held_out = said_by(coin, half, stratum, Phase.EVAL)
    for attempt in (strict, staged, held_out):
        assert isinstance(attempt.verdict, Scored)
        assert not attempt.verdict.passed
    assert staged.verdict.parts["fail_to_pass"] == 0.5  # type: ignore[union-attr]
    assert staged.verdict.reward == pytest.approx(0.1 + 0.1 + 0.8 * 0.5)  # type: ignore[union-attr]
    assert held_out.verdict.reward == 0.0  # type: ignore[union-attr]


_CHEATS = {
    "nothing": [],
    "conftest": ["echo 'import os; os._exit(0)' > conftest.py; cp conftest.py tinyproject/"],
    "tests of its own": ["echo 'def test_mean(): pass' > tests/test_sums.py; rm tests/test_w*"],
    "exit": ["for f in tinyproject/*.py; do echo 'import os; os._exit(0)' > $f; done"],
    "ini": ["printf '[pytest]\\naddopts = --collect-only\\n' > .proofloop-pytest.ini"],
}


@pytest.mark.parametrize(
    "cheat",
    [pytest.param(c, marks=pytest.mark.slow if c in ("exit", "ini") else ()) for c in _CHEATS],
)
def test_who_cheats_earns_0(tasks: Path, cheat: str) -> None:
    _, stratum = place_of(tasks, 1)
    says = [*map(command, _CHEATS[cheat]), SUBMIT]
    verdict = said_by(recipe_of(tasks), says, stratum).verdict
    assert isinstance(verdict, Scored)
    assert (verdict.reward, verdict.passed) == (0.0, False)
    assert verdict.cause is not ScoredCause.PASSED


def test_hidden_tests_and_the_solution_are_nowhere(tasks: Path) -> None:
    _, stratum = place_of(tasks, 2)  # whose bugs fail tests of both modules
    look = "find . -name '*.py'; ls {0} {0}/suite; find /tmp /var /home -name test_sums.py; echo"
    looks = [
        f"({look.format(tasks)}) 2>/dev/null",
        "git log; python -c 'import tinyproject; print(tinyproject)'",
    ]
    attempt = said_by(recipe_of(tasks), [*map(command, looks), SUBMIT], stratum)
    found, history, _ = results_of(attempt)
    assert "tinyproject/sums.py" in found
    assert "test_sums" not in found
    assert "test_words" not in found
    assert "not a git repository" in history
    assert "site-packages" not in history


def test_without_feedback_there_are_no_tests(tasks: Path) -> None:
    _, stratum = place_of(tasks, 1)
    blind = msgspec.structs.replace(AGENT, feedback=False)
    says = [command("find . -name 'test_*'"), SUBMIT]
    shown = said_by(recipe_of(tasks), says, stratum)
    assert "tests/test_" in results_of(shown)[0]
    unseen = said_by(recipe_of(tasks, agent=blind), says, stratum)
    assert "test_" not in results_of(unseen)[0]
    assert unseen.trajectory is not None
    assert "pytest" not in unseen.trajectory.opening[1].content


@pytest.mark.slow
def test_a_flood_of_files_is_the_agents_own_fault(tasks: Path) -> None:
    _, stratum = place_of(tasks, 1)
    flood = "mkdir d && cd d && seq 100001 | xargs touch"
    verdict = said_by(recipe_of(tasks), [command(flood), SUBMIT], stratum).verdict
    assert isinstance(verdict, Scored)
    assert verdict.reward == 0.0


def test_a_statement_too_long_for_the_context_is_cut(tasks: Path) -> None:
    _, stratum = place_of(tasks, 1)
    whole = said_by(recipe_of(tasks), [SUBMIT], stratum)
    (turn,) = whole.rollout.turns
    room = len(turn.context) - 100
    tight = msgspec.structs.replace(AGENT, context_tokens=room + 2 * 800)
    found = said_by(recipe_of(tasks, tight), [SUBMIT], stratum)
    assert isinstance(found.verdict, Scored)
    (turn,) = found.rollout.turns
    assert room - 10 < len(turn.context) <= room, "as much of it as fits"
    assert found.trajectory is not None
    assert whole.trajectory is not None
    before = whole.trajectory.opening[1].content
    after = found.trajectory.opening[1].content
    assert "characters cut" in after
    assert (after[:50], after[-50:]) == (before[:50], before[-50:])


@given(st.text(max_size=300), st.integers(0, 320))
def test_as_much_of_a_statement_as_fits(text: str, most: int) -> None:
    messages = (Message(role="system", content="s"), Message(role="user", content=text))

    def fits(found: Sequence[Message]) -> bool:
        return sum(len(m.content) for m in found) <= most

    found = cut_to_fit(messages, fits)
    assert found[0] == messages[0]
    if fits(messages):
        assert found == messages
    elif found != messages:
        assert fits(found)
        assert "characters cut" in found[1].content


# --- what breaks on our side ---


class LosingWorkspace:
    """Whose commands are lost as often as `left` says."""

    def __init__(self, inner: Workspace, left: list[int]) -> None:
        self._inner, self._left = inner, left

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def run(self, command: Command) -> Execution:
        if command.argv[0] == "sh" and self._left[0]:
            self._left[0] -= 1
            raise SandboxLost("pulled the plug")
        return self._inner.run(command)


class LosingSandbox:
    def __init__(self, inner: Sandbox, left: list[int]) -> None:
        self._inner, self._left = inner, left

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def open_workspace(self, base: Path | None = None) -> LosingWorkspace:
        return LosingWorkspace(self._inner.open_workspace(base), self._left)


@pytest.mark.parametrize("num_lost", [1, 99])
def test_a_lost_workspace_is_begun_anew_and_never_a_number(
    tasks: Path, num_lost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, stratum = place_of(tasks, 1)
    left = [num_lost]

    def losing(tier: Tier | None) -> LosingSandbox:
        return LosingSandbox(open_sandbox(tier), left)

    monkeypatch.setattr(settings, "open_sandbox", losing)
    WORKERS.close()  # and begin with others
    says = [*mends(problem), SUBMIT]
    tries = [says[0], *says] if num_lost == 1 else [says[0]] * 9
    try:
        attempt = said_by(recipe_of(tasks), tries, stratum)
    finally:
        WORKERS.close()
    if num_lost == 1:
        assert isinstance(attempt.verdict, Scored)
        assert attempt.verdict.passed
        assert len(attempt.rollout.turns) == len(says)
        return
    assert isinstance(attempt.verdict, Unscored)
    assert attempt.verdict.cause == "sandbox_lost"
    assert len(attempt.rollout.turns) == 1, "as far as it came"


# --- measured and trained ---


def test_a_small_model_is_measured_and_read_turn_by_turn(
    tasks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    words = ["eval", "--model", "pico", "--env", "harbor", "--data", str(tasks), "--out", str(run)]
    words += ["--samples", "2", "--tasks", "2", "--set", "agent.dialect=shell"]
    assert main([*words, "--set", "agent.turns=2", "--set", "train.workers=1"]) == 0
    with RunStore.read(run) as store:
        rows = list(store.iter_rollouts(phase=Phase.EVAL))
        assert len(rows) == 4
        assert {(row.reward, row.passed) for row in rows} == {(0.0, False)}
        assert {row.num_turns for row in rows} == {2}
        assert sum(c.num_scored for c in store.pass_counts(Phase.EVAL, 0)) == 4
    capsys.readouterr()
    assert main(["peek", str(run), rows[0].id]) == 0
    shown = capsys.readouterr().out
    assert "You work in a repository" in shown
    assert "blocks fenced as" in shown
    assert "ended: turn limit" in shown
    assert "Turn 1" in write_report(run).read_text()


@pytest.mark.slow
def test_a_served_engine_is_measured_token_for_token(tasks: Path, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    run = tmp_path / "run"
    agent = AgentConfig(dialect=AgentDialect.SHELL, turns=2)
    with server(PICO) as port:
        served = msgspec.structs.replace(
            recipe_of(tasks, agent=agent),
            engine=EngineConfig(kind=EngineKind.SERVER, url=f"http://127.0.0.1:{port}/v1"),
            eval=EvalConfig(final_num_tasks=1, final_num_samples=3),
            sampling=SamplingConfig(max_tokens=24),
        )
        run_evaluation(served, run, resume=False, on_progress=ignore)
    with RunStore.read(run) as store:
        (group,) = store.load_groups(Phase.EVAL, 0)
    rollouts = [attempt.rollout for attempt in group.group.attempts]
    assert [len(rollout.turns) for rollout in rollouts] == [2, 2, 2]
    said = logprobs_of(load_model(PICO), list(map(question_of, rollouts)), max_positions=1024)
    for rollout, ours in zip(rollouts, said, strict=True):
        after = continuation_of(rollout)
        pairs = zip(ours, after.logprobs, after.sampled, strict=True)
        assert max(abs(a - b) for a, b, is_own in pairs if is_own) < 1e-3


def test_it_trains(tasks: Path, tmp_path: Path) -> None:
    """By a coin, since pico mends nothing: tokens of all turns train, and no others."""
    run = tmp_path / "run"
    agent = AgentConfig(dialect=AgentDialect.SHELL, turns=2)
    recipe = msgspec.structs.replace(
        recipe_of(tasks, agent=agent, samples_per_task=3),
        sampling=SamplingConfig(max_tokens=16),
        eval=EvalConfig(every=0, final_num_tasks=1, final_num_samples=1),
    )
    run_training(recipe, run, resume=False, on_progress=ignore)
    with RunStore.read(run) as store:
        rows = list(store.iter_rollouts(phase=Phase.TRAIN))
        sampled, learned, gaps = (
            dict(store.metrics(name))
            for name in ("num_sampled_tokens", "num_trained_tokens", "logprob_gap_max")
        )
        assert store.completed_steps() == [1, 2]
    assert {row.num_turns for row in rows} == {2}
    for step in (1, 2):
        assert 0 < learned[step] <= sampled[step]
        assert gaps[step] < 1e-4, "the trainer sees the turns as the sampler did"
    assert any(row.reward for row in rows)
    assert not any(row.passed for row in rows)


def test_refusals(tasks: Path) -> None:
    with pytest.raises(ConfigError, match=r"minirepos as it is set hands out none; set env\.pyt"):
        load_recipe("minirepos", ["agent.dialect=shell"])
    with pytest.raises(ConfigError, match=r"agent\.dialect: definitions is how modules of minir"):
        load_recipe("quickstart", ["agent.dialect=definitions"])
    with pytest.raises(ConfigError, match=r"reward\.kind: staged tells how far"):
        load_recipe("minirepos", ["reward.kind=staged"])
    with pytest.raises(ConfigError, match=r"reward\.collects: leaves nothing"):
        load_recipe("minirepos", ["env.pytest=true", "reward.kind=staged", "reward.collects=0.9"])
    with pytest.raises(ConfigError, match=r"reward\.model: does not go with agent\.dialect"):
        load_recipe("minirepos", ["reward.model=runs/rm"])
    native = recipe_of(tasks, agent=AgentConfig(dialect=AgentDialect.NATIVE))
    with pytest.raises(ConfigError, match="does not tell the model of tools; take shell"):
        settings.check_template(native, TOKENIZER)
