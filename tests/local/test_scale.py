"""`proofloop scale`: a sweep that goes on, and a forecast beside what came."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tiny_runs import tiny_recipe

from proofloop.cli import main
from proofloop.core.errors import ConfigError, ModelError, UserError
from proofloop.measure.compare.scale import Curves, fit_size, scaling
from proofloop.measure.estimators.scaling import score_at
from proofloop.measure.learning_curve import CurvePoint, learning_curve
from proofloop.runs.pretraining import PretrainRecipe
from proofloop.runs.sweep import Cell, Size, read_sizes, sweep
from proofloop.runs.training import run_training
from proofloop.store import Phase, RunStore
from proofloop.train.loop_sync import Report
from proofloop.train.pretrain import PretrainConfig
from proofloop.train.pretrain import Progress as PretrainStep

PRETRAINING = PretrainRecipe(training=PretrainConfig(num_steps=2, documents_per_step=4))


class Heard:
    """Progress that counts."""

    def __init__(self) -> None:
        self.pretrained: list[str] = []
        self.trained: list[tuple[str, int]] = []

    def pretraining(self, size: str, step: PretrainStep, num_steps: int) -> None:
        self.pretrained.append(size)

    def training(self, size: str, seed: int, report: Report) -> None:
        self.trained.append((size, seed))


def swept(tiny_model: Path, out: Path, sizes: str, num_seeds: int) -> tuple[list[Cell], Heard]:
    heard = Heard()
    recipe = tiny_recipe(tiny_model)
    return list(sweep(recipe, PRETRAINING, read_sizes(sizes), num_seeds, out, heard)), heard


def test_sizes_are_shapes_or_checkpoints(tiny_model: Path) -> None:
    assert read_sizes(f"64x2, {tiny_model}") == (
        Size(name="64x2", path=None, width=64, layers=2),
        Size(name=tiny_model.name, path=str(tiny_model)),
    )
    with pytest.raises(ConfigError, match="multiple of 32"):
        read_sizes("50x2")
    with pytest.raises(ConfigError, match="different sizes"):
        read_sizes("64x2,64x2")
    with pytest.raises(ModelError, match="no checkpoint directory"):
        read_sizes("nowhere")


@pytest.mark.slow
def test_a_sweep_trains_every_pair_once_and_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    cells, heard = swept(tiny_model, tmp_path / "sweep", f"32x1,{tiny_model}", 1)
    assert [(c.size, c.seed) for c in cells] == [("32x1", 0), (tiny_model.name, 0)]
    assert heard.pretrained == ["32x1", "32x1"]
    again, heard = swept(tiny_model, tmp_path / "sweep", f"32x1,{tiny_model}", 2)
    assert [(c.size, c.seed) for c in again] == again_expected(tiny_model)
    assert again[0] == cells[0]
    assert set(heard.trained) == {("32x1", 1), (tiny_model.name, 1)}
    recipe = tiny_recipe(tiny_model, num_steps=4)
    with pytest.raises(UserError, match="sweep of another recipe"):
        next(sweep(recipe, PRETRAINING, read_sizes("32x1"), 1, tmp_path / "sweep", Heard()))


def again_expected(tiny_model: Path) -> list[tuple[str, int]]:
    return [(size, seed) for size in ("32x1", tiny_model.name) for seed in (0, 1)]


def test_compute_is_counted_from_the_record(tiny_model: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_training(tiny_recipe(tiny_model), run, resume=False, on_progress=lambda report: None)
    curve = learning_curve(run, num_parameters=1000)
    assert [p.step for p in curve] == [0, 2, 3]
    assert curve[0].flops == 0
    naive = 0.0
    with RunStore.read(run) as store:
        for step in (1, 2):
            for recorded in store.load_groups(Phase.TRAIN, step):
                attempts = recorded.group.attempts
                tokens = len(attempts[0].rollout.turns[0].context)
                tokens += sum(a.rollout.num_sampled_tokens for a in attempts)
                rewards = {verdict.reward for _, verdict in recorded.group.scored}
                naive += 1000 * tokens * (8 if len(rewards) > 1 else 2)
    assert curve[1].flops == naive
    assert curve[2].flops > curve[1].flops


def curves_of(law: dict[str, float], num_seeds: int, noise: float) -> Curves:
    rng = np.random.default_rng(3)
    compute = np.linspace(1, 20, 20)
    truth = score_at(compute, **law)
    return Curves(
        num_parameters=1000,
        seeds=tuple(
            (
                CurvePoint(step=0, flops=0.0, score=law["start"], num_tasks=50),
                *(
                    CurvePoint(step=i + 1, flops=float(c), score=float(s), num_tasks=50)
                    for i, (c, s) in enumerate(
                        zip(compute, truth + rng.normal(0, noise, len(compute)), strict=True)
                    )
                ),
            )
            for _ in range(num_seeds)
        ),
    )


def test_a_run_that_has_bent_is_forecast_and_one_that_has_not_claims_nothing() -> None:
    bent = {"start": 0.2, "asymptote": 0.6, "midpoint": 2.0, "steepness": 2.0}
    straight = bent | {"midpoint": 40.0}
    sizes = {
        "bent": curves_of(bent, 3, 0.01),
        "straight": curves_of(straight, 3, 0.01),
        "short": Curves(num_parameters=1, seeds=(curves_of(bent, 1, 0.0).seeds[0][:3],)),
    }
    section = scaling(sizes, 0.5)
    fits = section.facts["fits"]
    assert abs(fits["bent"].forecast.mean_miss) < 0.02
    assert fits["bent"].forecast.share_inside > 0.8
    assert fits["bent"].fit.why_not is None
    assert abs(fits["bent"].fit.asymptote.value - 0.6) < 0.02
    assert fits["straight"].fit.why_not
    assert fits["short"].forecast is None
    assert "no forecast" in section.says[2]
    assert [drawn.name for drawn in section.figures] == [
        "scale-sizes",
        *(f"scale-{name}" for name in sizes),
    ]


def test_the_miss_stands_beside_that_of_nothing_changes_any_more() -> None:
    """Three seeds of little noise, whose end the law foretells: the null misses."""
    law = {"start": 0.2, "asymptote": 0.8, "midpoint": 8.0, "steepness": 2.0}
    curves = curves_of(law, 3, 0.002)
    miss = fit_size(curves, 0.5).miss
    assert miss is not None
    assert miss.forecast is not None
    assert miss.carried is not None
    assert miss.difference is not None
    assert miss.difference.high is not None
    carried = np.mean([seed[10].score for seed in curves.seeds])
    naive = np.mean([abs(p.score - carried) for seed in curves.seeds for p in seed[11:]])
    assert miss.carried.value == pytest.approx(naive)
    assert miss.forecast.value < 0.02 < miss.carried.value
    assert miss.difference.value == pytest.approx(miss.forecast.value - miss.carried.value)
    assert miss.difference.high < 0
    cut = Curves(num_parameters=1, seeds=(*curves.seeds[:2], curves.seeds[2][:9]))
    assert fit_size(cut, 0.5).miss is None  # a seed that ended before the part that is forecast


def test_the_command_leaves_a_page_and_numbers(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "tiny.toml"
    from proofloop.runs.config import dump_toml

    recipe.write_text(dump_toml(tiny_recipe(tiny_model)))
    out = tmp_path / "sweep"
    words = ["scale", str(recipe), "--sizes", str(tiny_model), "--seeds", "2", "--out", str(out)]
    assert main([*words, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == json.loads((out / "scale.json").read_text())
    found = facts["fits"][tiny_model.name]
    assert found["num_seeds"] == 2
    assert found["forecast"] is None  # too few evaluations, and it says so
    assert "at least" in found["why_not"] or "needs" in found["why_not"]
    assert (out / "scale.html").read_text().count("<svg") == 1
    assert main([*words, "--set", "train.num_steps=4"]) == 2
    assert "sweep of another recipe" in capsys.readouterr().err
    assert msgspec.json.decode((out / "sweep.json").read_bytes())
