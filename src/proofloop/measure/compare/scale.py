"""What a sweep over sizes says: a curve for each size, fitted on its first part, and the miss."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from proofloop.core.record import Record
from proofloop.measure.compare.section import Drawn, Section, Table
from proofloop.measure.drawing import ACCENT, MUTED, Figure
from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.scaling import Bounds, Forecast, SigmoidFit, fit_sigmoid, forecast
from proofloop.measure.figures import Band, bands
from proofloop.measure.learning_curve import CurvePoint
from proofloop.measure.summary import percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """All seeds of one size."""

    num_parameters: int
    seeds: tuple[tuple[CurvePoint, ...], ...]

    @property
    def start(self) -> float:
        """The base's score: step 0, the same model for every seed."""
        return float(np.mean([curve[0].score for curve in self.seeds]))

    @property
    def trained(self) -> tuple[CurvePoint, ...]:
        return tuple(point for curve in self.seeds for point in curve if point.flops > 0)

    @property
    def final(self) -> Interval | None:
        """Last scores, seeds as the unit."""
        last_S = np.array([[curve[-1].score] for curve in self.seeds])
        return bootstrap_mean(last_S).at(0)


class SizeFit(Record):
    """One size: a fit of everything, and a forecast of the rest from the first part."""

    num_parameters: int
    num_seeds: int
    start: float
    final: Interval | None
    fit: SigmoidFit | None
    forecast: Forecast | None
    why_not: str | None
    """Why there is no fit or no forecast."""


def fit_size(curves: Curves, fit_share: float) -> SizeFit:
    """`fit_share`: of the compute of the longest run, which the forecast may see."""
    compute = np.array([p.flops for p in curves.trained])
    score = np.array([p.score for p in curves.trained])
    fit = found = why_not = None
    try:
        fit = fit_sigmoid(compute, score, start=curves.start)
        found = forecast(
            compute, score, fit_up_to=fit_share * float(compute.max()), start=curves.start
        )
    except ValueError as error:
        why_not = str(error)
    return SizeFit(
        num_parameters=curves.num_parameters,
        num_seeds=len(curves.seeds),
        start=curves.start,
        final=curves.final,
        fit=fit,
        forecast=found,
        why_not=why_not,
    )


def scaling(sizes: Mapping[str, Curves], fit_share: float) -> Section:
    fits = {name: fit_size(curves, fit_share) for name, curves in sizes.items()}
    return Section(
        title="Forecast against outcome",
        says=tuple(_says(name, found, fit_share) for name, found in fits.items()),
        facts={"fits": fits, "fit_share": fit_share},
        table=Table(
            columns=(
                *("size", "parameters", "seeds", "start", "end", "asymptote", "identified"),
                *("mean miss, points", "held-out inside"),
            ),
            rows=tuple(_row(name, found) for name, found in fits.items()),
        ),
        figures=tuple(
            Drawn(
                name=f"scale-{name}",
                caption=f"{name}: held-out pass@1 over compute, every seed's evaluations. Fitted "
                "on what lies left of the dotted line; the band is where the fit expects further "
                "evaluations (95%).",
                figure=_figure(sizes[name], found, fit_share),
            )
            for name, found in fits.items()
            if sizes[name].trained
        ),
    )


def _row(name: str, found: SizeFit) -> tuple[str, ...]:
    fit, ahead = found.fit, found.forecast
    return (
        name,
        f"{found.num_parameters:,}",
        str(found.num_seeds),
        f"{100 * found.start:.1f}%",
        percent(found.final),
        _share(fit.asymptote) if fit else "–",
        fit.identified.value if fit else "–",
        f"{100 * ahead.mean_miss:+.1f} (largest {100 * ahead.largest_miss:+.1f})" if ahead else "–",
        f"{ahead.share_inside:.0%} of {len(ahead.predictions)}" if ahead else "–",
    )


def _says(name: str, found: SizeFit, fit_share: float) -> str:
    if found.forecast is None or found.fit is None:
        return f"{name}: no forecast: {found.why_not}."
    ahead = found.forecast
    claim = (
        "no claim on where it ends: " + (found.fit.why_not or "not identified")
        if found.fit.why_not
        else f"it ends at {_share(found.fit.asymptote)} ({found.fit.identified.value})"
    )
    return (
        f"{name}: from the first {fit_share:.0%} of the compute the rest was missed by "
        f"{100 * ahead.mean_miss:+.1f} points on average, {ahead.share_inside:.0%} of it within "
        f"the forecast's intervals; of the whole run, {claim}."
    )


def _share(bounds: Bounds) -> str:
    low = "…" if bounds.low is None else f"{100 * bounds.low:.1f}"
    high = "…" if bounds.high is None else f"{100 * bounds.high:.1f}"
    return f"{100 * bounds.value:.1f}% [{low}, {high}]"


def _figure(curves: Curves, found: SizeFit, fit_share: float) -> Figure:
    seen: Sequence[CurvePoint] = sorted(curves.trained, key=lambda p: p.flops)
    flops = [p.flops for p in seen]
    nothing = [math.nan] * len(seen)
    shown = [
        Band(
            label="measured",
            x=flops,
            mean=[p.score for p in seen],
            low=nothing,
            high=nothing,
            color=MUTED,
            dots=True,
        )
    ]
    if found.forecast is not None:
        ahead = sorted(found.forecast.predictions, key=lambda p: p.compute)
        shown.append(
            Band(
                label="forecast",
                x=[p.compute for p in ahead],
                mean=[p.predicted for p in ahead],
                low=[p.low for p in ahead],
                high=[p.high for p in ahead],
                color=ACCENT,
            )
        )
    return bands(
        shown,
        x_label="operations of sampling and training",
        y_label="held-out pass@1",
        mark=(fit_share * max(flops), "fitted up to here"),
    )
