"""`pretrain`, `train`, `eval`, `report` and `peek` as a user runs them, on a tiny random model."""

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from random import Random

import pytest
import torch

from proofloop.cli import main
from proofloop.engine.models.checkpoint import load_model
from proofloop.envs.functions.corpus import CorpusMix, draw_text
from proofloop.render.bpe import save_tokenizer, train_tokenizer
from proofloop.runs.config import CONFIG_NAME
from proofloop.store import RunStore

TINY_NETWORK = {
    "vocab_size": 300,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
TINY_RUN = {
    "train.workers": 1,
    "train.tasks_per_step": 3,
    "train.samples_per_task": 2,
    "sampling.max_tokens": 8,
    "eval.every": 0,
    "eval.final_num_tasks": 3,
    "eval.final_num_samples": 2,
}


def flags(settings: dict[str, object]) -> list[str]:
    return [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three steps of `proofloop pretrain`, with a tokenizer from few texts, which is quicker."""
    directory = tmp_path_factory.mktemp("model")
    texts = [draw_text(Random(i), CorpusMix()) for i in range(100)]
    parts = [part for text in texts for part in (text.prompt, text.answer)]
    save_tokenizer(train_tokenizer(parts, vocab_size=300), directory)
    settings: dict[str, object] = {f"network.{k}": v for k, v in TINY_NETWORK.items()}
    settings |= {"training.num_steps": 3, "training.documents_per_step": 4}
    arguments = ["pretrain", "--out", str(directory), "--workers", "1", *flags(settings)]
    assert main(arguments) == 0
    assert (directory / "model.safetensors").is_file()
    return directory


def test_pretraining_goes_on_from_a_model_with_its_tokenizer(model: Path, tmp_path: Path) -> None:
    settings: dict[str, object] = {"model.path": model, "training.num_steps": 1}
    settings |= {"training.documents_per_step": 4, "training.learning_rate": 1e-9}
    arguments = ["pretrain", "--out", str(tmp_path / "b"), "--workers", "1", *flags(settings)]
    assert main(arguments) == 0
    for name in ("tokenizer.json", "config.json"):
        assert (tmp_path / "b" / name).read_bytes() == (model / name).read_bytes()
    before, after = (load_model(d).state_dict() for d in (model, tmp_path / "b"))
    for name, weights in before.items():
        torch.testing.assert_close(after[name], weights)


@pytest.fixture(scope="module")
def run(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two steps."""
    out = tmp_path_factory.mktemp("runs") / "seed0"
    settings = TINY_RUN | {"model.path": model, "train.num_steps": 2}
    assert main(["train", *flags(settings), "--out", str(out)]) == 0
    return out


def test_a_finished_run_tells_what_it_was(run: Path) -> None:
    config = tomllib.loads((run / "config.toml").read_text())
    assert config["train"]["num_steps"] == 2
    assert config["env"]["name"] == "functions"
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["seeds"] == {"train": 0}
    assert manifest["hardware"]["num_cores"] == len(os.sched_getaffinity(0))
    assert manifest["packages"]["torch"]
    assert "<svg" in (run / "report.html").read_text()


def test_a_run_is_not_overwritten(
    run: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = (run / "config.toml").read_bytes()
    settings = TINY_RUN | {"model.path": model, "train.num_steps": 5}
    assert main(["train", *flags(settings), "--out", str(run)]) == 2
    assert "already holds a run" in capfd.readouterr().err
    assert (run / "config.toml").read_bytes() == before


def test_report_gives_the_summary_as_json(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "r.html"
    assert main(["report", str(run), "--out", str(out), "--json"]) == 0
    (summary,) = json.loads(capfd.readouterr().out)
    assert (summary["num_steps_done"], summary["num_steps_planned"]) == (2, 2)
    assert summary["num_tasks"] == 3
    assert out.is_file()


def test_peek_shows_every_token_once(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    place = ["--step", "2", "--task", "1", "--sample", "1"]
    assert main(["peek", str(run), *place, "--json"]) == 0
    peek = json.loads(capfd.readouterr().out)
    assert peek["rollout_id"] == "train-2-1-1"
    sampled = [t for t in peek["tokens"] if t["role"] == "sampled"]
    assert 1 <= len(sampled) <= 8
    assert all(t["sampler_logprob"] < 0 for t in sampled)
    assert {t["trained"] for t in sampled} == {peek["advantage"] is not None}
    assert [t["position"] for t in peek["tokens"]] == list(range(len(peek["tokens"])))
    assert main(["peek", str(run), "train-2-1-1"]) == 0
    assert "train-2-1-1" in capfd.readouterr().out
    assert main(["peek", str(run), "--step", "99"]) == 2
    assert "train-99-0-0" in capfd.readouterr().err


def test_eval_measures_and_keeps_its_rollouts(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "e"
    arguments = ["--model", str(model), "--env", "functions", "--tasks", "4", "--samples", "3"]
    settings = {"sampling.max_tokens": 8, "train.workers": 1}
    assert main(["eval", *arguments, *flags(settings), "--out", str(out), "--json"]) == 0
    summary = json.loads(capfd.readouterr().out)
    assert (summary["num_tasks"], summary["num_samples"]) == (4, 3)
    assert [row["k"] for row in summary["pass_at_k"]] == [1]
    assert main(["peek", str(out), "--phase", "eval"]) == 0


def test_control_c_stops_cleanly_and_says_how_to_go_on(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "interrupted"
    settings = TINY_RUN | {"model.path": model, "train.num_steps": 400}
    command = [sys.executable, "-m", "proofloop", "train", *flags(settings), "--out", str(out)]
    with subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert any(line.startswith("training 1/") for line in process.stderr)
        # To the whole group, as a terminal does: the workers must not die of it either.
        os.killpg(process.pid, signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    said, command_line = rest.strip().splitlines()[-2:]
    assert said.startswith("stopped at step ")
    assert command_line.strip() == f"proofloop train --resume {out}"
    done = int(said.removeprefix("stopped at step ").split()[0])
    assert 1 <= done < 400
    with RunStore.read(out) as store:
        assert store.completed_steps() == list(range(1, done + 1))
    assert resume_for_two_steps(out, done) == list(range(1, done + 3))


def resume_for_two_steps(out: Path, done: int) -> list[int]:
    """Shortens the recipe of an interrupted run, so that a resume soon ends; its steps then."""
    config = out / CONFIG_NAME
    config.write_text(config.read_text().replace("num_steps = 400", f"num_steps = {done + 2}"))
    assert main(["train", "--resume", str(out)]) == 0
    with RunStore.read(out) as store:
        return store.completed_steps()
