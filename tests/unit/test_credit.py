"""Advantages, samples, bundles: hand-computed numbers and invariants."""

import statistics

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rollouts import completion, group, rollout

from proofloop.core.rollout import Turn
from proofloop.train.advantages import AdvantageRule, Credited, credit, group_advantages
from proofloop.train.config import AdvantageScale, Baseline, LossKind
from proofloop.train.losses import LOSSES
from proofloop.train.samples import Bundle, Sample, bundles_of, micro_batches, sample_of, shares


def test_group_advantages_by_hand() -> None:
    np.testing.assert_allclose(group_advantages(np.array([1.0, 0, 0, 1])), [0.5, -0.5, -0.5, 0.5])
    np.testing.assert_allclose(group_advantages(np.array([1.0, 1, 1])), 0)


@given(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=2, max_size=9), st.data())
def test_group_advantages_against_a_loop(rewards: list[float], data: st.DataObject) -> None:
    baseline = data.draw(st.sampled_from(Baseline))
    scale = data.draw(st.sampled_from(AdvantageScale))
    spread = statistics.pstdev(rewards)
    if spread == 0:
        return
    wanted: list[float] = []
    for i, reward in enumerate(rewards):
        others = rewards[:i] + rewards[i + 1 :]
        less = {
            Baseline.GROUP: statistics.fmean(rewards),
            Baseline.LEAVE_ONE_OUT: statistics.fmean(others),
            Baseline.NONE: 0.0,
        }[baseline]
        over = {AdvantageScale.GROUP: spread, AdvantageScale.MEAN: statistics.fmean(rewards)}
        wanted.append((reward - less) / over.get(scale, 1.0))
    rule = AdvantageRule(baseline=baseline, scale=scale)
    np.testing.assert_allclose(group_advantages(np.array(rewards), rule), wanted, atol=1e-12)


def test_without_a_baseline_a_solved_group_trains_and_a_hopeless_one_does_not() -> None:
    rule = AdvantageRule(baseline=Baseline.NONE, scale=AdvantageScale.NONE)
    credits = credit([group([1, 1], task="solved"), group([0, 0], task="hopeless")], rule)
    assert [[c.advantage for c in g] for g in credits.groups] == [[1, 1]]
    assert (credits.num_all_equal_high, credits.num_all_equal_low) == (0, 1)


def test_ties_unscored_and_lonely_groups_are_dropped_and_counted() -> None:
    credits = credit(
        [
            group([1, 0, None, 0], task="mixed"),
            group([1, 1], task="solved"),
            group([0, 0, None], task="hopeless"),
            group([1, None, None], task="lonely"),
            group([None, None], task="lost"),
        ]
    )
    assert (credits.num_all_equal_high, credits.num_all_equal_low, credits.num_too_few) == (1, 1, 2)
    (kept,) = credits.groups
    assert [c.rollout.id for c in kept] == ["mixed-0", "mixed-1", "mixed-3"]
    raw = np.array([2 / 3, -1 / 3, -1 / 3])
    np.testing.assert_allclose([c.advantage for c in kept], raw / raw.std())


def test_scale_is_the_batchs_not_the_groups() -> None:
    credits = credit([group([1, 0], task="a"), group([1, 0, 0, 0], task="b")])
    a, b = ([c.advantage for c in g] for g in credits.groups)
    assert a[0] / a[1] == pytest.approx(-1)
    assert a[0] / b[0] == pytest.approx(0.5 / 0.75)
    assert np.std([*a, *b]) == pytest.approx(1)


def test_only_sampled_tokens_train_and_the_stop_token_is_one_of_them() -> None:
    turns = (
        Turn(context=(1, 2), completion=completion((3, 4, 0), (-0.1, -0.2, -0.3))),
        Turn(context=(5, 6), completion=completion((7, 0), (-0.4, -0.5))),
    )
    sample = sample_of(Credited(rollout=rollout("r", turns), advantage=2.0))
    assert sample.context == (1, 2)
    assert sample.tokens == (3, 4, 0, 5, 6, 7, 0)
    assert sample.trained == (True, True, True, False, False, True, True)
    assert sample.sampler_logprobs == (-0.1, -0.2, -0.3, 0, 0, -0.4, -0.5)
    assert sample.advantages == (2, 2, 2, 0, 0, 2, 2)


def test_a_sample_with_parts_of_unlike_length_is_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        Sample(
            context=(1,), tokens=(2, 3), trained=(True,), sampler_logprobs=(0, 0), advantages=(1, 1)
        )


def made(context: int, length: int) -> Sample:
    return Sample(
        context=(1,) * context,
        tokens=(2,) * length,
        trained=(True,) * length,
        sampler_logprobs=(0.0,) * length,
        advantages=(1.0,) * length,
    )


lengths = st.lists(st.integers(1, 60), min_size=1, max_size=20)


@given(lengths, st.integers(1, 80))
def test_bundling_keeps_every_sample_once_and_never_runs_more(
    lengths: list[int], context: int
) -> None:
    samples = [made(context, n) for n in lengths]
    bundles = bundles_of(samples)
    kept = sorted(len(s.tokens) for b in bundles for s in b.samples)
    assert kept == sorted(lengths)
    whole = Bundle(samples=tuple(samples))
    assert sum(b.num_positions for b in bundles) <= whole.num_positions


@given(st.lists(lengths, min_size=1, max_size=8), st.integers(50, 3000), st.integers(1, 5))
def test_micro_batches_and_shares_lose_nothing(
    groups: list[list[int]], bound: int, num_shares: int
) -> None:
    bundles = [b for g in groups for b in bundles_of([made(10, n) for n in g])]
    batches = micro_batches(bundles, max_positions=bound)
    assert sorted(map(id, bundles)) == sorted(id(b) for batch in batches for b in batch)
    for batch in batches:
        if len(batch) > 1:
            S, T = max(len(b.samples) for b in batch), max(b.longest for b in batch)
            assert len(batch) * (10 + S * T) <= bound
    dealt = shares(bundles, num_shares)
    assert len(dealt) == num_shares
    assert sorted(map(id, bundles)) == sorted(id(b) for share in dealt for b in share)


@pytest.mark.parametrize("kind", list(LossKind))
def test_losses_against_a_naive_second_implementation(kind: LossKind) -> None:
    torch.manual_seed(0)
    logprobs = (-torch.rand(200) * 6).requires_grad_()
    sampler = -torch.rand(200) * 6
    advantages = torch.randn(200)
    result = LOSSES[kind](logprobs, sampler, advantages)
    result.loss.sum().backward()
    assert logprobs.grad is not None
    for i in range(200):
        p, q, a = (float(t[i].detach()) for t in (logprobs, sampler, advantages))
        ratio = np.exp(p - q)
        if kind is LossKind.CISPO:
            loss, slope = -min(ratio, 5) * a * p, -min(ratio, 5) * a
            cut = ratio > 5
        elif kind is LossKind.LIKELIHOOD:
            loss, slope, cut = -a * p, -a, False
        else:
            inside = min(max(ratio, 0.8), 1.28)
            plain, surrogate = ratio * a, min(ratio * a, inside * a)
            if a < 0:
                surrogate = max(surrogate, 10 * a)
            loss, cut = -surrogate, surrogate != plain
            slope = 0.0 if cut else -plain
        assert float(result.loss[i].detach()) == pytest.approx(loss, rel=1e-4, abs=1e-6)
        assert float(logprobs.grad[i]) == pytest.approx(slope, rel=1e-4, abs=1e-6)
        assert bool(result.clipped[i]) == cut


def test_on_policy_both_losses_have_the_policy_gradient() -> None:
    for kind in LossKind:
        logprobs = torch.tensor([-0.5, -1.5], requires_grad=True)
        advantages = torch.tensor([1.0, -2.0])
        LOSSES[kind](logprobs, logprobs.detach(), advantages).loss.sum().backward()
        torch.testing.assert_close(logprobs.grad, -advantages)
