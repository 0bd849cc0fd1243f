"""Control arms as real runs: what each leaves in its record, what it changes and what it does not.

Arms that need right answers start from the embedded model; the others from a tiny random one.
"""

import shutil
from pathlib import Path

import msgspec
import pytest
from test_training_crash import Aim, Driver
from tiny_runs import StopAfter, ignore, remember, tiny_recipe

from proofloop.cli import main
from proofloop.core.errors import RunError
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten, sha256
from proofloop.measure.arms import Arm
from proofloop.measure.read import read_run
from proofloop.measure.summary import summarise
from proofloop.runs.arms import control_recipe
from proofloop.runs.checks import load_recipe
from proofloop.runs.config import dump_toml, load_run_config
from proofloop.runs.models import resolve_model
from proofloop.runs.recipe import Init, Recipe
from proofloop.runs.start import start_model
from proofloop.runs.training import run_training
from proofloop.store import Phase, RunStore

SMALL = (
    "env.families=['int']",
    "env.complexity=1",
    "train.num_steps=2",
    "train.tasks_per_step=12",
    "train.workers=1",
    "train.schedule=constant",
    "train.checkpoint_every=1",
    "eval.every=0",
    "eval.final_num_tasks=40",
    "eval.final_num_samples=8",
)


def train(recipe: Recipe, out: Path) -> Path:
    run_training(recipe, out, resume=False, on_progress=ignore)
    return out


@pytest.fixture(scope="module")
def treated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two steps of training by reward."""
    return train(load_recipe("quickstart", SMALL), tmp_path_factory.mktemp("runs") / "treated")


@pytest.fixture(scope="module")
def taught(treated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six steps on its successes."""
    recipe = control_recipe(Arm.SFT, "", ["train.num_steps=6"], of=treated)
    return train(recipe, tmp_path_factory.mktemp("runs") / "taught")


def test_sft_learns_the_runs_right_answers_on_as_many_tokens(treated: Path, taught: Path) -> None:
    with RunStore.read(treated) as theirs, RunStore.read(taught) as ours:
        right = {r.task_id for r in theirs.iter_rollouts(phase=Phase.TRAIN) if r.passed}
        sizes = [r.num_sampled_tokens for r in theirs.iter_rollouts(phase=Phase.TRAIN)]
        tokens, their_tokens = (
            sum(n for _, n in store.metrics("num_trained_tokens")) for store in (ours, theirs)
        )
        learned = [d.task_id for s in range(1, 7) for d in ours.load_draws(Phase.TRAIN, s)]
        losses = [loss for _, loss in ours.metrics("loss")]
        assert ours.recorded_steps(Phase.TRAIN) == [], "nothing is sampled again"
        assert ours.recorded_steps(Phase.EVAL) == [0, 6]
        assert ours.completed_steps() == [1, 2, 3, 4, 5, 6]
        (said,) = [e.message for e in ours.events() if e.kind == "successes"]
    assert 0 < their_tokens <= sum(sizes)
    assert abs(tokens - their_tokens) <= 8 * max(sizes) / 2
    assert set(learned) <= right
    assert len(set(learned)) >= min(len(right), 10)
    assert losses[-1] < losses[0]
    assert f"{int(their_tokens)} tokens, as many as that run trained on" in said


def test_sft_is_measured_as_its_run_is_and_learns(treated: Path, taught: Path) -> None:
    theirs, ours = read_run(treated), read_run(taught)
    assert theirs.base is not None
    assert ours.base is not None
    assert ours.base.num_passed.tolist() == theirs.base.num_passed.tolist()
    (first, *_) = summarise(taught).pass_at_k
    assert first.difference is not None
    assert first.difference.low is not None
    assert first.difference.low > 0.0, "some hundred right answers of its own teach this model"
    assert ours.arms == (Arm.SFT,)


@pytest.mark.slow
def test_sft_stopped_goes_on_to_the_same_weights(taught: Path, tmp_path: Path) -> None:
    recipe = load_run_config(Recipe, taught)
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, run, resume=False, on_progress=StopAfter(3))
    shutil.rmtree(run / "checkpoints" / "step-000003")  # as if it had been killed before it
    run_training(recipe, run, resume=True, on_progress=ignore)
    assert remember(run) == remember(taught)
    with RunStore.read(run) as store:
        assert [e.kind for e in store.events()] == ["successes", "resumed"]


@pytest.mark.slow
def test_sft_killed_goes_on_to_the_same_weights(taught: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(dump_toml(load_run_config(Recipe, taught)))
    run = tmp_path / "run"
    with Driver(run, recipe) as driver:
        assert driver.kill(Aim(num_lines=3, delay_s=0.05)), "done before it was killed"
    with Driver(run, recipe) as driver:
        driver.finish()
    assert remember(run) == remember(taught)
    assert (run / "model" / "model.safetensors").read_bytes() == (
        taught / "model" / "model.safetensors"
    ).read_bytes()


def test_sft_on_other_answers_than_before_is_refused(taught: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(taught, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints")
    recipe = load_run_config(Recipe, run)
    other = msgspec.structs.replace(recipe.train, seed=recipe.train.seed + 1)
    with pytest.raises(RunError, match="drawn before and with other tasks"):
        run_training(
            msgspec.structs.replace(recipe, train=other), run, resume=True, on_progress=ignore
        )


def test_sft_needs_a_finished_run_with_successes(
    treated: Path, tiny_model: Path, tmp_path: Path
) -> None:
    def refused(source: Path) -> str:
        with pytest.raises(RunError) as error:
            train(control_recipe(Arm.SFT, "", of=source), tmp_path / "out")
        assert "\n" not in str(error.value)
        assert not (tmp_path / "out").exists()
        return str(error.value)

    nothing_right = train(tiny_recipe(tiny_model), tmp_path / "nothing")
    assert "nothing to learn from" in refused(nothing_right)
    unfinished = tmp_path / "unfinished"
    with pytest.raises(KeyboardInterrupt):
        run_training(tiny_recipe(tiny_model), unfinished, resume=False, on_progress=StopAfter(1))
    assert "step 1 of 3" in refused(unfinished)
    recipe = control_recipe(Arm.SFT, "", [f"model.path={tiny_model}"], of=treated)
    with pytest.raises(RunError, match="whose tokenizer is not that of"):
        train(recipe, tmp_path / "out")


def test_a_copy_measures_the_same_weights_by_other_chances(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    of = train(tiny_recipe(tiny_model), tmp_path / "treated")
    out = tmp_path / "copy"
    assert main(["train", "--control", "copy", "--of", str(of), "--out", str(out)]) == 0
    printed = capfd.readouterr()
    assert "Control arm: base copy (null)" in printed.out
    assert "base again" in printed.out
    assert "Beside it, treated: gain in pass@1" in printed.err
    base = sha256(flatten(load_model(tiny_model)))
    with RunStore.read(out) as store, RunStore.read(of) as theirs:
        rows = list(store.iter_rollouts())
        assert (store.recorded_steps(Phase.EVAL), store.completed_steps()) == ([0, 1], [1])
        assert {(r.policy_step, r.policy_sha256) for r in rows} == {(0, base), (1, base)}
        tokens = {
            step: [a.rollout.turns[0].completion.tokens for g in groups for a in g.group.attempts]
            for step in (0, 1)
            if (groups := store.load_groups(Phase.EVAL, step))
        }
        first = [
            a.rollout.turns[0].completion.tokens
            for g in theirs.load_groups(Phase.EVAL, 0)
            for a in g.group.attempts
        ]
        assert [r.task_id for r in rows[:6]] == [r.task_id for r in rows[6:]]
    assert tokens[0] == first, "as every run of this model begins"
    assert all(a != b for a, b in zip(tokens[0], tokens[1], strict=True))
    assert sha256(flatten(load_model(out / "model"))) == base
    data = read_run(out)
    assert (data.arms, data.num_steps_planned, data.num_steps_done) == ((Arm.COPY,), 1, 1)
    assert data.trained is not None
    assert (
        '<p class="note control"><strong>Control arm: base copy'
        in (out / "report.html").read_text()
    )
    before = remember(out)
    assert main(["train", "--resume", str(out)]) == 0
    assert remember(out) == before


@pytest.mark.slow
def test_a_copy_stopped_between_its_measurements_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(dump_toml(tiny_recipe(tiny_model)))
    recipe = control_recipe(Arm.COPY, "", of=tmp_path)
    whole = train(recipe, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, tmp_path / "run", resume=False, on_progress=StopAfter(1))
    run_training(recipe, tmp_path / "run", resume=True, on_progress=ignore)
    assert remember(tmp_path / "run") == remember(whole)


@pytest.mark.slow
def test_a_few_tasks_are_all_that_the_ledger_holds(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(dump_toml(tiny_recipe(tiny_model)))
    for num_tasks in (1, 3):
        settings = [f"train.num_tasks={num_tasks}", "train.tasks_seed=4"]
        recipe = control_recipe(Arm.ONE_EXAMPLE, "", settings, of=tmp_path)
        run = train(recipe, tmp_path / f"of{num_tasks}")
        drawn = [task for tasks in remember(run).draws.values() for task in tasks]
        assert len(drawn) == 3 * 5
        assert len(set(drawn)) == num_tasks
        data = read_run(run)
        assert (data.arms[-1], data.num_train_tasks) == (Arm.ONE_EXAMPLE, num_tasks)
    # Stopped and resumed, the pool is the same one.
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, tmp_path / "again", resume=False, on_progress=StopAfter(1))
    run_training(recipe, tmp_path / "again", resume=True, on_progress=ignore)
    assert remember(tmp_path / "again") == remember(run)


@pytest.mark.slow
def test_one_example_teaches_that_example(tmp_path: Path) -> None:
    """Of the embedded model, on a task that it half solves: the reward on it rises."""
    settings = [*SMALL, "train.num_steps=5", "train.tasks_seed=1", "eval.final_num_tasks=2"]
    run = train(control_recipe(Arm.ONE_EXAMPLE, "quickstart", settings), tmp_path / "run")
    with RunStore.read(run) as store:
        shares = [share for _, share in store.metrics("passed_share")]
    assert shares[-1] > shares[0] + 0.1, shares


def test_a_task_file_gives_as_many_examples_as_it_has(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "answers.jsonl"
    rows = (Path(__file__).parents[2] / "examples" / "answers.jsonl").read_text().splitlines()
    data.write_text("\n".join(rows[:3]) + "\n")
    settings = ["--set", "env.name=answers", "--set", f"env.data={data}"]
    more = ["train", "--control", "one-example", "--set", "train.num_tasks=4", *settings]
    assert main([*more, "--out", str(tmp_path / "o")]) == 2
    assert "train.num_tasks: 4 tasks to train on, but answers has 3" in capfd.readouterr().err
    assert not (tmp_path / "o").exists()
    recipe = control_recipe(
        Arm.ONE_EXAMPLE,
        "quickstart",
        [
            f"env.data={data}",
            "env.name=answers",
            "train.num_steps=1",
            "train.tasks_per_step=4",
            "train.workers=1",
            "eval.final_num_tasks=1",
            "eval.final_num_samples=1",
        ],
    )
    run = train(recipe, tmp_path / "run")
    (tasks,) = remember(run).draws.values()
    assert len(tasks) == 4
    assert len(set(tasks)) == 1


def test_scratch_is_the_same_network_with_weights_of_a_seed(tmp_path: Path) -> None:
    pico = load_recipe("quickstart").model
    zero, again, one = (
        start_model(msgspec.structs.replace(pico, init=Init.RANDOM, init_seed=seed))
        for seed in (0, 0, 1)
    )
    shipped = load_model(resolve_model("pico"))
    assert zero.config == shipped.config
    hashes = [sha256(flatten(model)) for model in (zero, again, one, shipped)]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
    settings = [*SMALL, "train.num_steps=1", "train.tasks_per_step=2", "eval.final_num_tasks=4"]
    run = train(control_recipe(Arm.SCRATCH, "quickstart", settings), tmp_path / "run")
    with RunStore.read(run) as store:
        rows = list(store.iter_rollouts())
    assert {row.policy_sha256 for row in rows if row.policy_step == 0} == {hashes[0]}
    assert not any(row.passed for row in rows), "chance writes no program"
    assert read_run(run).arms == (Arm.SCRATCH,)
