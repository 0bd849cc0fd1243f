"""Taught or elicited: the sections' figures put together, by rules that are printed beside."""

from enum import StrEnum

import numpy as np

from proofloop.core.record import Record
from proofloop.measure.compare.bits import OUT_OF_REACH
from proofloop.measure.compare.sides import Sides
from proofloop.measure.estimators.crossover import Crossover
from proofloop.measure.estimators.elicitation import Ledger
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.new_solved import Turnover
from proofloop.measure.summary import points


class Finding(StrEnum):
    NO_GAIN = "no gain"
    WIDER = "wider, not surer"
    ELICITED = "elicited"
    BEYOND = "beyond the base's samples"
    BOTH = "both"
    UNCLEAR = "cannot be told"


MARGIN = 0.02
"""By how much the base may be behind and still count as good: curves that meet from below come
close and never cross."""

RULES = (
    "No gain: the interval of the difference in pass@1 does not lie above 0, and no more tasks are "
    "newly solved than chance gives. Wider, not surer: they are, and pass@1 has no sure gain. "
    "The base catches up where, from some number of samples on that half of the record can show, "
    f"it is surely no more than {100 * MARGIN:g} points behind; it does not where it surely is "
    "behind at the last of them. "
    "Elicited: it catches up, and no more tasks are newly solved than chance gives. "
    "Beyond the base's samples: tasks are newly solved beyond chance (with a ledger of bits also: "
    f"some task is surely more than {OUT_OF_REACH:g} bits away), and it does not catch up. "
    "Both: such tasks, and yet it catches up. "
    "What is beyond so many samples may still be within more of them."
)


class Answer(Record):
    """What training did, on these tasks."""

    finding: Finding
    says: str


def answer(
    sides: Sides,
    gain: Interval | None,
    even: Crossover | None,
    turned: Turnover | None,
    ledger: Ledger | None,
) -> Answer:
    """By `RULES`, of the first trained policy."""
    if gain is None or gain.low is None:
        return _answer(Finding.UNCLEAR, "Too few tasks to tell a gain from chance.")
    control = sides.subject.control
    prefix = "" if control == "none" else f"Control arm ({control}): "
    if gain.low <= 0 and turned is not None and (turned.gained_over_null.low or 0.0) > 0:
        return _answer(
            Finding.WIDER,
            f"{prefix}pass@1 moved by {points(gain)} points, no sure gain; yet "
            f"{points(turned.gained_over_null)} points of the tasks are newly solved beyond "
            "chance: what it tries has become wider, not surer.",
        )
    if gain.low <= 0:
        return _answer(
            Finding.NO_GAIN, f"{prefix}pass@1 moved by {points(gain)} points: no gain to explain."
        )
    said = f"{prefix}pass@1 rose by {points(gain)} points. "
    new = turned is not None and (turned.gained_over_null.low or 0.0) > 0
    if ledger is not None:
        new = new or bool((ledger.bits_at_least_T > OUT_OF_REACH).any())
    if even is None:
        return _answer(Finding.UNCLEAR, said + "Too few samples to set it against the base's.")
    caught_at = catches_up(even)
    behind = caught_at is None and float(even.deficit.highs[-1]) < 0
    if new and behind:
        return _answer(
            Finding.BEYOND,
            said + f"Tasks are solved that the base does not solve beyond chance, and with up to "
            f"{even.max_k} samples a task it does not catch up.",
        )
    if new and caught_at is not None:
        return _answer(
            Finding.BOTH,
            said + "Some tasks are newly solved beyond chance, yet over all tasks the base catches "
            f"up with {caught_at} samples a task.",
        )
    if caught_at is not None:
        return _answer(
            Finding.ELICITED,
            said + f"The base catches up with {caught_at} samples a task, and no more tasks are "
            "newly solved than chance gives: what it could do became likelier.",
        )
    return _answer(
        Finding.UNCLEAR,
        said + f"Whether the base catches up lies beyond the {even.max_k} samples that the record "
        "can tell, or in its noise; sample more (`proofloop eval --samples`).",
    )


def catches_up(even: Crossover) -> int | None:
    """The least k from which on the base is surely less than `MARGIN` behind; None: not known."""
    within = even.deficit.lows > -MARGIN
    if not within[-1]:
        return None
    outside = np.flatnonzero(~within)
    return int(outside[-1]) + 2 if outside.size else 1


def _answer(finding: Finding, says: str) -> Answer:
    return Answer(finding=finding, says=says)
