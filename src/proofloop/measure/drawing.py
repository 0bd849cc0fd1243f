"""How every figure is drawn: one style, type that stays legible on a phone, colours of the page.

Colours are placeholders that `to_svg` turns into CSS variables, so that one figure serves light
and dark; `standalone` gives them values for a file of its own.  matplotlib is imported only when a
figure is drawn, and its global state is never touched.

A figure carries the numbers that it shows, so that its CSV says the same.
"""

import csv
import functools
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Sheet

P = ParamSpec("P")
Cell = str | int | float | None

INK, MUTED, RULE, ACCENT = "#010101", "#010102", "#010103", "#010104"
SHADES = ("#010105", "#010106", "#010107", "#010108", "#010109", "#01010a")
_CSS = {INK: "ink", MUTED: "muted", RULE: "rule", ACCENT: "accent"} | {
    shade: f"shade{i}" for i, shade in enumerate(SHADES)
}
SIZE_INCHES = (3.6, 2.5)
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
_LIGHT = (
    "--ink: #1d1f21; --muted: #5f6368; --rule: #dcd9d3; --accent: #0b6e6e; --shade0: #8f9aa3; "
    "--shade1: #b3bbc1; --shade2: #cdd2d6; --shade3: #dfe2e5; --shade4: #ebedee; --shade5: #f3f4f5;"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A drawing as SVG and the numbers it shows."""

    svg: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """None where there is no number: an interval that the data cannot carry."""

    def save(self, stem: Path) -> None:
        """`stem`.svg, which any viewer shows, and `stem`.csv.  Raises OSError."""
        stem.with_suffix(".svg").write_text(standalone(self.svg), encoding="utf-8")
        with stem.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(self.columns)
            writer.writerows([["" if c is None else c for c in row] for row in self.rows])


def standalone(svg: str) -> str:
    """With colours, a background and type of its own."""
    style = (
        f"<style>svg {{ {_LIGHT} background: #fff; font-family: system-ui, sans-serif; }}"
        " * { stroke-linejoin: round; stroke-linecap: butt; }</style>"
    )
    svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return svg.replace(">", f">{style}", 1) + "\n"


def in_style(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Draw under our settings alone: many are read only when an artist is made or drawn."""

    @functools.wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> Figure:
        from matplotlib import rc_context

        with rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


def canvas(height: float = SIZE_INCHES[1]) -> "tuple[Sheet, Axes]":
    from matplotlib.figure import Figure as Sheet

    size = (SIZE_INCHES[0], height)
    sheet = Sheet(figsize=size, layout="constrained", facecolor="none")
    axes = sheet.add_subplot(facecolor="none")
    axes.tick_params(length=3)
    return sheet, axes


def panels(number: int, *, height: float) -> "tuple[Sheet, list[Axes]]":
    """Axes one above the other, each of this height (inches), over one x axis: as wide as a single
    figure, so that type stays legible on a phone."""
    from matplotlib.figure import Figure as Sheet

    size = (SIZE_INCHES[0], height * number)
    sheet = Sheet(figsize=size, layout="constrained", facecolor="none")
    axes = list(sheet.subplots(number, 1, sharex=True, squeeze=False)[:, 0])
    for each in axes:
        each.set_facecolor("none")
        each.tick_params(length=3)
    return sheet, axes


def share_axis(axes: "Axes") -> None:
    axes.set_ylim(0, 1)
    percent_ticks(axes)


def percent_ticks(axes: "Axes") -> None:
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])


def integer_steps(axes: "Axes") -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))


def finish(
    sheet: "Sheet",
    axes: "Axes",
    *,
    x_label: str,
    y_label: str,
    ends: Sequence[tuple[float, str, str]],
) -> str:
    """Name the axes and label every curve at its end instead of in a legend."""
    axes.set_xlabel(x_label)
    axes.set_title(y_label, loc="left", fontsize=10, color=MUTED, pad=8)
    label_ends(axes, ends)
    return to_svg(sheet)


def label_ends(axes: "Axes", ends: Sequence[tuple[float, str, str]], *, gap: float = 0.095) -> None:
    """(value, label, colour) of every curve at its right end, at least `gap` of the height apart;
    and the grid."""
    axes.grid(axis="y", color=RULE, lw=0.5, alpha=0.6)
    axes.set_axisbelow(True)
    if not ends:
        return
    heights = axes.transAxes.inverted().transform(
        axes.transData.transform([(1.0, value) for value, _, _ in ends])
    )[:, 1]
    for height, (_, label, color) in zip(spread(list(heights), gap=gap), ends, strict=True):
        axes.text(1.02, height, label, color=color, transform=axes.transAxes, va="center")


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


def to_svg(sheet: "Sheet") -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    FigureCanvasSVG(sheet).print_svg(
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
