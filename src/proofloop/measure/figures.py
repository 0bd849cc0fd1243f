"""The kinds of figure that reports show, each with the numbers that it shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from proofloop.measure.data import Series
from proofloop.measure.drawing import (
    ACCENT,
    INK,
    MUTED,
    RULE,
    SHADES,
    Cell,
    Figure,
    canvas,
    finish,
    in_style,
    integer_steps,
    percent_ticks,
    share_axis,
    to_svg,
)
from proofloop.measure.estimators.bootstrap import Curve
from proofloop.measure.estimators.interval import Interval

STEP_LABEL = "optimiser step"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve over steps.  `dots` where few points were measured, else raw and smoothed."""

    label: str
    series: Series
    color: str = ACCENT
    dots: bool = False


@in_style
def over_steps(lines: Sequence[Line], *, y_label: str, log_y: bool = False) -> Figure:
    """Curves over optimiser steps; a thin raw line under its running mean."""
    sheet, axes = canvas()
    ends: list[tuple[float, str, str]] = []
    for line in lines:
        steps, values = np.array(line.series.steps), np.array(line.series.values)
        if line.dots or len(steps) < 8:
            axes.plot(steps, values, color=line.color, lw=1.4, marker="o", ms=3)
            ends.append((float(values[-1]), line.label, line.color))
            continue
        smooth = running_mean(values)
        axes.plot(steps, values, color=line.color, lw=0.6, alpha=0.45)
        axes.plot(steps, smooth, color=line.color, lw=1.6)
        ends.append((float(smooth[-1]), line.label, line.color))
    if log_y:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        axes.set_ylim(10 ** math.floor(math.log10(low)), 10 ** math.ceil(math.log10(high)))
        axes.minorticks_off()
    else:
        axes.margins(y=0.08)
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    integer_steps(axes)
    return Figure(
        svg=finish(sheet, axes, x_label=STEP_LABEL, y_label=y_label, ends=ends),
        columns=("line", "step", "value"),
        rows=tuple(
            (line.label or y_label, step, value)
            for line in lines
            for step, value in zip(line.series.steps, line.series.values, strict=True)
        ),
    )


@in_style
def pass_curves(curves: Sequence[tuple[str, Sequence[int], Curve, str]]) -> Figure:
    """pass@k over k (log2) with bands, from (label, ks, curve, colour)."""
    sheet, axes = canvas()
    ends: list[tuple[float, str, str]] = []
    axes.set_xscale("log", base=2)
    for label, ks, curve, color in curves:
        axes.fill_between(ks, curve.lows, curve.highs, color=color, alpha=0.18, lw=0)
        axes.plot(ks, curve.means, color=color, lw=1.6, marker="o" if len(ks) == 1 else "")
        ends.append((float(curve.means[-1]), label, color))
    largest = max(ks[-1] for _, ks, _, _ in curves)
    ticks = [2**i for i in range(largest.bit_length())]
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    share_axis(axes)
    return Figure(
        svg=finish(sheet, axes, x_label="k, samples per task", y_label="pass@k", ends=ends),
        columns=("curve", "k", "mean", "low", "high", "num_tasks"),
        rows=tuple(
            (label, k, *_numbers(curve.means[i], curve.lows[i], curve.highs[i]), int(n))
            for label, ks, curve, _ in curves
            for i, (k, n) in enumerate(zip(ks, curve.num_tasks, strict=True))
        ),
    )


@in_style
def dot_rows(rows: Sequence[tuple[str, Interval | None, Interval | None]]) -> Figure:
    """One row a group of tasks: the base's share above the trained model's, with intervals."""
    sheet, axes = canvas(height=0.9 + 0.36 * len(rows))
    for place, (_, base, trained) in enumerate(rows):
        for side, color, shift in ((base, MUTED, -0.14), (trained, ACCENT, 0.14)):
            if side is None:
                continue
            if side.low is not None and side.high is not None:
                axes.plot([side.low, side.high], [place + shift] * 2, color=color, lw=1)
            axes.plot([side.value], [place + shift], color=color, marker="o", ms=4.5)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=RULE, lw=0.5, alpha=0.6)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("held-out pass@1")
    return Figure(
        svg=to_svg(sheet),
        columns=("group", "side", "mean", "low", "high", "num_tasks"),
        rows=tuple(
            (label, name, side.value, side.low, side.high, side.num_tasks)
            for label, base, trained in rows
            for name, side in (("base", base), ("trained", trained))
            if side is not None
        ),
    )


FEW_PLACES = 6
"""So few values of x are named one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A curve with its interval; NaN where there is none.  `dots`: measured points, no line."""

    label: str
    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    color: str = ACCENT
    dots: bool = False
    dashed: bool = False


def _short(number: float) -> str:
    """47232 as 47k."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return (
                f"{number / size:.3g}{letter}"
                if number < 10 * size
                else f"{number / size:.0f}{letter}"
            )
    return f"{number:g}"


@in_style
def bands(
    curves: Sequence[Band],
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    is_share: bool = False,
    in_percent: bool = False,
    mark: tuple[float, str] | None = None,
) -> Figure:
    """Curves or points with their intervals; `mark`: an upright line at x, with its name.  Shares
    that leave most of the axis empty are told `in_percent` on an axis of their own."""
    sheet, axes = canvas()
    ends: list[tuple[float, str, str]] = []
    if log_x:
        axes.set_xscale("log")
    for c in curves:
        x, mean = np.array(c.x, float), np.array(c.mean, float)
        low, high = np.array(c.low, float), np.array(c.high, float)
        if c.dots:
            axes.vlines(x, low, high, color=c.color, lw=1)
            axes.plot(x, mean, color=c.color, marker="o", ms=3.5, lw=0)
        else:
            axes.fill_between(x, low, high, color=c.color, alpha=0.18, lw=0)
            axes.plot(x, mean, color=c.color, lw=1.4, ls="--" if c.dashed else "-")
        known = mean[~np.isnan(mean)]
        if len(known) and c.label:
            ends.append((float(known[-1]), c.label, c.color))
    if mark is not None:
        axes.axvline(mark[0], color=MUTED, lw=0.8, ls=":")
        axes.text(mark[0], 0.02, f" {mark[1]}", color=MUTED, transform=axes.get_xaxis_transform())
    if is_share:
        share_axis(axes)
    else:
        axes.margins(y=0.08)
    if in_percent:
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g}%")
    places = sorted({x for c in curves for x in c.x})
    if log_x and len(places) <= FEW_PLACES:
        axes.set_xticks(places, [_short(x) for x in places])
        axes.minorticks_off()
    return Figure(
        svg=finish(sheet, axes, x_label=x_label, y_label=y_label, ends=ends),
        columns=("curve", x_label, "mean", "low", "high"),
        rows=tuple(
            (c.label, float(x), *_numbers(mean, low, high))
            for c in curves
            for x, mean, low, high in zip(c.x, c.mean, c.low, c.high, strict=True)
        ),
    )


@in_style
def bars(
    parts: Mapping[str, Sequence[float]],
    edges: Sequence[float],
    *,
    x_label: str,
    y_label: str,
) -> Figure:
    """Histograms over the same bins, the first in colour and in front."""
    sheet, axes = canvas()
    places = np.array(edges, float)
    ends: list[tuple[float, str, str]] = []
    for i, (label, heights) in reversed(list(enumerate(parts.items()))):
        color = ACCENT if i == 0 else SHADES[0]
        axes.stairs(list(heights), places, fill=True, color=color, alpha=0.75 if i == 0 else 0.5)
        if label:
            ends.append((float(max(heights, default=0.0)), label, color if i == 0 else MUTED))
    axes.set_ylim(bottom=0)
    return Figure(
        svg=finish(sheet, axes, x_label=x_label, y_label=y_label, ends=ends),
        columns=("part", "from", "to", y_label),
        rows=tuple(
            (label or y_label, float(a), float(b), float(height))
            for label, heights in parts.items()
            for a, b, height in zip(edges[:-1], edges[1:], heights, strict=True)
        ),
    )


@in_style
def grid(
    values: Mapping[tuple[int, int], Interval],
    *,
    x_label: str,
    y_label: str,
    title: str,
) -> Figure:
    """A share in every cell of two dials, from (x, y); what was not measured stays empty."""
    sheet, axes = canvas(height=1.2 + 0.42 * len({y for _, y in values}))
    xs, ys = sorted({x for x, _ in values}), sorted({y for _, y in values})
    for (x, y), share in values.items():
        i, j = xs.index(x), ys.index(y)
        axes.fill_between(
            [i - 0.5, i + 0.5], j - 0.5, j + 0.5, color=ACCENT, lw=0, alpha=0.85 * share.value
        )
        text = f"{100 * share.value:.0f}%"
        axes.text(i, j, text, ha="center", va="center", color=INK)
    axes.set_xticks(range(len(xs)), [str(x) for x in xs])
    axes.set_yticks(range(len(ys)), [str(y) for y in ys])
    axes.set_xlim(-0.5, len(xs) - 0.5)
    axes.set_ylim(-0.5, len(ys) - 0.5)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_title(title, loc="left", fontsize=10, color=MUTED, pad=8)
    axes.tick_params(length=0)
    return Figure(
        svg=to_svg(sheet),
        columns=(x_label, y_label, "mean", "low", "high", "num_tasks"),
        rows=tuple(
            (x, y, share.value, share.low, share.high, share.num_tasks)
            for (x, y), share in sorted(values.items())
        ),
    )


@in_style
def stacked(parts: Mapping[str, Series], *, y_label: str, as_share: bool) -> Figure:
    """Quantities over steps that add up, largest (or first given) at the bottom."""
    sheet, axes = canvas()
    steps = sorted({step for series in parts.values() for step in series.steps})
    values = np.zeros((len(parts), len(steps)))
    for row, series in enumerate(parts.values()):
        known = dict(zip(series.steps, series.values, strict=True))
        values[row] = [known.get(step, 0.0) for step in steps]
    if as_share:
        values = values / np.maximum(values.sum(axis=0), 1e-12)
    colors = [ACCENT, *SHADES][: len(parts)]
    # One step has no width to fill: show it as a column of its own.
    edges = steps if len(steps) > 1 else [steps[0] - 0.5, steps[0] + 0.5]
    shown = values if len(steps) > 1 else np.repeat(values, 2, axis=1)
    axes.stackplot(edges, shown, colors=colors, lw=0)
    tops = np.cumsum(shown[:, -1])
    middles = tops - shown[:, -1] / 2
    ends = [
        (float(middle), label, ACCENT if i == 0 else MUTED)
        for i, (label, middle) in enumerate(zip(parts, middles, strict=True))
    ]
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, 1 if as_share else max(float(shown.sum(axis=0).max()) * 1.02, 1e-9))
    if as_share:
        percent_ticks(axes)
    integer_steps(axes)
    return Figure(
        svg=finish(sheet, axes, x_label=STEP_LABEL, y_label=y_label, ends=ends),
        columns=("part", "step", "value"),
        rows=tuple(
            (label, step, float(values[row, i]))
            for row, label in enumerate(parts)
            for i, step in enumerate(steps)
        ),
    )


def running_mean(values: "np.ndarray[Any, np.dtype[np.float64]]") -> Any:
    """Centred mean over about a tenth of the run, shorter at the ends."""
    reach = max(1, len(values) // 20)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    low, high = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def _numbers(*values: float) -> tuple[Cell, ...]:
    return tuple(None if math.isnan(v) else float(v) for v in values)
