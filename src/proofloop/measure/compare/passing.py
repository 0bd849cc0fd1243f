"""Does it solve more, and is that more than what further samples of the base would do?"""

from proofloop.measure.compare.section import Drawn, Section, Table
from proofloop.measure.compare.sides import Sides, known_k
from proofloop.measure.drawing import ACCENT, MUTED
from proofloop.measure.estimators.crossover import Crossover, crossover
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.figures import pass_curves
from proofloop.measure.outcomes import Outcomes, difference_curve, known_ks
from proofloop.measure.summary import percent, points


def passing(sides: Sides) -> Section:
    """pass@k of every side, paired differences from the base, and where the base is even."""
    base = sides.base.outcomes
    trained = [side.outcomes for side in sides.trained]
    ks = _shown_ks(base, *trained)
    base_curve = base.curve(ks)
    rows = [("base", *(percent(base_curve.at(i)) for i in range(len(ks))))]
    gains: dict[str, dict[str, Interval | None]] = {}
    for side, outcomes in zip(sides.trained, trained, strict=True):
        difference = difference_curve(base, outcomes, ks)
        cells = [difference.at(i) for i in range(len(ks))]
        gains[side.name] = {str(k): cell for k, cell in zip(ks, cells, strict=True)}
        curve = outcomes.curve(ks)
        rows.append((side.name, *(percent(curve.at(i)) for i in range(len(ks)))))
        rows.append(("  less base, points", *(points(cell) for cell in cells)))
    even = _even(base, trained[0])
    return Section(
        title="Solved within k samples",
        says=(_says_even(even),),
        facts={"difference_at_k": gains, "crossover": even},
        table=Table(columns=("", *(f"pass@{k}" for k in ks)), rows=tuple(rows)),
        figures=(
            Drawn(
                name="pass-at-k",
                caption="Where the curves meet, more samples of the base do what training did. "
                "Bands: 95%, tasks resampled. At k = all samples it is only "
                '"solved at least once".',
                figure=pass_curves(
                    [
                        ("base", known_ks(base), base.curve(known_ks(base)), MUTED),
                        *(
                            (_short(side.name, i), known_ks(o), o.curve(known_ks(o)), ACCENT)
                            for i, (side, o) in enumerate(zip(sides.trained, trained, strict=True))
                        ),
                    ]
                ),
            ),
        ),
    )


def _shown_ks(*sides: Outcomes) -> list[int]:
    """1, 8, 64, … as far as every task has samples, and the last k that is no mere indicator."""
    fewest = min(int(side.num_samples.min()) for side in sides)
    return sorted({k for k in (1, 8, 64, 512) if k <= fewest} | {max(1, fewest // 2)})


def _even(base: Outcomes, trained: Outcomes) -> Crossover | None:
    if known_k(base, trained) < 1 or base.num_tasks < 2:
        return None
    return crossover(base.num_samples, base.num_passed, trained.num_samples, trained.num_passed)


def _says_even(even: Crossover | None) -> str:
    if even is None:
        return (
            "Too few samples or tasks to say from how many samples on the base would be as good: "
            "it takes two tasks, and two samples of each."
        )
    if even.k == 1:
        return "The base is not behind at any k."
    chance = f"{even.chance_of_none:.0%} of resamples find no such k"
    if even.k is None:
        return (
            f"Up to {even.max_k} samples a task, all that half of the samples can tell, the base "
            f"does not catch up ({chance})."
        )
    low = f"over {even.max_k}" if even.low is None else str(even.low)
    high = f"over {even.max_k}" if even.high is None else str(even.high)
    return (
        f"The base is as good with k* = {even.k} samples a task [{low}, {high}] ({chance} up to "
        f"{even.max_k})."
    )


def _short(name: str, place: int) -> str:
    return "trained" if place == 0 else name.split(",")[0][-12:]
