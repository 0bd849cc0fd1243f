"""Distillation from another checkpoint in whole runs."""

import shutil
from pathlib import Path

import pytest
import torch
from tiny_runs import StopAfter, ignore, remember, tiny_recipe

from proofloop.core.errors import ModelError
from proofloop.engine.models.checkpoint import load_model, save_model
from proofloop.engine.models.weights import flatten
from proofloop.runs.recipe import Recipe
from proofloop.runs.training import run_training
from proofloop.store import RunStore
from proofloop.train.config import Method


@pytest.fixture(scope="module")
def student(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not far from its teacher."""
    model = load_model(tiny_model)
    flat = flatten(model)
    torch.manual_seed(0)
    flat += 0.2 * flat.std() * torch.randn_like(flat)
    directory = tmp_path_factory.mktemp("student")
    save_model(model, directory, tokenizer_from=tiny_model)
    return directory


def lessons(student: Path, teacher: Path) -> Recipe:
    return tiny_recipe(
        student,
        method=Method.DISTIL,
        teacher=str(teacher),
        learning_rate=1e-3,
        warmup_steps=0,
        num_steps=5,
        samples_per_task=12,
    )


def test_a_student_comes_nearer_to_its_teacher_whatever_the_rewards(
    student: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run_training(lessons(student, tiny_model), tmp_path, resume=False, on_progress=ignore)
    with RunStore.read(tmp_path) as store:
        gaps = [gap for _, gap in store.metrics("teacher_gap_mean")]
        trained = dict(store.metrics("num_trained_tokens"))
        assert trained == dict(store.metrics("num_sampled_tokens")), "every token, of every group"
    assert sum(gaps[-2:]) < 0.7 * sum(gaps[:2])


@pytest.mark.slow
def test_a_stopped_student_goes_on_to_the_same_weights(
    student: Path, tiny_model: Path, tmp_path: Path
) -> None:
    recipe, whole, stopped = lessons(student, tiny_model), tmp_path / "whole", tmp_path / "stopped"
    run_training(recipe, whole, resume=False, on_progress=ignore)
    with pytest.raises(KeyboardInterrupt):
        run_training(recipe, stopped, resume=False, on_progress=StopAfter(3))
    run_training(recipe, stopped, resume=True, on_progress=ignore)
    assert remember(stopped) == remember(whole)


def test_a_teacher_of_another_tokenizer_is_refused(
    student: Path, tiny_model: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tiny_model, tmp_path / "other"))
    with (other / "tokenizer.json").open("a") as file:
        file.write("\n")
    recipe = tiny_recipe(student, method=Method.DISTIL, teacher=str(other))
    with pytest.raises(ModelError, match=r"^train\.teacher: .* has another tokenizer than"):
        run_training(recipe, tmp_path / "run", resume=False, on_progress=ignore)
    assert not (tmp_path / "run").exists(), "said before there is a run"
