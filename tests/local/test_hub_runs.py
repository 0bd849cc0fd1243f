"""A run over a network of Transformers, from the base's measurement to the saved model."""

from pathlib import Path

import msgspec
import pytest
from tiny_runs import ignore, tiny_recipe

from proofloop.engine.models.checkpoint import copy_tokenizer
from proofloop.engine.models.config import Backend
from proofloop.engine.models.networks import load_network
from proofloop.engine.models.weights import flatten, sha256
from proofloop.runs.training import run_training
from proofloop.store import RunStore

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_gpt2_is_trained_and_resumed_like_any_other(tiny_model: Path, tmp_path: Path) -> None:
    keys = {"vocab_size": 320, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 512}
    config = transformers.GPT2Config(**keys, bos_token_id=None, eos_token_id=None)
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "gpt2")
    copy_tokenizer(tiny_model, tmp_path / "gpt2")
    recipe = tiny_recipe(tmp_path / "gpt2", num_steps=2, learning_rate=1e-2)
    model = msgspec.structs.replace(recipe.model, backend=Backend.TRANSFORMERS)
    recipe = msgspec.structs.replace(recipe, model=model)
    run_training(recipe, tmp_path / "r", resume=False, on_progress=ignore)
    with RunStore.read(tmp_path / "r") as store:
        gaps = [gap for _, gap in store.metrics("logprob_gap_max")]
        assert store.last_step() == 2
    assert len(gaps) == 2
    assert max(gaps) < 1e-4
    before = load_network(tmp_path / "gpt2", Backend.TRANSFORMERS)
    after = load_network(tmp_path / "r" / "model", Backend.TRANSFORMERS)
    assert sha256(flatten(after)) != sha256(flatten(before))
    assert after.config == before.config
    transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "r" / "model")
