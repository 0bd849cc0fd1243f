"""From verdicts to advantages: group mean, batch scale, ties dropped and counted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proofloop.core.rollout import Group, Rollout


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


def group_advantages(rewards_G: NDArray[np.float64]) -> NDArray[np.float64]:
    """Reward minus the mean of the group; [1, 0, 0, 1] -> [.5, -.5, -.5, .5].

    No division by the group's spread: it favours tasks that are nearly solved or nearly hopeless
    (Liu et al. 2025, "Understanding R1-Zero-like training", section 3.1).
    """
    return rewards_G - rewards_G.mean()


def credit(groups: list[Group]) -> Credits:
    """Advantages of every scored rollout in groups with variance, divided by their standard
    deviation over the whole batch (Lite PPO, Liu et al. 2025; ScaleRL, Khatri et al. 2025)."""
    kept: list[tuple[tuple[Rollout, ...], NDArray[np.float64]]] = []
    high = low = few = 0
    for group in groups:
        rewards_G = np.array([verdict.reward for _, verdict in group.scored])
        if len(rewards_G) < 2:
            few += 1
        elif np.ptp(rewards_G) == 0:
            high, low = high + (rewards_G[0] > 0), low + (rewards_G[0] <= 0)
        else:
            kept.append((tuple(r for r, _ in group.scored), group_advantages(rewards_G)))
    scale = np.concatenate([a for _, a in kept]).std() if kept else 1.0
    return Credits(
        groups=tuple(
            tuple(
                Credited(rollout=r, advantage=float(a / scale))
                for r, a in zip(rollouts, advantages_G, strict=True)
            )
            for rollouts, advantages_G in kept
        ),
        num_all_equal_high=int(high),
        num_all_equal_low=int(low),
        num_too_few=few,
    )
