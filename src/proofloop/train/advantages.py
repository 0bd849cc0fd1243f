"""From verdicts to advantages: a baseline, a scale, ties dropped and counted.

Axes: G rollouts of one group.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from proofloop.core.completion import StopReason
from proofloop.core.record import Record
from proofloop.core.rollout import Group, Rollout, RolloutId
from proofloop.core.verdict import Scored
from proofloop.train.config import AdvantageScale, Baseline, LearnFrom, Ties, Truncated

Floats = NDArray[np.float64]


class AdvantageRule(Record):
    """How rewards become advantages."""

    baseline: Baseline = Baseline.GROUP
    scale: AdvantageScale = AdvantageScale.BATCH
    ties: Ties = Ties.DROP
    truncated: Truncated = Truncated.REWARD
    learn_from: LearnFrom = LearnFrom.ALL


DEFAULT = AdvantageRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTargets:
    """Of one rollout's sampled tokens, all turns joined."""

    values: tuple[float, ...]
    """Of the head before the step's first update."""
    returns: tuple[float, ...]
    """What it is to learn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credited:
    """A rollout and the advantage that all its sampled tokens share."""

    rollout: Rollout
    advantage: float
    token_advantages: tuple[float, ...] | None = None
    """In its place, one a sampled token, of all turns joined, where tokens differ."""
    targets: ValueTargets | None = None
    """What a value head is to learn of it, where there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credits:
    """What a step's groups teach, and what they do not."""

    groups: tuple[tuple[Credited, ...], ...]
    """Groups with variance (or all, by `train.ties`); within one, only scored rollouts."""
    num_all_equal_high: int
    """Groups that teach nothing because every reward was the same, above zero."""
    num_all_equal_low: int
    """Groups that teach nothing because every reward was the same, zero or below."""
    num_too_few: int
    """Groups dropped because fewer than two rollouts were scored."""
    num_truncated: int = 0
    """Rollouts that `train.truncated = "drop"` leaves out."""
    num_taught_tokens: int = 0
    """Tokens that a teacher was asked about (`train.distil`, `train.teaching`)."""
    teacher_gap_mean: float = math.nan
    """Student less teacher, nats a token: an estimate of the divergence between them; NaN where
    there is none but the policy itself."""
    explained_variance: float = math.nan
    """Of what the rollouts earned, by the value head; NaN without one, as is the next."""
    value_mean: float = math.nan


def group_advantages(rewards_G: Floats, rule: AdvantageRule = DEFAULT) -> Floats:
    """Reward minus baseline, over what the group itself says of its scale.

    Rewards [1, 0, 0, 1] give, by baseline, [.5, -.5, -.5, .5] for `group` (the mean; Shao et al.
    2024, DeepSeekMath, eq. 3), [2/3, -2/3, -2/3, 2/3] for `leave_one_out` (the mean of the others;
    Ahmadian et al. 2024, RLOO, section 2.2: G / (G - 1) times as much, and unbiased) and the
    rewards themselves for `none` (Williams 1992, REINFORCE) and `value`, which `train.values` takes
    from here.  They are then divided by the group's
    standard deviation for the scale `group` (GRPO) and by its mean for `mean` (the gradient of
    log p instead of p, whose steps do not vanish where success is rare), where these are not 0;
    `batch` is `credit`'s.
    """
    match rule.baseline:
        case Baseline.GROUP:
            advantages_G = rewards_G - rewards_G.mean()
        case Baseline.LEAVE_ONE_OUT:
            G = len(rewards_G)
            advantages_G = (rewards_G - rewards_G.mean()) * (G / (G - 1))
        case Baseline.NONE | Baseline.VALUE:
            advantages_G = rewards_G.copy()
        case _:
            assert_never(rule.baseline)
    match rule.scale:
        case AdvantageScale.GROUP:
            # Not by the deviation being 0: that of equal rewards is, but for rounding.
            return advantages_G / rewards_G.std() if np.ptp(rewards_G) else advantages_G
        case AdvantageScale.MEAN:
            return advantages_G / (np.abs(rewards_G).mean() or 1.0)
        case AdvantageScale.BATCH | AdvantageScale.NONE:
            return advantages_G
        case _:
            assert_never(rule.scale)


def teaches(group: Group, rule: AdvantageRule = DEFAULT) -> bool:
    """Whether a group tells anything, by the rewards that its verdicts gave: at least two of them,
    not all the same.  Without a baseline a group that is all right teaches, too; with a value head
    whether one does is seen only later, and ties are kept or not by `train.ties`."""
    rewards = [counted_reward(rollout, verdict, rule) for rollout, verdict in group.scored]
    return len(rewards) > 1 and _tells(rewards, rule)


def _tells(rewards: list[float], rule: AdvantageRule) -> bool:
    return any(rewards) if rule.baseline is Baseline.NONE else min(rewards) != max(rewards)


def counted_reward(rollout: Rollout, verdict: Scored, rule: AdvantageRule) -> float:
    """What the verdict gave, by what the rule says of truncated rollouts."""
    return 0.0 if rule.truncated is Truncated.ZERO and _truncated(rollout) else verdict.reward


def _truncated(rollout: Rollout) -> bool:
    return rollout.turns[-1].completion.stop_reason is StopReason.LENGTH


def credit(
    groups: list[Group],
    rule: AdvantageRule = DEFAULT,
    penalties: Mapping[RolloutId, float] = MappingProxyType({}),
) -> Credits:
    """Advantages of every scored rollout in groups that have any.

    Scale `batch` divides them by their standard deviation over the whole batch (Lite PPO, Liu et
    al. 2025; ScaleRL, Khatri et al. 2025) and not by each group's, which favours tasks that are
    nearly solved or nearly hopeless (Liu et al. 2025, "Understanding R1-Zero-like training",
    section 3.1).  `penalties` are taken off the rewards, but whether a group teaches is decided
    without them: a task that says nothing must not train on its shaping alone.
    """
    kept: list[list[tuple[Rollout, float]]] = []
    high = low = few = truncated = 0
    for group in groups:
        scored = group.scored
        if len(scored) < 2:
            few += 1
            continue
        rewards = [counted_reward(rollout, verdict, rule) for rollout, verdict in scored]
        if not _tells(rewards, rule):
            high, low = high + (rewards[0] > 0), low + (rewards[0] <= 0)
            if rule.ties is Ties.DROP:
                continue
        shaped_G = np.array(rewards) - [penalties.get(r.id, 0.0) for r, _ in scored]
        advantages = group_advantages(shaped_G, rule).tolist()
        learned = [
            (rollout, advantage)
            for (rollout, _), reward, advantage in zip(scored, rewards, advantages, strict=True)
            if reward > 0 or rule.learn_from is LearnFrom.ALL
        ]
        left = [x for x in learned if rule.truncated is not Truncated.DROP or not _truncated(x[0])]
        truncated += len(learned) - len(left)
        if left:
            kept.append(left)
    divisor = _divisor([a for group in kept for _, a in group], rule)
    return Credits(
        groups=tuple(
            tuple(Credited(rollout=r, advantage=a / divisor) for r, a in group) for group in kept
        ),
        num_all_equal_high=high,
        num_all_equal_low=low,
        num_too_few=few,
        num_truncated=truncated,
    )


def _divisor(advantages: list[float], rule: AdvantageRule) -> float:
    """Of the whole batch; 1 where all advantages are the same."""
    by_token = rule.baseline is Baseline.VALUE
    if rule.scale is not AdvantageScale.BATCH or by_token or not advantages:
        return 1.0
    return float(np.std(advantages)) or 1.0
