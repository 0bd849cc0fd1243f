"""How reliable is it: the same task again, a new task, and what one more nine would take."""

import numpy as np

from proofloop.measure.compare.section import Drawn, Section, Table
from proofloop.measure.compare.sides import Sides
from proofloop.measure.drawing import ACCENT, MUTED, SHADES
from proofloop.measure.estimators.bootstrap import Curve
from proofloop.measure.estimators.next_nine import NextNine, next_nine
from proofloop.measure.estimators.reliability import Fan, Reliability, fan, reliability
from proofloop.measure.figures import Band, bands
from proofloop.measure.outcomes import Outcomes
from proofloop.measure.summary import percent


def nines(sides: Sides) -> Section | None:
    """None for fewer than two tasks."""
    if sides.num_tasks < 2:
        return None
    named = [("base", sides.base.outcomes), *((s.name, s.outcomes) for s in sides.trained)]
    found = {name: reliability(o.num_samples, o.num_passed) for name, o in named}
    subject = sides.subject.outcomes
    plan = next_nine(subject.num_samples, subject.num_passed)
    return Section(
        title="Reliability",
        says=(*_says(found[sides.subject.name]), says_plan(plan, found[sides.subject.name])),
        facts={"reliability": found, "next_nine": plan},
        table=Table(
            columns=("", "a new task", "nines", "the same task again", "design effect"),
            rows=tuple((name, *_cells(r)) for name, r in found.items()),
        ),
        figures=_figures(subject),
    )


def _cells(found: Reliability) -> tuple[str, ...]:
    nines = found.nines
    high = "∞" if nines.high is None else f"{nines.high:.2f}"
    value = "–" if nines.value is None else f"{nines.value:.2f}"
    return (
        percent(found.across),
        f"{value} [{nines.low:.2f}, {high}]",
        percent(found.within),
        f"{found.design_effect:.1f}",
    )


def _says(found: Reliability) -> tuple[str, ...]:
    trials = found.num_trials / found.design_effect
    says = [
        f"{found.num_trials:,} attempts at {found.num_tasks} tasks are worth {trials:,.0f} "
        f"independent ones: failures cluster by task (design effect {found.design_effect:.1f})."
    ]
    if found.tasks_of_failures is not None:
        says.append(
            f"{found.tasks_of_failures} of {found.num_tasks} tasks hold 80% of the failures."
        )
    if found.refusal is not None:
        says.append(f"{found.refusal[0].upper()}{found.refusal[1:]}.")
    return tuple(says)


def says_plan(plan: NextNine, seen: Reliability) -> str:
    target = f"the next nine ({plan.target:.4g})"
    if seen.across.value <= plan.target:
        return f"T{target[1:]} is above the rate seen: no number of attempts would show it."
    if plan.num_tasks is None:
        return f"To show {target} takes more tasks than anyone has: the rate seen is hardly above."
    return (
        f"To show {target} takes about {plan.num_tasks:,} tasks like these ({plan.num_trials:,} "
        "attempts), if the rate is as seen."
    )


def _figures(outcomes: Outcomes) -> tuple[Drawn, ...]:
    """pass@k rises, pass^k falls; none where a task has a single sample."""
    most = int(outcomes.num_samples.min())
    if most < 2:
        return ()
    ks = tuple(range(1, min(most, 64) + 1))
    found = fan(outcomes.num_samples, outcomes.num_passed, ks)
    return (
        Drawn(
            name="fan",
            caption="Of k attempts at a task at least one passes (pass@k), or all do (pass^k). "
            "Dashed: pass^k if failures fell on all tasks alike; the gap to it is what repeating "
            "a task that works does not test. Bands: 95%, tasks resampled.",
            figure=bands(
                [
                    _band("pass@k", found.pass_at, found, MUTED),
                    _band("pass^k", found.pass_hat, found, ACCENT),
                    Band(
                        label="alike",
                        x=ks,
                        mean=list(found.independent_K),
                        low=[np.nan] * len(ks),
                        high=[np.nan] * len(ks),
                        color=SHADES[0],
                        dashed=True,
                    ),
                ],
                x_label="k, attempts at a task",
                y_label="share of tasks",
                is_share=True,
            ),
        ),
    )


def _band(label: str, curve: Curve, found: Fan, color: str) -> Band:
    return Band(
        label=label,
        x=found.ks,
        mean=list(curve.means),
        low=list(curve.lows),
        high=list(curve.highs),
        color=color,
    )
