"""Losses of preference pairs against naive second implementations, loss and gradient through a tiny
model; the same gradient for any cut; lengths held in the loss."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from proofloop.core.task import TaskId
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.scalar_head import ScalarHead
from proofloop.runs.config import load_config
from proofloop.runs.recipe import Recipe
from proofloop.runs.training import loop_config
from proofloop.train.config import Whose
from proofloop.train.loop_pairs import deal, learn_pairs, margins_of
from proofloop.train.metrics import Learned
from proofloop.train.optimiser import Update
from proofloop.train.pairs import Answer, Pair, length_offset
from proofloop.train.parts import LoopConfig, Parts
from proofloop.train.samples import Bundle, shares
from proofloop.train.scoring import Question, logprobs_of, values_of
from proofloop.train.trainer import GradientStats, accumulate

SLOPE = 3.0
"""Log odds a hundred tokens, held in the loss."""


@dataclass(frozen=True)
class World:
    model: Decoder
    reference: Decoder
    head: ScalarHead
    pairs: list[Pair]

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [*self.model.parameters(), *self.head.parameters()]


@pytest.fixture(scope="module")
def world(tiny_model: Path) -> World:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, reference = load_model(tiny_model), load_model(tiny_model)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter += 0.05 * parameter.std() * torch.randn_like(parameter)
    head = ScalarHead(model.config.hidden_size)
    nn.init.normal_(head.score.weight, std=0.5)
    rng = np.random.default_rng(2)

    def answer() -> Answer:
        length = int(rng.integers(1, 14))
        tokens = tuple(rng.integers(4, 300, size=length).tolist())
        given = length > 6  # between turns
        return Answer(tokens, tuple(not (given and 2 <= i < 4) for i in range(length)))

    pairs: list[Pair] = []
    for i in range(9):  # the last three are second pairs of prompts
        context = (
            tuple(rng.integers(4, 300, size=3 + 2 * i).tolist()) if i < 6 else pairs[i - 6].context
        )
        name = TaskId(f"prompt {i % 6}")
        pairs.append(Pair(task_id=name, context=context, chosen=answer(), rejected=answer()))
    return World(model.double(), reference.double(), head, pairs)


class Crew:
    """Workers in this process, one after the other."""

    def __init__(self, world: World, config: LoopConfig, *, workers: int, bound: int) -> None:
        self._world, self._config = world, config
        self._workers, self._bound = workers, bound

    def score(
        self, questions: Sequence[Question], temperature: float, whose: Whose = Whose.OWN
    ) -> list[tuple[float, ...]]:
        model = self._world.model if whose is Whose.OWN else self._world.reference
        return logprobs_of(model, list(questions), max_positions=500, temperature=temperature)

    def values(self, questions: Sequence[Question]) -> list[tuple[float, ...]]:
        return values_of(self._world.model, self._world.head, list(questions), max_positions=500)

    def gradient(self, bundles: list[Bundle], denominator: int) -> tuple[Tensor, GradientStats]:
        forget(self._world)
        stats = GradientStats()
        for part in shares(bundles, self._workers):
            stats += accumulate(
                self._world.model,
                part,
                objective=self._config.objective,
                denominator=denominator,
                temperature=1.0,
                max_positions=self._bound,
                head=self._world.head,
            )
        return gradient_of(self._world), stats


def forget(world: World) -> None:
    for parameter in world.parameters:
        parameter.grad = None


def gradient_of(world: World) -> Tensor:
    return torch.cat(
        [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in world.parameters]
    )


class Recorder:
    """An optimiser that keeps the gradient and does not move."""

    gradient: Tensor

    def update(self, half: Tensor, other: Tensor) -> Update:
        self.gradient = half + other
        return Update(grad_norm=0.0, learning_rate=0.0, signal_share=0.0)


def parts_of(world: World, config: LoopConfig, workers: int = 1, bound: int = 10**9) -> Parts:
    nothing: Any = None
    crew: Any = Crew(world, config, workers=workers, bound=bound)
    recorder: Any = Recorder()
    return Parts(
        config=config,
        environment=nothing,
        crew=crew,
        optimiser=recorder,
        weights_sha256=nothing,
        store=nothing,
        directory=Path(),
    )


def config_of(method: str, *overrides: str) -> LoopConfig:
    keys = (f"train.method={method}", *(f"preference.{key}" for key in overrides))
    return loop_config(load_config(Recipe, None, keys))


def learned(world: World, config: LoopConfig, slope: float, **cut: int) -> tuple[Learned, Tensor]:
    parts = parts_of(world, config, **cut)
    done = learn_pairs(parts, world.pairs, slope)
    recorder: Any = parts.optimiser
    return done, recorder.gradient


def run(model: Decoder, pair: Pair, answer: Answer) -> Tensor:
    """Final hidden states of context and answer, token after token, in one piece (T, C)."""
    tokens = torch.tensor([[*pair.context, *answer.tokens]])
    hidden, _ = model.encode_context(tokens, torch.tensor([tokens.shape[1]]))
    return hidden[0]


def log_ratio(world: World, pair: Pair, answer: Answer, *, reference: bool) -> Tensor:
    """Summed over sampled tokens alone."""

    def of(model: Decoder) -> Tensor:
        logprobs = model.logits(run(model, pair, answer)).log_softmax(-1)
        total = torch.zeros(())
        for i, (token, sampled) in enumerate(zip(answer.tokens, answer.sampled, strict=True)):
            if sampled:
                total = total + logprobs[len(pair.context) + i - 1, token]
        return total

    return of(world.model) - of(world.reference).detach() if reference else of(world.model)


def sigma(x: Tensor) -> Tensor:
    return 1 / (1 + (-x).exp())


def smoothed(logit: Tensor, e: float) -> Tensor:
    return -(1 - e) * sigma(logit).log() - e * sigma(-logit).log()


def naive_dpo(
    *, beta: float, e: float = 0.0, mean: bool = False, reference: bool = True, gap: float = 0.0
) -> Callable[[World], Tensor]:
    def loss(world: World) -> Tensor:
        terms = []
        for pair in world.pairs:
            chosen, rejected = (
                log_ratio(world, pair, a, reference=reference) / (sum(a.sampled) if mean else 1)
                for a in pair.answers
            )
            terms.append(smoothed(beta * chosen - beta * rejected - gap, e))
        return sum(terms) / len(terms)

    return loss


def naive_bradley_terry(*, e: float = 0.0, gap: float = 0.0) -> Callable[[World], Tensor]:
    """Scores of the answers' last tokens; length held beside them."""

    def loss(world: World) -> Tensor:
        terms = []
        for pair in world.pairs:
            chosen, rejected = (
                (run(world.model, pair, a)[-1].float() * world.head.score.weight[0]).sum()
                + SLOPE * sum(a.sampled) / 100
                for a in pair.answers
            )
            terms.append(smoothed(chosen - rejected - gap, e))
        return sum(terms) / len(terms)

    return loss


CASES: dict[str, tuple[LoopConfig, Callable[[World], Tensor]]] = {
    "dpo": (config_of("dpo"), naive_dpo(beta=0.1)),
    "smoothed": (
        config_of("dpo", "beta=0.5", "label_smoothing=0.2"),
        naive_dpo(beta=0.5, e=0.2),
    ),
    "normalised": (
        config_of("dpo", "beta=2", "length_normalised=true"),
        naive_dpo(beta=2.0, mean=True),
    ),
    "simpo": (
        config_of("dpo", "beta=2", "length_normalised=true", "reference_free=true", "margin=0.5"),
        naive_dpo(beta=2.0, mean=True, reference=False, gap=0.5),
    ),
    "reward model": (config_of("reward-model"), naive_bradley_terry()),
    "reward model with a margin": (
        config_of("reward-model", "label_smoothing=0.1", "margin=0.3"),
        naive_bradley_terry(e=0.1, gap=0.3),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_its_papers_equation(name: str, world: World) -> None:
    config, naive = CASES[name]
    done, ours = learned(world, config, SLOPE)
    forget(world)
    loss = naive(world)
    loss.backward()
    theirs = gradient_of(world)
    assert float(theirs.norm()) > 1e-3
    assert float((ours - theirs).norm() / theirs.norm()) <= 1e-5
    assert done.stats.loss / done.denominator == pytest.approx(float(loss.detach()), rel=1e-5)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(list(CASES)), st.integers(1, 7), st.integers(1, 600))
def test_the_same_gradient_for_any_cut_and_any_number_of_workers(
    world: World, name: str, workers: int, bound: int
) -> None:
    config, _ = CASES[name]
    whole, reference = learned(world, config, SLOPE)
    cut, other = learned(world, config, SLOPE, workers=workers, bound=bound)
    assert float((other - reference).norm() / reference.norm()) <= 1e-5
    assert cut.stats.loss == pytest.approx(whole.stats.loss, rel=1e-5)
    assert cut.stats.num_right_pairs == whole.stats.num_right_pairs


@pytest.mark.parametrize("name", CASES)
def test_margins_are_what_the_loss_saw(name: str, world: World) -> None:
    config, _ = CASES[name]
    done, _ = learned(world, config, SLOPE)
    margins = margins_of(parts_of(world, config), world.pairs)
    assert sum(margins) == pytest.approx(done.stats.margin_sum, rel=1e-4, abs=1e-5)
    assert sum(m > 0 for m in margins) == done.stats.num_right_pairs


def pair_of(chosen: int, rejected: int) -> Pair:
    answers = [Answer(tokens=(5,) * n, sampled=(True,) * n) for n in (chosen, rejected)]
    return Pair(task_id=TaskId("t"), context=(1,), chosen=answers[0], rejected=answers[1])


def test_what_length_alone_says_of_pairs() -> None:
    """Three of four pairs choose the answer that is 20 tokens longer: odds 3, log odds 1.1."""
    pairs = [*(pair_of(30, 10) for _ in range(3)), pair_of(10, 30)]
    assert length_offset(pairs) == pytest.approx(math.log(3) / 0.2)
    assert length_offset([pair_of(9, 9)]) == 0
    assert length_offset([pair_of(30, 10)]) == 50, "no maximum: bounded"
    assert length_offset([pair_of(10, 30)]) == -50


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 3))
def test_pairs_are_passed_through_whole_before_any_comes_again(
    num_pairs: int, per_step: int, seed: int
) -> None:
    pairs = [pair_of(i + 1, i + 2) for i in range(num_pairs)]
    dealt = [p for s in range(1, 6) for p in deal(pairs, s, num_pairs=per_step, seed=seed)]
    for start in range(0, len(dealt) - num_pairs + 1, num_pairs):
        assert sorted(dealt[start : start + num_pairs]) == list(range(num_pairs))
