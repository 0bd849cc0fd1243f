"""The summary record and its table."""

from io import StringIO

import numpy as np
from rich.console import Console, RenderableType

from proofloop.core import codec
from proofloop.core.task import Stratum
from proofloop.measure.data import ReportData, Series
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.outcomes import Outcomes
from proofloop.measure.summary import (
    Summary,
    percent,
    points,
    summary_of,
    summary_table,
)


def outcomes(passed: int, *, complexities: tuple[int, ...] = (1, 2)) -> Outcomes:
    num_tasks = 40
    return Outcomes(
        task_ids=tuple(f"t{i:02d}" for i in range(num_tasks)),
        strata=tuple(
            Stratum(family="int", complexity=complexities[i % len(complexities)], horizon=1)
            for i in range(num_tasks)
        ),
        num_samples=np.full(num_tasks, 8),
        num_passed=np.full(num_tasks, passed),
        num_unscored=np.zeros(num_tasks, np.int64),
    )


def shown(renderable: RenderableType) -> str:
    console = Console(file=StringIO(), width=120)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_summary_survives_json_and_names_only_ks_that_samples_reach():
    data = ReportData(
        name="r", env="functions", num_steps_planned=5, num_steps_done=5,
        base=outcomes(2), trained=outcomes(4),
    )  # fmt: skip
    summary = summary_of(data)
    assert codec.from_json(codec.to_json(summary), Summary) == summary
    assert [row.k for row in summary.pass_at_k] == [1, 8]
    first = summary.pass_at_k[0]
    assert first.difference is not None
    assert first.difference.value == 0.25
    assert [level.complexity for level in summary.by_complexity] == [1, 2]
    assert summary.notes == ()
    text = shown(summary_table(summary))
    assert "25.0%" in text
    assert "+25.0" in text
    assert "complexity 2, pass@1" in text


def test_a_single_evaluation_has_one_column_and_no_talk_of_training():
    base = outcomes(2, complexities=(1,))
    summary = summary_of(ReportData(name="pico", env="functions", base=base))
    text = shown(summary_table(summary))
    assert "score" in text
    assert "trained" not in text
    assert summary.by_complexity == ()


def test_an_interrupted_run_says_what_is_missing():
    data = ReportData(name="r", num_steps_planned=5, num_steps_done=3, base=outcomes(2))
    text = shown(summary_table(summary_of(data)))
    assert "has reached step 3 of 5" in text
    assert "nothing can be said of a gain yet" in text
    empty = summary_of(ReportData(name="r", num_steps_planned=5))
    assert empty.pass_at_k == ()
    assert "base model has not been evaluated" in shown(summary_table(empty))


def test_a_run_that_was_rewarded_by_scores_says_how_they_and_the_tests_went():
    steps = tuple(range(1, 11))
    data = ReportData(
        name="r",
        num_steps_planned=10,
        num_steps_done=10,
        base=outcomes(2),
        metrics={
            "reward_mean": Series(steps=steps, values=(0.0,) * 5 + (1.5,) * 5),
            "passed_share": Series(steps=steps, values=(0.3,) * 5 + (0.25,) * 5),
        },
        events=("reward_model: rewards are the scores of rm, not verdicts", "alarm: x"),
    )
    *_, what, how = summary_of(data).notes
    assert what == "Rewards are the scores of rm, not verdicts."
    assert "went from 0.00 to 1.50, the share that passed its tests from 30.0% to 25.0%" in how


def test_a_reward_model_is_not_said_to_lack_an_evaluation():
    metrics = {"pair_accuracy": Series(steps=(1,), values=(0.7,))}
    events = ("length_bias: length bias on 3 held-out pairs: none",)
    data = ReportData(
        name="r", num_steps_planned=1, num_steps_done=1, metrics=metrics, events=events
    )
    first, second = summary_of(data).notes
    assert first.startswith("A reward model answers nothing")
    assert second == "Length bias on 3 held-out pairs: none."


def test_numbers_are_written_with_their_intervals():
    interval = Interval(value=0.213, low=-0.01, high=0.258, num_tasks=50)
    assert percent(interval) == "21.3% [-1.0, 25.8]"
    assert points(interval) == "+21.3 [−1.0, +25.8]"
    alone = Interval(value=0.5, low=None, high=None, num_tasks=1)
    assert (percent(alone), points(alone), percent(None)) == (
        "50.0% (1 task)",
        "+50.0 (1 task)",
        "–",
    )
    few = Interval(value=0.0, low=-0.0001, high=0.1, num_tasks=6)
    assert points(few) == "+0.0 [+0.0, +10.0] (6 tasks)"
