"""Pairs of a run's own verdicts, and their deal into those that train and those that measure."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollouts import completion, rollout, verdict

from proofloop.core.errors import RunError
from proofloop.core.rollout import Group, Judged, Turn
from proofloop.core.task import Message, Stratum, Task, TaskId
from proofloop.runs.pairs import lessons_of, pairs_of_run
from proofloop.store import RecordedGroup
from proofloop.train.config import PreferenceConfig
from proofloop.train.pairs import Answer, Pair


def recorded(name: str, answers: list[tuple[str, float | None]], **more: Any) -> RecordedGroup:
    """Answers by their text, whose length is their number of tokens, and what they earned."""
    attempts: list[Judged] = []
    for i, (text, reward) in enumerate(answers):
        turn = Turn(context=(1, 2), completion=completion((*(3,) * len(text), 0)))
        made = msgspec.structs.replace(rollout(f"{name}-{i}", (turn,), task=name), answer=text)
        attempts.append(Judged(rollout=made, verdict=verdict(reward)))
    task = Task(
        id=TaskId(name),
        env="e",
        split="train",
        stratum=Stratum(family="f", complexity=1, horizon=1),
        messages=(Message(role="user", content="?"),),
    )
    group = Group(task_id=task.id, attempts=tuple(attempts))
    return RecordedGroup(slot=0, task=task, group=group, tripwire=False, verifier="v", **more)


class Source:
    """What is asked of a run's reader."""

    directory = "a-run"

    def __init__(self, *steps: list[RecordedGroup]) -> None:
        self._steps = steps

    def recorded_steps(self, phase: object) -> list[int]:
        return [*range(1, len(self._steps) + 1)]

    def load_groups(self, phase: object, step: int) -> list[RecordedGroup]:
        return self._steps[step - 1]


def pairs_of(*steps: list[RecordedGroup], most: int = 4) -> list[Pair]:
    source: Any = Source(*steps)
    return pairs_of_run(source, pairs_per_task=most, seed=0)


def lengths(pairs: list[Pair]) -> set[tuple[int, int]]:
    return {(pair.chosen.length - 1, pair.rejected.length - 1) for pair in pairs}


def test_right_answers_are_preferred_to_wrong_ones_of_their_task() -> None:
    mixed = recorded("a", [("1", 1.0), ("22", 0.0), ("333", 1.0), ("4444", None), ("22", 0.0)])
    solved = recorded("b", [("1", 1.0), ("22", 1.0)])
    other = recorded("c", [("55555", 1.0), ("666666", 0.5)])
    found = pairs_of([mixed, solved], [other])
    assert lengths(found) == {(1, 2), (3, 2), (5, 6)}, "unscored, equal and lone ones make none"
    assert len(found) == 3
    assert {pair.task_id for pair in found} == {"a", "c"}
    first = next(pair for pair in found if pair.chosen.length == 2)
    assert first.context == (1, 2)
    assert first.chosen == Answer(tokens=(3, 0), sampled=(True, True)), "the stop token, too"


def test_pairs_of_a_task_are_spread_over_its_answers() -> None:
    answers = [("1" * n, float(n <= 3)) for n in range(1, 7)]
    found = pairs_of([recorded("a", answers)], most=3)
    assert {pair.chosen.length for pair in found} == {2, 3, 4}
    assert {pair.rejected.length for pair in found} == {5, 6, 7}


def test_nothing_to_prefer() -> None:
    with pytest.raises(RunError, match="no task of its training has both a right and a wrong"):
        pairs_of([recorded("a", [("1", 1.0), ("22", 1.0)])])


def pair(task: str) -> Pair:
    answer = Answer(tokens=(3,), sampled=(True,))
    return Pair(task_id=TaskId(task), context=(1,), chosen=answer, rejected=answer)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.floats(0.1, 0.9))
def test_a_prompts_pairs_train_or_measure_and_never_both(tasks: list[int], share: float) -> None:
    pairs = [pair(str(task)) for task in tasks]
    config = PreferenceConfig(heldout_share=share)
    try:
        found = lessons_of(pairs, config, source="x", seed=1, offset=False)
    except RunError:
        assert round(share * len(set(tasks))) in (0, len(set(tasks)))
        return
    train, kept = ({p.task_id for p in side} for side in (found.pairs, found.heldout))
    assert not train & kept
    assert len(kept) == round(share * len(set(tasks)))
    assert len(found.pairs) + len(found.heldout) == len(pairs)
