"""Presets in recipes: what they fill in, what wins over them, what does not go together."""

from pathlib import Path

import msgspec
import pytest

from proofloop.core.errors import ConfigError
from proofloop.measure.arms import Arm
from proofloop.runs.arms import control_recipe
from proofloop.runs.checks import load_recipe
from proofloop.runs.config import dump_toml, load_config, load_run_config
from proofloop.runs.recipe import Recipe, objective_of
from proofloop.runs.recipe_train import TrainConfig
from proofloop.train.algorithms import ALGORITHMS
from proofloop.train.config import Algorithm, Correction, KlEstimator, LossKind
from proofloop.train.objective import Objective


@pytest.mark.parametrize("name", list(Algorithm))
def test_every_preset_loads_by_one_line_and_the_run_says_all_its_keys(
    name: Algorithm, tmp_path: Path
) -> None:
    recipe = load_recipe("quickstart", [f"train.algorithm={name}"])
    train = msgspec.to_builtins(recipe.train)
    assert train["algorithm"] == name
    assert {key: train[key] for key in ALGORITHMS[name]} == dict(ALGORITHMS[name])
    written = dump_toml(recipe)
    assert all(f"\n{key} = " in written for key in ALGORITHMS[name])
    (tmp_path / "config.toml").write_text(written)
    assert load_run_config(Recipe, tmp_path) == recipe


def test_the_defaults_need_no_name_and_are_the_preset_proofloop() -> None:
    named = load_recipe("quickstart", ["train.algorithm=proofloop"])
    unnamed = load_recipe("quickstart")
    assert unnamed.train.algorithm is None
    assert msgspec.structs.replace(named.train, algorithm=None) == unnamed.train
    assert objective_of(Recipe()) == Objective()


def test_a_key_that_is_set_wins_wherever_it_is_set(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[train]\nkl_weight = 0.0\nalgorithm = "grpo"\n')
    recipe = load_config(Recipe, str(path), ["train.clip_high=0.3"])
    assert (recipe.train.kl_weight, recipe.train.clip_high) == (0.0, 0.3)
    assert recipe.train.kl_estimator is KlEstimator.K3, "the rest is the preset's"
    other = load_config(Recipe, str(path), ["train.algorithm=dapo"])
    assert (other.train.algorithm, other.train.refill) == (Algorithm.DAPO, 10)
    assert other.train.kl_estimator is KlEstimator.K2, "of the last preset alone"


def test_a_preset_that_nobody_knows_is_an_error_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"^train\.algorithm: .*'grop'.*--set"):
        load_config(Recipe, None, ["train.algorithm=grop"])


def test_the_old_name_of_a_loss_says_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text('[train]\nloss = "clip_higher"\n')
    with pytest.raises(ConfigError) as error:
        load_config(Recipe, str(path))
    assert str(error.value) == f"train.loss: clip_higher (in {path}) is now called clip"


def test_presets_name_keys_that_exist_and_only_such_as_can_be_written_out() -> None:
    fields = {f.name: f for f in msgspec.structs.fields(TrainConfig)}
    for keys in ALGORITHMS.values():
        assert keys.keys() <= fields.keys() - {"algorithm"}
        assert all(fields[key].default is not None for key in keys)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.clip_low=0"], "train.clip_low: 0.0 must be above 0"),
        (["train.loss=clip", "train.clip_low=1"], "train.clip_low: 1.0 must be below 1"),
        (["train.clip_high=inf"], "train.clip_high: inf must be above 0"),
        (["train.dual_clip=0.5"], "train.dual_clip: 0.5 must be above 1, or 0"),
        (["train.cispo_cap=nan"], "train.cispo_cap: nan must be above 0"),
        (["train.kl_weight=-1"], "train.kl_weight: -1.0 must not be negative"),
        (["train.refill=-1"], "train.refill: -1 must not be negative"),
        (["train.sequence_low=1.1"], "train.sequence_high: train.sequence_low = 1.1 to 1.01"),
        (["train.icepop_high=0.9"], "train.icepop_high: train.icepop_low = 0.5 to 0.9"),
        (
            ["train.kl_weight=0.1", "train.kl_estimator=k1"],
            "train.kl_estimator: k1 does not go with train.kl_in = loss",
        ),
        (["train.refill=1", "train.ties=keep"], "train.refill: 1 does not go with train.ties"),
        (["train.loss=likelihood"], "train.loss: likelihood is for train.method = sft"),
        (["train.method=sft", "train.sft_from=x"], "train.loss: cispo does not go with"),
        (["train.method=distil"], "train.teacher: none does not go with train.method = distil"),
        (["train.teacher=pico"], "train.teacher: pico does not go with train.method = rl"),
        (
            ["train.method=distil", "train.teacher=pico", "train.refill=2"],
            "train.refill: 2 does not go with train.method = distil",
        ),
        (["curriculum.max_pass_rate=1.5"], "curriculum.max_pass_rate: 1.5 must be at most 1"),
        (["curriculum.max_pass_rate=0.9"], "curriculum.max_pass_rate: 0.9 retires tasks, but"),
        (
            ["feedback.arm=distil", "train.ties=keep"],
            "feedback.arm: distil teaches every rollout of every group",
        ),
        (
            ["train.baseline=none", "train.advantage_scale=group"],
            "train.advantage_scale: group does not go with train.baseline = none",
        ),
    ],
)
def test_what_does_not_go_together_is_said_when_the_recipe_is_loaded(
    overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load_recipe("quickstart", overrides)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_tasks_are_retired_where_they_repeat() -> None:
    overrides = ["curriculum.max_pass_rate=0.9", "train.num_tasks=50"]
    assert load_recipe("quickstart", overrides).curriculum.max_pass_rate == 0.9


def test_controls_without_samples_take_none_of_what_samples_are_for(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[train]\nalgorithm = "dapo"\nkl_weight = 0.1\ncorrection = "token"\n')
    copy = control_recipe(Arm.COPY, str(path)).train
    assert (copy.refill, copy.kl_weight, copy.correction) == (0, 0, Correction.NONE)
    assert copy.loss is LossKind.CLIP, "what is never used may stay as it is"
    other_seed = control_recipe(Arm.SEED, str(path)).train
    assert (other_seed.refill, other_seed.kl_weight) == (10, 0.1)


@pytest.mark.parametrize("arm", [Arm.COPY, Arm.RANDOM])
def test_controls_of_ppo_and_of_a_learned_reward_lack_these(arm: Arm, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[train]\nalgorithm = "ppo"\n[reward]\nmodel = "runs/rm"\n')
    recipe = control_recipe(arm, str(path))
    assert recipe.reward.model is None
    assert recipe.train.baseline == ("group" if arm is Arm.COPY else "value")
