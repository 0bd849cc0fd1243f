"""Gradients: the same for any cut, through the stop token, of the sampled log-probabilities."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rollouts import rollout

from proofloop.core.completion import Request, SamplingParams
from proofloop.core.rollout import Turn
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.weights import flatten
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.train.advantages import Credited
from proofloop.train.config import LossKind
from proofloop.train.objective import Objective
from proofloop.train.pretrain import Document, summed_loss
from proofloop.train.samples import Bundle, Sample, bundles_of, samples_of, shares
from proofloop.train.trainer import (
    GradientStats,
    accumulate,
    collate,
    trained_logprobs,
)


@pytest.fixture(name="model")
def _model(tiny_model: Path) -> Decoder:
    torch.set_num_threads(1)
    return load_model(tiny_model)


@pytest.fixture(name="groups")
def _groups(model: Decoder, tiny_model: Path) -> list[list[Sample]]:
    """Eight groups of really sampled completions with made-up advantages."""
    engine = LocalEngine(model, flatten(model), ChatTokenizer.load(tiny_model).stop_ids)
    rng = np.random.default_rng(0)
    requests = [
        Request(
            context=tuple(rng.integers(4, 300, size=5 + 3 * g).tolist()),
            seeds=tuple(range(100 * g, 100 * g + 6)),
            sampling=SamplingParams(max_tokens=32),
        )
        for g in range(8)
    ]
    return [
        [
            samples_of(
                Credited(
                    rollout=rollout("r", (Turn(context=request.context, completion=c),)),
                    advantage=float(rng.normal()),
                )
            )[0]
            for c in completions
        ]
        for request, completions in zip(requests, engine.generate(requests), strict=True)
    ]


def bundled(groups: list[list[Sample]]) -> list[Bundle]:
    return [b for g in groups for b in bundles_of(g)]


def gradient(
    model: Decoder, parts: list[list[Bundle]], *, max_positions: int
) -> tuple[torch.Tensor, GradientStats]:
    model.zero_grad()
    denominator = sum(s.num_trained_tokens for part in parts for b in part for s in b.samples)
    stats = GradientStats()
    for part in parts:
        stats += accumulate(
            model,
            part,
            objective=Objective(),
            denominator=denominator,
            temperature=1.0,
            max_positions=max_positions,
        )
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]), stats


def test_same_gradient_for_any_cut(model: Decoder, groups: list[list[Sample]]) -> None:
    reference, stats = gradient(
        model, [[Bundle(samples=(s,))] for g in groups for s in g], max_positions=1
    )
    cuts = {
        "one batch": ([bundled(groups)], 10**9),
        "small batches": ([bundled(groups)], 300),
        "a group a bundle": ([[Bundle(samples=tuple(g)) for g in groups]], 1000),
        "three workers": (shares(bundled(groups), 3), 2000),
        "seven workers": (shares(bundled(groups), 7), 10**9),
    }
    for name, (parts, bound) in cuts.items():
        other, other_stats = gradient(model, parts, max_positions=bound)
        relative = float((other - reference).norm() / reference.norm())
        assert relative <= 1e-5, name
        assert other_stats.num_tokens == stats.num_tokens
        assert other_stats.loss == pytest.approx(stats.loss, rel=1e-4)


def test_trainer_agrees_with_sampler(model: Decoder, groups: list[list[Sample]]) -> None:
    batch = collate(bundled(groups))
    with torch.no_grad():
        trained = trained_logprobs(model, batch, temperature=1.0)
    gaps = (trained - batch.sampler_logprobs_GST[batch.trained_GST]).abs()
    assert len(gaps) == sum(s.num_trained_tokens for g in groups for s in g)
    assert float(gaps.max()) <= 1e-4


def test_the_stop_token_has_a_gradient(model: Decoder) -> None:
    """A sample that trains nothing but its stop token still moves the stop token's logit."""
    sample = Sample(
        context=(5, 6, 7),
        tokens=(8, 9, 0),
        trained=(False, False, True),
        sampler_logprobs=(0.0, 0.0, -3.0),
        advantages=(0.0, 0.0, 1.0),
    )
    bundle = Bundle(samples=(sample,))

    def stop_logprob() -> float:
        with torch.no_grad():
            return float(trained_logprobs(model, collate([bundle]), temperature=1.0)[0])

    flat = flatten(model)
    before = stop_logprob()
    slope, _ = gradient(model, [[bundle]], max_positions=100)
    assert float(slope.norm()) > 0
    flat -= 1e-3 * slope / slope.norm()
    assert stop_logprob() > before


def test_gradient_is_that_of_finite_differences(model: Decoder, groups: list[list[Sample]]) -> None:
    """CISPO's gradient is that of sum(weight · A · log p) with the weight held fixed."""
    flat = flatten(model)
    bundles = bundled(groups[:2])
    slope, _ = gradient(model, [bundles], max_positions=10**9)
    batch = collate(bundles)
    sampler = batch.sampler_logprobs_GST[batch.trained_GST]
    advantages = batch.advantages_GST[batch.trained_GST].double()

    def objective() -> float:
        with torch.no_grad():
            logprobs = trained_logprobs(model, batch, temperature=1.0).double()
        return float(-(weights * advantages * logprobs).sum() / len(weights))

    with torch.no_grad():
        weights = (trained_logprobs(model, batch, temperature=1.0) - sampler).exp().double()
    direction = slope / slope.norm()
    step = 4e-3
    flat += step * direction
    up = objective()
    flat -= 2 * step * direction
    down = objective()
    flat += step * direction
    assert (up - down) / (2 * step) == pytest.approx(float(slope.norm()), rel=0.02)


def test_likelihood_is_the_cross_entropy_of_pre_training_whoever_sampled(
    model: Decoder, groups: list[list[Sample]]
) -> None:
    """Against another implementation: documents whose prompts weigh nothing."""
    samples = [
        Sample(
            context=s.context,
            tokens=s.tokens,
            trained=s.trained,
            sampler_logprobs=tuple(-9.0 for _ in s.tokens),  # of some policy long ago
            advantages=tuple(1.0 for _ in s.tokens),
        )
        for group in groups
        for s in group
    ]
    num_tokens = sum(s.num_trained_tokens for s in samples)
    model.zero_grad()
    stats = accumulate(
        model,
        [Bundle(samples=(s,)) for s in samples],
        objective=Objective(loss=LossKind.LIKELIHOOD),
        denominator=num_tokens,
        temperature=1.0,
        max_positions=500,
    )
    ours = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    model.zero_grad()
    documents = [Document([*s.context, *s.tokens], len(s.context)) for s in samples]
    loss = summed_loss(model, documents, prompt_weight=0.0)
    (loss.weighted / num_tokens).backward()
    theirs = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert (stats.num_tokens, stats.num_clipped) == (loss.num_answer_tokens, 0)
    assert stats.loss == pytest.approx(float(loss.weighted.detach()), rel=1e-4)
    assert float((ours - theirs).norm() / theirs.norm()) <= 1e-5
