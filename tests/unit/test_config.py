"""Loading of recipes: overrides, messages, renamed keys, and the way back to TOML."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proofloop.core.errors import ConfigError, RunError
from proofloop.core.record import Record
from proofloop.core.verdict import Tier
from proofloop.runs.checks import check_recipe, load_recipe
from proofloop.runs.config import (
    dump_toml,
    keys_of,
    load_config,
    load_run_config,
    shipped_recipes,
)
from proofloop.runs.recipe import Control, Recipe


def kind_of(name: str) -> type[Record]:
    if not name.startswith("pretrain-"):
        return Recipe
    from proofloop.runs.pretraining import PretrainRecipe

    return PretrainRecipe


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_survives_the_way_through_toml(
    name: str, tmp_path: Path
) -> None:
    kind = kind_of(name)
    recipe = load_config(kind, name)
    if isinstance(recipe, Recipe):
        check_recipe(recipe)
    (tmp_path / "config.toml").write_text(dump_toml(recipe))
    assert load_run_config(kind, tmp_path) == recipe


def test_no_source_gives_the_defaults() -> None:
    assert load_config(Recipe) == Recipe()


def test_overrides_are_toml_values_and_fall_back_to_text() -> None:
    recipe = load_config(
        Recipe,
        None,
        [
            "train.num_steps=7",
            "train.learning_rate = 1e-3",
            "env.complexity=[2, 3]",
            "env.horizon=2",
            'env.name="humaneval"',
            "env.data=some dir/a=b.jsonl",
            "model.path=2024",
            "reward.control=random",
            "sandbox.tier=T0",
        ],
    )
    assert recipe.train.num_steps == 7
    assert recipe.train.learning_rate == 1e-3
    assert recipe.env.complexity == (2, 3)
    assert recipe.env.horizon == 2
    assert recipe.env.name == "humaneval"
    assert recipe.env.data == "some dir/a=b.jsonl"
    assert recipe.model.path == "2024"
    assert recipe.reward.control is Control.RANDOM
    assert recipe.sandbox.tier is Tier.T0


def test_later_overrides_win_over_earlier_ones_and_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[train]\nseed = 1\nnum_steps = 5\n")
    recipe = load_config(Recipe, str(path), ["train.seed=2", "train.seed=3"])
    assert (recipe.train.seed, recipe.train.num_steps) == (3, 5)


def test_none_unsets_what_may_be_unset() -> None:
    recipe = load_config(Recipe, None, ["sandbox.tier=T0", "sandbox.tier=none"])
    assert recipe.sandbox.tier is None
    with pytest.raises(ConfigError, match=r"^train\.seed: expected int, got null"):
        load_config(Recipe, None, ["train.seed=none"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "train.num_step=3",
            "unknown key 'train.num_step' in --set train.num_step=3; "
            "did you mean 'train.num_steps'?",
        ),
        (
            "trian.seed=3",
            "unknown key 'trian.seed' in --set trian.seed=3; did you mean 'train.seed'?",
        ),
        (
            "complexity=3",
            "unknown key 'complexity' in --set complexity=3; did you mean 'env.complexity'?",
        ),
        (
            "train.seed.low=3",
            "unknown key 'train.seed.low' in --set train.seed.low=3; did you mean 'train.seed'?",
        ),
        ("train.seed=x", "train.seed: expected int, got str (in --set train.seed=x)"),
        (
            "env.complexity=[1,'a']",
            "env.complexity: expected int, got str, at [1] (in --set env.complexity=[1,'a'])",
        ),
        (
            "reward.control=rnd",
            "reward.control: Invalid enum value 'rnd' (in --set reward.control=rnd); known: none, "
            "random, format, naive",
        ),
        ("train.seed", "--set train.seed: expected key=value, for example train.num_steps=50"),
    ],
)
def test_a_wrong_override_is_one_clear_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Recipe, None, [override])
    assert str(caught.value) == message


def test_a_section_is_not_a_value() -> None:
    with pytest.raises(ConfigError, match=r"^model is a section, not a value .*model\.path"):
        load_config(Recipe, None, ["model=pico"])


def test_a_wrong_key_of_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[sampling]\nmax_token = 3\n")
    with pytest.raises(ConfigError) as caught:
        load_config(Recipe, str(path))
    assert str(caught.value) == (
        f"unknown key 'sampling.max_token' in {path}; did you mean 'sampling.max_tokens'?"
    )


def test_broken_toml_names_the_file_and_the_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[train]\nseed = \n")
    with pytest.raises(ConfigError, match=r"mine\.toml: not valid TOML.*line 2"):
        load_config(Recipe, str(path))


def test_an_unknown_recipe_name_suggests_a_shipped_one() -> None:
    with pytest.raises(ConfigError, match=r"'quickstrat': no such file.*did you mean 'quickstart'"):
        load_config(Recipe, "quickstrat")


@pytest.mark.parametrize("by_file", [True, False])
def test_a_renamed_key_fails_with_its_new_name(by_file: bool, tmp_path: Path) -> None:
    path = tmp_path / "old.toml"
    path.write_text("[optim]\nlr = 0.1\n" if by_file else "")
    overrides = [] if by_file else ["optim.lr=0.1"]
    with pytest.raises(ConfigError, match=r"^optim\.lr \(in .*is now called train\.learning_rate"):
        load_config(Recipe, str(path), overrides, renamed={"optim.lr": "train.learning_rate"})


@pytest.mark.parametrize(
    "override",
    [
        "train.num_steps=0",
        "train.samples_per_task=1",
        "sampling.temperature=0",
        "train.learning_rate=-1.0",
        "train.learning_rate=nan",
        "train.grad_clip=inf",
        "train.seed=-1",
        "env.complexity=99",
        "env.complexity=[]",
        "env.families=['ints']",
        "env.name=functoins",
        "env.name=humaneval",
        "env.data=x.jsonl",
    ],
)
def test_values_that_no_run_can_use_fail_when_loaded(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_recipe(None, [override])
    assert override.partition("=")[0].split(".")[0] in str(caught.value)


def test_every_key_is_reachable_and_known_by_its_full_path() -> None:
    paths = [path for path, _, _ in keys_of(Recipe)]
    assert {"train.num_steps", "train.seed", "train.workers", "reward.control", "env.name"} <= {
        *paths
    }
    assert {"env.complexity", "env.horizon", "model.path", "sampling.max_tokens"} <= {*paths}
    assert len(paths) == len(set(paths))


def test_a_directory_that_is_no_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"not a run directory"):
        load_run_config(Recipe, tmp_path)
    (tmp_path / "config.toml").write_text("[train\n")
    with pytest.raises(RunError, match=r"damaged"):
        load_run_config(Recipe, tmp_path)


class Inner(Record):
    text: str
    number: float
    flag: bool
    words: tuple[str, ...]
    maybe: int | None = None


class Outer(Record):
    inner: Inner


@given(
    st.builds(
        Inner,
        text=st.text(st.characters(exclude_categories=["Cs"])),
        number=st.floats(allow_nan=False),
        flag=st.booleans(),
        words=st.lists(st.text(st.characters(exclude_categories=["Cs"]))).map(tuple),
        maybe=st.none() | st.integers(-(2**63), 2**63 - 1),
    )
)
def test_whatever_a_recipe_holds_comes_back_from_toml(inner: Inner) -> None:
    import tomllib

    import msgspec

    outer = Outer(inner=inner)
    assert msgspec.convert(tomllib.loads(dump_toml(outer)), Outer) == outer
