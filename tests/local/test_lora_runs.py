"""Runs that train adapters: only these move, sampler and trainer agree, a stop changes nothing."""

import json
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import StopAfter, ignore, remember, tiny_recipe

from proofloop.core.errors import ConfigError, ModelError
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.config import TARGETS
from proofloop.engine.models.peft import merge_adapter, read_adapter_config
from proofloop.engine.models.weights import flatten, sha256
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.checks import check_recipe
from proofloop.runs.evaluation import run_evaluation
from proofloop.runs.recipe import LoraRecipe, ModelConfig, Recipe, SaveDtype
from proofloop.runs.training import run_training
from proofloop.store import RunStore
from proofloop.train.config import FeedbackArm, FeedbackConfig


def lora_recipe(model: Path, *, adapter: Path | None = None, rank: int = 4) -> Recipe:
    recipe = tiny_recipe(model, updates_per_step=2, learning_rate=2e-3, workers=2)
    return msgspec.structs.replace(
        recipe,
        model=ModelConfig(path=str(model), adapter=None if adapter is None else str(adapter)),
        lora=LoraRecipe(rank=rank, alpha=8.0),
        eval=msgspec.structs.replace(recipe.eval, every=0),
    )


@pytest.fixture(scope="module", name="trained")
def _trained(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("lora") / "run"
    run_training(lora_recipe(tiny_model), run, resume=False, on_progress=ignore)
    return run


def test_only_the_adapters_train(trained: Path, tiny_model: Path) -> None:
    """Each step moved the weights that the engine reports; embedding and norms are the base's."""
    with RunStore.read(trained) as store:
        hashes = [store.weights_sha256(step) for step in (1, 2, 3)]
    assert len(set(hashes)) == 3
    before, after = load_model(tiny_model), load_model(trained / "model")
    assert sha256(flatten(load_model(trained / "model"))) == hashes[-1]
    for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True):
        adapted = any(target in name for target in TARGETS)
        assert torch.equal(old, new) is not adapted, name
        if adapted:
            assert torch.linalg.matrix_rank(new - old, rtol=1e-4) <= 4, name


def test_the_adapter_beside_the_model_is_what_was_merged(trained: Path, tiny_model: Path) -> None:
    model = load_model(tiny_model)
    merge_adapter(model, trained / "adapter")
    assert sha256(flatten(model)) == sha256(flatten(load_model(trained / "model")))
    settings = json.loads((trained / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == str(tiny_model.resolve())
    assert settings["r"] == 4
    stops = json.loads((trained / "model" / "generation_config.json").read_text())["eos_token_id"]
    assert stops == ChatTokenizer.load(tiny_model).stop_ids[0]


@pytest.mark.slow
def test_a_stopped_run_goes_on_as_if_it_had_not(
    trained: Path, tiny_model: Path, tmp_path: Path
) -> None:
    recipe = lora_recipe(tiny_model)
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, tmp_path / "run", resume=False, on_progress=StopAfter(2))
    run_training(recipe, tmp_path / "run", resume=True, on_progress=ignore)
    assert remember(tmp_path / "run") == remember(trained)
    pair = [load_file(r / "adapter/adapter_model.safetensors") for r in (tmp_path / "run", trained)]
    assert all(torch.equal(pair[0][name], pair[1][name]) for name in pair[1])


@pytest.mark.slow
def test_an_adapter_is_evaluated_and_trained_on(
    trained: Path, tiny_model: Path, tmp_path: Path
) -> None:
    adapter = trained / "adapter"
    plain = msgspec.structs.replace(lora_recipe(tiny_model, adapter=adapter), lora=LoraRecipe())
    run_evaluation(plain, tmp_path / "eval", resume=False, on_progress=ignore)  # type: ignore[arg-type]
    with RunStore.read(tmp_path / "eval") as store, RunStore.read(trained) as source:
        policies = {
            judged.rollout.turns[0].completion.policy.sha256
            for row in store.iter_rollouts()
            for judged in [store.load_rollout(row.id).judged]
        }
        assert policies == {source.weights_sha256(3)}
    on = lora_recipe(tiny_model, adapter=adapter)
    on = msgspec.structs.replace(
        on,
        model=msgspec.structs.replace(on.model, save_dtype=SaveDtype.BFLOAT16),
        train=msgspec.structs.replace(on.train, num_steps=1),
    )
    run_training(on, tmp_path / "on", resume=False, on_progress=ignore)
    assert read_adapter_config(tmp_path / "on" / "adapter") == read_adapter_config(adapter)
    saved = load_file(tmp_path / "on" / "model" / "model.safetensors")
    assert {t.dtype for t in saved.values()} == {torch.bfloat16}


def test_what_does_not_go_together_is_refused(trained: Path, tiny_model: Path) -> None:
    out = trained.parent / "never"
    with pytest.raises(ConfigError, match=r"rank 4, alpha 8 .* set lora\.rank"):
        run_training(
            lora_recipe(tiny_model, adapter=trained / "adapter", rank=2),
            out, resume=False, on_progress=ignore,
        )  # fmt: skip
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        run_training(
            lora_recipe(tiny_model, adapter=tiny_model), out, resume=False, on_progress=ignore
        )
    assert not out.exists()
    recipe = tiny_recipe(tiny_model)
    for lora, message in (
        (LoraRecipe(rank=-1), r"lora\.rank: -1 must not be negative"),
        (LoraRecipe(rank=1, alpha=0.0), r"lora\.alpha: 0\.0 must be above 0"),
        (LoraRecipe(targets=("q_prj",)), r"lora\.targets: 'q_prj'; did you mean 'q_proj'"),
        (LoraRecipe(targets=()), r"lora\.targets: names no layer"),
    ):
        with pytest.raises(ConfigError, match=message):
            check_recipe(msgspec.structs.replace(recipe, lora=lora))


def test_a_template_that_changes_earlier_turns_stops_a_run_of_several(
    tiny_model: Path, tmp_path: Path
) -> None:
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    trims = settings["chat_template"].replace("m['content']", "m['content'] | trim")
    (tmp_path / "chat_template.jinja").write_text(trims)
    recipe = tiny_recipe(tmp_path)
    several = msgspec.structs.replace(recipe, feedback=FeedbackConfig(arm=FeedbackArm.RETRY))
    with pytest.raises(ModelError, match=r"trims the blanks .*feedback\.any_template = true"):
        run_training(several, tmp_path / "run", resume=False, on_progress=ignore)
    assert not (tmp_path / "run").exists()
    anyway = msgspec.structs.replace(several.feedback, any_template=True)
    several = msgspec.structs.replace(
        several,
        feedback=anyway,
        train=msgspec.structs.replace(several.train, num_steps=1),
        eval=msgspec.structs.replace(several.eval, every=0),
    )
    run_training(several, tmp_path / "run", resume=False, on_progress=ignore)
    assert (tmp_path / "run" / "model" / "chat_template.jinja").read_text() == trims
