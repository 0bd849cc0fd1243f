"""Which device a recipe gets, and what is said where it cannot have it."""

import msgspec
import pytest
import torch

from proofloop.core.errors import ConfigError
from proofloop.engine.models.arithmetic import arithmetic_of
from proofloop.runs.checks import load_recipe
from proofloop.runs.placement import (
    LEAST_PARAMETERS,
    check_room,
    place,
    placed,
    placement,
    precisions,
    says,
)
from proofloop.runs.recipe import LoraRecipe, Recipe
from proofloop.runs.recipe_train import TrainConfig
from proofloop.runs.start import start_model
from proofloop.runs.training import loop_config
from proofloop.train.config import Device, Precision

LARGE = LEAST_PARAMETERS


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch says where it sees one; nothing is ever put there."""
    monkeypatch.setattr("torch.backends.cuda.is_built", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.current_device", lambda: 0)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda *_: "H100")
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda *_: (70 * 2**30, 80 * 2**30))
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: True)


@pytest.mark.usefixtures("gpu")
@pytest.mark.parametrize(
    ("train", "num_parameters", "expected", "why"),
    [
        (TrainConfig(), LARGE, "cuda:0", "30.0 million"),
        (TrainConfig(), LARGE - 1, "cpu", "fewer than 30 million"),
        (TrainConfig(workers=4), LARGE, "cpu", "workers = 4"),
        (TrainConfig(workers=1), LARGE, "cuda:0", "30.0 million"),
        (TrainConfig(device=Device.CPU), LARGE, "cpu", "train.device = cpu"),
        (TrainConfig(device=Device.CUDA), 1, "cuda:0", "train.device = cuda"),
    ],
)
def test_where_there_is_a_gpu(
    train: TrainConfig, num_parameters: int, expected: str, why: str
) -> None:
    found = place(train, num_parameters)
    assert str(found.device) == expected
    assert why in found.reason


def test_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.cuda.is_built", lambda: False)
    found = place(TrainConfig(), LARGE)
    assert found.device.type == "cpu"
    assert "has no CUDA" in found.reason
    with pytest.raises(ConfigError, match=r"train\.device: cuda, but .*has no CUDA.* or auto"):
        place(TrainConfig(device=Device.CUDA), LARGE)
    monkeypatch.setattr("torch.backends.cuda.is_built", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"sees no GPU: .*CUDA_VISIBLE_DEVICES"):
        place(TrainConfig(device=Device.CUDA), LARGE)
    assert "sees no GPU" in placement()


@pytest.mark.usefixtures("gpu")
def test_a_gpu_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: False)
    in_bfloat16 = TrainConfig(device=Device.CUDA, precision=Precision.BFLOAT16)
    with pytest.raises(ConfigError, match=r"train\.precision: bfloat16 is not in H100"):
        place(in_bfloat16, LARGE)
    assert precisions().endswith("not in the GPU's hardware")


def test_weights_gradients_and_moments_must_fit() -> None:
    recipe = Recipe()
    check_room(10**9, 40 * 10**9, recipe)
    with pytest.raises(ConfigError, match=r"1\.00 billion parameters need 29\.8 GiB.*lora\.rank"):
        check_room(10**9, 20 * 10**9, recipe)
    with_adapters = msgspec.structs.replace(recipe, lora=LoraRecipe(rank=8))
    check_room(10**9, 20 * 10**9, with_adapters)
    measured = msgspec.structs.replace(
        recipe, train=TrainConfig(num_steps=0, precision=Precision.BFLOAT16)
    )
    check_room(10**9, 6 * 10**9, measured)
    with pytest.raises(ConfigError, match=r"take a smaller model"):
        check_room(10**9, 5 * 10**9, measured)


def test_placed_computes_as_the_recipe_says() -> None:
    recipe = Recipe(train=TrainConfig(precision=Precision.BFLOAT16, activation_checkpointing=True))
    model = placed(start_model(recipe.model), recipe)
    assert arithmetic_of(model) is torch.bfloat16
    assert model.recomputes
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    plain = placed(start_model(Recipe().model), Recipe())
    assert arithmetic_of(plain) is None
    assert not plain.recomputes


def test_the_bar_knows_the_precision() -> None:
    def bar(**train: object) -> float:
        return loop_config(Recipe(train=msgspec.convert(train, TrainConfig))).max_logprob_gap

    assert bar() == 0.02
    assert bar(precision="bfloat16") == 0.05
    assert bar(precision="bfloat16", max_logprob_gap=0.01) == 0.01


def test_what_a_record_says() -> None:
    cpu = torch.device("cpu")
    assert says(TrainConfig(), cpu) is None
    assert says(TrainConfig(precision=Precision.BFLOAT16), cpu) is not None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.device=gpu", r"train\.device: Invalid enum value 'gpu'"),
        ("train.precision=float16", r"train\.precision: Invalid enum value 'float16'"),
        ("train.max_logprob_gap=0", r"train\.max_logprob_gap: 0\.0 must be above 0"),
    ],
)
def test_values_that_are_none(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(None, [override])


def test_what_does_not_go_together() -> None:
    with pytest.raises(ConfigError, match=r"train\.workers: 2 processes are of a CPU"):
        load_recipe(None, ["train.device=cuda", "train.workers=2"])
    for key in ("precision=bfloat16", "activation_checkpointing=true"):
        with pytest.raises(ConfigError, match=r"own network definition"):
            load_recipe(None, ["model.backend=transformers", f"train.{key}"])
    load_recipe(None, ["train.device=cuda", "train.workers=1"])  # the GPU is looked for later
