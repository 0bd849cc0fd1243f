"""From verdicts to advantages: a baseline, a scale, ties dropped and counted.

Axes: G rollouts of one group.
"""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from proofloop.core.record import Record
from proofloop.core.rollout import Group, Rollout
from proofloop.train.config import AdvantageScale, Baseline

Floats = NDArray[np.float64]


class AdvantageRule(Record):
    """How rewards become advantages."""

    baseline: Baseline = Baseline.GROUP
    scale: AdvantageScale = AdvantageScale.BATCH


DEFAULT = AdvantageRule()


@dataclass(frozen=True, slots=True, kw_only=True)
class Credited:
    """A rollout and the advantage that all its sampled tokens share."""

    rollout: Rollout
    advantage: float
    token_advantages: tuple[float, ...] | None = None
    """In its place, one a sampled token, of all turns joined, where tokens differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credits:
    """What a step's groups teach, and what they do not."""

    groups: tuple[tuple[Credited, ...], ...]
    """Groups with variance; within one, only scored rollouts."""
    num_all_equal_high: int
    """Groups dropped because every reward was the same, above zero."""
    num_all_equal_low: int
    """Groups dropped because every reward was the same, zero or below."""
    num_too_few: int
    """Groups dropped because fewer than two rollouts were scored."""
    num_taught_tokens: int = 0
    """Tokens that a self-teacher was asked about (`train.distil`)."""


def group_advantages(rewards_G: Floats, rule: AdvantageRule = DEFAULT) -> Floats:
    """Reward minus baseline, over what the group itself says of its scale.

    Rewards [1, 0, 0, 1] give, by baseline, [.5, -.5, -.5, .5] for `group` (the mean; Shao et al.
    2024, DeepSeekMath, eq. 3), [2/3, -2/3, -2/3, 2/3] for `leave_one_out` (the mean of the others;
    Ahmadian et al. 2024, RLOO, section 2.2: G / (G - 1) times as much, and unbiased) and the
    rewards themselves for `none` (Williams 1992, REINFORCE).  They are then divided by the group's
    standard deviation for the scale `group` (GRPO) and by its mean for `mean` (the gradient of
    log p instead of p, whose steps do not vanish where success is rare); `batch` is `credit`'s.
    """
    match rule.baseline:
        case Baseline.GROUP:
            advantages_G = rewards_G - rewards_G.mean()
        case Baseline.LEAVE_ONE_OUT:
            G = len(rewards_G)
            advantages_G = (rewards_G - rewards_G.mean()) * (G / (G - 1))
        case Baseline.NONE:
            advantages_G = rewards_G.copy()
        case _:
            assert_never(rule.baseline)
    match rule.scale:
        case AdvantageScale.GROUP:
            return advantages_G / rewards_G.std()
        case AdvantageScale.MEAN:
            return advantages_G / np.abs(rewards_G).mean()
        case AdvantageScale.BATCH | AdvantageScale.NONE:
            return advantages_G
        case _:
            assert_never(rule.scale)


def _teaches(rewards_G: Floats, baseline: Baseline) -> bool:
    """Without a baseline a group that is all right teaches, too."""
    return bool(rewards_G.any() if baseline is Baseline.NONE else np.ptp(rewards_G))


def credit(groups: list[Group], rule: AdvantageRule = DEFAULT) -> Credits:
    """Advantages of every scored rollout in groups that have any.

    Scale `batch` divides them by their standard deviation over the whole batch (Lite PPO, Liu et
    al. 2025; ScaleRL, Khatri et al. 2025) and not by each group's, which favours tasks that are
    nearly solved or nearly hopeless (Liu et al. 2025, "Understanding R1-Zero-like training",
    section 3.1).
    """
    kept: list[tuple[tuple[Rollout, ...], Floats]] = []
    high = low = few = 0
    for group in groups:
        rewards_G = np.array([verdict.reward for _, verdict in group.scored])
        if len(rewards_G) < 2:
            few += 1
        elif not _teaches(rewards_G, rule.baseline):
            high, low = high + (rewards_G[0] > 0), low + (rewards_G[0] <= 0)
        else:
            advantages_G = group_advantages(rewards_G, rule)
            kept.append((tuple(r for r, _ in group.scored), advantages_G))
    over_batch = rule.scale is AdvantageScale.BATCH and kept
    divisor = np.concatenate([a for _, a in kept]).std() if over_batch else 1.0
    return Credits(
        groups=tuple(
            tuple(
                Credited(rollout=r, advantage=float(a / divisor))
                for r, a in zip(rollouts, advantages_G, strict=True)
            )
            for rollouts, advantages_G in kept
        ),
        num_all_equal_high=int(high),
        num_all_equal_low=int(low),
        num_too_few=few,
    )
