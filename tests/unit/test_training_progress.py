"""What a run says while it goes, whatever its steps have to say."""

import math

import pytest

from proofloop.cli.training_progress import TrainingProgress
from proofloop.train.evaluation import EvalReport
from proofloop.train.loop_sync import StepReport

RATES = {"sampled_tokens_per_s": 4321.4, "verdicts_per_s": 210.0, "trained_tokens_per_s": 9999.0}


@pytest.mark.parametrize(
    ("metrics", "line"),
    [
        (
            {"reward_mean": 0.5, "loss": 0.1} | RATES,
            "reward 0.500  held-out 30.0%  tokens/s 4,321  verdicts/s 210",
        ),
        (
            {"reward_mean": 0.5} | dict.fromkeys(RATES, math.nan),
            "reward 0.500  held-out 30.0%",
        ),
        (
            {"loss": 0.125, "trained_tokens_per_s": 1500.0},
            "loss 0.125  held-out 30.0%  trained tokens/s 1,500",
        ),
        ({}, "held-out 30.0%"),
    ],
)
def test_a_step_shows_what_it_has(
    metrics: dict[str, float], line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with TrainingProgress(3) as progress:
        progress.show(
            EvalReport(step=0, num_tasks_done=1, num_tasks=1, passed_share=0.3, num_attempts=10)
        )
        progress.show(StepReport(step=1, num_steps=3, metrics=metrics, alarms=("a wire",)))
    _, step, alarm = capfd.readouterr().err.splitlines()
    assert step == f"training 1/3  {line}"
    assert alarm == "alarm  a wire"
