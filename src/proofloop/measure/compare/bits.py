"""How improbable the base held what the trained model now does, in bits, task by task."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proofloop.measure.attempts import Texts, texts_of
from proofloop.measure.compare.section import Drawn, Section, Table
from proofloop.measure.compare.sides import Sides
from proofloop.measure.estimators.elicitation import (
    Histogram,
    Ledger,
    RightSamples,
    elicitation_ledger,
    histogram,
)
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.shares import clopper_pearson
from proofloop.measure.figures import bars

OUT_OF_REACH = 10.0
"""Bits: one right answer in about a thousand samples of the base."""
_NUM_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Why there is no ledger."""

    says: str


def bits(sides: Sides) -> Section:
    """Of the first trained policy against the base; says what is missing where it cannot."""
    found = ledger_of(sides)
    if isinstance(found, Missing):
        return Section(title="Bits of elicitation", says=(found.says,), facts={"bits": None})
    shown = histogram(found, width=1.0)
    marks = Counter(mark.value for mark in found.marks_T if mark is not None)
    marked = ", ".join(f"{number} {mark}" for mark, number in sorted(marks.items()))
    solved_T = ~np.isnan(found.bits_at_most_T)
    new = int(np.sum(solved_T & (found.bits_at_least_T > OUT_OF_REACH)))
    elicited = int(np.sum(solved_T & (found.bits_at_most_T <= OUT_OF_REACH)))
    shown_at_best = _bits_shown_by(int(sides.base.outcomes.num_samples.min()))
    task_ids = sides.base.outcomes.task_ids
    return Section(
        title="Bits of elicitation",
        says=(
            f"Tasks that the trained model solves were on average "
            f"{_bits(found.mean_bits)} away from the base: -log2 of its probability of a right "
            f"answer. Certain is that it is at most {_bits(found.mean_bits_at_most)}.",
            f"Estimated on {int(np.sum(~np.isnan(found.bits_T)))} tasks; without an estimate: "
            f"{marked or 'none'}.",
            f"Of {int(solved_T.sum())} solved tasks {elicited} are surely within "
            f"{OUT_OF_REACH:g} bits of the base (elicited), {new} surely further away (new, by the "
            f"base's own counts), {int(solved_T.sum()) - elicited - new} are undecided. A base "
            f"that never solved a task in its samples here is shown to be {shown_at_best:.1f} bits "
            "away, no more: to call a task new takes more samples of the base.",
        ),
        facts={
            "mean_bits": found.mean_bits,
            "mean_bits_at_most": found.mean_bits_at_most,
            "num_elicited": elicited,
            "num_new": new,
            "marks": dict(marks),
        },
        table=_farthest(found, task_ids),
        figures=_figure(shown),
    )


def _bits_shown_by(num_samples: int) -> float:
    """What no success in so many samples shows at 97.5%: -log2 of Clopper and Pearson's end."""
    return -float(np.log2(clopper_pearson(0, num_samples)[1])) if num_samples else 0.0


def ledger_of(sides: Sides) -> Ledger | Missing:
    """Over the base's tasks in order of their ids."""
    subject, base = sides.subject, sides.base.outcomes
    right_N = subject.passed_N & subject.scored_N
    if not right_N.any():
        return Missing(says="The trained model solved nothing, so nothing was elicited.")
    if np.isnan(subject.base_logprob_N[right_N]).any():
        return Missing(
            says="No log-probabilities under the base are recorded, so how likely it held these "
            "answers is known from its samples alone; `--bits` computes them."
        )
    if subject.setting.temperature != 1.0:
        return Missing(
            says=f"Sampled at temperature {subject.setting.temperature}: log-probabilities are not "
            "those of the model itself, so there is no ledger; evaluate at temperature 1."
        )
    places = {task_id: i for i, task_id in enumerate(base.task_ids)}
    scored = subject.take(subject.scored_N)
    # Scored and passed attempts have both log-probabilities: `RightSamples` cannot refuse them.
    samples = RightSamples(
        task_A=np.array([places[t] for t in scored.task_ids], np.int64),
        completion_A=_classes(texts_of(scored)),
        passed_A=scored.passed_N,
        base_logprob_A=scored.base_logprob_N,
        trained_logprob_A=scored.logprob_N,
    )
    try:
        return elicitation_ledger(
            samples,
            base.num_tasks,
            temperature=1.0,
            base_samples_T=base.num_samples,
            base_passed_T=base.num_passed,
        )
    except ValueError as error:
        return Missing(says=f"No ledger: {error}.")


def _classes(texts: Texts) -> NDArray[np.int64]:
    """One number a token sequence: two that read alike are two completions."""
    numbers: dict[tuple[int, ...], int] = {}
    return np.array([numbers.setdefault(t, len(numbers)) for t in texts.tokens], np.int64)


def _farthest(found: Ledger, task_ids: tuple[str, ...]) -> Table | None:
    known = [i for i in np.argsort(-found.bits_T) if not np.isnan(found.bits_T[i])]
    if not known:
        return None
    return Table(
        columns=("farthest from the base", "bits", "at most", "passed"),
        rows=tuple(
            (
                task_ids[i],
                f"{found.bits_T[i]:.1f} [{found.lows_T[i]:.1f}, {found.highs_T[i]:.1f}]",
                f"{found.bits_at_most_T[i]:.1f}",
                f"{found.num_passed_T[i]} of {found.num_samples_T[i]}",
            )
            for i in known[:_NUM_NAMED]
        ),
    )


def _figure(shown: Histogram) -> tuple[Drawn, ...]:
    if not (shown.num_estimated.sum() + shown.num_bounded.sum()):
        return ()
    return (
        Drawn(
            name="bits",
            caption="Solved tasks by -log2 of the base's probability of a right answer: the left "
            "was there and made likelier, the right tail is new. Pale: tasks of which only an "
            "upper bound is known; they lie there or further left.",
            figure=bars(
                {
                    "estimated": [float(n) for n in shown.num_estimated],
                    "at most": [float(n) for n in shown.num_bounded],
                },
                [float(e) for e in shown.edges],
                x_label="bits",
                y_label="tasks",
            ),
        ),
    )


def _bits(interval: Interval | None) -> str:
    if interval is None:
        return "an unknown number of bits"
    if interval.low is None or interval.high is None:
        return f"{interval.value:.1f} bits"
    return f"{interval.value:.1f} bits [{interval.low:.1f}, {interval.high:.1f}]"
