"""Along which dial it moved: complexity, horizon, or the level of everything."""

import numpy as np

from proofloop.measure.compare.section import Drawn, Section, Table
from proofloop.measure.compare.sides import Sides
from proofloop.measure.drawing import Figure
from proofloop.measure.estimators.compounding import Compounding, compounding
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.surface import Movement, movement
from proofloop.measure.figures import grid
from proofloop.measure.outcomes import Outcomes, difference_curve
from proofloop.measure.summary import percent, points

Cell = tuple[int, int]
"""Complexity and horizon."""


def dials(sides: Sides) -> Section | None:
    """None where all tasks stand at one setting of both dials."""
    base, subject = sides.base.outcomes, sides.subject.outcomes
    cells = {(s.complexity, s.horizon) for s in base.strata}
    if len(cells) < 2:
        return None
    before, after = _cells(base), _cells(subject)
    moved = _movement(base, subject)
    nulls = _nulls(base, subject)
    return Section(
        title="Complexity and horizon",
        says=(*_says_movement(moved), *_says_nulls(nulls)),
        facts={"movement": moved, "compounding": nulls},
        table=_table(base, subject, before, after),
        figures=tuple(
            Drawn(
                name=f"dials-{name}",
                caption=f"pass@1 of the {name} model by the dials of the task.",
                figure=_drawn(shares, name),
            )
            for name, shares in (("base", before), ("trained", after))
        )
        if len({h for _, h in cells}) > 1
        else (),
    )


def by_cell(outcomes: Outcomes) -> dict[Cell, Outcomes]:
    found: dict[Cell, list[int]] = {}
    for place, stratum in enumerate(outcomes.strata):
        found.setdefault((stratum.complexity, stratum.horizon), []).append(place)
    return {cell: outcomes.take(places) for cell, places in sorted(found.items())}


def _cells(outcomes: Outcomes) -> dict[Cell, Interval]:
    means = {cell: o.curve((1,)).at(0) for cell, o in by_cell(outcomes).items()}
    return {cell: mean for cell, mean in means.items() if mean is not None}


def _table(
    base: Outcomes, subject: Outcomes, before: dict[Cell, Interval], after: dict[Cell, Interval]
) -> Table:
    trained = by_cell(subject)
    return Table(
        columns=("complexity × horizon", "tasks", "base", "trained", "difference, points"),
        rows=tuple(
            (
                f"{cell[0]} × {cell[1]}",
                str(outcomes.num_tasks),
                percent(before.get(cell)),
                percent(after.get(cell)),
                points(difference_curve(outcomes, trained[cell], (1,)).at(0)),
            )
            for cell, outcomes in by_cell(base).items()
        ),
    )


def _drawn(shares: dict[Cell, Interval], name: str) -> Figure:
    return grid(shares, x_label="complexity", y_label="horizon", title=f"pass@1, {name}")


def _axes(outcomes: Outcomes) -> tuple[np.ndarray, np.ndarray]:
    steps = np.array([s.horizon for s in outcomes.strata], float)
    return steps, np.array([s.complexity for s in outcomes.strata], float)


def _movement(base: Outcomes, subject: Outcomes) -> Movement:
    steps_T, complexity_T = _axes(base)
    return movement(
        steps_T,
        complexity_T,
        (base.num_samples, base.num_passed),
        (subject.num_samples, subject.num_passed),
    )


def _nulls(base: Outcomes, subject: Outcomes) -> dict[str, Compounding]:
    """Of each side, where both single steps and longer tasks were measured."""
    steps_T, complexity_T = _axes(base)
    if not (steps_T == 1).any() or not (steps_T > 1).any():
        return {}
    return {
        name: compounding(steps_T, complexity_T, o.num_samples, o.num_passed)
        for name, o in (("base", base), ("trained", subject))
    }


def _says_movement(moved: Movement) -> tuple[str, ...]:
    if moved.refusal is not None:
        return (f"No surface is fitted ({moved.refusal}).",)
    parts = [
        _says_change("the price of length", moved.along_horizon),
        _says_change("the price of complexity", moved.along_complexity),
    ]
    return (
        f"In log-odds at medium tasks success moved by {_number(moved.level)}; "
        + "; ".join(parts)
        + ".",
    )


def _says_change(what: str, change: Interval | None) -> str:
    if change is None:
        return f"{what} is not known"
    moved = "did not surely change" if change.includes_zero else "changed"
    return f"{what} {moved} ({_number(change)})"


def _says_nulls(nulls: dict[str, Compounding]) -> tuple[str, ...]:
    return tuple(
        f"{name.capitalize()}: longer tasks against p(complexity)^horizon, the null of steps that "
        f"fail independently: {points(found.net_deviation)} points{_both_ways(found)}."
        for name, found in nulls.items()
        if found.net_deviation is not None
    )


def _both_ways(found: Compounding) -> str:
    """What the mean over settings hides."""
    if found.both_ways is None:
        return ""
    told = (
        f"{points(cell.deviation)} at complexity {cell.complexity:g}, {cell.steps:g} functions"
        for cell in found.both_ways
    )
    return f" on average, which hides that settings deviate both ways ({'; '.join(told)})"


def _number(interval: Interval | None) -> str:
    if interval is None or interval.low is None or interval.high is None:
        return "an unknown amount"
    text = f"{interval.value:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"
    return text.replace("-", "−")
