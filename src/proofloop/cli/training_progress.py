"""What a training run shows while it goes: steps, reward, held-out pass rate, rates, time left."""

from typing import assert_never

from proofloop.cli.progress import Progress
from proofloop.train.evaluation import EvalReport
from proofloop.train.loop_sync import Report, StepReport


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
        metrics = report.metrics
        figures = dict[str, str]()
        if "reward_mean" in metrics:
            figures["reward"] = f"{metrics['reward_mean']:.3f}"
        elif "loss" in metrics:
            figures["loss"] = f"{metrics['loss']:.3f}"
        if self._heldout:
            figures["held-out"] = self._heldout
        rate = metrics.get("sampled_tokens_per_s", metrics.get("trained_tokens_per_s"))
        if rate is not None:
            figures["tokens/s"] = f"{rate:,.0f}"
        if "verdicts_per_s" in metrics:
            figures["verdicts/s"] = f"{metrics['verdicts_per_s']:,.0f}"
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
