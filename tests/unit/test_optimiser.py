"""The optimiser: rates, clipping, bit-exact restoring, and steps no longer than the signal."""

from itertools import pairwise

import msgspec
import pytest
import torch
from torch import Tensor

from proofloop.core.errors import TrainingHalted
from proofloop.engine.models.weights import sha256
from proofloop.runs.optimisers import optimiser_config
from proofloop.runs.recipe import Recipe
from proofloop.train.config import OptimiserKind, Schedule
from proofloop.train.optimiser import Optimiser, OptimiserConfig, SignalShare, agreement_of


def optimiser(
    flat: Tensor,
    schedule: Schedule = Schedule.CONSTANT,
    kind: OptimiserKind = OptimiserKind.ADAMW,
) -> Optimiser:
    config = OptimiserConfig(
        learning_rate=1e-2,
        schedule=schedule,
        warmup_steps=3,
        weight_decay=0.1,
        grad_clip=1.0,
        kind=kind,
    )
    return Optimiser(flat, config)


@pytest.mark.parametrize("kind", OptimiserKind)
@pytest.mark.parametrize("schedule", Schedule)
def test_restored_optimiser_goes_on_bit_for_bit(schedule: Schedule, kind: OptimiserKind) -> None:
    torch.manual_seed(0)
    batches = (torch.randn(6, 2, 50) + 0.3).unbind()
    straight = torch.ones(50)
    one = optimiser(straight, schedule, kind)
    for half, other in batches[:3]:
        one.update(half, other)
    saved = one.state()
    resumed = torch.zeros(50)
    two = optimiser(resumed, schedule, kind)
    two.restore(saved)
    assert torch.equal(straight, resumed)
    for half, other in batches[3:]:
        assert one.update(half.clone(), other) == two.update(half, other)
    assert sha256(straight) == sha256(resumed)
    assert one.num_updates == two.num_updates == 6


def test_a_state_before_any_update_restores() -> None:
    saved = optimiser(torch.ones(5)).state()
    weights = torch.zeros(5)
    two = optimiser(weights)
    two.restore(saved)
    two.update(torch.ones(5), torch.ones(5))
    straight = torch.ones(5)
    optimiser(straight).update(torch.ones(5), torch.ones(5))
    assert torch.equal(weights, straight)


def test_plain_descent_goes_as_far_as_the_gradient() -> None:
    weights = torch.ones(3)
    sgd = optimiser(weights, kind=OptimiserKind.SGD)
    half, other = torch.tensor([0.1, 0.0, 0.0]), torch.tensor([0.1, -0.4, 0.0])
    for step in range(3):
        before = weights.clone()
        rate = sgd.update(half.clone(), other).learning_rate
        assert rate == pytest.approx(1e-2 * (step + 1) / 3)
        decayed = before * (1 - rate * 0.1)
        torch.testing.assert_close(weights, decayed - rate * (half + other))


def test_warm_up_and_clipping() -> None:
    adam = optimiser(torch.zeros(4))
    updates = [adam.update(torch.full((4,), 30.0), torch.full((4,), 20.0)) for _ in range(5)]
    assert [u.grad_norm for u in updates] == pytest.approx([100] * 5)
    rates = [u.learning_rate for u in updates]
    assert rates == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2, 1e-2, 1e-2])
    assert all(a <= b for a, b in pairwise(rates))


@pytest.mark.parametrize("broken", [0, 1])
def test_a_gradient_that_is_not_finite_halts_and_leaves_the_weights(broken: int) -> None:
    weights = torch.ones(4)
    halves = [torch.ones(4), torch.ones(4)]
    halves[broken][1] = float("nan")
    with pytest.raises(TrainingHalted, match="gradient's norm is nan"):
        optimiser(weights).update(*halves)
    assert torch.equal(weights, torch.ones(4))


@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0, 3.0])
def test_the_signal_share_is_that_of_the_world_it_is_drawn_from(noise: float) -> None:
    """Halves of mean g / 2 and noise of n / √2 each: the share is |g|² / (|g|² + |n|²), and what
    is sure of it a little less."""
    torch.manual_seed(1)
    g = torch.randn(4000)
    signal = SignalShare()
    for _ in range(60):
        half, other = (g / 2 + noise * torch.randn(4000) / 2**0.5 for _ in range(2))
        signal.observe(agreement_of(half, other), float((half + other).norm()))
    share = 1 / (1 + noise**2)
    assert share - 0.05 < signal.value < share + 0.01


def test_pure_noise_moves_almost_nothing() -> None:
    torch.manual_seed(2)
    moved: dict[Schedule, float] = {}
    for schedule in Schedule:
        weights = torch.zeros(1000)
        adam = optimiser(weights, schedule)
        for _ in range(100):
            adam.update(*torch.randn(2, 1000))
        moved[schedule] = float(weights.norm())
    assert moved[Schedule.SIGNAL] < 0.02 * moved[Schedule.CONSTANT]


def test_halves_that_cancel_move_nothing_and_say_nothing() -> None:
    weights = torch.zeros(4)
    update = optimiser(weights, Schedule.SIGNAL).update(torch.ones(4), -torch.ones(4))
    assert (update.grad_norm, update.signal_share) == (0.0, 1.0)
    assert not weights.any()


def test_one_group_after_another_still_trains() -> None:
    """A batch without a second half says nothing of noise, and is not taken for noise."""
    weights = torch.zeros(4)
    adam = optimiser(weights, Schedule.SIGNAL)
    for _ in range(3):
        update = adam.update(torch.ones(4), torch.zeros(4))
    assert update.signal_share == 1.0
    assert float(weights.max()) < -0.01
    adam.update(torch.ones(4), -0.5 * torch.ones(4))
    assert adam.update(torch.ones(4), torch.zeros(4)).signal_share == 0.0


def test_who_learns_pairs_keeps_the_rate() -> None:
    """Unless asked otherwise; rewards, which may be chance, do not."""

    def schedule(**train: object) -> Schedule:
        return optimiser_config(msgspec.convert({"train": train}, Recipe)).schedule

    assert schedule() is schedule(method="sft") is Schedule.SIGNAL
    assert schedule(method="dpo") is schedule(method="reward-model") is Schedule.CONSTANT
    assert schedule(method="dpo", schedule="signal") is Schedule.SIGNAL
    assert schedule(schedule="constant") is Schedule.CONSTANT
