"""Groups without variance replaced within a step, divergences and corrections in whole runs:
bounded, counted, and exact when a run is stopped between two rounds."""

import math
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from scripted_crew import ScriptedCrew
from tiny_runs import StopAfter, ignore, remember, tiny_recipe

from proofloop.core.errors import RunError
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten, sha256
from proofloop.runs.environments import build_environment
from proofloop.runs.optimisers import optimiser_config
from proofloop.runs.recipe import Recipe, RewardConfig
from proofloop.runs.recipe_train import CurriculumConfig
from proofloop.runs.training import loop_config, open_run, run_training
from proofloop.store import Phase, RunStore
from proofloop.store.reader import DATABASE_NAME
from proofloop.train.config import Correction, KlEstimator, KlIn, Ties
from proofloop.train.crew import Assignment, Attempted
from proofloop.train.curriculum import choose_tasks
from proofloop.train.loop_sync import load_state, loop_sync
from proofloop.train.optimiser import Optimiser
from proofloop.train.parts import Parts

NUM_TASKS, NUM_SAMPLES = 5, 2
"""A coin for a reward: half of the groups of two are tied."""


class Killed(Exception):
    """Stands for the end of the process."""


class MortalCrew(ScriptedCrew):
    """Dies when it is asked to attempt anything for the n-th time."""

    dies_at = 0
    num_calls = 0

    def attempt(self, assignments: Sequence[Assignment]) -> Attempted:
        self.num_calls += 1
        if self.num_calls == self.dies_at:
            raise Killed
        return super().attempt(assignments)


def recipe_of(model: Path, **train: object) -> Recipe:
    """Rewarded by a coin; random weights solve nothing."""
    recipe = tiny_recipe(model, **{"samples_per_task": NUM_SAMPLES, "num_steps": 2, **train})
    tripwire = msgspec.structs.replace(recipe.tripwire, share=0.4)
    return msgspec.structs.replace(recipe, tripwire=tripwire)


def train(recipe: Recipe, model: Path, run: Path, *, dies_at: int = 0) -> int:
    """The loop without evaluations; gives how often the crew was asked."""
    weights = flatten(load_model(model))
    crew = MortalCrew(recipe, model, weights, None, weights.clone())
    crew.dies_at = dies_at
    environment = build_environment(recipe.env)
    try:
        with open_run(recipe, run, resume=(run / DATABASE_NAME).exists()) as store:
            parts = Parts(
                config=loop_config(recipe),
                environment=environment,
                crew=crew,
                optimiser=Optimiser(weights, optimiser_config(recipe)),
                weights_sha256=lambda: sha256(weights),
                store=store,
                directory=run / "checkpoints",
                only=choose_tasks(environment, recipe.train.num_tasks, seed=0),
            )
            state = load_state(parts)
            crew.publish(state.step)
            for _ in loop_sync(parts, state):
                pass
    finally:
        crew.close()
    return crew.num_calls


def metric(run: Path, name: str) -> list[float]:
    with RunStore.read(run) as store:
        return [value for _, value in store.metrics(name)]


@pytest.fixture(scope="module")
def refilled(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "refilled"
    train(recipe_of(tiny_model, refill=9), tiny_model, run)
    return run


def test_groups_that_teach_nothing_are_replaced_and_everything_is_counted(refilled: Path) -> None:
    assert metric(refilled, "num_groups_trained") == [NUM_TASKS, NUM_TASKS]
    assert all(1 <= rounds < 9 for rounds in metric(refilled, "num_refill_rounds"))
    drawn = metric(refilled, "num_groups_drawn")
    with RunStore.read(refilled) as store:
        for step, num_drawn in zip((1, 2), drawn, strict=True):
            draws = store.load_draws(Phase.TRAIN, step)
            assert [d.slot for d in draws] == list(range(len(draws)))
            assert [d.slot for d in draws if d.tripwire] == [5, 6], "of the first round alone"
            assert len(draws) - 2 == num_drawn > NUM_TASKS
            assert len({d.task_id for d in draws if not d.tripwire}) == num_drawn
            groups = store.load_groups(Phase.TRAIN, step)
            assert [g.slot for g in groups] == [d.slot for d in draws]
            rewards = [{v.reward for _, v in g.group.scored} for g in groups if not g.tripwire]
            assert sum(len(r) > 1 for r in rewards) == NUM_TASKS
            asked = [g for g in groups if not g.tripwire]
            tokens = sum(r.num_sampled_tokens for g in asked for r, _ in g.group.scored)
            assert dict(store.metrics("num_sampled_tokens"))[step] == tokens
    high, low = (metric(refilled, f"groups_all_{x}_share") for x in ("pass", "fail"))
    tied = [a + b for a, b in zip(high, low, strict=True)]
    assert tied == pytest.approx([1 - NUM_TASKS / n for n in drawn])


def test_a_run_that_dies_between_any_two_rounds_goes_on_to_the_same_weights(
    refilled: Path, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(tiny_model, refill=9)
    rounds = [1 + int(n) for n in metric(refilled, "num_refill_rounds")]
    assert min(rounds) >= 3
    num_calls = sum(rounds) + 2  # an evaluation before and after
    for dies_at in (3, 4, 1 + rounds[0] + 2):
        run = tmp_path / str(dies_at)
        with pytest.raises(Killed):
            train(recipe, tiny_model, run, dies_at=dies_at)
        asked_again = train(recipe, tiny_model, run)
        assert remember(run) == remember(refilled), dies_at
        assert asked_again == num_calls - dies_at + 1, "nothing is sampled twice"
        shutil.rmtree(run)


def test_a_step_learns_again_from_the_record_of_all_its_rounds(
    refilled: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(refilled, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints")
    with sqlite3.connect(run / DATABASE_NAME) as db:
        db.execute("DELETE FROM steps")
        db.execute("DELETE FROM metrics")
    db.close()
    assert train(recipe_of(tiny_model, refill=9), tiny_model, run) == 0
    assert remember(run) == remember(refilled)


def test_another_bound_is_another_recipe_and_the_ledger_says_so(
    refilled: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(refilled, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(RunError, match="was drawn before and with other tasks"):
        train(recipe_of(tiny_model, refill=0), tiny_model, run)


def test_where_nothing_can_be_learned_refills_end(tiny_model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    recipe = recipe_of(tiny_model, refill=2)
    train(msgspec.structs.replace(recipe, reward=RewardConfig()), tiny_model, run)
    assert metric(run, "num_refill_rounds") == [2, 2]
    assert metric(run, "num_groups_drawn") == [3 * NUM_TASKS] * 2
    assert metric(run, "num_groups_trained") == [0, 0]
    assert metric(run, "learning_rate") == [0, 0]


def test_solved_tasks_are_retired_over_a_run_and_a_resume_knows_them(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Eight tasks; the coin solves some of them twice at their first draw."""
    recipe = msgspec.structs.replace(
        recipe_of(tiny_model, num_tasks=8), curriculum=CurriculumConfig(max_pass_rate=0.9)
    )
    train(recipe, tiny_model, tmp_path / "whole")
    with RunStore.read(tmp_path / "whole") as store:
        first = {
            g.task.id
            for g in store.load_groups(Phase.TRAIN, 1)
            if not g.tripwire and all(v.reward for _, v in g.group.scored)
        }
        later = {d.task_id for d in store.load_draws(Phase.TRAIN, 2) if not d.tripwire}
    assert first, "the coin solved nothing at the first step"
    assert not first & later
    with pytest.raises(Killed):
        train(recipe, tiny_model, tmp_path / "killed", dies_at=4)
    train(recipe, tiny_model, tmp_path / "killed")
    assert remember(tmp_path / "killed") == remember(tmp_path / "whole")


EVERYTHING = {
    "kl_weight": 0.5,
    "kl_estimator": KlEstimator.K3,
    "correction": Correction.TOKEN,
    "ties": Ties.KEEP,
    "learning_rate": 3e-3,
    "warmup_steps": 0,
    "updates_per_step": 2,
    "num_steps": 3,
}


def test_what_asks_the_crew_for_log_probabilities_survives_a_stop(
    tiny_model: Path, tmp_path: Path
) -> None:
    recipe, whole, killed = recipe_of(tiny_model, **EVERYTHING), tmp_path / "a", tmp_path / "b"
    train(recipe, tiny_model, whole)
    with pytest.raises(Killed):
        train(recipe, tiny_model, killed, dies_at=4)
    train(recipe, tiny_model, killed)
    assert remember(killed) == remember(whole)
    divergences = metric(whole, "kl_mean")
    assert divergences[0] < divergences[1] < divergences[2], "it goes away from where it started"
    assert metric(whole, "masked_share") == [0, 0, 0]
    assert all(share > 0.8 for share in metric(whole, "effective_token_share"))
    assert all(math.isnan(value) for value in metric(whole, "penalty_mean"))


@pytest.mark.slow
def test_the_starting_weights_are_those_of_the_start_after_a_resume(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Real workers."""
    recipe, whole, stopped = tiny_recipe(tiny_model, **EVERYTHING), tmp_path / "a", tmp_path / "b"
    run_training(recipe, whole, resume=False, on_progress=ignore)
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, stopped, resume=False, on_progress=StopAfter(2))
    run_training(recipe, stopped, resume=True, on_progress=ignore)
    assert remember(stopped) == remember(whole)


def test_a_divergence_in_the_reward_is_taken_off_and_said(tiny_model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    recipe = recipe_of(
        tiny_model,
        kl_weight=0.5,
        kl_estimator=KlEstimator.K1,
        kl_in=KlIn.REWARD,
        learning_rate=3e-3,
        warmup_steps=0,
    )
    train(recipe, tiny_model, run)
    first, second = metric(run, "penalty_mean")
    assert first == pytest.approx(0, abs=1e-4)
    assert second > 0.01
    assert all(math.isnan(value) for value in metric(run, "kl_mean"))
