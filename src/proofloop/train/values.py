"""Advantages by a learned value: what a state is worth is what a reward is compared with.

The value head (`engine.models.scalar_head`) says, before every sampled token, what the rollout is
expected to earn.  An action is a sampled token; tokens that tools or templates put between turns
belong to the state that the next action sees.  The reward comes at the end, from the verdict.

Axes: T tokens of one rollout that the policy sampled.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from proofloop.core.record import Record
from proofloop.train.advantages import Credited, Credits, ValueTargets
from proofloop.train.config import AdvantageScale
from proofloop.train.crew import Crew
from proofloop.train.samples import continuation_of
from proofloop.train.scoring import question_of

Floats = NDArray[np.float64]


class GaeRule(Record):
    """The recipe's section `train` says what each means."""

    gamma: float = 1.0
    gae_lambda: float = 0.95
    scale: AdvantageScale = AdvantageScale.BATCH


def gae(values_T: Floats, reward: float, *, gamma: float, gae_lambda: float) -> Floats:
    """Generalised advantages (Schulman et al. 2016, arXiv:1506.02438, eq. 16) of a rollout whose
    only reward comes with its last token, after which there is nothing:

        A_t = sum_l (gamma lambda)^l delta_{t+l},   delta_t = r_t + gamma V(s_{t+1}) - V(s_t)

    Values [.5, .25], reward 1, gamma = lambda = 1 -> [.5, .75]; lambda = 0 -> [-.25, .75].
    """
    advantages_T = np.zeros(len(values_T))
    after, following = 0.0, 0.0
    for t in reversed(range(len(values_T))):
        earned = reward if t == len(values_T) - 1 else 0.0
        delta = earned + gamma * following - float(values_T[t])
        after = delta + gamma * gae_lambda * after
        advantages_T[t], following = after, float(values_T[t])
    return advantages_T


def explained_variance(predicted: Floats, wanted: Floats) -> float:
    """1 - Var(wanted - predicted) / Var(wanted): 1 where all is foretold, 0 where nothing is, below
    0 where a constant would do better; NaN where all that is wanted is the same."""
    spread = float(np.var(wanted)) if len(wanted) else 0.0
    return 1 - float(np.var(wanted - predicted)) / spread if spread else math.nan


def valued(crew: Crew, credits: Credits, rule: GaeRule) -> Credits:
    """Credits by token, of those whose `advantage` is still the rollout's reward.

    Scale `batch` takes their mean off and divides by their standard deviation, over all tokens of
    the batch (Huang et al. 2022, "The 37 implementation details of PPO", number 7).  Returns, which
    the head learns, are advantage plus value before that.  The explained variance is of what each
    rollout really earned (gamma to the power of the tokens left, times the reward), not of the
    returns, which the head's own values are part of.
    """
    flat = [c for group in credits.groups for c in group]
    answers = crew.values([question_of(c.rollout) for c in flat])
    values = [_sampled(c, answer) for c, answer in zip(flat, answers, strict=True)]
    raw = [
        gae(values_T, c.advantage, gamma=rule.gamma, gae_lambda=rule.gae_lambda)
        for c, values_T in zip(flat, values, strict=True)
    ]
    earned = [
        c.advantage * rule.gamma ** np.arange(len(values_T) - 1, -1, -1.0)
        for c, values_T in zip(flat, values, strict=True)
    ]
    shift, divisor = _whitening(raw, rule.scale)
    credited = iter(
        _credited(c, values_T, raw_T, (raw_T - shift) / divisor)
        for c, values_T, raw_T in zip(flat, values, raw, strict=True)
    )
    predicted = np.concatenate(values) if values else np.zeros(0)
    return replace(
        credits,
        groups=tuple(tuple(next(credited) for _ in group) for group in credits.groups),
        explained_variance=explained_variance(
            predicted, np.concatenate(earned) if earned else np.zeros(0)
        ),
        value_mean=float(predicted.mean()) if len(predicted) else math.nan,
    )


def _sampled(credited: Credited, answer: Sequence[float]) -> Floats:
    return np.array(answer)[np.array(continuation_of(credited.rollout).sampled)]


def _whitening(raw: Sequence[Floats], scale: AdvantageScale) -> tuple[float, float]:
    if scale is AdvantageScale.NONE or not raw:
        return 0.0, 1.0
    assert scale is AdvantageScale.BATCH, "checked with the recipe"
    advantages = np.concatenate(raw)
    return float(advantages.mean()), float(advantages.std()) or 1.0


def _credited(credited: Credited, values_T: Floats, raw_T: Floats, scaled_T: Floats) -> Credited:
    return replace(
        credited,
        advantage=float(scaled_T.mean()),
        token_advantages=tuple(scaled_T.tolist()),
        targets=ValueTargets(
            values=tuple(values_T.tolist()), returns=tuple((raw_T + values_T).tolist())
        ),
    )
