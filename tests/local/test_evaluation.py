"""An evaluation by itself: a run that every reader reads, the same twice, and done once."""

from pathlib import Path

import msgspec
import pytest
from tiny_runs import remember, tiny_recipe

from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.weights import flatten, sha256
from proofloop.measure.summary import summarise
from proofloop.runs import evaluation
from proofloop.runs.evaluation import run_evaluation
from proofloop.store import Phase, RunStore
from proofloop.train.evaluation import EvalReport


@pytest.fixture(scope="module")
def evaluated(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[EvalReport]]:
    run, reports = tmp_path_factory.mktemp("runs") / "one", list[EvalReport]()
    run_evaluation(tiny_recipe(tiny_model), run, resume=False, on_progress=reports.append)
    return run, reports


def test_it_leaves_a_run_that_was_measured_at_step_0(
    evaluated: tuple[Path, list[EvalReport]], tiny_model: Path
) -> None:
    run, reports = evaluated
    weights = sha256(flatten(load_model(tiny_model)))
    with RunStore.read(run) as store:
        assert store.recorded_steps(Phase.EVAL) == [0]
        assert store.recorded_steps(Phase.TRAIN) == store.completed_steps() == []
        rows = list(store.iter_rollouts())
        tasks = [g.task for g in store.load_groups(Phase.EVAL, 0)]
    assert [row.id for row in rows] == [f"eval-0-{t}-{s}" for t in range(3) for s in range(2)]
    assert {(row.policy_step, row.policy_sha256) for row in rows} == {(0, weights)}
    assert {task.split for task in tasks} == {"heldout"}
    assert [task.stratum.complexity for task in tasks] == [1, 2, 1]  # the strata in turn
    assert {row.reward for row in rows} == {0.0}  # a control arm is for training alone
    (report,) = reports
    assert (report.num_tasks_done, report.num_tasks, report.num_attempts) == (3, 3, 6)
    assert report.passed_share == 0
    summary = summarise(run)
    assert (summary.num_tasks, summary.num_samples) == (3, 2)


def test_the_same_seeds_give_the_same_result_for_any_number_of_workers(
    evaluated: tuple[Path, list[EvalReport]], tiny_model: Path, tmp_path: Path
) -> None:
    # Held-out chances do not depend on the run's seed either: comparisons are paired.
    recipe = tiny_recipe(tiny_model, workers=2, seed=7)
    run_evaluation(recipe, tmp_path / "run", resume=False, on_progress=lambda report: None)
    one, two = remember(evaluated[0]), remember(tmp_path / "run")
    assert list(one.rollouts) == list(two.rollouts)
    for name, (task_id, turn, verdict) in one.rollouts.items():
        other_task, other, other_verdict = two.rollouts[name]
        assert (task_id, verdict) == (other_task, other_verdict)
        assert turn.completion.tokens == other.completion.tokens


def test_a_finished_evaluation_is_not_run_again(
    evaluated: tuple[Path, list[EvalReport]], tiny_model: Path
) -> None:
    run, _ = evaluated
    before = remember(run)
    reports = list[EvalReport]()
    run_evaluation(tiny_recipe(tiny_model), run, resume=True, on_progress=reports.append)
    assert reports == []
    assert remember(run) == before


def test_an_evaluation_goes_on_after_the_portions_that_it_has(
    evaluated: tuple[Path, list[EvalReport]],
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed after the first portion: the rest is attempted, and the record is that of one go."""
    monkeypatch.setattr(evaluation, "ROLLOUTS_PER_PORTION", 64)
    recipe = tiny_recipe(tiny_model)
    # A width that nothing stops at, to have portions of one task.
    recipe = msgspec.structs.replace(
        recipe,
        eval=msgspec.structs.replace(recipe.eval, until_width=1e-9, final_num_samples=6),
    )
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    reports = list[EvalReport]()
    run_evaluation(recipe, whole, resume=False, on_progress=reports.append)
    assert [r.num_tasks_done for r in reports] == [1, 2, 3]

    def kill(report: EvalReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_evaluation(recipe, parts, resume=False, on_progress=kill)
    with RunStore.read(parts) as store:
        assert store.recorded_steps(Phase.EVAL) == []
        assert store.recorded_slots(Phase.EVAL, 0) == {0}
    run_evaluation(recipe, parts, resume=True, on_progress=reports.append)
    assert remember(parts).rollouts == remember(whole).rollouts


def test_it_stops_once_the_interval_that_holds_at_every_look_is_narrow(
    tiny_model: Path, tmp_path: Path
) -> None:
    """A tiny random model passes nothing, so few tasks tell."""
    recipe = tiny_recipe(tiny_model)
    recipe = msgspec.structs.replace(
        recipe,
        eval=msgspec.structs.replace(
            recipe.eval, until_width=0.4, final_num_tasks=60, final_num_samples=128
        ),
    )
    run_evaluation(recipe, tmp_path / "run", resume=False, on_progress=lambda report: None)
    with RunStore.read(tmp_path / "run") as store:
        state = store.evaluation(0)
        num_tasks = len(store.recorded_slots(Phase.EVAL, 0))
    assert state is not None
    assert state.ended is not None
    assert "pass@1 lies in [0.000, 0." in state.ended
    assert num_tasks < 60
    notes = summarise(tmp_path / "run").notes
    assert any("do not know of the stop" in note for note in notes)


def test_an_evaluation_stopped_in_its_last_report_is_kept(tiny_model: Path, tmp_path: Path) -> None:
    def stop(report: EvalReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_evaluation(tiny_recipe(tiny_model), tmp_path / "run", resume=False, on_progress=stop)
    assert len(remember(tmp_path / "run").rollouts) == 6
