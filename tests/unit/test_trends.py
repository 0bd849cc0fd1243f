"""Alarms about learning: each when its state begins, with cause and command, none too early."""

import math
from pathlib import Path

import msgspec
import pytest

from proofloop.core.errors import ConfigError
from proofloop.runs.checks import load_recipe
from proofloop.train.config import AlarmsConfig
from proofloop.train.trends import (
    METRICS,
    TRENDS,
    WINDOW,
    Trend,
    over_usual,
    remaining_share,
    rise,
    trend_alarms,
    without_variance,
)

NAN = math.nan
SICK: dict[str, tuple[dict[str, list[float]], str]] = {
    "min_effective_share": (
        {"effective_token_share": [1.0, 0.9, 0.4]},
        "leave 40% of the trained tokens effective, at least 50% wanted",
    ),
    "min_entropy_share": (
        {"entropy_mean": [1.0] * 5 + [0.5] + [0.05] * 5},
        "entropy is down to 5% of the first steps'",
    ),
    "max_grad_norm_ratio": (
        {"grad_norm": [1.0, 2.0, 1.0, 1.0, 3.0, 12.0]},
        "the gradient is 12.0 times as long as usual",
    ),
    "max_without_variance": (
        {"num_groups_drawn": [10.0] * 6, "num_groups_trained": [9.0, 1.0, 0.0, 1.0, 0.0, 0.0]},
        "96% of the last steps' groups taught nothing",
    ),
    "max_truncated_rise": (
        {"truncated_share": [0.1] * 5 + [0.0] + [0.32] * 5},
        "the share of truncated answers has risen by 0.22",
    ),
}


def history(own: dict[str, list[float]]) -> dict[str, list[float]]:
    """A healthy run, but for `own`."""
    healthy = {
        "effective_token_share": 0.99,
        "entropy_mean": 0.8,
        "grad_norm": 1.0,
        "num_groups_drawn": 10.0,
        "num_groups_trained": 7.0,
        "truncated_share": 0.02,
    }
    num_steps = max((len(values) for values in own.values()), default=12)
    return {name: own.get(name, [value] * num_steps) for name, value in healthy.items()}


def alarms(own: dict[str, list[float]], config: AlarmsConfig = AlarmsConfig()) -> list[str]:  # noqa: B008
    return trend_alarms(config, step=11, history=history(own), run=Path("runs/my run"))


def test_every_trend_has_a_key_a_sick_run_and_a_metric_that_is_read() -> None:
    assert [t.key for t in TRENDS] == list(SICK)
    assert set(METRICS) == set(history({}))
    assert alarms({}) == []


@pytest.mark.parametrize("key", SICK)
def test_a_sick_run_is_named_once_with_its_cause_and_a_command(key: str) -> None:
    own, says = SICK[key]
    (alarm,) = alarms(own)
    assert alarm.startswith("step 11: ")
    assert says in alarm
    assert f"(alarms.{key})" in alarm
    assert "see `proofloop report 'runs/my run'`" in alarm
    assert "\n" not in alarm
    assert alarms({name: [*values, values[-1]] for name, values in own.items()}) == []


@pytest.mark.parametrize("trend", TRENDS)
def test_a_bound_moves_its_alarm(trend: Trend) -> None:
    own, _ = SICK[trend.key]
    loose = 0.0 if trend.least else 1e9
    assert alarms(own, msgspec.structs.replace(AlarmsConfig(), **{trend.key: loose})) == []


def test_a_young_run_says_nothing() -> None:
    for num_steps in range(1, WINDOW):
        young = {name: [values[0]] * num_steps for name, values in history({}).items()}
        assert trend_alarms(AlarmsConfig(), step=num_steps, history=young, run=Path("r")) == []
    empty = {name: [] for name in METRICS}
    assert trend_alarms(AlarmsConfig(), step=0, history=empty, run=Path("r")) == []


def test_figures_by_hand() -> None:
    assert rise([0.0, 1, 2, 3, 4, 9, 5, 6, 7, 8, 9]) == pytest.approx(7 - 2)
    assert rise([NAN, 0.0, 1, 2, 3, 4, NAN, 5, 6, 7, 8, 9]) == pytest.approx(7 - 2)
    assert math.isnan(rise([0.0] * 9))
    assert remaining_share([2.0] * 5 + [1.0] * 5) == 0.5
    assert math.isnan(remaining_share([0.0] * 10))
    assert over_usual([1.0, 3.0, 2.0, 5.0, 4.0, 30.0]) == 10.0
    assert over_usual([100.0, *[1.0] * 20, 2.0]) == 2.0
    assert math.isnan(over_usual([1.0, 0.0, 1.0, 1.0, 1.0, 5.0]))  # a step that learned nothing
    assert without_variance(history({})) == pytest.approx(0.3)


def test_bounds_are_checked_with_the_recipe() -> None:
    with pytest.raises(ConfigError, match="must not be negative"):
        load_recipe(None, ["alarms.max_grad_norm_ratio=-1"])
