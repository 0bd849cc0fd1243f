"""Advantages turn by turn, of rollouts of several turns and one verdict.

By default all sampled tokens of a rollout share its advantage.  These variants ask how near a turn
was to the end, or what else was said where it was said.  A turn t (of T, from 0) of a rollout with
reward R has the return gamma^(T-1-t) R.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import assert_never

import numpy as np

from proofloop.core.record import Record
from proofloop.core.rollout import Group, Rollout, RolloutId
from proofloop.train.advantages import AdvantageRule, Credited, Credits, counted_reward
from proofloop.train.config import AdvantageScale, TurnCredit


class TurnRule(Record):
    """How a rollout's reward is shared out among its turns."""

    credit: TurnCredit = TurnCredit.ROLLOUT
    gamma: float = 0.9
    weight: float = 1.0
    """Of `same_state`'s own part beside the rollout's."""


Turns = Mapping[RolloutId, tuple[float, ...]]
"""A number a turn."""


def by_turn(
    credits: Credits, groups: Sequence[Group], rule: AdvantageRule, turns: TurnRule
) -> Credits:
    """The credits of `train.advantages.credit` of these groups, turn by turn.

    Compared are all scored rollouts of a group; those that do not train (`learn_from`, `truncated`)
    are no less a part of what others are compared with.
    """
    if turns.credit is TurnCredit.ROLLOUT:
        return credits
    kept = [c.rollout.id for group in credits.groups for c in group]
    trained = set(kept)
    raw: dict[RolloutId, tuple[float, ...]] = {}
    for group in groups:
        if any(rollout.id in trained for rollout, _ in group.scored):
            raw |= _advantages(group, rule, turns)
    values = [a for name in kept for a in raw[name]]
    is_batch = rule.scale is AdvantageScale.BATCH
    divisor = (float(np.std(values)) or 1.0) if is_batch and values else 1.0
    return replace(
        credits,
        groups=tuple(
            tuple(_credited(c, raw[c.rollout.id], divisor, turns) for c in group)
            for group in credits.groups
        ),
    )


def _advantages(group: Group, rule: AdvantageRule, turns: TurnRule) -> Turns:
    match turns.credit:
        case TurnCredit.DISCOUNTED:
            return _compared(group, rule, turns.gamma, by_state=False)
        case TurnCredit.SAME_STATE:
            return _compared(group, rule, turns.gamma, by_state=True)
        case TurnCredit.ROLLOUT:
            raise ValueError("the rollout's own")
        case _:
            assert_never(turns.credit)


def _compared(group: Group, rule: AdvantageRule, gamma: float, *, by_state: bool) -> Turns:
    """Returns less the mean of those that they are compared with.

    All turns of the group (`discounted`: Baronio et al. 2025, "Kevin: Multi-Turn RL for Generating
    CUDA Kernels", where only the last turn is scored: each turn is a sample of its own, whose
    reward is the discounted sum of scores from there on, compared over all samples of the task);
    or those turns of the group before which the policy had seen the same (`same_state`: Feng et
    al. 2025, "Group-in-Group Policy Optimization for LLM Agent Training", arXiv 2505.10978, the
    step-relative advantage, whose anchor states are here what the policy saw, token by token).
    Scale `group` divides by the standard deviation of what they are compared with, where it is
    not 0.
    """
    returns: dict[object, list[float]] = {}
    places: list[tuple[RolloutId, object, float]] = []
    for rollout, verdict in group.scored:
        reward, last = counted_reward(rollout, verdict, rule), len(rollout.turns) - 1
        for t, state in enumerate(states(rollout)):
            earned = gamma ** (last - t) * reward
            key = state if by_state else None
            returns.setdefault(key, []).append(earned)
            places.append((rollout.id, key, earned))
    means = {key: float(np.mean(values)) for key, values in returns.items()}
    by_group = rule.scale is AdvantageScale.GROUP
    divisors = {
        key: float(np.std(values)) if by_group and np.ptp(values) else 1.0
        for key, values in returns.items()
    }
    found: dict[RolloutId, tuple[float, ...]] = {r.id: () for r, _ in group.scored}
    for name, key, earned in places:
        found[name] = (*found[name], (earned - means[key]) / divisors[key])
    return found


def states(rollout: Rollout) -> list[tuple[int, ...]]:
    """What the policy saw before each turn, since its context last began."""
    found: list[tuple[int, ...]] = []
    seen: tuple[int, ...] = ()
    for turn in rollout.turns:
        seen = turn.context if turn.restarts else (*seen, *turn.context)
        found.append(seen)
        seen = (*seen, *turn.completion.tokens)
    return found


def _credited(
    credited: Credited, own: tuple[float, ...], divisor: float, turns: TurnRule
) -> Credited:
    """`same_state` adds its part to the rollout's (GiGPO's A = A_episode + weight A_step);
    `discounted` takes its place."""
    is_added = turns.credit is TurnCredit.SAME_STATE
    base, weight = (credited.advantage, turns.weight) if is_added else (0.0, 1.0)
    values = [
        base + weight * a / divisor
        for a, turn in zip(own, credited.rollout.turns, strict=True)
        for _ in turn.completion.tokens
    ]
    return replace(
        credited,
        advantage=float(np.mean(values)) if values else 0.0,
        token_advantages=tuple(values),
    )
