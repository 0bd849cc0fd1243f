"""Rollouts of several turns with tools: repaired by a script, trained with random weights."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import torch
from tiny_runs import StopAfter, ignore, tiny_recipe

from proofloop.core.errors import ConfigError, UserError
from proofloop.core.rollout import Judged
from proofloop.core.task import Message, Split, Stratum
from proofloop.core.verdict import Scored
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten
from proofloop.envs.minirepos import MiniReposEnvironment
from proofloop.envs.minirepos.repository import Module, oracle_sources, results, told
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.checks import check_recipe, load_recipe
from proofloop.runs.models import resolve_model
from proofloop.runs.orders import Attempt, CrewSetup, WorkerSetup
from proofloop.runs.recipe import EnvConfig, Recipe
from proofloop.runs.recipe_agent import AgentConfig, AgentDialect
from proofloop.runs.training import run_training
from proofloop.runs.worker import Worker
from proofloop.store import Phase, RecordedGroup, RunStore
from proofloop.store.reader import DATABASE_NAME
from proofloop.testing.fakes import ScriptedEngine
from proofloop.train.config import TurnCredit
from proofloop.train.crew import Assignment, Attempted

AGENT = AgentConfig(dialect=AgentDialect.DEFINITIONS)
STRATUM = Stratum(family="list", complexity=1, horizon=2)
ENVIRONMENT = MiniReposEnvironment(complexity=(1,), horizon=(1, 2))
TOKENIZER = ChatTokenizer.load(resolve_model("pico"))
ASSIGNMENT = Assignment(
    phase=Phase.EVAL,
    step=0,
    slot=0,
    split=Split.HELDOUT,
    stratum=STRATUM,
    index=0,
    num_samples=1,
)
MODULES = ENVIRONMENT.repository(Split.HELDOUT, STRATUM, 0)
FIRST, SECOND = (m for m in MODULES if m.is_buggy)
RIGHT = oracle_sources(MODULES)
WRONG = {m.path: m.source for m in MODULES}


def recipe_of(agent: AgentConfig = AGENT, **env: object) -> Recipe:
    settings = {"name": "minirepos", "complexity": (1,), "horizon": (1, 2)}
    return msgspec.structs.replace(
        tiny_recipe(resolve_model("pico"), num_steps=2, tasks_per_step=4, samples_per_task=3),
        env=EnvConfig(**(settings | env)),  # type: ignore[arg-type]
        agent=agent,
    )


def said_by(answers: list[str], agent: AgentConfig = AGENT, **env: object) -> Judged:
    """One episode of a policy that says these, one after the other."""
    recipe = recipe_of(agent, **env)
    left = iter(answers)
    engine = ScriptedEngine(
        lambda context, seed: TOKENIZER.encode(next(left)), stop_token=TOKENIZER.stop_ids[0]
    )
    path = resolve_model("pico")
    weights = flatten(load_model(path))
    crew = CrewSetup(recipe=recipe, model_path=path, weights=weights)
    setup = WorkerSetup(crew=crew, gradient=torch.zeros_like(weights))
    worker = Worker(setup, engine=engine)
    try:
        done = worker.obey(Attempt([ASSIGNMENT]))
    finally:
        worker.close()
    assert isinstance(done, Attempted)
    (group,) = done.groups
    (attempt,) = group.group.attempts
    return attempt


def told_of(attempt: Judged) -> list[str]:
    """What stood before each turn but the first."""
    return [TOKENIZER.decode(turn.context) for turn in attempt.rollout.turns[1:]]


def said_of(module: Module, *, right: bool) -> str:
    return told(module.name, results(module, module.right if right else module.written))


@pytest.mark.parametrize("by_pytest", [False, True], ids=["calls", "pytest"])
def test_a_repository_is_repaired_in_turns(by_pytest: bool) -> None:
    attempt = said_by(
        [WRONG[FIRST.path], RIGHT[FIRST.path], RIGHT[SECOND.path], "done"], pytest=by_pytest
    )
    assert isinstance(attempt.verdict, Scored)
    assert attempt.verdict.passed
    said = told_of(attempt)
    assert [text.strip() in reply for text, reply in zip(
        (said_of(FIRST, right=False), said_of(FIRST, right=True), said_of(SECOND, right=True)),
        said,
        strict=True,
    )] == [True] * 3  # fmt: skip


def test_the_conversation_is_the_templates_to_the_token() -> None:
    answers = [RIGHT[FIRST.path].strip(), "done"]
    attempt = said_by(answers)
    first, second = attempt.rollout.turns
    problem = ENVIRONMENT.problem(Split.HELDOUT, STRATUM, 0)
    conversation = (
        *problem.task.messages,
        Message(role="assistant", content=answers[0]),
        Message(role="user", content=said_of(FIRST, right=True)),
    )
    seen = (*first.context, *first.completion.tokens, *second.context)
    assert TOKENIZER.decode(seen, keep_special=True) == TOKENIZER.text(conversation)


def test_half_repaired_is_not_repaired() -> None:
    verdict = said_by([RIGHT[FIRST.path], "done"]).verdict
    assert isinstance(verdict, Scored)
    assert not verdict.passed
    assert verdict.reward == 0.0


def test_who_breaks_what_was_right_does_not_pass() -> None:
    (whole,) = (m for m in MODULES if not m.is_buggy)
    broken = f"def {whole.name}(x):\n    return None\n"
    answers = [RIGHT[FIRST.path] + RIGHT[SECOND.path], broken, "done"]
    attempt = said_by(answers)
    assert isinstance(attempt.verdict, Scored)
    assert not attempt.verdict.passed
    assert f"# {whole.name} written" in told_of(attempt)[1]


def test_without_feedback_nothing_is_told() -> None:
    agent = msgspec.structs.replace(AGENT, feedback=False)
    attempt = said_by([WRONG[FIRST.path], RIGHT[FIRST.path], RIGHT[SECOND.path], "done"], agent)
    assert isinstance(attempt.verdict, Scored)
    assert attempt.verdict.passed
    names = [FIRST.name, FIRST.name, SECOND.name]
    assert all(f"# {n} written" in s for n, s in zip(names, told_of(attempt), strict=True))


def test_turns_have_an_end() -> None:
    attempt = said_by([WRONG[FIRST.path]] * 9)
    assert len(attempt.rollout.turns) == 5  # twice the horizon and one
    attempt = said_by(["what?"] * 9)
    assert len(attempt.rollout.turns) == 2, "two turns in a row without a definition"


def test_memory_is_notes_and_nothing_else() -> None:
    tight = len(TOKENIZER.context(ENVIRONMENT.problem(Split.HELDOUT, STRATUM, 0).task.messages))
    agent = msgspec.structs.replace(AGENT, context_tokens=tight + 76, notes_tokens=16)
    notes = f"{FIRST.name}, {SECOND.name}"
    answers = [RIGHT[FIRST.path], FIRST.name, RIGHT[SECOND.path], notes, "done"]
    attempt = said_by(answers, agent)
    assert isinstance(attempt.verdict, Scored)
    assert attempt.verdict.passed
    turns = attempt.rollout.turns
    assert [turn.restarts for turn in turns] == [False, False, True, False, True]
    again = TOKENIZER.decode(turns[2].context)
    assert again.rstrip().endswith(f"# notes\n{FIRST.name}")
    assert RIGHT[FIRST.path] not in again
    forgets = msgspec.structs.replace(agent, notes_tokens=0)
    assert len(said_by(answers[::2], forgets).rollout.turns) == 2, "and there is no room for more"


def test_a_statement_that_does_not_fit_is_refused() -> None:
    agent = msgspec.structs.replace(AGENT, context_tokens=60)
    with pytest.raises(UserError, match=r"raise agent\.context_tokens or lower"):
        said_by(["done"], agent)


# --- training ---


def trained(recipe: Recipe, run: Path) -> Path:
    run_training(recipe, run, resume=False, on_progress=ignore)
    return run


@pytest.fixture(scope="module")
def tiny_episodes(tiny_model: Path) -> Callable[..., Recipe]:
    def make(agent: AgentConfig = AGENT, **train: object) -> Recipe:
        small = {"num_steps": 2, "tasks_per_step": 4, "samples_per_task": 3}
        recipe = tiny_recipe(tiny_model, **(small | train))
        env = EnvConfig(name="minirepos", families=("int",), complexity=(1,), horizon=(1,))
        return msgspec.structs.replace(recipe, env=env, agent=agent)

    return make


@pytest.fixture(scope="module")
def run(tiny_episodes: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tiny_episodes(), tmp_path_factory.mktemp("runs") / "run")


def record_of(run: Path) -> tuple[object, ...]:
    """What two runs that are the same must have in common."""
    with RunStore.read(run) as store:
        groups: list[RecordedGroup] = [
            g
            for phase in (Phase.TRAIN, Phase.EVAL)
            for s in store.recorded_steps(phase)
            for g in store.load_groups(phase, s)
        ]
        return groups, [store.weights_sha256(step) for step in store.completed_steps()]


def test_all_turns_train_and_nothing_else(run: Path) -> None:
    with RunStore.read(run) as store:
        rows = list(store.iter_rollouts(phase=Phase.TRAIN))
        sampled = dict(store.metrics("num_sampled_tokens"))
        gaps = dict(store.metrics("logprob_gap_max"))
        learned = dict(store.metrics("num_trained_tokens"))
        held_out = list(store.iter_rollouts(phase=Phase.EVAL))
    assert max(row.num_turns for row in rows) > 1
    assert max(row.num_turns for row in held_out) > 1
    for step in (1, 2):
        assert sampled[step] == sum(r.num_sampled_tokens for r in rows if r.step == step)
        assert 0 < learned[step] <= sampled[step]
        assert gaps[step] < 1e-4, "the trainer sees the turns as the sampler did"


@pytest.mark.parametrize(
    "kind", [TurnCredit.SAME_STATE, pytest.param(TurnCredit.DISCOUNTED, marks=pytest.mark.slow)]
)
def test_turns_can_have_advantages_of_their_own(
    kind: TurnCredit, run: Path, tiny_episodes: Callable[..., Recipe], tmp_path: Path
) -> None:
    """The same is sampled in the first step, and something else is learned from it."""
    own = trained(tiny_episodes(turn_credit=kind, num_steps=1), tmp_path / "own")
    with RunStore.read(run) as one, RunStore.read(own) as other:
        assert one.load_groups(Phase.TRAIN, 1) == other.load_groups(Phase.TRAIN, 1)
        assert dict(other.metrics("num_trained_tokens"))[1] > 0
        assert one.weights_sha256(1) != other.weights_sha256(1)


def test_as_many_workers_as_one_likes(
    run: Path, tiny_episodes: Callable[..., Recipe], tmp_path: Path
) -> None:
    two = trained(tiny_episodes(workers=2), tmp_path / "two")
    with RunStore.read(run) as one, RunStore.read(two) as other:
        first = [store.load_groups(Phase.TRAIN, 1) for store in (one, other)]
    tokens = [
        [[t.completion.tokens for t in a.rollout.turns] for g in groups for a in g.group.attempts]
        for groups in first
    ]
    assert tokens[0] == tokens[1]


def test_a_stopped_run_goes_on_to_the_same_record(
    run: Path, tiny_episodes: Callable[..., Recipe], tmp_path: Path
) -> None:
    again = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_training(tiny_episodes(), again, resume=False, on_progress=StopAfter(1))
    shutil.rmtree(again / "checkpoints")  # and learn again from the record
    with sqlite3.connect(again / DATABASE_NAME) as db:
        db.execute("DELETE FROM steps WHERE step = 1")
        db.execute("DELETE FROM metrics WHERE step = 1")
    db.close()
    run_training(tiny_episodes(), again, resume=True, on_progress=ignore)
    assert record_of(again) == record_of(run)


def test_refusals() -> None:
    with pytest.raises(ConfigError, match=r"agent\.dialect: definitions is how modules of minirep"):
        load_recipe("quickstart", ["agent.dialect=definitions"])
    with pytest.raises(ConfigError, match=r"feedback\.arm: does not go with agent\.dialect"):
        load_recipe("minirepos", ["feedback.arm=retry"])
    check_recipe(load_recipe("minirepos"))
