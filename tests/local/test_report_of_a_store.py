"""The report and the summary of runs that a real store recorded, whole and interrupted."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from proofloop.core.completion import Completion, PolicyVersion, SamplingParams, StopReason
from proofloop.core.errors import RunError, UserError
from proofloop.core.rollout import Group, Judged, Rollout, Turn
from proofloop.core.task import Message, Split, Stratum, Task, TaskId
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause, Verdict
from proofloop.measure.peek import Role, peek_of
from proofloop.measure.read import read_run
from proofloop.measure.report import write_report
from proofloop.measure.summary import summarise
from proofloop.store import Draw, Phase, RecordedGroup, RunStore, rollout_id

NUM_STEPS = 2
CONFIG = f"""[train]
num_steps = {NUM_STEPS}

[env]
name = "functions"

[reward]
control = "none"
"""


def task(number: int) -> Task:
    return Task(
        id=TaskId(f"functions/heldout/{number}@ab"),
        env="functions",
        split=Split.HELDOUT,
        stratum=Stratum(family="int", complexity=1 + number % 2, horizon=1),
        messages=(Message(role="user", content=f"assert f({number}) == {number + 1}"),),
    )


def verdict(kind: str) -> Verdict:
    if kind == "lost":
        return Unscored(cause=UnscoredCause.SANDBOX_LOST, detail="", tier=Tier.T1)
    cause = ScoredCause.PASSED if kind == "pass" else ScoredCause.WRONG_ANSWER
    return Scored(
        reward=float(kind == "pass"),
        passed=kind == "pass",
        cause=cause,
        parts={"tests_passed": 1.0},
        detail="1 of 1",
        tier=Tier.T1,
    )


def group(phase: Phase, step: int, slot: int, kinds: list[str]) -> RecordedGroup:
    attempts = tuple(
        Judged(
            rollout=Rollout(
                id=rollout_id(phase, step, slot, sample),
                task_id=task(slot).id,
                turns=(
                    Turn(
                        context=(1, 2),
                        completion=Completion(
                            tokens=(3, 0),
                            logprobs=(-0.5, -0.1),
                            entropies=(0.4, 0.2),
                            stop_reason=StopReason.STOP,
                            seed=sample,
                            sampling=SamplingParams(),
                            policy=PolicyVersion(step=step, sha256="00"),
                        ),
                    ),
                ),
                answer=f"def f(x): return {kind!r} < {sample}",
            ),
            verdict=verdict(kind),
        )
        for sample, kind in enumerate(kinds)
    )
    return RecordedGroup(
        slot=slot, task=task(slot), group=Group(task_id=task(slot).id, attempts=attempts)
    )


def evaluate(store: RunStore, step: int, num_passed: int, num_samples: int = 4) -> None:
    kinds = ["pass"] * num_passed + ["fail"] * (num_samples - num_passed)
    record_evaluation(store, step, [group(Phase.EVAL, step, slot, kinds) for slot in range(6)])


def record_evaluation(store: RunStore, step: int, groups: list[RecordedGroup]) -> None:
    draws = [
        Draw(slot=g.slot, task_id=g.task.id, stratum=g.task.stratum, index=g.slot) for g in groups
    ]
    store.begin_evaluation(step, draws, num_samples=len(groups[0].group.attempts))
    store.record_rollouts(Phase.EVAL, step, groups)
    store.end_evaluation(step, "all tasks")


def train(store: RunStore, step: int) -> None:
    stratum = task(0).stratum
    store.record_draws(
        Phase.TRAIN, step, [Draw(slot=0, task_id=task(0).id, stratum=stratum, index=0)]
    )
    kinds = ["pass", "fail", "fail", "lost"]
    store.record_rollouts(Phase.TRAIN, step, [group(Phase.TRAIN, step, 0, kinds)])
    metrics = {"reward_mean": 0.3 + step, "entropy_mean": float("nan"), "step_s": 1.5}
    store.record_step(step, metrics=metrics, weights_sha256=f"{step:064x}", wall_s=1.5)


def record(run_dir: Path, *, num_steps: int) -> Path:
    """A run that was stopped after `num_steps` steps; the last one brings the final evaluation."""
    with RunStore.create(run_dir) as store:
        (run_dir / "config.toml").write_text(CONFIG)
        evaluate(store, 0, num_passed=1)
        for step in range(1, num_steps + 1):
            train(store, step)
            final = step == NUM_STEPS
            evaluate(store, step, num_passed=3 if final else 1, num_samples=4 if final else 2)
    return run_dir


def test_a_whole_run_is_summarised_and_reported(tmp_path: Path):
    run_dir = record(tmp_path / "run", num_steps=NUM_STEPS)
    summary = summarise(run_dir)
    first = summary.pass_at_k[0]
    assert first.difference is not None
    assert (first.k, first.difference.value, first.difference.num_tasks) == (1, 0.5, 6)
    assert (summary.num_tasks, summary.num_samples, summary.env) == (6, 4, "functions")

    path = write_report(run_dir)
    assert path == run_dir / "report.html"
    html = path.read_text()
    assert "+50.0" in html
    assert "assert f(0) == 1" in html
    assert "def f(x): return &#39;pass&#39; &lt; 0" in html
    assert "2 of 8 in training" in html
    assert "num_steps = 2" in html
    figures = {f.name for f in (run_dir / "figures").iterdir()}
    assert {"pass-k-base-and-trained.svg", "pass-k-base-and-trained.csv"} <= figures
    text = (run_dir / "figures" / "pass-k-base-and-trained.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    first = [float(row["mean"]) for row in rows if row["k"] == "1"]
    assert first == [0.25, 0.75]


def test_the_store_is_read_as_it_was_recorded(tmp_path: Path):
    data = read_run(record(tmp_path / "run", num_steps=NUM_STEPS))
    assert data.metrics["reward_mean"].values == (1.3, 2.3)
    assert data.metrics["entropy_mean"].steps == ()  # NaN: nothing was measured
    assert data.causes["unscored, sandbox_lost"].values == (1.0, 1.0)
    assert data.causes["wrong_answer"].values == (2.0, 2.0)
    assert [example.cause for example in data.examples[:2]] == ["passed", "wrong_answer"]
    assert len({example.task_id for example in data.examples}) == 5


def test_the_heldout_line_is_over_the_tasks_that_every_evaluation_attempted(tmp_path: Path):
    run_dir = record(tmp_path / "run", num_steps=1)
    with RunStore.open(run_dir) as store:
        two = [group(Phase.EVAL, 2, slot, ["pass", "pass", "fail", "lost"]) for slot in (0, 1)]
        record_evaluation(store, 2, two)
    heldout = read_run(run_dir).metrics["pass_share_heldout"]
    assert heldout.steps == (0, 1, 2)
    assert heldout.values == (0.25, 0.5, pytest.approx(2 / 3))


def test_an_interrupted_run_has_no_result_but_a_report(tmp_path: Path):
    """The evaluation after step 1 is one on the way, with fewer samples: not the result."""
    run_dir = record(tmp_path / "run", num_steps=1)
    summary = summarise(run_dir)
    assert summary.pass_at_k[0].trained is None
    assert any("step 1 of 2" in note for note in summary.notes)
    assert "nothing can be said of a gain yet" in write_report(run_dir).read_text()


def test_a_run_that_only_just_began_and_one_without_its_recipe(tmp_path: Path):
    with RunStore.create(tmp_path / "fresh"):
        pass
    assert "No held-out evaluation" in write_report(tmp_path / "fresh").read_text()
    run_dir = record(tmp_path / "run", num_steps=NUM_STEPS)
    (run_dir / "config.toml").unlink()
    assert summarise(run_dir).pass_at_k[0].trained is not None


def test_several_runs_make_one_page(tmp_path: Path):
    runs = [record(tmp_path / name, num_steps=NUM_STEPS) for name in ("one", "two")]
    path = write_report(runs, tmp_path / "both.html")
    html = path.read_text()
    assert "Runs side by side" in html
    assert "2 runs that share" in html


def test_what_a_user_can_mend_is_said_in_one_line(tmp_path: Path):
    with pytest.raises(RunError, match="not a run directory"):
        write_report(tmp_path)
    run_dir = record(tmp_path / "run", num_steps=1)
    with pytest.raises(UserError, match="cannot be written"):
        write_report(run_dir, tmp_path / "missing" / "report.html")
    (run_dir / "config.toml").write_text("[train\n")
    with pytest.raises(RunError, match=r"config\.toml: not readable as TOML"):
        summarise(run_dir)


def test_peek_shows_a_stored_rollout_in_the_order_the_policy_saw_it(tmp_path: Path):
    with RunStore.read(record(tmp_path / "run", num_steps=1)) as store:
        recorded = store.load_rollout("train-1-0-0")
    peek = peek_of(recorded, "#{}".format, advantage=0.75, trainer_logprobs=(-0.5, -0.25))
    assert [(row.token, row.text, row.role, row.trained) for row in peek.tokens] == [
        (1, "#1", Role.CONTEXT, False),
        (2, "#2", Role.CONTEXT, False),
        (3, "#3", Role.SAMPLED, True),
        (0, "#0", Role.SAMPLED, True),
    ]
    assert [row.gap for row in peek.tokens] == [None, None, 0.0, pytest.approx(0.15)]
    assert (peek.verdict, peek.reward, peek.num_trained) == ("passed", 1.0, 2)
    assert peek_of(recorded, str, advantage=None).num_trained == 0
    with pytest.raises(ValueError, match="1 log-probabilities for 2 tokens"):
        peek_of(recorded, str, advantage=None, trainer_logprobs=(-0.5,))


def test_importing_measure_loads_neither_torch_nor_matplotlib():
    """The command line must answer at once; figures are drawn when they are asked for."""
    code = (
        "import sys, proofloop.measure.report, proofloop.measure.summary, proofloop.measure.peek;"
        "print(sorted({'torch', 'matplotlib'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.stdout.strip(), result.returncode) == ("[]", 0), result.stderr
