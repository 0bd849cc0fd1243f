"""Alarms about learning itself: thresholds on what the metrics of a run's steps have come to.

Pure.  A figure is NaN where the history is too short to say, and NaN never alarms.  Starting values
for small dense models; where a threshold comes from is in `docs/alarms.md`.
"""

import math
import shlex
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from proofloop.train.config import AlarmsConfig

WINDOW = 5
"""Steps over which a figure is averaged, at the run's start and at its end."""
MEMORY = 20
"""Steps that a gradient's usual norm is taken from."""

History = Mapping[str, Sequence[float]]
"""Values of metrics by name, one a step, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """One figure and its bound, the key of the section `alarms` that has this name."""

    key: str
    figure: Callable[[History], float]
    least: bool = False
    """Whether the bound is the least allowed, not the most."""
    says: str
    """What is wrong, with `{value}` and `{bound}`."""
    probably: str
    """The likely cause, and what to do."""

    def broken(self, value: float, bound: float) -> bool:
        return value < bound if self.least else value > bound


def rise(values: Sequence[float]) -> float:
    """Mean of the last `WINDOW` known values less that of the first; NaN while the two would
    overlap."""
    first, last = _ends(values)
    return statistics.fmean(last) - statistics.fmean(first) if first else math.nan


def remaining_share(values: Sequence[float]) -> float:
    """Mean of the last `WINDOW` known values over that of the first; NaN while they would overlap
    or where the first are not above 0."""
    first, last = _ends(values)
    if not first or (start := statistics.fmean(first)) <= 0:
        return math.nan
    return statistics.fmean(last) / start


def _ends(values: Sequence[float]) -> tuple[list[float], list[float]]:
    known = [v for v in values if not math.isnan(v)]
    return (known[:WINDOW], known[-WINDOW:]) if len(known) >= 2 * WINDOW else ([], [])


def over_usual(values: Sequence[float]) -> float:
    """The last value over the median of up to `MEMORY` before it; NaN with fewer than `WINDOW`."""
    before = [v for v in values[:-1] if v > 0][-MEMORY:]
    if len(before) < WINDOW:
        return math.nan
    return values[-1] / statistics.median(before)


def without_variance(history: History) -> float:
    """Share of the last `WINDOW` steps' groups that taught nothing."""
    drawn, trained = (history[n][-WINDOW:] for n in ("num_groups_drawn", "num_groups_trained"))
    if len(drawn) < WINDOW or not sum(drawn):
        return math.nan
    return 1 - sum(trained) / sum(drawn)


def _last(values: Sequence[float]) -> float:
    return values[-1] if values else math.nan


TRENDS = (
    Trend(
        key="min_effective_share",
        figure=lambda h: _last(h["effective_token_share"]),
        least=True,
        says="importance weights leave {value:.0%} of the trained tokens effective, at least "
        "{bound:.0%} wanted",
        probably="The sampler probably ran other weights than were trained, or too many updates "
        "are made of one step's rollouts (train.updates_per_step)",
    ),
    Trend(
        key="min_entropy_share",
        figure=lambda h: remaining_share(h["entropy_mean"]),
        least=True,
        says="entropy is down to {value:.0%} of the first steps', at least {bound:.0%} wanted",
        probably="The policy has nearly stopped exploring; lower train.learning_rate, or take "
        "train.loss = clip with a higher train.clip_high",
    ),
    Trend(
        key="max_grad_norm_ratio",
        figure=lambda h: over_usual(h["grad_norm"]),
        says="the gradient is {value:.1f} times as long as usual, at most {bound:g} wanted",
        probably="One batch is unlike the others, or training begins to diverge; look at the "
        "step's rollouts, then lower train.learning_rate",
    ),
    Trend(
        key="max_without_variance",
        figure=without_variance,
        says="{value:.0%} of the last steps' groups taught nothing, at most {bound:.0%} wanted",
        probably="The tasks are too easy or too hard (groups_all_pass_share, "
        "groups_all_fail_share); change env.complexity, or replace such groups (train.refill)",
    ),
    Trend(
        key="max_truncated_rise",
        figure=lambda h: rise(h["truncated_share"]),
        says="the share of truncated answers has risen by {value:.2f}, at most {bound:g} wanted",
        probably="Answers grow towards sampling.max_tokens; raise it, or take them out of the "
        "loss (train.truncated = drop)",
    ),
)
METRICS = (
    *("effective_token_share", "entropy_mean", "grad_norm", "num_groups_drawn"),
    *("num_groups_trained", "truncated_share"),
)
"""What `TRENDS` read."""


def trend_alarms(config: AlarmsConfig, *, step: int, history: History, run: Path) -> list[str]:
    """One line for each bound that is broken at this step and was not at the one before."""
    before = {name: values[:-1] for name, values in history.items()}
    alarms: list[str] = []
    for trend in TRENDS:
        bound: float = getattr(config, trend.key)
        value = trend.figure(history)
        if trend.broken(value, bound) and not trend.broken(trend.figure(before), bound):
            alarms.append(
                f"step {step}: {trend.says.format(value=value, bound=bound)} "
                f"(alarms.{trend.key}). {trend.probably}; see `proofloop report "
                f"{shlex.quote(str(run))}`"
            )
    return alarms
