"""What the gain is made of: answers finished, answers readable, answers right; and length."""

import numpy as np

from proofloop.core.completion import StopReason
from proofloop.core.verdict import ScoredCause
from proofloop.measure.attempts import Attempts
from proofloop.measure.compare.section import Section, Table
from proofloop.measure.compare.sides import Sides
from proofloop.measure.estimators import lengths
from proofloop.measure.estimators.decomposition import CauseCounts, GainSplit, kind_of, split_gain
from proofloop.measure.estimators.lengths import LengthMatchedGain, length_matched_gain
from proofloop.measure.summary import percent, points


def parts(sides: Sides) -> Section | None:
    """None for fewer than two tasks."""
    base, subject = scored(sides.base), scored(sides.subject)
    places = {task_id: i for i, task_id in enumerate(sides.base.outcomes.task_ids)}
    split = split_gain(_causes(base, places), _causes(subject, places))
    if split is None:
        return None
    matched = length_matched_gain(_lengths(base, places), _lengths(subject, places), len(places))
    return Section(
        title="What the gain is made of",
        says=(*_says_split(split), *_says_matched(matched)),
        facts={"split": split, "length_matched": matched},
        table=Table(
            columns=("part of the gain, points", "in order", "averaged over orders"),
            rows=tuple(
                (label, points(part.ordered), points(part.averaged))
                for label, part in (
                    ("finished within the token limit", split.length_cap),
                    ("of the form asked for", split.format),
                    ("right, where readable", split.answer),
                )
            ),
        ),
    )


def scored(side: Attempts) -> Attempts:
    return side.take(side.scored_N)


def _causes(side: Attempts, places: dict[str, int]) -> CauseCounts:
    kinds = (
        (
            places[task_id],
            kind_of(ScoredCause(cause), StopReason.LENGTH if cut else StopReason.STOP),
        )
        for task_id, cause, cut in zip(side.task_ids, side.causes, side.truncated_N, strict=True)
    )
    return CauseCounts.from_attempts(kinds, len(places))


def _lengths(side: Attempts, places: dict[str, int]) -> lengths.AttemptLengths:
    return lengths.AttemptLengths(
        task_A=np.array([places[t] for t in side.task_ids], np.int64),
        num_tokens_A=side.num_tokens_N,
        passed_A=side.passed_N,
        truncated_A=side.truncated_N,
    )


def _says_split(split: GainSplit) -> tuple[str, ...]:
    says = (
        f"Of the gain in pass@1, {points(split.gain)} points, answers that are right where they "
        f"could be read bring {points(split.answer.averaged)}, their form "
        f"{points(split.format.averaged)}, and staying within the token limit "
        f"{points(split.length_cap.averaged)}.",
    )
    if split.leans_on_convention:
        says += (
            f"In {split.unknown_share:.0%} of the tasks one side shows nothing of a part (no "
            "readable answer at all), so the split leans on a convention.",
        )
    return says


def _says_matched(matched: LengthMatchedGain | None) -> tuple[str, ...]:
    if matched is None:
        return ("Lengths of the two sides overlap too little for a gain at equal length.",)
    before, after = percent(matched.truncated_base), percent(matched.truncated_trained)
    return (
        f"Between answers of like length the gain is {points(matched.matched)} points (all "
        f"lengths, same tasks: {points(matched.raw_where_matched)}); {before} of the base's and "
        f"{after} of the trained model's answers are cut off.",
    )
