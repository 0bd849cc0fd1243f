"""How it writes: kinds of right answers, and phrases that it overuses."""

import re

import numpy as np

from proofloop.measure.attempts import Attempts, texts_of
from proofloop.measure.canonical import program_class
from proofloop.measure.compare.parts import scored
from proofloop.measure.compare.section import Section, Table
from proofloop.measure.compare.sides import Sides
from proofloop.measure.estimators.diversity import (
    DiversityChange,
    Ints,
    class_counts,
    distinct_change,
    hill_change,
)
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.estimators.ngrams import NgramCounts, Overuse, count_ngrams, overuse

AMONG = 8
"""Right answers among which kinds are counted."""
_MAX_TEXTS = 8
"""Texts a task that are searched for phrases: more of one task say the same again."""
_MAX_PHRASES = 8
_FALSE_DISCOVERIES = 0.1
_WORD = re.compile(r"\w+|[^\w\s]")


def writing(sides: Sides) -> Section:
    base, subject = scored(sides.base), scored(sides.subject)
    places = {task_id: i for i, task_id in enumerate(sides.base.outcomes.task_ids)}
    answers = [texts_of(side).answers for side in (base, subject)]
    kinds = [
        _kinds(side, texts, places) for side, texts in zip((base, subject), answers, strict=True)
    ]
    distinct = distinct_change(kinds[0], kinds[1], AMONG)
    even = hill_change(kinds[0], kinds[1], 1.0)
    phrases, found = _phrases(base, subject, answers, places)
    return Section(
        title="How it writes",
        says=(
            _says_kinds(f"kinds of program among {AMONG} right answers", distinct),
            _says_kinds("equally common kinds (Hill number of order 1 at equal coverage)", even),
            *_says_phrases(found),
        ),
        facts={"distinct": distinct, "hill_1": even, "phrases": phrases},
        table=Table(
            columns=("phrase", "log odds, trained over base", "z", "tasks"),
            rows=tuple(
                (text, f"{odds:+.1f}".replace("-", "−"), f"{z:.1f}".replace("-", "−"), str(num))
                for text, odds, z, num in phrases
            ),
        )
        if phrases
        else None,
    )


def _kinds(side: Attempts, answers: tuple[str, ...], places: dict[str, int]) -> list[Ints]:
    """Right answers of every task by class; a text that is no program is a kind of its own."""
    known: dict[str, str] = {}
    task_A: list[int] = []
    class_A: list[str] = []
    for task_id, passed, answer in zip(side.task_ids, side.passed_N, answers, strict=True):
        if passed:
            task_A.append(places[task_id])
            class_A.append(known.setdefault(answer, program_class(answer)))
    return class_counts(np.array(task_A, np.int64), np.array(class_A, str), len(places))


def _phrases(
    base: Attempts, subject: Attempts, answers: list[tuple[str, ...]], places: dict[str, int]
) -> tuple[list[tuple[str, float, float, int]], Overuse | None]:
    """Pairs of words that differ, most certain first; None where there is too little text."""
    fewest = min(
        _MAX_TEXTS,
        *(int(side.outcomes.num_samples.min()) for side in (base, subject)),
    )
    texts = [
        _first_texts(side, own, places, fewest)
        for side, own in zip((base, subject), answers, strict=True)
    ]
    try:
        counts = count_ngrams(texts[0], texts[1], len(places), n=2)
        found = overuse(counts)
    except ValueError:
        return [], None
    sure = np.flatnonzero(found.q_V <= _FALSE_DISCOVERIES)
    order = sure[np.argsort(-np.abs(found.z_V[sure]))][:_MAX_PHRASES]
    return [_phrase(counts, found, int(v)) for v in order], found


def _phrase(counts: NgramCounts, found: Overuse, v: int) -> tuple[str, float, float, int]:
    text = " ".join(str(word) for word in counts.ngrams[v])
    return text, float(found.log_odds_V[v]), float(found.z_V[v]), int(found.num_tasks_V[v])


def _first_texts(
    side: Attempts, answers: tuple[str, ...], places: dict[str, int], num: int
) -> tuple[list[list[str]], Ints]:
    """The first `num` texts of every task, as words."""
    seen = dict.fromkeys(places, 0)
    words: list[list[str]] = []
    task_A: list[int] = []
    for task_id, answer in zip(side.task_ids, answers, strict=True):
        if seen[task_id] < num:
            seen[task_id] += 1
            words.append(_WORD.findall(answer))
            task_A.append(places[task_id])
    return words, np.array(task_A, np.int64)


def _says_kinds(what: str, change: DiversityChange | None) -> str:
    if change is None:
        return f"No figure for {what}: too few tasks have enough right answers on both sides."
    return (
        f"{what[0].upper()}{what[1:]}: base {_number(change.base)}, trained "
        f"{_number(change.trained)}, difference {_number(change.difference, sign='+')}, on the "
        f"{change.difference.num_tasks} tasks with enough right answers on both sides."
    )


def _says_phrases(found: Overuse | None) -> tuple[str, ...]:
    if found is None:
        return ("Too little text to look for phrases.",)
    num = int(np.sum(found.q_V <= _FALSE_DISCOVERIES))
    return (
        f"{num} pairs of words differ in frequency (at most {_FALSE_DISCOVERIES:.0%} of them by "
        "chance; errors between tasks).",
    )


def _number(interval: Interval, sign: str = "") -> str:
    text = f"{interval.value:{sign}.2f}"
    if interval.low is not None and interval.high is not None:
        text += f" [{interval.low:{sign}.2f}, {interval.high:{sign}.2f}]"
    return text.replace("-", "−")
