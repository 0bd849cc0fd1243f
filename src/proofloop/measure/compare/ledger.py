"""Which tasks training gained and lost, beside what a second copy of the base would show."""

from proofloop.measure.compare.section import Section, Table
from proofloop.measure.compare.sides import Sides
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.new_solved import TaskChanges, Turnover, task_changes
from proofloop.measure.solved import turnover
from proofloop.measure.summary import percent, points

_MAX_NAMED = 10


def ledger(sides: Sides) -> Section:
    base = sides.base.outcomes
    rows: list[tuple[str, ...]] = []
    facts: dict[str, Turnover | None] = {}
    for side in sides.trained:
        turned = facts[side.name] = turnover(base, side.outcomes)
        if turned is not None:
            rows.append(_row(f"{side.name}: gain", turned.gained, turned, turned.gained_over_null))
            rows.append(_row(f"{side.name}: loss", turned.lost, turned, turned.lost_over_null))
    subject = sides.subject.outcomes
    changes = task_changes(
        base.num_samples, base.num_passed, subject.num_samples, subject.num_passed
    )
    first = facts[sides.subject.name]
    return Section(
        title="Tasks gained and lost",
        says=(*_says_turnover(first), *_says_changes(changes, base.task_ids)),
        facts={"turnover": facts, "changes": _named(changes, base.task_ids)},
        table=Table(
            columns=("", "share of tasks", "by chance alone", "beyond chance, points"),
            rows=tuple(rows),
        )
        if rows
        else None,
    )


def _row(label: str, share: Interval, turned: Turnover, over: Interval) -> tuple[str, ...]:
    return label, percent(share), percent(turned.null), points(over)


def _says_turnover(turned: Turnover | None) -> tuple[str, ...]:
    if turned is None:
        return (
            "No null: the base has fewer than two scored samples of some task, so what chance "
            "alone would gain and lose is not known, and no set of new tasks is shown.",
        )
    gained = turned.gained_over_null
    m = turned.num_samples
    return (
        f"With {m} samples a side, a second copy of the base would solve {percent(turned.null)} of "
        f"the tasks that the first does not; the trained model gains {points(gained)} points more "
        "than that" + (": within what chance gives." if gained.includes_zero else "."),
    )


def _says_changes(changes: TaskChanges, task_ids: tuple[str, ...]) -> tuple[str, ...]:
    if not changes.num_testable:
        return ("No single task has the samples for a test of its own.",)
    level = f"{changes.false_discoveries:.0%} of them may be chance"
    return (
        f"Tested one by one ({changes.num_testable} tasks can be; {level}): "
        f"{len(changes.gained)} pass more often ({len(changes.newly_solved)} of them never did "
        f"before), {len(changes.lost)} less often ({len(changes.no_longer_solved)} of them never "
        f"any more), {len(changes.kept)} are solved by both and neither.",
        *_listed("Never solved by the base, gained", changes.newly_solved, task_ids),
        *_listed("Lost", changes.no_longer_solved, task_ids),
    )


def _listed(label: str, places: tuple[int, ...], task_ids: tuple[str, ...]) -> tuple[str, ...]:
    if not places:
        return ()
    named = ", ".join(task_ids[i] for i in places[:_MAX_NAMED])
    more = f" and {len(places) - _MAX_NAMED} more" if len(places) > _MAX_NAMED else ""
    return (f"{label}: {named}{more}.",)


def _named(changes: TaskChanges, task_ids: tuple[str, ...]) -> dict[str, list[str]]:
    return {
        name: [task_ids[i] for i in getattr(changes, name)]
        for name in ("gained", "newly_solved", "lost", "no_longer_solved", "kept")
    }
