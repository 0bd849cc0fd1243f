"""What a training run shows while it goes: steps, reward, held-out pass rate, rates, time left."""

import math
from typing import assert_never

from proofloop.cli.progress import Progress
from proofloop.train.evaluation import EvalReport
from proofloop.train.loop_sync import Report, StepReport

_REWARDED = {
    "reward_mean": ("reward", ".3f"),
    "sampled_tokens_per_s": ("tokens/s", ",.0f"),
    "verdicts_per_s": ("verdicts/s", ",.0f"),
}
_TAUGHT = {"loss": ("loss", ".3f"), "trained_tokens_per_s": ("trained tokens/s", ",.0f")}
"""Of a step that sampled nothing."""


class TrainingProgress(Progress):
    """Shows what the loop reports."""

    def __init__(self, num_steps: int) -> None:
        super().__init__("training", num_steps)
        self.step_done = 0
        self._heldout = ""

    def show(self, report: Report) -> None:
        match report:
            case StepReport():
                self._show_step(report)
            case EvalReport():
                self._show_evaluation(report)
            case _:
                assert_never(report)

    def _show_step(self, report: StepReport) -> None:
        self.step_done = report.step
        named = _REWARDED if "reward_mean" in report.metrics else _TAUGHT
        # NaN, and nothing to show: a step that was learned from the record has no rates.
        shown = {
            label: f"{value:{form}}"
            for name, (label, form) in named.items()
            if not math.isnan(value := report.metrics.get(name, math.nan))
        }
        first = dict(list(shown.items())[:1])
        heldout = {"held-out": self._heldout} if self._heldout else {}
        figures = first | heldout | shown
        self.step(report.step, figures)
        for alarm in report.alarms:
            self.aside("alarm", alarm, last=True)

    def _show_evaluation(self, report: EvalReport) -> None:
        self._heldout = f"{report.passed_share:.1%}"
        done = f"{report.num_tasks_done}/{report.num_tasks} tasks"
        self.aside(
            "measuring",
            f"held-out pass@1 {self._heldout} after {done}, step {report.step}",
            last=report.num_tasks_done == report.num_tasks,
        )
