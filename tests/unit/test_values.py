"""Generalised advantages and the value loss by hand and against loops; the two-part optimiser."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proofloop.core.errors import TrainingHalted
from proofloop.train.actor_critic import ActorCritic, head_of
from proofloop.train.config import OptimiserKind, Schedule
from proofloop.train.losses import value_loss
from proofloop.train.optimiser import Optimiser, OptimiserConfig
from proofloop.train.values import explained_variance, gae

CONFIG = OptimiserConfig(
    learning_rate=1e-2,
    schedule=Schedule.CONSTANT,
    warmup_steps=0,
    weight_decay=0.0,
    grad_clip=1.0,
    kind=OptimiserKind.ADAMW,
)
numbers = st.floats(-3, 3)


def test_advantages_by_hand() -> None:
    values = np.array([0.5, 0.25])
    np.testing.assert_allclose(gae(values, 1.0, gamma=1.0, gae_lambda=1.0), [0.5, 0.75])
    np.testing.assert_allclose(gae(values, 1.0, gamma=1.0, gae_lambda=0.0), [-0.25, 0.75])
    np.testing.assert_allclose(gae(values, 1.0, gamma=0.5, gae_lambda=0.0), [-0.375, 0.75])


@given(st.lists(numbers, min_size=1, max_size=9), numbers, st.floats(0.1, 1), st.floats(0, 1))
def test_advantages_are_the_sum_of_later_errors(
    values: list[float], reward: float, gamma: float, gae_lambda: float
) -> None:
    n, v = len(values), [*values, 0.0]
    deltas = [reward * (t == n - 1) + gamma * v[t + 1] - v[t] for t in range(n)]
    wanted = [
        sum((gamma * gae_lambda) ** (s - t) * deltas[s] for s in range(t, n)) for t in range(n)
    ]
    found = gae(np.array(values), reward, gamma=gamma, gae_lambda=gae_lambda)
    np.testing.assert_allclose(found, wanted, atol=1e-9)


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=9), st.floats(0, 1))
def test_the_value_loss_is_the_worse_of_plain_and_held(
    rows: list[tuple[float, float, float]], clip: float
) -> None:
    now, then, wanted = (torch.tensor(x, dtype=torch.float64) for x in zip(*rows, strict=True))
    found = value_loss(now, then, wanted, clip=clip).loss.tolist()
    for loss, (v, old, r) in zip(found, rows, strict=True):
        held = min(max(v, old - clip), old + clip) if clip else v
        assert loss == pytest.approx(max((v - r) ** 2, (held - r) ** 2) / 2, abs=1e-9)


def test_explained_variance() -> None:
    wanted = np.array([0.0, 1.0, 1.0, 0.0])
    assert explained_variance(wanted, wanted) == 1
    assert explained_variance(np.full(4, 0.3), wanted) == 0
    assert explained_variance(1 - wanted, wanted) == -3
    assert math.isnan(explained_variance(wanted, np.ones(4)))


def halves(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(7, generator=generator), torch.randn(7, generator=generator)


def fresh(head_alone: int = 0) -> tuple[torch.Tensor, torch.Tensor, ActorCritic]:
    policy, head = torch.ones(4), torch.zeros(3)
    both = ActorCritic(policy, head, CONFIG, head_learning_rate=0.1, head_alone=head_alone)
    return policy, head, both


def test_the_policy_steps_as_it_would_alone() -> None:
    policy, _, both = fresh()
    alone = torch.ones(4)
    optimiser = Optimiser(alone, CONFIG)
    for seed in range(3):
        half, other = halves(seed)
        assert both.update(half.clone(), other) == optimiser.update(half[:4], other[:4])
    assert torch.equal(policy, alone)


def test_the_head_learns_first_where_it_is_to() -> None:
    policy, head, both = fresh(head_alone=2)
    both.update(*halves(0))
    both.update(*halves(1))
    assert torch.equal(policy, torch.ones(4))
    assert head.abs().min() > 0.05
    both.update(*halves(2))
    assert not torch.equal(policy, torch.ones(4))


def test_it_goes_on_from_its_state_to_the_last_bit() -> None:
    policy, head, both = fresh(head_alone=1)
    for seed in range(2):
        both.update(*halves(seed))
    state = both.state()
    assert torch.equal(head_of(state), head)
    again_policy, again_head, again = fresh(head_alone=1)
    again.restore(state)
    for seed in range(2, 5):
        both.update(*halves(seed))
        again.update(*halves(seed))
    assert torch.equal(policy, again_policy)
    assert torch.equal(head, again_head)
    assert both.state() == again.state()


@pytest.mark.parametrize("place", [0, 6])
def test_a_gradient_that_is_not_finite_moves_neither(place: int) -> None:
    policy, head, both = fresh()
    half, other = halves(0)
    half[place] = float("nan")
    with pytest.raises(TrainingHalted, match=r"^update 1: the gradient's norm is nan"):
        both.update(half, other)
    assert torch.equal(policy, torch.ones(4))
    assert torch.equal(head, torch.zeros(3))
