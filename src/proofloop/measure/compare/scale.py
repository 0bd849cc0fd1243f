"""What a sweep over sizes says: a curve for each size, fitted on its first part, and the miss."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import stats

from proofloop.core.record import Record
from proofloop.measure.compare.section import Drawn, Section, Table
from proofloop.measure.drawing import ACCENT, MUTED, Figure
from proofloop.measure.estimators.bootstrap import bootstrap_mean
from proofloop.measure.estimators.interval import FEW_TASKS, LEVEL, Interval
from proofloop.measure.estimators.scaling import (
    FLAT,
    Bounds,
    Forecast,
    Identified,
    SigmoidFit,
    fit_sigmoid,
    forecast,
)
from proofloop.measure.figures import Band, bands
from proofloop.measure.learning_curve import CurvePoint
from proofloop.measure.summary import percent, points

SAME = 1e-9
"""Two scores that are nearer are one."""


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
        """Last scores, seeds as the unit; no ends where all are alike."""
        last_S = np.array([curve[-1].score for curve in self.seeds])
        return _told(last_S, bootstrap_mean(last_S[:, None]).at(0))


class Miss(Record):
    """How far a forecast lies from the evaluations that came, on average and without sign, beside
    the null that nothing changes any more."""

    forecast: float
    carried: float
    """Of the score carried forward: the mean over seeds of their last evaluations seen."""
    difference: Interval
    """Forecast minus carried: below 0 where the curve foretells more than the null.  By Student's t
    over seeds; no ends for one seed, nor where all are alike, of which nothing can be learned."""


class SizeFit(Record):
    """One size: a fit of everything, and a forecast of the rest from the first part."""

    num_parameters: int
    num_seeds: int
    start: float
    final: Interval | None
    fit: SigmoidFit | None
    forecast: Forecast | None
    miss: Miss | None
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
    if found is not None and found.fit.why_not == FLAT:
        # The best of many curves that all fit noise: where it leads is chance.
        found, why_not = None, f"up to there {FLAT}"
    return SizeFit(
        num_parameters=curves.num_parameters,
        num_seeds=len(curves.seeds),
        start=curves.start,
        final=curves.final,
        fit=fit,
        forecast=found,
        miss=None if found is None else _miss(curves, found, fit_share * float(compute.max())),
        why_not=why_not,
    )


def _miss(curves: Curves, found: Forecast, fit_up_to: float) -> Miss | None:
    """None where a seed has no evaluation on one of the two sides."""
    trained = [[p for p in curve if p.flops > 0] for curve in curves.seeds]
    seen = [[p.score for p in curve if p.flops <= fit_up_to] for curve in trained]
    ahead = [[p.score for p in curve if p.flops > fit_up_to] for curve in trained]
    if not all(seen) or not all(ahead):
        return None
    carried = float(np.mean([scores[-1] for scores in seen]))
    predictions = iter(found.predictions)  # in the order of `Curves.trained`
    misses_S2 = np.array(
        [
            np.mean([(abs(s - next(predictions).predicted), abs(s - carried)) for s in scores], 0)
            for scores in ahead
        ]
    )
    forecast_, carried_ = (float(mean) for mean in misses_S2.mean(axis=0))
    difference = mean_over_seeds(misses_S2[:, 0] - misses_S2[:, 1])
    return Miss(forecast=forecast_, carried=carried_, difference=difference)


def mean_over_seeds(values_S: NDArray[np.float64]) -> Interval:
    """Mean over seeds.  Few seeds' differences are small beside what they could be, so an interval
    that holds whatever their distribution would reach over all of it and say nothing."""
    mean, low, high = float(values_S.mean()), None, None
    if len(values_S) > 1 and np.ptp(values_S) > SAME:
        found = stats.ttest_1samp(values_S, 0.0).confidence_interval(LEVEL)
        low, high = float(found.low), float(found.high)
    return Interval(value=mean, low=low, high=high, num_tasks=len(values_S))


def _told(values_S: NDArray[np.float64], interval: Interval | None) -> Interval | None:
    """Without ends where all seeds are alike: how far others might lie is not in them."""
    if interval is None or np.ptp(values_S) > SAME:
        return interval
    return msgspec.structs.replace(interval, low=None, high=None)


def scaling(
    sizes: Mapping[str, Curves], fit_share: float, *, score: str = "held-out pass@1"
) -> Section:
    """`score`: what the curves are of."""
    fits = {name: fit_size(curves, fit_share) for name, curves in sizes.items()}
    return Section(
        title="Forecast against outcome",
        says=(
            *(_says(name, found, fit_share) for name, found in fits.items()),
            "Miss: mean distance of the held-out evaluations from the forecast, beside that from "
            'the null "nothing changes any more"; their difference with the seeds as the unit.',
        ),
        facts={"fits": fits, "fit_share": fit_share},
        table=Table(
            columns=(
                *("size", "parameters", "seeds", "start", "end", "asymptote", "identified"),
                *("came less forecast, points", "held-out inside"),
                *("miss", "miss of the null", "miss less the null's"),
            ),
            rows=tuple(_row(name, found) for name, found in fits.items()),
        ),
        figures=(
            *_over_size(fits, score),
            *(
                _over_compute(name, sizes[name], found, fit_share, score)
                for name, found in fits.items()
                if sizes[name].trained
            ),
        ),
    )


def _over_compute(name: str, curves: Curves, found: SizeFit, fit_share: float, score: str) -> Drawn:
    return Drawn(
        name=f"scale-{name}",
        caption=f"{name}: {score} over compute, every seed's evaluations. Fitted on what "
        "lies left of the dotted line; the band is where the fit expects further evaluations "
        "(95%).",
        figure=_figure(curves, found, fit_share, score),
    )


def _over_size(fits: Mapping[str, SizeFit], score: str) -> tuple[Drawn, ...]:
    """Last scores over the number of parameters; nothing where there is only one size."""
    known = sorted(
        ((f.num_parameters, f.start, f.final) for f in fits.values() if f.final is not None),
        key=lambda found: found[0],
    )
    if len(known) < 2:
        return ()
    parameters = [float(n) for n, _, _ in known]
    nothing = [math.nan] * len(known)
    ends = [final for _, _, final in known]
    return (
        Drawn(
            name="scale-sizes",
            caption=f"{score.capitalize()} before training and after it, over the size of the "
            "network. Intervals: 95%, seeds are the unit.",
            figure=bands(
                [
                    Band(
                        label="base",
                        x=parameters,
                        mean=[start for _, start, _ in known],
                        low=nothing,
                        high=nothing,
                        color=MUTED,
                        dots=True,
                    ),
                    Band(
                        label="trained",
                        x=parameters,
                        mean=[end.value for end in ends],
                        low=[math.nan if end.low is None else end.low for end in ends],
                        high=[math.nan if end.high is None else end.high for end in ends],
                        dots=True,
                    ),
                ],
                x_label="parameters",
                y_label=score,
                log_x=True,
                is_share=True,
            ),
        ),
    )


def _row(name: str, found: SizeFit) -> tuple[str, ...]:
    fit, ahead = found.fit, found.forecast
    return (
        name,
        f"{found.num_parameters:,}",
        str(found.num_seeds),
        f"{100 * found.start:.1f}%",
        percent(_of_seeds(found.final)),
        _share(fit.asymptote) if fit and fit.identified is not Identified.NO else "–",
        fit.identified.value if fit else "–",
        f"{100 * ahead.mean_miss:+.1f} (largest {100 * ahead.largest_miss:+.1f})" if ahead else "–",
        f"{ahead.share_inside:.0%} of {len(ahead.predictions)}" if ahead else "–",
        f"{100 * found.miss.forecast:.1f}" if found.miss else "–",
        f"{100 * found.miss.carried:.1f}" if found.miss else "–",
        points(_of_seeds(found.miss.difference)) if found.miss else "–",
    )


def _of_seeds(interval: Interval | None) -> Interval | None:
    """For the table: its unit are seeds, which have a column, and not few tasks."""
    return None if interval is None else msgspec.structs.replace(interval, num_tasks=FEW_TASKS)


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


def _figure(curves: Curves, found: SizeFit, fit_share: float, score: str) -> Figure:
    seen: Sequence[CurvePoint] = sorted(curves.trained, key=lambda p: p.flops)
    unit = 10 ** math.floor(math.log10(max(p.flops for p in seen)))
    flops = [p.flops / unit for p in seen]
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
                x=[p.compute / unit for p in ahead],
                mean=[p.predicted for p in ahead],
                low=[p.low for p in ahead],
                high=[p.high for p in ahead],
                color=ACCENT,
            )
        )
    return bands(
        shown,
        x_label=f"operations of sampling and training, 1e{round(math.log10(unit))}",
        y_label=score,
        in_percent=True,
        mark=(fit_share * max(flops), "fitted up to here"),
    )
