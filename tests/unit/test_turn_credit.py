"""Advantages turn by turn, against hand-worked numbers and a second, naive way to them."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollouts import completion, rollout, verdict

from proofloop.core.errors import ConfigError
from proofloop.core.rollout import Group, Judged, Turn
from proofloop.core.task import TaskId
from proofloop.runs.checks import load_recipe
from proofloop.train.advantages import AdvantageRule, Credits, credit
from proofloop.train.config import AdvantageScale, TurnCredit
from proofloop.train.samples import samples_of
from proofloop.train.turn_credit import TurnRule, by_turn, states

PLAIN = AdvantageRule(scale=AdvantageScale.NONE)
Said = list[list[int]]
"""A rollout as what it says, a list of tokens a turn."""


def group_of(*attempts: tuple[Said, float | None], task: str = "t", notes: int = 99) -> Group:
    """Each turn is answered by token 9; turn number `notes` begins a new context."""
    judged: list[Judged] = []
    for i, (said, reward) in enumerate(attempts):
        turns = tuple(
            Turn(
                context=(1, 2) if not t else (1, 2, 7) if t == notes else (9,),
                completion=completion(tuple(tokens)),
                restarts=t == notes,
            )
            for t, tokens in enumerate(said)
        )
        one = rollout(f"{task}-{i}", turns, task=task)
        judged.append(Judged(rollout=one, verdict=verdict(reward)))
    return Group(task_id=TaskId(task), attempts=tuple(judged))


def shared(groups: list[Group], rule: AdvantageRule, turns: TurnRule) -> Credits:
    return by_turn(credit(groups, rule), groups, rule, turns)


def tokens_of(credits: Credits) -> list[tuple[float, ...]]:
    return [c.token_advantages or () for group in credits.groups for c in group]


def test_discounted_by_hand() -> None:
    # Returns [.5, 1], [0], mean .5: what came late is worth more, and a word of two tokens no more.
    group = group_of(([[3, 4], [5]], 1.0), ([[6]], 0.0))
    found = shared([group], PLAIN, TurnRule(credit=TurnCredit.DISCOUNTED, gamma=0.5))
    assert tokens_of(found) == [(0.0, 0.0, 0.5), (-0.5,)]
    (first, second) = (samples_of(c)[0] for c in found.groups[0])
    assert first.advantages == (0.0, 0.0, 0.0, 0.5), "the 9 between is not trained"
    assert first.trained == (True, True, False, True)
    assert second.advantages == (-0.5,)


def test_same_state_by_hand() -> None:
    # First turns: returns .5, .5, 0, mean 1/3.  Two of them said [3]: there 1 and 0, so that ±.5.
    group = group_of(([[3], [4]], 1.0), ([[3], [5]], 0.0), ([[6], [7]], 1.0))
    found = shared([group], PLAIN, TurnRule(credit=TurnCredit.SAME_STATE, gamma=0.5))
    third = 1 / 3
    wanted = [(third + 0.5 - third, third + 0.5), (-2 * third - third, -2 * third - 0.5),
              (third + 0.5 - third, third)]  # fmt: skip
    for got, want in zip(tokens_of(found), wanted, strict=True):
        assert got == pytest.approx(want)


def test_by_default_nothing_is_shared_out() -> None:
    groups = [group_of(([[3], [4]], 1.0), ([[3]], 0.0))]
    credits = credit(groups)
    assert by_turn(credits, groups, AdvantageRule(), TurnRule()) is credits


def test_a_state_begins_anew_with_its_context() -> None:
    (one, other) = group_of(([[3], [4]], 1.0), ([[5], [6]], 0.0), notes=1).attempts
    assert states(one.rollout) == [(1, 2), (1, 2, 7)]
    assert states(one.rollout)[1] == states(other.rollout)[1], "whatever was said before"


# --- a second way: turn by turn, each compared with all by looking through them ---


def naive(group: Group, rule: AdvantageRule, turns: TurnRule) -> dict[tuple[str, int], float]:
    rows: list[tuple[str, int, list[int], float]] = []
    for judged in group.attempts:
        if judged.verdict.__class__.__name__ != "Scored":
            continue
        seen: list[int] = []
        for t, turn in enumerate(judged.rollout.turns):
            seen = seen + list(turn.context) if not turn.restarts else list(turn.context)
            value = judged.verdict.reward  # type: ignore[union-attr]
            for _ in range(len(judged.rollout.turns) - 1 - t):
                value *= turns.gamma
            rows.append((judged.rollout.id, t, list(seen), value))
            seen = seen + list(turn.completion.tokens)
    found: dict[tuple[str, int], float] = {}
    for name, t, seen, value in rows:
        peers = [v for _, _, s, v in rows if turns.credit is TurnCredit.DISCOUNTED or s == seen]
        mean = sum(peers) / len(peers)
        spread = math.sqrt(sum((v - mean) ** 2 for v in peers) / len(peers))
        by_group = rule.scale is AdvantageScale.GROUP and max(peers) != min(peers)
        found[name, t] = (value - mean) / (spread if by_group else 1.0)
    return found


SAID = st.lists(st.lists(st.integers(3, 4), min_size=1, max_size=2), min_size=1, max_size=3)
GROUPS = st.lists(
    st.lists(st.tuples(SAID, st.sampled_from([0.0, 0.25, 1.0, None])), min_size=2, max_size=5),
    min_size=1,
    max_size=3,
)


@given(
    GROUPS,
    st.sampled_from([TurnCredit.DISCOUNTED, TurnCredit.SAME_STATE]),
    st.sampled_from([AdvantageScale.NONE, AdvantageScale.BATCH, AdvantageScale.GROUP]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([1, 99]),
)
def test_a_second_way_finds_the_same(
    drawn: list[list[tuple[Said, float | None]]],
    kind: TurnCredit,
    scale: AdvantageScale,
    gamma: float,
    notes: int,
) -> None:
    groups = [group_of(*g, task=f"t{i}", notes=notes) for i, g in enumerate(drawn)]
    rule, turns = AdvantageRule(scale=scale), TurnRule(credit=kind, gamma=gamma, weight=0.5)
    plain = credit(groups, rule)
    found = by_turn(plain, groups, rule, turns)
    raw = {k: v for g in groups for k, v in naive(g, rule, turns).items()}
    kept = [c for g in plain.groups for c in g]
    values = [raw[c.rollout.id, t] for c in kept for t in range(len(c.rollout.turns))]
    divisor = 1.0
    if scale is AdvantageScale.BATCH and values:
        mean = sum(values) / len(values)
        divisor = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values)) or 1.0
    assert len(found.groups) == len(plain.groups)
    for before, after in zip(kept, (c for g in found.groups for c in g), strict=True):
        base, weight = (before.advantage, 0.5) if kind is TurnCredit.SAME_STATE else (0.0, 1.0)
        wanted = [
            base + weight * raw[before.rollout.id, t] / divisor
            for t, turn in enumerate(before.rollout.turns)
            for _ in turn.completion.tokens
        ]
        assert after.token_advantages == pytest.approx(wanted)
        assert replace(after, advantage=0, token_advantages=None) == replace(before, advantage=0)


def test_refusals() -> None:
    for settings in (["train.algorithm=ppo"], ["train.ties=keep"], ["train.turn_gamma=1.5"]):
        with pytest.raises(ConfigError, match=r"turn_credit|turn_gamma"):
            load_recipe("minirepos", ["train.turn_credit=same_state", *settings])
    assert load_recipe("minirepos", ["train.turn_credit=discounted"]).train.turn_gamma == 0.9
