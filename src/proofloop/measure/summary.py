"""A run in a few numbers: base, trained and their paired difference, with intervals.

The record is what `--json` prints; the table is the same numbers for a person.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group
from rich.table import Table
from rich.text import Text

from proofloop.core.record import Record
from proofloop.measure.arms import WORDS, Arm, lacks_of, title_of
from proofloop.measure.data import ReportData, Series
from proofloop.measure.estimators.interval import FEW_TASKS, Interval
from proofloop.measure.outcomes import TABLE_KS, Outcomes, difference_curve
from proofloop.measure.read import read_run


class Comparison(Record):
    """Held-out pass@k of either side and their difference on the tasks both tried."""

    k: int
    base: Interval | None
    trained: Interval | None
    difference: Interval | None


class LevelSummary(Record):
    """The comparison on the tasks of one complexity."""

    complexity: int
    pass_at_k: tuple[Comparison, ...]


class Summary(Record):
    """A run's result; `notes` says in plain sentences what a reader must know beside it."""

    run: str
    env: str
    control: str
    says: str
    """Of a control arm: what it is, and what its result means."""
    second_label: str
    """What the later measurement is of: `trained`, or `base again`."""
    num_steps_done: int
    num_steps_planned: int | None
    num_tasks: int
    num_samples: int
    """Scored attempts per task, at most."""
    num_unscored: int
    """Held-out attempts without a score, both sides."""
    pass_at_k: tuple[Comparison, ...]
    by_complexity: tuple[LevelSummary, ...]
    notes: tuple[str, ...]


def compare(
    base: Outcomes | None, trained: Outcomes | None, ks: Sequence[int] = TABLE_KS
) -> tuple[Comparison, ...]:
    """One comparison per k that any side has the samples for."""
    sides = [side for side in (base, trained) if side is not None and side.num_tasks]
    ks = [k for k in ks if any(side.max_samples >= k for side in sides)]
    if not ks:
        return ()
    base_curve = base.curve(ks) if base is not None else None
    trained_curve = trained.curve(ks) if trained is not None else None
    difference = None
    if base is not None and trained is not None:
        difference = difference_curve(base, trained, ks)
    return tuple(
        Comparison(
            k=k,
            base=base_curve.at(i) if base_curve else None,
            trained=trained_curve.at(i) if trained_curve else None,
            difference=difference.at(i) if difference else None,
        )
        for i, k in enumerate(ks)
    )


def summary_of(data: ReportData) -> Summary:
    base, trained = data.base, data.trained
    sides = [side for side in (base, trained) if side is not None]
    base_levels = base.by_complexity() if base else {}
    trained_levels = trained.by_complexity() if trained else {}
    levels = tuple(
        LevelSummary(
            complexity=level,
            pass_at_k=compare(base_levels.get(level), trained_levels.get(level)),
        )
        for level in sorted(base_levels.keys() | trained_levels.keys())
    )
    return Summary(
        run=data.name,
        env=data.env,
        control=data.control,
        says=arm_says(data),
        second_label=data.second_label,
        num_steps_done=data.num_steps_done,
        num_steps_planned=data.num_steps_planned,
        num_tasks=max((side.num_tasks for side in sides), default=0),
        num_samples=max((side.max_samples for side in sides), default=0),
        num_unscored=sum(side.total_unscored for side in sides),
        pass_at_k=compare(base, trained),
        by_complexity=levels if len(levels) > 1 else (),
        notes=_notes(data),
    )


def summarise(run_dir: Path) -> Summary:
    """The summary of a recorded run.  Raises RunError where there is none that can be read."""
    return summary_of(read_run(run_dir))


def summary_table(summary: Summary) -> Group:
    """For a terminal: one table, and the notes under it."""
    trained = any(row.trained for row in summary.pass_at_k)
    title = f"{summary.env or summary.run}: held-out, {summary.num_tasks} tasks"
    table = Table(title=f"{title} × {summary.num_samples} samples", title_justify="left")
    table.add_column("")
    table.add_column("base" if summary.num_steps_planned is not None else "score", justify="right")
    if trained:
        table.add_column(summary.second_label, justify="right")
        table.add_column("difference (paired)", justify="right")
    for row in summary.pass_at_k:
        table.add_row(*_cells(f"pass@{row.k}", row, trained=trained))
    for level in summary.by_complexity:
        for row in level.pass_at_k[:1]:
            label = f"  complexity {level.complexity}, pass@{row.k}"
            table.add_row(*_cells(label, row, trained=trained), style="dim")
    notes = [Text(note) for note in (summary.says, *summary.notes) if note]
    return Group(table, *notes) if summary.pass_at_k else Group(*notes)


def percent(interval: Interval | None) -> str:
    """A share as `34.2% [30.1, 38.4]`; from few tasks it says from how many."""
    if interval is None:
        return "–"
    text = f"{100 * interval.value:.1f}%"
    if interval.low is not None and interval.high is not None:
        text += f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
    return text + _from_few(interval)


def points(interval: Interval | None) -> str:
    """A difference of shares in percentage points, as `+21.3 [−1.0, +25.8]`."""
    if interval is None:
        return "–"
    text = f"{100 * interval.value:+z.1f}"
    if interval.low is not None and interval.high is not None:
        text += f" [{100 * interval.low:+z.1f}, {100 * interval.high:+z.1f}]"
    return text.replace("-", "−") + _from_few(interval)


def arm_says(data: ReportData) -> str:
    """Of a control arm: what it is, what its result must be or means, and what it was; empty for a
    treatment."""
    if not data.arms:
        return ""
    num_tasks = data.num_train_tasks
    titles = " and ".join(title_of(arm, num_tasks) for arm in data.arms)
    parts = [f"Control arm: {titles}."]
    parts += [f"{lacks_of(arm, num_tasks)} {WORDS[arm].then}" for arm in data.arms]
    gain = gain_of(data)
    if gain is None:
        return " ".join(parts)
    what = "Difference" if Arm.COPY in data.arms else "Gain"
    parts.append(f"{what} in pass@1, points: {points(gain)}")
    if not any(WORDS[arm].is_null for arm in data.arms):
        parts[-1] += "."
    elif gain.includes_zero:
        parts[-1] += ", as it must: the interval holds 0."
    else:
        parts[-1] += (
            ". The interval leaves out 0, which it should not, though by chance one null in twenty "
            "does: until that is explained, a gain of this size in another run is owed to nothing "
            "known."
        )
    return " ".join(parts)


def beside_says(control: ReportData, run: ReportData) -> str:
    """One line that sets a control beside the run that it accompanies; empty where either lacks a
    measurement."""
    theirs = gain_of(run)
    if theirs is None or run.trained is None or control.trained is None:
        return ""
    ahead = difference_curve(control.trained, run.trained, (1,)).at(0)
    if ahead is None:
        return ""
    return (
        f"Beside it, {run.name}: gain in pass@1, points: {points(theirs)}; its last model less "
        f"this control's: {points(ahead)}, paired on tasks."
    )


def gain_of(data: ReportData) -> Interval | None:
    """In held-out pass@1, trained minus base, paired on tasks; None where one is missing."""
    if data.base is None or data.trained is None:
        return None
    return difference_curve(data.base, data.trained, (1,)).at(0)


def _from_few(interval: Interval) -> str:
    if not interval.is_thin:
        return ""
    return f" ({interval.num_tasks} task{'s' if interval.num_tasks > 1 else ''})"


def _cells(label: str, row: Comparison, *, trained: bool) -> tuple[str, ...]:
    if not trained:
        return label, percent(row.base)
    return label, percent(row.base), percent(row.trained), points(row.difference)


def _notes(data: ReportData) -> tuple[str, ...]:
    notes: list[str] = []
    planned = data.num_steps_planned
    if planned is not None and data.num_steps_done < planned:
        notes.append(f"The run has reached step {data.num_steps_done} of {planned}.")
    if data.base is None and "pair_accuracy" in data.metrics:
        notes.append("A reward model answers nothing: no held-out tasks are attempted.")
        return (*notes, *_told(data))
    if data.base is None or not data.base.num_tasks:
        notes.append("The base model has not been evaluated on held-out tasks.")
    if planned is not None and (data.trained is None or not data.trained.num_tasks):
        notes.append("The trained model has not been evaluated: nothing can be said of a gain yet.")
    sides = [side for side in (data.base, data.trained) if side is not None and side.num_tasks]
    if any(side.num_tasks < FEW_TASKS for side in sides):
        fewest = min(side.num_tasks for side in sides)
        notes.append(f"Only {fewest} held-out tasks: the intervals are too narrow to lean on.")
    if data.stopped_early:
        notes.append(
            f"Stopped by {data.stopped_early}. The intervals of the table do not know of the stop."
        )
    unscored = sum(side.total_unscored for side in sides)
    if unscored:
        notes.append(f"{unscored} held-out attempts could not be judged and are left out.")
    if data.tripped:
        notes.append(
            f"{len(data.tripped)} training rollouts tripped a wire (`proofloop peek RUN "
            "--tripped`): read them before you trust the gain."
        )
    return (*notes, *_told(data))


_TOLD = ("pairs", "length_bias", "reward_model")
"""Kinds of events that a result is not understood without."""
_WINDOW = 5
"""Steps at either end of a run."""


def _told(data: ReportData) -> tuple[str, ...]:
    events = [event.partition(": ") for event in data.events]
    lines = [f"{text[:1].upper()}{text[1:]}." for kind, _, text in events if kind in _TOLD]
    if any(kind == "reward_model" for kind, _, _ in events):
        scores, passed = (_ends(data.metrics.get(name)) for name in ("reward_mean", "passed_share"))
        if scores is not None and passed is not None:
            lines.append(
                f"From the first to the last {_WINDOW} steps the mean score of training answers "
                f"went from {scores[0]:.2f} to {scores[1]:.2f}, the share that passed its tests "
                f"from {passed[0]:.1%} to {passed[1]:.1%}: where only the former rises, the reward "
                "model is what was learned."
            )
    return tuple(lines)


def _ends(series: Series | None) -> tuple[float, float] | None:
    """Means over the first and the last steps; None where these overlap."""
    if series is None or len(series.values) < 2 * _WINDOW:
        return None
    first, last = series.values[:_WINDOW], series.values[-_WINDOW:]
    return sum(first) / _WINDOW, sum(last) / _WINDOW
