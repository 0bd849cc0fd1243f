"""The report's figures, each a string of SVG that takes its colours from the page.

Drawn at phone size (3.6 inches, scaled to the column) so that type stays legible there.  Colours
are placeholders that `_to_svg` turns into CSS variables, so that one figure serves light and dark.
matplotlib is imported only when a figure is drawn, and its global state is never touched.
"""

import functools
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from proofloop.measure.data import Series
from proofloop.measure.estimators.bootstrap import Curve
from proofloop.measure.estimators.interval import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

INK, MUTED, RULE, ACCENT = "#010101", "#010102", "#010103", "#010104"
SHADES = ("#010105", "#010106", "#010107", "#010108", "#010109", "#01010a")
_CSS = {INK: "ink", MUTED: "muted", RULE: "rule", ACCENT: "accent"} | {
    shade: f"shade{i}" for i, shade in enumerate(SHADES)
}
_SIZE_INCHES = (3.6, 2.5)
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "proofloop",  # the same data give the same bytes
    "font.size": 10,
    "axes.edgecolor": RULE,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "text.color": INK,
    "lines.solid_capstyle": "round",
}
STEP_LABEL = "optimiser step"


def _in_style(draw: Callable[P, str]) -> Callable[P, str]:
    """Draw under our settings alone: many are read only when an artist is made or drawn."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> str:
        from matplotlib import rc_context

        with rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve over steps.  `dots` where few points were measured, else raw and smoothed."""

    label: str
    series: Series
    color: str = ACCENT
    dots: bool = False


@_in_style
def over_steps(lines: Sequence[Line], *, y_label: str, log_y: bool = False) -> str:
    """Curves over optimiser steps; a thin raw line under its running mean."""
    figure, axes = _canvas()
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
    _integer_steps(axes)
    return _finish(figure, axes, x_label=STEP_LABEL, y_label=y_label, ends=ends)


@_in_style
def pass_curves(curves: Sequence[tuple[str, Sequence[int], Curve, str]]) -> str:
    """pass@k over k (log2) with bands, from (label, ks, curve, colour)."""
    figure, axes = _canvas()
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
    _share_axis(axes)
    return _finish(figure, axes, x_label="k, samples per task", y_label="pass@k", ends=ends)


@_in_style
def dot_rows(rows: Sequence[tuple[str, Interval | None, Interval | None]]) -> str:
    """One row a group of tasks: the base's share above the trained model's, with intervals."""
    figure, axes = _canvas(height=0.9 + 0.36 * len(rows))
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
    return _to_svg(figure)


@_in_style
def stacked(parts: Mapping[str, Series], *, y_label: str, as_share: bool) -> str:
    """Quantities over steps that add up, largest (or first given) at the bottom."""
    figure, axes = _canvas()
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
        _percent_ticks(axes)
    _integer_steps(axes)
    return _finish(figure, axes, x_label=STEP_LABEL, y_label=y_label, ends=ends)


def running_mean(values: "np.ndarray[Any, np.dtype[np.float64]]") -> Any:
    """Centred mean over about a tenth of the run, shorter at the ends."""
    reach = max(1, len(values) // 20)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    low, high = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)


def _canvas(height: float = _SIZE_INCHES[1]) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    size = (_SIZE_INCHES[0], height)
    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    axes = figure.add_subplot(facecolor="none")
    axes.tick_params(length=3)
    return figure, axes


def _share_axis(axes: "Axes") -> None:
    axes.set_ylim(0, 1)
    _percent_ticks(axes)


def _percent_ticks(axes: "Axes") -> None:
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])


def _integer_steps(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def _finish(
    figure: "Figure",
    axes: "Axes",
    *,
    x_label: str,
    y_label: str,
    ends: Sequence[tuple[float, str, str]],
) -> str:
    """Name the axes and label every curve at its end instead of in a legend."""
    axes.grid(axis="y", color=RULE, lw=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(x_label)
    axes.set_title(y_label, loc="left", fontsize=10, color=MUTED, pad=8)
    heights = axes.transAxes.inverted().transform(
        axes.transData.transform([(1.0, value) for value, _, _ in ends])
    )[:, 1]
    for height, (_, label, color) in zip(spread(list(heights), gap=0.095), ends, strict=True):
        axes.text(1.02, height, label, color=color, transform=axes.transAxes, va="center")
    return _to_svg(figure)


def spread(heights: Sequence[float], *, gap: float) -> list[float]:
    """Move labels apart to at least `gap`, keeping their order and staying within [0, 1]."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = list(heights)
    floor = 0.0
    for i in order:
        placed[i] = floor = max(placed[i], floor)
        floor += gap
    ceiling = 1.0
    for i in reversed(order):
        placed[i] = ceiling = min(placed[i], ceiling)
        ceiling -= gap
    return placed


def _to_svg(figure: "Figure") -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(
        buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img">', svg, count=1
    )
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    # A style element inside would speak for the whole page; the page sets type and line joins.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.S)
    svg = re.sub(r"font-family: [^;]*; ", "", svg).replace("xlink:href", "href")
    for placeholder, name in _CSS.items():
        svg = svg.replace(placeholder, f"var(--{name})")
    return svg
