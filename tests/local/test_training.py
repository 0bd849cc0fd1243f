"""The whole loop on a tiny random model: real workers, sandbox, store; stops, damage and deaths.

The reward is the placebo's coin (`tiny_runs`), so that groups have variance and weights move.
"""

import math
import multiprocessing
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from tiny_runs import StopAfter, flip_byte, ignore, remember, set_in_config, tiny_recipe

from proofloop.core.completion import StopReason
from proofloop.core.errors import ModelError, StoreDamaged, TrainingHalted, WorkerLost
from proofloop.core.verdict import Unscored, UnscoredCause
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten, sha256
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.config import dump_toml
from proofloop.runs.recipe import TrainConfig
from proofloop.runs.training import run_training
from proofloop.store import Phase, RunStore
from proofloop.store.reader import DATABASE_NAME
from proofloop.train.advantages import credit
from proofloop.train.loop_sync import Report, StepReport

NUM_STEPS = 3


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run with one worker."""
    run = tmp_path_factory.mktemp("runs") / "one"
    run_training(tiny_recipe(tiny_model), run, resume=False, on_progress=ignore)
    return run


@pytest.fixture(scope="module")
def finished_by_two(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "two"
    run_training(tiny_recipe(tiny_model, workers=2), run, resume=False, on_progress=ignore)
    return run


@pytest.fixture(scope="module")
def stopped(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after its second step; tests work on copies of it."""
    run = tmp_path_factory.mktemp("runs") / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_training(tiny_recipe(tiny_model), run, resume=False, on_progress=StopAfter(2))
    return run


@pytest.fixture
def run(stopped: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(stopped, tmp_path / "run"))


def resume(run: Path, tiny_model: Path) -> None:
    run_training(tiny_recipe(tiny_model), run, resume=True, on_progress=ignore)


@pytest.mark.parametrize("which", ["finished", "finished_by_two"])
def test_every_task_and_rollout_is_in_the_ledger_once(
    which: str, request: pytest.FixtureRequest
) -> None:
    recipe = tiny_recipe(Path())
    remembered = remember(request.getfixturevalue(which))
    assert list(remembered.draws) == [1, 2, 3]
    drawn = [task for tasks in remembered.draws.values() for task in tasks]
    assert len(drawn) == len(set(drawn)) == NUM_STEPS * recipe.train.tasks_per_step
    expected = {
        f"train-{step}-{slot}-{sample}": task
        for step, tasks in remembered.draws.items()
        for slot, task in enumerate(tasks)
        for sample in range(recipe.train.samples_per_task)
    }
    train = {i: r[0] for i, r in remembered.rollouts.items() if i.startswith("train-")}
    assert train == expected
    evals = [i.split("-")[1] for i in remembered.rollouts if i.startswith("eval-")]
    assert {step: evals.count(step) for step in evals} == {"0": 6, "2": 4, "3": 6}


def test_rollouts_are_kept_token_for_token_with_their_stop(
    finished: Path, tiny_model: Path
) -> None:
    stop_ids = ChatTokenizer.load(tiny_model).stop_ids
    reasons: set[StopReason] = set()
    with RunStore.read(finished) as store:
        for row in store.iter_rollouts():
            (turn,) = store.load_rollout(row.id).judged.rollout.turns
            done = turn.completion
            assert len(done.tokens) == len(done.logprobs) == len(done.entropies)
            assert row.num_sampled_tokens == len(done.tokens)
            assert all(logprob < 0 for logprob in done.logprobs)
            stops = [i for i, token in enumerate(done.tokens) if token in stop_ids]
            if done.stop_reason is StopReason.STOP:
                assert stops == [len(done.tokens) - 1]
            else:
                assert not stops
                assert len(done.tokens) == done.sampling.max_tokens == 24
            reasons.add(done.stop_reason)
    assert reasons == {StopReason.STOP, StopReason.LENGTH}, "the test saw one way to end only"


@pytest.mark.parametrize("which", ["finished", "finished_by_two"])
def test_rollouts_name_the_published_weights_which_change_at_every_step(
    which: str, request: pytest.FixtureRequest, tiny_model: Path
) -> None:
    run: Path = request.getfixturevalue(which)
    with RunStore.read(run) as store:
        made = {step: store.weights_sha256(step) for step in store.completed_steps()}
        made[0] = sha256(flatten(load_model(tiny_model)))
        assert len(set(made.values())) == 1 + NUM_STEPS
        for row in store.iter_rollouts():
            behind = row.step - 1 if row.phase is Phase.TRAIN else row.step
            assert (row.policy_step, row.policy_sha256) == (behind, made[behind])
    assert sha256(flatten(load_model(run / "model"))) == made[NUM_STEPS]


def test_every_step_leaves_its_metrics(finished: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "reference" / "store.md"
    documented = re.search(r"\| Name \| Meaning \|\n(.*?)\n\n", page.read_text(), re.DOTALL)
    assert documented
    with RunStore.read(finished) as store:
        assert set(store.metric_names()) == set(re.findall(r"^\| `(\w+)`", documented[1], re.M))
        values = {name: dict(store.metrics(name)) for name in store.metric_names()}
    assert all(list(by_step) == [1, 2, 3] for by_step in values.values())
    assert all(gap <= 1e-4 for gap in values["logprob_gap_max"].values())
    assert all(norm > 0 for norm in values["grad_norm"].values())
    assert all(0 <= share <= 1 for share in values["signal_share"].values())
    train = TrainConfig()
    first = train.learning_rate / train.warmup_steps
    assert values["learning_rate"] == pytest.approx({1: first, 2: 2 * first, 3: 3 * first})


def test_the_placebo_rewards_by_a_coin_and_tells_the_truth_about_passing(finished: Path) -> None:
    with RunStore.read(finished) as store:
        rows = list(store.iter_rollouts())
    assert {row.reward for row in rows if row.phase is Phase.TRAIN} == {0.0, 1.0}
    assert {row.reward for row in rows if row.phase is Phase.EVAL} == {0.0}
    assert {row.passed for row in rows} == {False}


def test_two_workers_sample_what_one_does(finished: Path, finished_by_two: Path) -> None:
    one, two = remember(finished), remember(finished_by_two)
    assert one.draws[1] == two.draws[1]
    for name, (task_id, turn, verdict) in one.rollouts.items():
        if name.startswith(("train-1-", "eval-0-")):
            other_task, other, other_verdict = two.rollouts[name]
            assert (task_id, verdict) == (other_task, other_verdict)
            assert turn.context == other.context
            assert turn.completion.tokens == other.completion.tokens
            assert turn.completion.logprobs == pytest.approx(other.completion.logprobs, abs=1e-5)


def test_a_stopped_run_goes_on_to_the_same_weights(
    run: Path, finished: Path, tiny_model: Path
) -> None:
    resume(run, tiny_model)
    assert remember(run) == remember(finished)
    before = (run / "model" / "model.safetensors").read_bytes()
    resume(run, tiny_model)  # of a finished run: nothing is left to do
    assert (run / "model" / "model.safetensors").read_bytes() == before
    assert remember(run) == remember(finished)


def test_without_checkpoints_a_run_learns_again_from_its_record(
    run: Path, finished: Path, tiny_model: Path
) -> None:
    shutil.rmtree(run / "checkpoints")
    with sqlite3.connect(run / DATABASE_NAME) as db:  # as if killed before step 2 was recorded
        db.execute("DELETE FROM steps WHERE step = 2")
        db.execute("DELETE FROM metrics WHERE step = 2")
    db.close()
    resume(run, tiny_model)
    assert remember(run) == remember(finished)
    with RunStore.read(run) as store:
        assert [e.message for e in store.events() if e.kind == "resumed"] == ["from step 0"]
        for name in ("sample_s", "rollouts_per_s", "train_s"):
            known = [step for step, value in store.metrics(name) if not math.isnan(value)]
            assert known == ([1, 2, 3] if name == "train_s" else [1, 3]), "it sampled again"


def test_a_damaged_checkpoint_is_passed_over_and_said(
    run: Path, finished: Path, tiny_model: Path
) -> None:
    damaged = run / "checkpoints" / "step-000002" / "trainer.safetensors"
    flip_byte(damaged, damaged.stat().st_size // 2)
    resume(run, tiny_model)
    assert remember(run) == remember(finished)
    with RunStore.read(run) as store:
        events = {event.kind: event.message for event in store.events()}
    assert events["resumed"] == "from step 1"
    assert "step-000002/trainer.safetensors: does not match" in events["checkpoint_damaged"]


def test_a_damaged_segment_stops_the_run_with_its_place(run: Path, tiny_model: Path) -> None:
    shutil.rmtree(run / "checkpoints")  # so that the record is needed
    (segment,) = (run / "segments").iterdir()
    flip_byte(segment, segment.stat().st_size - 100)
    with pytest.raises(StoreDamaged, match=r"000001\.seg, offset \d+: the bytes do not match") as e:
        resume(run, tiny_model)
    assert "\n" not in str(e.value)


def test_another_temperature_in_the_trainer_stops_the_run(run: Path, finished: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    colder = set_in_config(run, "temperature", 0.25)  # than the recorded rollouts were sampled at
    with pytest.raises(TrainingHalted, match="sampler and trainer disagree"):
        run_training(colder, run, resume=True, on_progress=ignore)
    with RunStore.read(run) as store:
        assert [e.kind for e in store.events()][-1] == "alarm"
        assert store.completed_steps() == [1, 2]
    assert not (run / "checkpoints").exists()
    assert not (run / "model").exists()


def test_a_killed_worker_is_reported_and_the_run_goes_on(
    tmp_path: Path, tiny_model: Path, finished_by_two: Path
) -> None:
    recipe, run = tiny_recipe(tiny_model, workers=2), tmp_path / "run"

    def kill_one(report: Report) -> None:
        if isinstance(report, StepReport) and report.step == 1:
            victim = multiprocessing.active_children()[0]
            assert victim.pid
            os.kill(victim.pid, signal.SIGKILL)

    with pytest.raises(WorkerLost, match=r"worker [01] exited with -9.*resume"):
        run_training(recipe, run, resume=False, on_progress=kill_one)
    assert multiprocessing.active_children() == []
    run_training(recipe, run, resume=True, on_progress=ignore)
    assert remember(run) == remember(finished_by_two)


def test_what_a_worker_cannot_start_with_is_the_users_to_mend(
    tmp_path: Path, tiny_model: Path
) -> None:
    model = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (model / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        run_training(tiny_recipe(model), tmp_path / "run", resume=False, on_progress=ignore)


def start_driver(run: Path, tiny_model: Path) -> "subprocess.Popen[str]":
    """A training run in a process group of its own."""
    recipe = run.with_suffix(".toml")
    recipe.write_text(dump_toml(tiny_recipe(tiny_model)))
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("tiny_runs.py")), str(run), str(recipe)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_control_c_while_workers_start_is_as_clean(tmp_path: Path, tiny_model: Path) -> None:
    run = tmp_path / "run"
    with start_driver(run, tiny_model) as process:
        assert process.stderr is not None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while sum("forkserver" in command(pid) for pid in children.read_text().split()) == 0:
            time.sleep(0.01)
        time.sleep(0.3)  # amid the imports, which take seconds
        os.killpg(process.pid, signal.SIGINT)
        said = process.stderr.read()
    assert (process.returncode, said) == (130, "")
    with RunStore.read(run) as store:
        assert store.completed_steps() == []


def command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_control_c_ends_after_the_step_in_hand(
    tmp_path: Path, tiny_model: Path, finished: Path
) -> None:
    run = tmp_path / "run"
    with start_driver(run, tiny_model) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any(line == "step 1\n" for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)  # the group, as a terminal does
        said = process.stderr.read()
    assert (process.returncode, said) == (130, "")
    with RunStore.read(run) as store:
        assert store.completed_steps() in ([1], [1, 2])
    resume(run, tiny_model)
    assert remember(run) == remember(finished)


class SandboxKiller(threading.Thread):
    """Kills every fork-server below this process, again and again, until told to stop."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._stop_asked = threading.Event()

    def run(self) -> None:
        while not self._stop_asked.wait(0.002):
            for worker in multiprocessing.active_children():
                # Of any of its threads: the one that judges starts a new one when it is lost.
                for children in Path(f"/proc/{worker.pid}/task").glob("*/children"):
                    with suppress(ProcessLookupError, FileNotFoundError):
                        self._kill(children.read_text().split())

    def _kill(self, pids: list[str]) -> None:
        for pid in pids:
            if "boot.py" in command(pid):
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)

    def stop(self) -> None:
        self._stop_asked.set()
        self.join()


def test_attempts_whose_sandbox_was_lost_are_counted_and_teach_nothing(
    tmp_path: Path, tiny_model: Path
) -> None:
    killer, run = SandboxKiller(), tmp_path / "run"

    def kill_in_step_2(report: Report) -> None:
        if isinstance(report, StepReport) and report.step == 1:
            killer.start()
        elif isinstance(report, StepReport) and report.step == 2:
            killer.stop()

    recipe = tiny_recipe(tiny_model)
    run_training(recipe, run, resume=False, on_progress=kill_in_step_2)
    with RunStore.read(run) as store:
        groups = {s: [g.group for g in store.load_groups(Phase.TRAIN, s)] for s in (1, 2, 3)}
        num_unscored = dict(store.metrics("num_unscored"))
        num_trained = dict(store.metrics("num_groups_trained"))
        rewards = [row.reward for row in store.iter_rollouts() if row.verdict == "unscored"]
    lost = [a.verdict for g in groups[2] for a in g.attempts if isinstance(a.verdict, Unscored)]
    assert lost, "the sandbox was never lost for good"
    assert {verdict.cause for verdict in lost} == {UnscoredCause.SANDBOX_LOST}
    assert rewards == [None] * len(lost)
    assert num_unscored == {1: 0, 2: len(lost), 3: 0}
    for step in (1, 2, 3):
        kept = [c.rollout.id for g in credit(groups[step]).groups for c in g]
        scored = {r.id for g in groups[step] for r, _ in g.scored}
        assert scored.issuperset(kept)
        assert num_trained[step] == len(credit(groups[step]).groups)
    assert num_trained[2] < num_trained[1]
