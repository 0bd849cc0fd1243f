"""Runs with feedback: retries turn by turn, self-distillation, controls; stops and resumes."""

import math
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest
import torch
from tiny_runs import StopAfter, ignore, tiny_recipe

from proofloop.cli import main
from proofloop.core.completion import StopReason
from proofloop.core.feedback import BARE, feedback_text
from proofloop.core.rollout import Failure, Judged, Rollout
from proofloop.core.task import Message, Split, Stratum
from proofloop.core.verdict import Scored
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.crew import deal
from proofloop.runs.evaluation import run_evaluation
from proofloop.runs.orders import Attempt, CrewSetup, WorkerSetup
from proofloop.runs.recipe import Control, Recipe
from proofloop.runs.retries import circle_of
from proofloop.runs.training import run_training
from proofloop.runs.worker import Worker
from proofloop.store import Phase, RecordedGroup, RunStore
from proofloop.store.reader import DATABASE_NAME
from proofloop.testing.fakes import ScriptedEngine
from proofloop.train.config import FeedbackArm, FeedbackConfig, FeedbackControl
from proofloop.train.crew import Assignment, Attempted

SMALL = {"num_steps": 2, "tasks_per_step": 4, "samples_per_task": 3}
NUM_ROLLOUTS = 12
SPECIAL = {0, 1, 2, 3}
"""Special tokens, which random weights sample and decoding leaves out."""


def with_feedback(
    model: Path,
    arm: FeedbackArm,
    control: FeedbackControl = FeedbackControl.NONE,
    *,
    reward: Control = Control.RANDOM,
    attempts: int = 2,
    weight: float = 0.5,
    eval_feedback: bool = False,
    **train: object,
) -> Recipe:
    recipe = tiny_recipe(model, **(SMALL | train))
    return msgspec.structs.replace(
        recipe,
        reward=msgspec.structs.replace(recipe.reward, control=reward),
        eval=msgspec.structs.replace(recipe.eval, feedback=eval_feedback),
        feedback=FeedbackConfig(arm=arm, control=control, attempts=attempts, weight=weight),
    )


def trained(recipe: Recipe, run: Path) -> Path:
    run_training(recipe, run, resume=False, on_progress=ignore)
    return run


@pytest.fixture(scope="module")
def plain(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tiny_recipe(tiny_model, **SMALL), tmp_path_factory.mktemp("runs") / "plain")


@pytest.fixture(scope="module")
def retried(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = with_feedback(tiny_model, FeedbackArm.RETRY)
    return trained(recipe, tmp_path_factory.mktemp("runs") / "retried")


@pytest.fixture(scope="module")
def distilled(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of rewards that are all 0, from which alone nothing would be learned."""
    recipe = with_feedback(tiny_model, FeedbackArm.DISTIL, reward=Control.NONE)
    return trained(recipe, tmp_path_factory.mktemp("runs") / "distilled")


def groups_of(run: Path, phase: Phase = Phase.TRAIN) -> list[RecordedGroup]:
    with RunStore.read(run) as store:
        return [g for s in store.recorded_steps(phase) for g in store.load_groups(phase, s)]


def attempts_of(run: Path, phase: Phase = Phase.TRAIN) -> list[Judged]:
    return [a for g in groups_of(run, phase) for a in g.group.attempts]


def all_of(run: Path) -> tuple[object, ...]:
    """What two runs that are the same must have in common."""
    with RunStore.read(run) as store:
        weights = [store.weights_sha256(step) for step in store.completed_steps()]
    with sqlite3.connect(run / DATABASE_NAME) as db:
        failures = db.execute("SELECT * FROM failures").fetchall()
    db.close()
    return weights, groups_of(run), groups_of(run, Phase.EVAL), failures


def tokens_of(rollout: Rollout) -> tuple[int, ...]:
    return tuple(t for turn in rollout.turns for t in (*turn.context, *turn.completion.tokens))


def metrics_of(run: Path, *names: str) -> list[dict[int, float]]:
    with RunStore.read(run) as store:
        return [dict(store.metrics(name)) for name in names]


# --- none ---


def test_without_an_arm_the_section_changes_nothing(
    plain: Path, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = with_feedback(
        tiny_model, FeedbackArm.NONE, FeedbackControl.SHUFFLED, attempts=4, weight=0.9
    )
    assert all_of(trained(recipe, tmp_path / "run")) == all_of(plain)
    assert {len(a.rollout.turns) for a in attempts_of(plain)} == {1}
    (first, again) = metrics_of(plain, "first_passed_share", "retried_passed_share")
    assert set(first.values()) == {0.0}
    assert all(map(math.isnan, again.values()))


# --- retry ---


def test_a_retry_goes_on_where_the_first_turn_ended(
    retried: Path, plain: Path, tiny_model: Path
) -> None:
    tokenizer = ChatTokenizer.load(tiny_model)
    stops: set[StopReason] = set()
    for recorded in groups_of(retried):
        messages = recorded.task.messages
        for attempt in recorded.group.attempts:
            if recorded.tripwire:
                assert len(attempt.rollout.turns) == 1
                continue
            first, second = attempt.rollout.turns
            (failure,) = attempt.failures
            stops.add(first.completion.stop_reason)
            said = tokenizer.decode(first.completion.tokens)
            told = Message(role="user", content=feedback_text(failure.feedback))
            text = tokenizer.text((*messages, Message(role="assistant", content=said), told))
            seen = (*first.context, *first.completion.tokens, *second.context)
            if not set(first.completion.tokens[:-1]) & SPECIAL:
                assert tokenizer.decode(seen, keep_special=True) == text
            assert attempt.rollout.answer == tokenizer.decode(second.completion.tokens)
            assert second.completion.seed != first.completion.seed
            assert attempt.feedback is None
    assert stops == {StopReason.STOP, StopReason.LENGTH}
    # What was sampled first is what was sampled without retries, while the weights are the same.
    firsts = [
        [a.rollout.turns[0] for a in attempts_of(run)[:NUM_ROLLOUTS]] for run in (plain, retried)
    ]
    assert firsts[0] == firsts[1]


def test_retries_train_and_are_counted(retried: Path, plain: Path) -> None:
    with RunStore.read(retried) as store, RunStore.read(plain) as other:
        assert store.weights_sha256(2) != other.weights_sha256(2)
        rows = list(store.iter_rollouts(phase=Phase.TRAIN))
    assert {row.num_turns for row in rows if not row.tripwire} == {2}
    sampled, calls, learned, gap, again = metrics_of(
        retried,
        "num_sampled_tokens",
        "num_verifier_calls",
        "num_trained_tokens",
        "logprob_gap_max",
        "retried_passed_share",
    )
    for step in (1, 2):
        mine = [row for row in rows if row.step == step and not row.tripwire]
        assert sampled[step] == sum(row.num_sampled_tokens for row in mine)
        assert calls[step] == 2 * len(mine) == 2 * NUM_ROLLOUTS
        assert 0 < learned[step] <= sampled[step]
        assert gap[step] < 1e-4, "the trainer sees the turns as the sampler did"
        assert again[step] == 0
    with sqlite3.connect(retried / DATABASE_NAME) as db:
        failures = db.execute("SELECT rollout_id, turn, cause, feedback FROM failures").fetchall()
    db.close()
    by_id = {a.rollout.id: a for a in attempts_of(retried)}
    assert len(failures) == sum(len(a.failures) for a in by_id.values()) > 0
    for rollout_id, turn, cause, said in failures:
        failure = by_id[rollout_id].failures[turn]
        assert (cause, said) == (failure.verdict.cause, feedback_text(failure.feedback))


def test_evaluation_has_one_turn_unless_asked(
    retried: Path, tiny_model: Path, tmp_path: Path
) -> None:
    held_out = attempts_of(retried, Phase.EVAL)
    assert {len(a.rollout.turns) for a in held_out} == {1}
    recipe = with_feedback(tiny_model, FeedbackArm.NONE, attempts=3, eval_feedback=True, workers=2)
    run_evaluation(recipe, tmp_path / "run", resume=False, on_progress=lambda report: None)
    asked = attempts_of(tmp_path / "run", Phase.EVAL)
    assert max(len(a.rollout.turns) for a in asked) == 3
    firsts = [[a.rollout.turns[0].completion.tokens for a in x] for x in (asked, held_out[:6])]
    assert firsts[0] == firsts[1]
    assert all(len(tokens_of(a.rollout)) <= 512 for a in asked)


@pytest.mark.parametrize(
    ("arm", "forget_checkpoints"), [("retried", False), ("retried", True), ("distilled", True)]
)
def test_a_stopped_run_goes_on_to_the_same_record(
    arm: str,
    forget_checkpoints: bool,
    request: pytest.FixtureRequest,
    tiny_model: Path,
    tmp_path: Path,
) -> None:
    whole: Path = request.getfixturevalue(arm)
    recipe = (
        with_feedback(tiny_model, FeedbackArm.RETRY)
        if arm == "retried"
        else with_feedback(tiny_model, FeedbackArm.DISTIL, reward=Control.NONE)
    )
    run = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, run, resume=False, on_progress=StopAfter(1))
    if forget_checkpoints:  # and learn again from the record
        shutil.rmtree(run / "checkpoints")
        with sqlite3.connect(run / DATABASE_NAME) as db:
            db.execute("DELETE FROM steps WHERE step = 1")
            db.execute("DELETE FROM metrics WHERE step = 1")
        db.close()
    run_training(recipe, run, resume=True, on_progress=ignore)
    assert all_of(run) == all_of(whole)
    names = ("num_sampled_tokens", "num_verifier_calls", "num_trained_tokens", "num_taught_tokens")
    assert metrics_of(run, *names) == metrics_of(whole, *names)


def test_two_workers_retry_as_one_does(retried: Path, tiny_model: Path, tmp_path: Path) -> None:
    recipe = with_feedback(tiny_model, FeedbackArm.RETRY, workers=2)
    one = attempts_of(retried)[:NUM_ROLLOUTS]
    two = attempts_of(trained(recipe, tmp_path / "two"))[:NUM_ROLLOUTS]
    for mine, other in zip(one, two, strict=True):
        assert tokens_of(mine.rollout) == tokens_of(other.rollout)
        assert mine.failures == other.failures


def test_whose_feedback_is_told_does_not_depend_on_the_workers(
    tiny_model: Path, tmp_path: Path
) -> None:
    told: list[list[tuple[Failure, ...]]] = []
    for workers in (1, 2, 3):
        recipe = with_feedback(
            tiny_model,
            FeedbackArm.RETRY,
            FeedbackControl.SHUFFLED,
            num_steps=1,
            tasks_per_step=18,
            samples_per_task=2,
            workers=workers,
        )
        run = trained(recipe, tmp_path / str(workers))
        told.append([a.failures for a in attempts_of(run)])
    assert told[0] == told[1] == told[2]
    said = {feedback_text(f.feedback) for failures in told[0] for f in failures}
    assert len(said) > 1


def test_a_circle_has_one_worker_and_its_tasks_tell_each_other() -> None:
    stratum = Stratum(family="int", complexity=1, horizon=1)
    assignments = [
        Assignment(
            phase=Phase.TRAIN,
            step=1,
            slot=slot,
            split=Split.TRAIN,
            stratum=stratum,
            index=slot,
            num_samples=1,
        )
        for slot in range(3, 30)
    ]
    assert deal(assignments, 2, in_circles=False) == [
        list(range(0, 27, 2)),
        list(range(1, 27, 2)),
    ]
    hands = deal(assignments, 3, in_circles=True)
    assert sorted(place for hand in hands for place in hand) == list(range(27))
    circles = [{circle_of(assignments[place]) for place in hand} for hand in hands]
    assert circles == [{0, 3}, {1}, {2}]


# --- distil ---


def test_a_teacher_moves_weights_where_every_reward_is_the_same(
    distilled: Path, tiny_model: Path, tmp_path: Path
) -> None:
    taught, learned, num_groups = metrics_of(
        distilled, "num_taught_tokens", "num_trained_tokens", "num_groups_trained"
    )
    assert set(num_groups.values()) == {4.0}
    assert taught == learned
    assert min(taught.values()) > 0
    with RunStore.read(distilled) as store:
        hashes = [store.weights_sha256(step) for step in (1, 2)]
    assert len(set(hashes)) == 2
    told = [a.feedback for g in groups_of(distilled) for a in g.group.attempts if not g.tripwire]
    assert None not in told
    alone = with_feedback(tiny_model, FeedbackArm.NONE, reward=Control.NONE)
    (learned,) = metrics_of(trained(alone, tmp_path / "alone"), "num_trained_tokens")
    assert set(learned.values()) == {0.0}


# --- controls, of a policy that answers by a script ---

WRONG = "def f(x):\n    return -999\n"


def told_under(control: FeedbackControl, model: Path, num_attempts: int = 2) -> list[RecordedGroup]:
    """Groups of three tasks, of which every turn says WRONG."""
    tokenizer = ChatTokenizer.load(model)
    said = tokenizer.tokenizer.encode(WRONG).ids
    engine = ScriptedEngine(lambda context, seed: said, stop_token=tokenizer.stop_ids[0])
    weights = flatten(load_model(model))
    recipe = with_feedback(model, FeedbackArm.RETRY, control, reward=Control.NONE)
    recipe = msgspec.structs.replace(
        recipe, sampling=msgspec.structs.replace(recipe.sampling, max_tokens=60)
    )
    common = CrewSetup(recipe=recipe, model_path=model, weights=weights)
    setup = WorkerSetup(crew=common, gradient=torch.zeros_like(weights))
    stratum = Stratum(family="int", complexity=1, horizon=1)
    worker = Worker(setup, engine)
    try:
        attempted = worker.obey(
            Attempt(
                [
                    Assignment(
                        phase=Phase.TRAIN,
                        step=1,
                        slot=slot,
                        split=Split.TRAIN,
                        stratum=stratum,
                        index=slot,
                        num_samples=2,
                        num_attempts=num_attempts,
                    )
                    for slot in range(3)
                ]
            )
        )
    finally:
        worker.close()
    assert isinstance(attempted, Attempted)
    return list(attempted.groups)


def own_and_foreign(groups: list[RecordedGroup]) -> tuple[int, int]:
    """Tests told of that the prompt shows, and that it does not."""
    told = [
        (test.call in recorded.task.messages[0].content)
        for recorded in groups
        for attempt in recorded.group.attempts
        for failure in attempt.failures
        for test in failure.feedback.shown
    ]
    return told.count(True), told.count(False)


def test_what_is_told_is_of_the_own_task(tiny_model: Path) -> None:
    groups = told_under(FeedbackControl.NONE, tiny_model)
    assert own_and_foreign(groups) == (3 * 2 * 4, 0)
    shown = groups[0].group.attempts[0].failures[0].feedback.shown
    assert {test.got for test in shown} == {"gave -999"}


def test_shuffled_feedback_is_of_another_task(tiny_model: Path) -> None:
    own, foreign = own_and_foreign(told_under(FeedbackControl.SHUFFLED, tiny_model))
    assert own + foreign == 3 * 2 * 4
    assert foreign > 3 * own, "inputs of two tasks may be equal by chance, most are not"


def test_masked_feedback_holds_no_value(tiny_model: Path) -> None:
    groups = told_under(FeedbackControl.MASKED, tiny_model)
    shown = [t for g in groups for a in g.group.attempts for t in a.failures[0].feedback.shown]
    assert len(shown) == 3 * 2 * 4
    assert {(test.wanted, test.got, test.passed) for test in shown} == {("?", "?", False)}


def test_bare_feedback_says_nothing(tiny_model: Path) -> None:
    groups = told_under(FeedbackControl.BARE, tiny_model)
    assert {a.failures[0].feedback for g in groups for a in g.group.attempts} == {BARE}


def test_a_conversation_ends_where_the_positions_do(tiny_model: Path) -> None:
    """A model of 512: two long turns and what is said of them leave no room for nine."""
    groups = told_under(FeedbackControl.NONE, tiny_model, num_attempts=9)
    attempts = [a for g in groups for a in g.group.attempts]
    assert all(1 < len(a.rollout.turns) < 9 for a in attempts)
    assert all(len(tokens_of(a.rollout)) <= 512 for a in attempts)
    assert all(len(a.failures) == len(a.rollout.turns) - 1 for a in attempts)


# --- to look at ---


def test_peek_shows_a_rollout_turn_by_turn(
    retried: Path, distilled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt = next(a for a in attempts_of(retried) if a.failures)
    (failure,) = attempt.failures
    assert main(["peek", str(retried), attempt.rollout.id]) == 0
    shown = capsys.readouterr().out
    assert f"turn 1 of 2: {failure.verdict.cause}: " in shown
    for line in feedback_text(failure.feedback).splitlines():
        assert line[:40] in shown
    assert main(["peek", str(retried), attempt.rollout.id, "--json"]) == 0
    json = capsys.readouterr().out
    assert '"turn": 1' in json
    assert '"num_turns": 2' in json
    taught = next(a for a in attempts_of(distilled) if a.feedback)
    assert main(["peek", str(distilled), taught.rollout.id]) == 0
    shown = capsys.readouterr().out
    assert "self-teacher's advantages" in shown
    assert "does not train" not in shown
    assert isinstance(taught.verdict, Scored)
