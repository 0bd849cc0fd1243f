"""Which figures a report shows of a run, each with the sentence that says what to look at.

A figure whose numbers are missing is left out; the page names what it could not show.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from proofloop.measure import figures
from proofloop.measure.data import ReportData, Series
from proofloop.measure.drawing import ACCENT, MUTED, Figure
from proofloop.measure.estimators.trend import slope
from proofloop.measure.figures import Line
from proofloop.measure.outcomes import Outcomes, known_ks

_MIN_SHARE = 0.02
"""A verdict cause that never reaches this share of a step is shown among "other"."""
_MAX_PARTS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    title: str
    caption: str
    figure: Figure

    @property
    def name(self) -> str:
        """Stem of its files: `pass-k-base-and-trained`."""
        return "-".join(re.findall(r"[a-z0-9]+", self.title.lower()))


def panels(data: ReportData) -> Iterator[Panel]:
    for build in (
        _learning,
        _pass_at_k,
        _by_complexity,
        _by_family,
        _lengths,
        _entropy,
        _no_variance,
        _signal,
        _logprob_gap,
        _causes,
        _gap,
        _phases,
    ):
        panel = build(data)
        if panel is not None:
            yield panel


def _learning(data: ReportData) -> Panel | None:
    lines = [
        *_lines(data, {"reward_mean": "reward"}, color=MUTED),
        *_lines(data, {"pass_share_heldout": "held-out"}, color=ACCENT, dots=True),
    ]
    if not lines:
        return None
    return Panel(
        title="Reward and held-out pass@1",
        caption="Held-out tasks (dots) should rise with the training reward (thin: each step, "
        "thick: running mean); a reward that rises alone is overfitting or a hole in the reward. "
        "The two differ in level because training chooses its tasks, held-out is fixed.",
        figure=figures.over_steps(lines, y_label="mean reward, share passed"),
    )


def _pass_at_k(data: ReportData) -> Panel | None:
    later = data.second_label
    curves = [
        (label, known_ks(side), side.curve(known_ks(side)), color)
        for label, side, color in (("base", data.base, MUTED), (later, data.trained, ACCENT))
        if side is not None and side.max_samples
    ]
    if not curves:
        return None
    return Panel(
        title=f"pass@k, base and {later}",
        caption="Where the curves meet, more samples of the base do what training did: a gap that "
        "closes as k grows says that training made likelier what the base could do already. "
        "Bands: 95%, tasks resampled.",
        figure=figures.pass_curves(curves),
    )


def _by_complexity(data: ReportData) -> Panel | None:
    def split(side: Outcomes) -> dict[str, Outcomes]:
        return {f"complexity {level}": o for level, o in side.by_complexity().items()}

    return _groups(
        data,
        split(data.base) if data.base else {},
        split(data.trained) if data.trained else {},
        "complexity",
    )


def _by_family(data: ReportData) -> Panel | None:
    return _groups(
        data,
        data.base.by_family() if data.base else {},
        data.trained.by_family() if data.trained else {},
        "family",
    )


def _groups(
    data: ReportData, base: dict[str, Outcomes], trained: dict[str, Outcomes], what: str
) -> Panel | None:
    """Base and trained pass@1 by group; nothing to see where all tasks are in one group."""
    names = sorted(base.keys() | trained.keys())
    if len(names) < 2:
        return None
    first = (1,)
    rows = [
        (
            name,
            base[name].curve(first).at(0) if name in base else None,
            trained[name].curve(first).at(0) if name in trained else None,
        )
        for name in names
    ]
    return Panel(
        title=f"Held-out pass@1 by {what}",
        caption=f"Grey is base, colour is {data.second_label}, thin lines are 95% intervals: look "
        "for groups that did not move, or moved back.",
        figure=figures.dot_rows(rows),
    )


def _lengths(data: ReportData) -> Panel | None:
    lines = _lines(data, {"completion_tokens_mean": ""})
    return _panel(
        lines,
        "Completion length",
        "A drift to short or to endless answers often precedes a collapse" + _truncation(data),
        y_label="tokens per completion",
    )


def _truncation(data: ReportData) -> str:
    series = data.metrics.get("truncated_share")
    if series is None or not series.values:
        return "."
    return f"; cut off at the token limit in the last step: {series.values[-1]:.1%}."


def _entropy(data: ReportData) -> Panel | None:
    return _panel(
        _lines(data, {"entropy_mean": ""}),
        "Entropy of the policy",
        "What is left to explore: near zero, every sample of a task is the same and nothing more "
        "is learned.",
        y_label="nats per sampled token",
    )


def _no_variance(data: ReportData) -> Panel | None:
    lines = [
        *_lines(data, {"groups_all_pass_share": "all pass"}),
        *_lines(data, {"groups_all_fail_share": "all fail"}, color=MUTED),
    ]
    return _panel(
        lines,
        "Groups without variance",
        "Groups whose attempts all pass or all fail teach nothing and are dropped: all pass says "
        "the tasks are too easy by now, all fail that they are too hard.",
        y_label="share of a step's groups",
    )


def _signal(data: ReportData) -> Panel | None:
    return _panel(
        _lines(data, {"signal_share": ""}),
        "Signal in the gradient",
        "What the halves of a step's batch agree on, of the gradient's squared length: near zero, "
        "nothing is left to learn from batches of this size, or the reward is chance.",
        y_label="share that is signal",
    )


def _logprob_gap(data: ReportData) -> Panel | None:
    positive = {
        name: Series(
            steps=tuple(s for s, v in zip(series.steps, series.values, strict=True) if v > 0),
            values=tuple(v for v in series.values if v > 0),
        )
        for name, series in data.metrics.items()
    }
    lines = [
        *_lines(positive, {"logprob_gap_max": "largest"}),
        *_lines(positive, {"logprob_gap_mean": "mean"}, color=MUTED),
    ]
    return _panel(
        lines,
        "Sampler against trainer",
        "Difference of log-probability of the same token under the same weights, as sampled and "
        "as trained: above 1e-4 (float32) the two do not run the same network.",
        y_label="|Δ log-probability|, nats",
        log_y=True,
    )


def _causes(data: ReportData) -> Panel | None:
    parts = merged_causes(data.causes)
    if not parts:
        return None
    return Panel(
        title="Verdicts by cause",
        caption="Passed (colour) should eat into every other cause; unscored attempts are faults "
        f"of ours, never of the model: {data.num_unscored} of {data.num_rollouts} in training.",
        figure=figures.stacked(parts, y_label="share of training rollouts", as_share=True),
    )


def merged_causes(causes: Mapping[str, Series]) -> dict[str, Series]:
    """Passed first, then causes by size, at most six parts: the rare ones together as "other"."""
    totals: dict[int, float] = {}
    for series in causes.values():
        for step, value in zip(series.steps, series.values, strict=True):
            totals[step] = totals.get(step, 0.0) + value

    def peak(series: Series) -> float:
        shares = (v / totals[s] for s, v in zip(series.steps, series.values, strict=True) if v)
        return max(shares, default=0.0)

    ranked = sorted(causes, key=lambda c: (c != "passed", -sum(causes[c].values), c))
    kept = [c for c in ranked if c == "passed" or peak(causes[c]) >= _MIN_SHARE][: _MAX_PARTS - 1]
    rest = [c for c in ranked if c not in kept]
    shown = {cause.replace("_", " "): causes[cause] for cause in kept}
    if rest:
        other = dict.fromkeys(totals, 0.0)
        for cause in rest:
            for step, value in zip(causes[cause].steps, causes[cause].values, strict=True):
                other[step] += value
        label = rest[0].replace("_", " ") if len(rest) == 1 else "other"
        steps = tuple(sorted(other))
        shown[label] = Series(steps=steps, values=tuple(other[step] for step in steps))
    return shown


def _gap(data: ReportData) -> Panel | None:
    lines = [
        *_lines(data, {"visible_hidden_gap": "gap"}),
        *_lines(data, {"unscored_share": "unscored"}, color=MUTED),
    ]
    return _panel(
        lines,
        "Shown against hidden tests",
        "Rollouts that pass every test that their prompt shows, less those that pass the hidden "
        "ones. Its level is the tasks', a rise is a reward being gamed" + _trend(data),
        y_label="share of rollouts",
    )


def _trend(data: ReportData) -> str:
    series = data.metrics.get("visible_hidden_gap")
    trend = slope(series.steps, series.values) if series is not None else None
    if trend is None:
        return "."
    low, value, high = (1000 * s for s in (trend.low, trend.value, trend.high))
    text = f"; here {value:+z.1f} points in ten steps [{low:+z.1f}, {high:+z.1f}]."
    return text.replace("-", "−")


def _phases(data: ReportData) -> Panel | None:
    names = {"sample_s": "sample", "verify_s": "verify", "train_s": "train"}
    parts = {names[n]: data.metrics[n] for n in names if n in data.metrics}
    if not any(series.steps for series in parts.values()):
        return None
    return Panel(
        title="Where the time goes",
        caption="Seconds of a step by phase: the thickest layer is the one worth making faster.",
        figure=figures.stacked(parts, y_label="seconds per step", as_share=False),
    )


def _lines(
    source: ReportData | Mapping[str, Series],
    labels: Mapping[str, str],
    *,
    color: str = ACCENT,
    dots: bool = False,
) -> list[Line]:
    metrics = source.metrics if isinstance(source, ReportData) else source
    return [
        Line(label=label, series=metrics[name], color=color, dots=dots)
        for name, label in labels.items()
        if name in metrics and metrics[name].steps
    ]


def _panel(
    lines: list[Line], title: str, caption: str, *, y_label: str, log_y: bool = False
) -> Panel | None:
    if not lines:
        return None
    return Panel(
        title=title,
        caption=caption,
        figure=figures.over_steps(lines, y_label=y_label, log_y=log_y),
    )
