"""Losses of tokens, divergences, corrections and weights: by hand and against plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from proofloop.train.aggregation import weigh
from proofloop.train.config import Aggregation, Correction, KlEstimator, LossKind
from proofloop.train.corrections import correct, corrected_samples
from proofloop.train.kl import kl
from proofloop.train.losses import token_loss
from proofloop.train.objective import Objective
from proofloop.train.samples import Sample

LENGTHS = [3, 0, 150, 47]
"""Of sequences; a padded one has no token."""


def naive(kind: LossKind, dual: float, p: float, q: float, a: float, s: float) -> tuple[float, ...]:
    """Loss, slope in the ratio's logarithm, and whether anything was cut; `s` is the log ratio of
    the token's whole sequence."""
    ratio = math.exp(s if kind is LossKind.GSPO else p - q)
    if kind is LossKind.CISPO:
        return -min(ratio, 5) * a * p, -min(ratio, 5) * a, ratio > 5
    if kind in (LossKind.LIKELIHOOD, LossKind.POLICY_GRADIENT):
        return -a * p, -a, False
    inside = min(max(ratio, 0.8), 1.28)
    plain, surrogate = ratio * a, min(ratio * a, inside * a)
    if a < 0 and dual:
        surrogate = max(surrogate, dual * a)
    cut = surrogate != plain
    return -surrogate, 0.0 if cut else -plain, cut


@pytest.mark.parametrize("dual", [0.0, 3.0])
@pytest.mark.parametrize("kind", list(LossKind))
def test_losses_against_a_naive_second_implementation(kind: LossKind, dual: float) -> None:
    torch.manual_seed(0)
    logprobs = (-torch.rand(200, dtype=torch.float64) * 6).requires_grad_()
    sampler = -torch.rand(200, dtype=torch.float64) * 6
    sequences = np.repeat(range(len(LENGTHS)), LENGTHS)
    advantages = torch.randn(len(LENGTHS), dtype=torch.float64)[sequences]
    objective = Objective(loss=kind, dual_clip=dual)
    result = token_loss(objective, logprobs, sampler, advantages, torch.tensor(LENGTHS))
    result.loss.sum().backward()
    assert logprobs.grad is not None
    gaps = (logprobs.detach() - sampler).numpy()
    means = [gaps[sequences == i].mean() if n else 0.0 for i, n in enumerate(LENGTHS)]
    for i in range(200):
        p, q, a = (float(t[i].detach()) for t in (logprobs, sampler, advantages))
        loss, slope, cut = naive(kind, dual, p, q, a, means[sequences[i]])
        assert float(result.loss[i].detach()) == pytest.approx(loss, rel=1e-9, abs=1e-12)
        # A GSPO token's n-th part of its sequence's slope, n times over.
        assert float(logprobs.grad[i]) == pytest.approx(slope, rel=1e-9, abs=1e-12)
        assert bool(result.clipped[i]) == cut


@pytest.mark.parametrize("kind", list(LossKind))
def test_on_policy_every_loss_has_the_policy_gradient(kind: LossKind) -> None:
    logprobs = torch.tensor([-0.5, -1.5, -0.1], requires_grad=True)
    advantages = torch.tensor([1.0, -2.0, -2.0])
    objective, lengths = Objective(loss=kind), torch.tensor([1, 2])
    result = token_loss(objective, logprobs, logprobs.detach(), advantages, lengths)
    result.loss.sum().backward()
    torch.testing.assert_close(logprobs.grad, -advantages)
    assert not result.clipped.any()


def test_divergences_by_hand() -> None:
    own, start = torch.tensor([-1.0]), torch.tensor([-1.5])
    for kind, wanted in {"k1": 0.5, "k2": 0.125, "k3": math.exp(-0.5) - 0.5}.items():
        assert float(kl(KlEstimator(kind), own, start)) == pytest.approx(wanted)
        assert float(kl(KlEstimator(kind), own, own)) == 0


def test_divergences_teach_on_average_what_their_docstring_says() -> None:
    """Over all outcomes of one token, each with its probability: no sampling error."""
    torch.manual_seed(1)
    logits = torch.randn(7, dtype=torch.float64, requires_grad=True)
    start = torch.randn(7, dtype=torch.float64).log_softmax(dim=-1)

    def slope(value: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(value, logits)[0]

    def own() -> torch.Tensor:
        return logits.log_softmax(dim=-1)

    chance = own().exp().detach()
    reverse = slope((own().exp() * (own() - start)).sum())
    forward = slope((start.exp() * (start - own())).sum())
    in_loss = {k: slope((chance * kl(k, own(), start)).sum()) for k in KlEstimator}
    in_reward = {
        k: slope((chance * kl(k, own(), start).detach() * own()).sum()) for k in KlEstimator
    }
    torch.testing.assert_close(in_loss[KlEstimator.K1], torch.zeros_like(reverse))
    torch.testing.assert_close(in_loss[KlEstimator.K2], reverse)
    torch.testing.assert_close(in_loss[KlEstimator.K3], forward)
    torch.testing.assert_close(in_reward[KlEstimator.K1], reverse)
    for k in (KlEstimator.K2, KlEstimator.K3):
        assert not any(torch.allclose(in_reward[k], g, rtol=0.05) for g in (reverse, forward))
    values = {k: float((chance * kl(k, own(), start)).sum().detach()) for k in KlEstimator}
    true = float((chance * (own() - start)).sum().detach())
    assert values[KlEstimator.K1] == pytest.approx(true)
    assert values[KlEstimator.K3] == pytest.approx(true)


def test_corrections_by_hand() -> None:
    log_k = np.log([0.4, 0.995, 3.0, 6.0])
    token = correct(Objective(correction=Correction.TOKEN), log_k)
    np.testing.assert_allclose(token.weights_T, [0.4, 0.995, 2, 2])
    assert (token.kept_T.all(), token.capped_T.tolist()) == (True, [False, False, True, True])
    icepop = correct(Objective(correction=Correction.ICEPOP), log_k)
    np.testing.assert_allclose(icepop.weights_T[icepop.kept_T], [0.995, 3])
    assert icepop.kept_T.tolist() == [False, True, True, False]
    for shift, kept in ((0.009, True), (0.011, False), (-0.011, False)):
        sequence = correct(Objective(correction=Correction.SEQUENCE), log_k - log_k.mean() + shift)
        assert sequence.kept_T.tolist() == [kept] * 4
        assert sequence.weights_T.tolist() == [1.0] * 4


def sample(length: int, *, given: int = 0, advantage: float = 1.0) -> Sample:
    """`given` of its tokens are another's."""
    trained = (False,) * given + (True,) * length
    return Sample(
        context=(1,),
        tokens=(2,) * (given + length),
        trained=trained,
        sampler_logprobs=tuple(-1.0 if t else 0.0 for t in trained),
        advantages=tuple(advantage if t else 0.0 for t in trained),
    )


def test_masked_tokens_sequences_and_groups_are_gone() -> None:
    objective = Objective(correction=Correction.ICEPOP, icepop_low=0.5, icepop_high=2.0)
    groups = [[sample(2, given=1, advantage=3.0), sample(1)], [sample(1)]]
    far, near = -1 - math.log(4), -1 + math.log(1.5)
    trainers = [[(-7.0, far, near), (far,)], [(far,)]]
    ((kept,),), stats = corrected_samples(objective, groups, trainers)
    assert kept.trained == (False, False, True)
    assert kept.advantages == pytest.approx((0, 0, 4.5))
    assert kept.sampler_logprobs == (0, 0, -1)
    assert kept.old_logprobs == pytest.approx((0, 0, near))
    assert (stats.num_tokens, stats.num_masked) == (4, 3)
    assert stats.gap_max == pytest.approx(math.log(4))


@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=5),
    st.sampled_from(Aggregation),
)
def test_weights_against_plain_means(lengths: list[list[int]], aggregation: Aggregation) -> None:
    rng = np.random.default_rng(sum(map(sum, lengths)))
    losses = [[rng.normal(size=n) for n in group] for group in lengths]
    weighed = weigh([[sample(n, given=2) for n in g] for g in lengths], aggregation, max_tokens=9)
    ours = (
        sum(
            s.weight * of_sample.sum()
            for g, of_group in zip(weighed.groups, losses, strict=True)
            for s, of_sample in zip(g, of_group, strict=True)
        )
        / weighed.denominator
    )
    sequences = [s for g in losses for s in g]
    wanted = {
        Aggregation.TOKENS: np.concatenate(sequences).mean(),
        Aggregation.SEQUENCES: np.mean([s.mean() for s in sequences]),
        Aggregation.PROMPTS: np.mean([np.concatenate(g).mean() for g in losses]),
        Aggregation.CONSTANT: np.mean([s.sum() / 9 for s in sequences]),
    }
    assert ours == pytest.approx(wanted[aggregation])
