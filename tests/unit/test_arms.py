"""Control arms by name: what each sets, that nothing undoes it unseen, and what it says."""

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from proofloop.core.errors import ConfigError, RunError
from proofloop.core.task import Split, Stratum
from proofloop.measure.arms import WORDS, Arm, arms_of
from proofloop.measure.data import ReportData
from proofloop.measure.outcomes import Outcomes
from proofloop.measure.report import compare_runs, render_report
from proofloop.measure.summary import arm_says, beside_says, summary_of
from proofloop.runs.arms import control_recipe
from proofloop.runs.checks import load_recipe
from proofloop.runs.config import dump_toml, load_run_config
from proofloop.runs.recipe import Init, Recipe
from proofloop.runs.seeds import sample_seed
from proofloop.store import Phase
from proofloop.train.config import LossKind, Method
from proofloop.train.crew import Assignment

WITH_FEEDBACK = ["train.seed=5", "feedback.arm=distil"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The recipe of a run, which is all that most arms need of one."""
    (tmp_path / "config.toml").write_text(dump_toml(load_recipe("quickstart", WITH_FEEDBACK)))
    return tmp_path


def changed(recipe: Recipe, base: Recipe) -> dict[str, object]:
    """The keys that differ."""
    tables, before = msgspec.to_builtins(recipe), msgspec.to_builtins(base)
    return {
        f"{section}.{key}": value
        for section, keys in tables.items()
        for key, value in keys.items()
        if before[section][key] != value
    }


@pytest.mark.parametrize(
    ("arm", "keys"),
    [
        (Arm.RANDOM, {"reward.control": "random"}),
        (Arm.FORMAT, {"reward.control": "format"}),
        (Arm.NAIVE, {"reward.control": "naive"}),
        (
            Arm.COPY,
            {"train.method": "copy", "train.num_steps": 1, "eval.later_seed": 1000},
        ),
        (Arm.SEED, {"train.seed": 1}),
        (Arm.ONE_EXAMPLE, {"train.num_tasks": 1}),
        (Arm.SCRATCH, {"model.init": "random"}),
        (Arm.SHUFFLED, {"feedback.control": "shuffled"}),
        (Arm.MASKED, {"feedback.control": "masked"}),
        (Arm.BARE, {"feedback.control": "bare"}),
    ],
)
def test_a_control_differs_from_its_recipe_by_these_keys_alone(
    arm: Arm, keys: dict[str, object]
) -> None:
    given = ["feedback.arm=retry"] if arm.endswith("-feedback") else []
    recipe = control_recipe(arm, "quickstart", given)
    assert changed(recipe, load_recipe("quickstart", given)) == keys
    assert arms_of(msgspec.to_builtins(recipe)) == (() if arm is Arm.SEED else (arm,))


def test_every_arm_takes_the_recipe_of_the_run_that_it_accompanies(run: Path) -> None:
    theirs = load_run_config(Recipe, run)
    for arm in Arm:
        keys = changed(control_recipe(arm, "ignored", of=run), theirs)
        assert keys.pop("control.of") == str(run)
        assert keys, arm
    sft = control_recipe(Arm.SFT, "ignored", of=run)
    assert (sft.train.method, sft.train.loss) == (Method.SFT, LossKind.LIKELIHOOD)
    assert sft.train.sft_from == str(run)
    assert control_recipe(Arm.SEED, "ignored", of=run).train.seed == 6
    assert arms_of(msgspec.to_builtins(control_recipe(Arm.SEED, "", of=run))) == (Arm.SEED,)


def test_settings_come_after_the_arm_and_may_shape_it() -> None:
    some = control_recipe(Arm.ONE_EXAMPLE, "quickstart", ["train.num_tasks=4"])
    assert some.train.num_tasks == 4
    assert control_recipe(Arm.SEED, "quickstart", ["train.seed=9"]).train.seed == 9
    copy = control_recipe(Arm.COPY, "quickstart", ["eval.seed=3"])
    assert (copy.eval.seed, copy.eval.later_seed) == (3, 1003)
    scratch = control_recipe(Arm.SCRATCH, "quickstart", ["model.init_seed=2"])
    assert (scratch.model.init, scratch.model.init_seed) == (Init.RANDOM, 2)


@pytest.mark.parametrize(
    ("arm", "overrides", "parts"),
    [
        (Arm.RANDOM, ["reward.control=none"], ["--control random", "undone by --set reward"]),
        (Arm.RANDOM, ["reward.control=format"], ["--control random", "undone"]),
        (Arm.SEED, ["train.seed=0"], ["--control seed", "undone"]),
        (Arm.ONE_EXAMPLE, ["train.num_tasks=0"], ["--control one-example", "undone"]),
        (Arm.COPY, ["eval.later_seed=0"], ["eval.later_seed", "same chances"]),
        (Arm.COPY, ["train.num_steps=5"], ["train.num_steps", "must be 1"]),
        (Arm.SFT, [], ["--control sft", "--of RUN"]),
        (Arm.BARE, [], ["--control bare-feedback", "feedback.arm = none"]),
        (Arm.SEED, ["train.loss=likelihood"], ["train.loss", "sft"]),
        (Arm.SEED, ["train.method=sft"], ["train.sft_from", "--control sft"]),
        (Arm.SEED, ["train.num_tasks=-1"], ["train.num_tasks", "negative"]),
        (Arm.SEED, ["eval.later_seed=-1"], ["eval.later_seed", "negative"]),
    ],
)
def test_what_does_not_go_together_is_refused(
    arm: Arm, overrides: list[str], parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as error:
        control_recipe(arm, "quickstart", overrides)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_what_is_no_run_or_no_training_by_reward_has_no_controls(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run directory"):
        control_recipe(Arm.RANDOM, "", of=tmp_path / "none")
    copy = control_recipe(Arm.COPY, "", of=run)
    (run / "config.toml").write_text(dump_toml(copy))
    for arm in Arm:
        with pytest.raises(ConfigError, match="does not train by reward"):
            control_recipe(arm, "", of=run)


def test_a_control_of_a_control_keeps_no_idle_keys(run: Path) -> None:
    control = ["reward.control=random", "train.num_tasks=2", "feedback.control=bare"]
    placebo = load_recipe("quickstart", [*control, "feedback.arm=retry"])
    (run / "config.toml").write_text(dump_toml(placebo))
    for arm in (Arm.SFT, Arm.COPY):
        recipe = control_recipe(arm, "", of=run)
        assert (recipe.reward.control, recipe.train.num_tasks) == ("none", 0)
        assert arms_of(msgspec.to_builtins(recipe)) == (arm,)
    again = msgspec.to_builtins(control_recipe(Arm.SEED, "", of=run))
    assert arms_of(again) == (Arm.RANDOM, Arm.ONE_EXAMPLE, Arm.BARE)


def place(phase: Phase, step: int, chances: int = 0) -> Assignment:
    stratum = Stratum(family="int", complexity=1, horizon=1)
    split = Split.TRAIN if phase is Phase.TRAIN else Split.HELDOUT
    return Assignment(
        phase=phase,
        step=step,
        slot=2,
        split=split,
        stratum=stratum,
        index=7,
        num_samples=1,
        chances=chances,
    )


def test_evaluations_meet_the_chances_of_their_seed() -> None:
    def seed(step: int, chances: int = 0) -> int:
        return sample_seed(3, place(Phase.EVAL, step, chances), 0)

    # Of "eval int-c1-h1 7 0", as before there was a seed; recorded runs stay comparable.
    assert seed(0) == seed(2) == 7726290139633772251
    assert seed(0, 4) == seed(2, 4) != seed(0)
    trained = [sample_seed(3, place(Phase.TRAIN, 1, chances), 0) for chances in (0, 4)]
    assert trained[0] == trained[1]


def outcomes(rate: float, *, seed: int) -> Outcomes:
    passed = np.random.default_rng(seed).binomial(32, rate, 60)
    return Outcomes(
        task_ids=tuple(f"t{i:02d}" for i in range(60)),
        strata=(Stratum(family="int", complexity=1, horizon=1),) * 60,
        num_samples=np.full(60, 32),
        num_passed=passed,
        num_unscored=np.zeros(60, np.int64),
    )


def data(*arms: Arm, rate: float = 0.3, name: str = "run", num_tasks: int = 0) -> ReportData:
    return ReportData(
        name=name,
        env="functions",
        arms=arms,
        num_train_tasks=num_tasks,
        num_steps_planned=1,
        num_steps_done=1,
        base=outcomes(0.3, seed=1),
        trained=outcomes(rate, seed=2),
    )


def test_every_arm_says_what_it_lacks_and_what_came_of_it() -> None:
    assert set(WORDS) == set(Arm)
    assert arm_says(data()) == ""
    for arm in Arm:
        says = arm_says(data(arm, num_tasks=1))
        assert says.startswith("Control arm: ")
        assert WORDS[arm].then in says
        assert "in pass@1, points: " in says
        html = render_report([data(arm, num_tasks=1)])
        assert '<p class="note control"><strong>Control arm: ' in html
    assert '<p class="note control">' not in render_report([data()])


def test_a_null_that_gains_is_not_passed_over() -> None:
    for arm in (Arm.RANDOM, Arm.COPY):
        assert "as it must" in arm_says(data(arm, rate=0.3))
        gained = arm_says(data(arm, rate=0.45))
        assert "as it must" not in gained
        assert "it should not" in gained
    assert "should not" not in arm_says(data(Arm.FORMAT, rate=0.45))


def test_a_copy_is_nowhere_called_trained() -> None:
    summary = summary_of(data(Arm.COPY))
    assert summary.second_label == "base again"
    assert summary.says.split(". ")[-1].startswith("Difference in pass@1")
    assert 'data-label="base again"' in render_report([data(Arm.COPY)])
    assert summary_of(data(Arm.RANDOM)).second_label == "trained"


def test_the_number_of_tasks_is_said() -> None:
    assert "one training task." in arm_says(data(Arm.ONE_EXAMPLE, num_tasks=1))
    assert "4 training tasks." in arm_says(data(Arm.ONE_EXAMPLE, num_tasks=4))
    controls = [data(Arm.ONE_EXAMPLE, num_tasks=n).control for n in (1, 4)]
    assert controls == ["one-example", "4-examples"]
    assert data(Arm.SEED).control == data().control == "none"  # to be pooled
    assert data(Arm.SFT, Arm.SCRATCH).control == "sft+scratch"


def test_before_the_last_measurement_there_is_no_figure() -> None:
    unfinished = unmeasured(data(Arm.RANDOM))
    assert arm_says(unfinished).endswith(WORDS[Arm.RANDOM].then)
    assert beside_says(unfinished, data()) == beside_says(data(Arm.RANDOM), unfinished) == ""


def unmeasured(whole: ReportData) -> ReportData:
    """Without the last measurement."""
    return ReportData(name=whole.name, arms=whole.arms, num_steps_planned=1, base=whole.base)


def test_a_control_is_set_beside_its_run() -> None:
    control, treatment = data(Arm.RANDOM, rate=0.3), data(rate=0.6, name="real")
    line = beside_says(control, treatment)
    row = compare_runs([control, treatment])[1]
    assert row.gain is not None
    assert row.over_main is not None
    assert f"real: gain in pass@1, points: {100 * row.gain.value:+.1f} [" in line
    assert f"this control's: {100 * row.over_main.value:+.1f} [" in line
    assert not math.isclose(row.gain.value, row.over_main.value)
