"""Every preset against a naive second implementation of its paper's equation, loss and gradient,
through a tiny model; and the same gradient for any cut."""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rollouts import rollout, verdict
from torch import Tensor, nn

from proofloop.core.completion import Request, SamplingParams, StopReason
from proofloop.core.rollout import Group, Judged, Turn
from proofloop.core.task import TaskId
from proofloop.engine.local import LocalEngine
from proofloop.engine.models.checkpoint import load_model
from proofloop.engine.models.decoder import Decoder
from proofloop.engine.models.scalar_head import ScalarHead
from proofloop.engine.models.weights import flatten
from proofloop.render.tokenizer import ChatTokenizer
from proofloop.runs.config import load_config
from proofloop.runs.recipe import Recipe
from proofloop.runs.training import loop_config
from proofloop.train.algorithms import ALGORITHMS
from proofloop.train.batches import penalties_of
from proofloop.train.config import Algorithm, Whose
from proofloop.train.loop_sync import credits_of, learn
from proofloop.train.metrics import Learned
from proofloop.train.objective import Objective
from proofloop.train.optimiser import Update
from proofloop.train.parts import LoopConfig, Parts
from proofloop.train.samples import Bundle, Sample, shares
from proofloop.train.scoring import Question, logprobs_of, values_of
from proofloop.train.trainer import (
    GradientStats,
    accumulate,
    collate,
    trained_hidden,
    trained_logprobs,
)

MAX_TOKENS = 14
REWARDS: tuple[list[float | None], ...] = (
    [1, 0, 0, 1],
    [1, 1, 1, 1],
    [0, 1, 0, 0],
    [0, 0, 0, 0],
    [1, 0.5, 0, 1],
    [1, 0, 1, 1],
)


@dataclass(frozen=True)
class World:
    """A policy, what the run started with, and judged groups that a staler policy sampled."""

    model: Decoder
    reference: Decoder
    groups: list[Group]
    head: ScalarHead
    """Its values now, and, on the reference, those from the start of the step."""


@pytest.fixture(scope="module")
def world(tiny_model: Path) -> World:
    torch.set_num_threads(1)
    model, reference = load_model(tiny_model), load_model(tiny_model)
    engine = LocalEngine(model, flatten(model), ChatTokenizer.load(tiny_model).stop_ids)
    rng = np.random.default_rng(1)
    requests = [
        Request(
            context=tuple(rng.integers(4, 300, size=4 + 3 * g).tolist()),
            seeds=tuple(range(50 * g, 50 * g + 4)),
            sampling=SamplingParams(max_tokens=MAX_TOKENS),
        )
        for g in range(len(REWARDS))
    ]
    groups: list[Group] = []
    for g, completions in enumerate(engine.generate(requests)):
        attempts: list[Judged] = []
        for i, (completion, reward) in enumerate(zip(completions, REWARDS[g], strict=True)):
            stale = [min(-1e-3, x + rng.normal(0, 0.4)) for x in completion.logprobs]
            stale = [float(np.float32(x)) for x in stale]
            turn = Turn(
                context=requests[g].context,
                completion=msgspec.structs.replace(completion, logprobs=tuple(stale)),
            )
            attempts.append(Judged(rollout=rollout(f"{g}-{i}", (turn,)), verdict=verdict(reward)))
        groups.append(Group(task_id=TaskId("task"), attempts=tuple(attempts)))
    stops = [j.rollout.turns[0].completion.stop_reason for g in groups for j in g.attempts]
    assert {StopReason.STOP, StopReason.LENGTH} == set(stops)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter += 0.05 * parameter.std() * torch.randn_like(parameter)
    head = ScalarHead(model.config.hidden_size)
    nn.init.normal_(head.score.weight, std=0.3)
    nn.init.constant_(head.score.bias, 0.4)
    model, reference = model.double(), reference.double()
    return World(model=model, reference=reference, groups=groups, head=head)


class Crew:
    """Workers in this process, one after the other."""

    def __init__(self, world: World, objective: Objective, *, workers: int, bound: int) -> None:
        self._world, self._objective = world, objective
        self._workers, self._bound = workers, bound

    def score(
        self, questions: Sequence[Question], temperature: float, whose: Whose = Whose.OWN
    ) -> list[tuple[float, ...]]:
        model = self._world.model if whose is Whose.OWN else self._world.reference
        return logprobs_of(model, list(questions), max_positions=500, temperature=temperature)

    def values(self, questions: Sequence[Question]) -> list[tuple[float, ...]]:
        world = self._world
        return values_of(world.reference, world.head, list(questions), max_positions=500)

    def gradient(self, bundles: list[Bundle], denominator: int) -> tuple[Tensor, GradientStats]:
        model, stats = self._world.model, GradientStats()
        forget(self._world)
        for part in shares(bundles, self._workers):
            stats += accumulate(
                model,
                part,
                objective=self._objective,
                denominator=denominator,
                temperature=1.0,
                max_positions=self._bound,
                head=self._world.head if self._objective.has_values else None,
            )
        return gradient_of(self._world), stats


def forget(world: World) -> None:
    world.model.zero_grad()
    world.head.zero_grad()


def gradient_of(world: World) -> Tensor:
    """Of the model, then of the head."""
    parameters = [*world.model.parameters(), *world.head.parameters()]
    return torch.cat(
        [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in parameters]
    )


class Recorder:
    """An optimiser that keeps the gradient and does not move."""

    gradient: Tensor

    def update(self, half: Tensor, other: Tensor) -> Update:
        self.gradient = half + other
        return Update(grad_norm=0.0, learning_rate=0.0, signal_share=0.0)


def config_of(*overrides: str) -> LoopConfig:
    fixed = (f"sampling.max_tokens={MAX_TOKENS}", "train.max_logprob_gap=9")
    return loop_config(load_config(Recipe, None, (*overrides, *fixed)))


def learned(
    world: World, config: LoopConfig, *, workers: int = 1, bound: int = 10**9
) -> tuple[Learned, Tensor]:
    """Through the loop's own hops."""
    crew: Any = Crew(world, config.objective, workers=workers, bound=bound)
    recorder: Any = Recorder()
    nothing: Any = None
    parts = Parts(
        config=config,
        environment=nothing,
        crew=crew,
        optimiser=recorder,
        weights_sha256=nothing,
        store=nothing,
        directory=Path(),
    )
    recorded: Any = [_Recorded(group) for group in world.groups]
    done = learn(parts, credits_of(parts, recorded, penalties_of(config, crew, recorded)))
    return done, recorder.gradient


@dataclass(frozen=True)
class _Recorded:
    group: Group


@dataclass(frozen=True)
class Answer:
    """What the papers' equations speak of."""

    reward: float
    truncated: bool
    new: Tensor
    old: list[float]
    reference: list[float]
    values: Tensor
    old_values: list[float]


def answers_of(world: World) -> list[list[Answer]]:
    def one(judged: Judged) -> Answer:
        (turn,) = judged.rollout.turns
        tokens = turn.completion.tokens
        sample = Sample(
            context=turn.context,
            tokens=tokens,
            trained=(True,) * len(tokens),
            sampler_logprobs=turn.completion.logprobs,
            advantages=(0.0,) * len(tokens),
        )
        batch = collate([Bundle(samples=(sample,))])
        with torch.no_grad():
            reference = trained_logprobs(world.reference, batch, 1.0).tolist()
            old_values = world.head(trained_hidden(world.reference, batch)).tolist()
        return Answer(
            reward=getattr(judged.verdict, "reward", math.nan),
            truncated=turn.completion.stop_reason is StopReason.LENGTH,
            new=trained_logprobs(world.model, batch, 1.0).double(),
            old=list(turn.completion.logprobs),
            reference=reference,
            values=world.head(trained_hidden(world.model, batch)).double(),
            old_values=old_values,
        )

    return [[one(judged) for judged in group.attempts] for group in world.groups]


Groups = list[list[Answer]]


def clipped(w: Tensor, a: float, low: float, high: float) -> Tensor:
    inside = min(max(float(w.detach()), 1 - low), 1 + high)
    return w * a if float(w.detach()) * a <= inside * a else torch.tensor(inside * a, dtype=w.dtype)


def normalised(group: list[Answer]) -> list[float]:
    rewards = [x.reward for x in group]
    mean, std = statistics.fmean(rewards), statistics.pstdev(rewards)
    return [(r - mean) / std if std else 0.0 for r in rewards]


def reinforce(groups: Groups) -> Tensor:
    terms = [x.reward * sum(x.new) for g in groups for x in g]
    return -sum(terms) / len(terms) / MAX_TOKENS


def rloo(groups: Groups) -> Tensor:
    terms = []
    for group in groups:
        for i, x in enumerate(group):
            others = [y.reward for j, y in enumerate(group) if j != i]
            terms.append((x.reward - sum(others) / len(others)) * sum(x.new))
    return -sum(terms) / len(terms) / MAX_TOKENS


def grpo(groups: Groups) -> Tensor:
    terms = []
    for group in groups:
        for x, a in zip(group, normalised(group), strict=True):
            inner = 0.0
            for new, old, ref in zip(x.new, x.old, x.reference, strict=True):
                k3 = (ref - new).exp() - (ref - new) - 1
                inner += clipped((new - old).exp(), a, 0.2, 0.2) - 0.04 * k3
            terms.append(inner / len(x.old))
    return -sum(terms) / len(terms)


def dr_grpo(groups: Groups) -> Tensor:
    terms = []
    for group in groups:
        mean = statistics.fmean(x.reward for x in group)
        for x in group:
            for new, old in zip(x.new, x.old, strict=True):
                terms.append(clipped((new - old).exp(), x.reward - mean, 0.2, 0.2))
    return -sum(terms) / sum(map(len, groups)) / MAX_TOKENS


def with_variance(groups: Groups) -> Groups:
    return [g for g in groups if len({x.reward for x in g}) > 1]


def dapo(groups: Groups) -> Tensor:
    terms = []
    for group in with_variance(groups):
        for x, a in zip(group, normalised(group), strict=True):
            if not x.truncated:
                for new, old in zip(x.new, x.old, strict=True):
                    terms.append(clipped((new - old).exp(), a, 0.2, 0.28))
    return -sum(terms) / len(terms)


def gspo(groups: Groups) -> Tensor:
    terms = []
    for group in groups:
        for x, a in zip(group, normalised(group), strict=True):
            s = ((sum(x.new) - sum(x.old)) / len(x.old)).exp()
            terms.append(clipped(s, a, 3e-4, 4e-4))
    return -sum(terms) / len(terms)


def cispo(groups: Groups) -> Tensor:
    terms = []
    for group in with_variance(groups):
        for x, a in zip(group, normalised(group), strict=True):
            for new, old in zip(x.new, x.old, strict=True):
                terms.append(min(math.exp(float(new.detach()) - old), 5.0) * a * new)
    return -sum(terms) / len(terms)


def proofloop(groups: Groups) -> Tensor:
    kept = with_variance(groups)
    centred = [[x.reward - statistics.fmean(y.reward for y in g) for x in g] for g in kept]
    spread = statistics.pstdev([a for g in centred for a in g])
    terms = []
    for group, advantages in zip(kept, centred, strict=True):
        for x, a in zip(group, advantages, strict=True):
            for new, old in zip(x.new, x.old, strict=True):
                terms.append(min(math.exp(float(new.detach()) - old), 5.0) * a / spread * new)
    return -sum(terms) / len(terms)


def rft(groups: Groups) -> Tensor:
    right = [x for g in groups for x in g if x.reward > 0]
    return -sum(x.reward * sum(x.new) for x in right) / sum(len(x.old) for x in right)


def ppo(groups: Groups) -> Tensor:
    return ppo_by(groups, gamma=1.0, lam=0.95, weight=0.5)


def ppo_by(groups: Groups, *, gamma: float, lam: float, weight: float) -> Tensor:
    """Advantages by their sums over later tokens, not by recursion."""
    advantages = []
    for x in (x for g in groups for x in g):
        v, n = [*x.old_values, 0.0], len(x.old)
        deltas = [x.reward * (t == n - 1) + gamma * v[t + 1] - v[t] for t in range(n)]
        of_rollout = []
        for t in range(n):
            of_rollout.append(sum((gamma * lam) ** (s - t) * deltas[s] for s in range(t, n)))
        advantages.append(of_rollout)
    flat = [a for of_rollout in advantages for a in of_rollout]
    mean, spread = statistics.fmean(flat), statistics.pstdev(flat)
    terms, num_cut = [], 0
    for x, of_rollout in zip((x for g in groups for x in g), advantages, strict=True):
        for t, a in enumerate(of_rollout):
            now, then = x.values[t], x.old_values[t]
            wanted = a + then
            held = then + min(max(now - then, torch.tensor(-0.2)), torch.tensor(0.2))
            num_cut += bool((held - wanted) ** 2 > (now - wanted) ** 2)
            value = max((now - wanted) ** 2, (held - wanted) ** 2) / 2
            policy = clipped((x.new[t] - x.old[t]).exp(), (a - mean) / spread, 0.2, 0.2)
            terms.append(policy - weight * value)
    assert 0 < num_cut < len(terms)
    return -sum(terms) / len(terms)


NAIVE: dict[str, Callable[[Groups], Tensor]] = {
    f.__name__: f for f in (reinforce, rloo, grpo, dr_grpo, dapo, gspo, cispo, proofloop, rft, ppo)
}


def check(world: World, config: LoopConfig, naive: Callable[[Groups], Tensor]) -> None:
    done, ours = learned(world, config)
    forget(world)
    loss = naive(answers_of(world))
    loss.backward()
    theirs = gradient_of(world)
    assert float(theirs.norm()) > 1e-3
    assert float((ours - theirs).norm() / theirs.norm()) <= 1e-5
    value = done.stats.loss / done.denominator
    assert value == pytest.approx(float(loss.detach()), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("name", list(Algorithm))
def test_a_preset_is_its_papers_equation(name: str, world: World) -> None:
    check(world, config_of(f"train.algorithm={name}"), NAIVE[name])


def test_rloo_with_its_papers_divergence_in_the_reward(world: World) -> None:
    def naive(groups: Groups) -> Tensor:
        terms = []
        for group in groups:
            shaped = [x.reward - 0.1 * (sum(x.old) - sum(x.reference)) for x in group]
            for i, x in enumerate(group):
                others = shaped[:i] + shaped[i + 1 :]
                terms.append((shaped[i] - sum(others) / len(others)) * sum(x.new))
        return -sum(terms) / len(terms) / MAX_TOKENS

    check(world, config_of("train.algorithm=rloo", "train.kl_weight=0.1"), naive)


def test_ppo_with_a_discount_and_another_lambda(world: World) -> None:
    def naive(groups: Groups) -> Tensor:
        return ppo_by(groups, gamma=0.9, lam=0.5, weight=2.0)

    keys = ("algorithm=ppo", "gamma=0.9", "gae_lambda=0.5", "value_weight=2")
    check(world, config_of(*(f"train.{x}" for x in keys)), naive)


def test_prompts_weigh_the_same_whatever_their_answers_lengths(world: World) -> None:
    def naive(groups: Groups) -> Tensor:
        means = []
        for group in with_variance(groups):
            mean = statistics.fmean(x.reward for x in group)
            terms = [(x.reward - mean) * new for x in group for new in x.new]
            means.append(sum(terms) / len(terms))
        return -sum(means) / len(means)

    overrides = ("advantage_scale=none", "loss=policy_gradient", "aggregation=prompts")
    check(world, config_of(*(f"train.{x}" for x in overrides)), naive)


@pytest.mark.parametrize("aggregation", ["tokens", "sequences", "prompts"])
def test_icepop_takes_what_it_masks_out_of_numerator_and_denominator(
    aggregation: str, world: World
) -> None:
    """The trainer's own log-probabilities are what ratios are against: here all are 1."""

    def naive(groups: Groups) -> Tensor:
        prompts = []
        for group in with_variance(groups):
            mean = statistics.fmean(x.reward for x in group)
            kept = []
            for x in group:
                ks = [
                    math.exp(float(new.detach()) - old)
                    for new, old in zip(x.new, x.old, strict=True)
                ]
                kept.append(
                    [k * (x.reward - mean) * n for k, n in zip(ks, x.new, strict=True) if inside(k)]
                )
            prompts.append([terms for terms in kept if terms])
        if aggregation == "tokens":
            return average([t for p in prompts for s in p for t in s])
        if aggregation == "sequences":
            return average([-average(s) for p in prompts for s in p])
        return average([-average([t for s in p for t in s]) for p in prompts])

    def inside(k: float) -> bool:
        return 0.7 <= k <= 1.5

    def average(terms: list[Any]) -> Tensor:
        return -sum(terms) / len(terms)

    config = config_of(
        *("train.correction=icepop", "train.icepop_low=0.7", "train.icepop_high=1.5"),
        *("train.advantage_scale=none", f"train.aggregation={aggregation}"),
    )
    # CISPO's value is A log p where the ratio is 1, and so is its gradient.
    check(world, config, naive)
    done, _ = learned(world, config)
    assert done.correction is not None
    assert 0 < done.correction.num_masked < done.correction.num_tokens
    assert done.stats.num_tokens == done.correction.num_tokens - done.correction.num_masked


def test_distillation_is_the_policy_gradient_of_the_reverse_divergence(world: World) -> None:
    """The one other model of this world is the teacher; wrong answers and right ones teach."""

    def naive(groups: Groups) -> Tensor:
        terms = []
        for group in groups:
            for x in group:
                for new, old, teacher in zip(x.new, x.old, x.reference, strict=True):
                    terms.append((teacher - old) * new)
        return -sum(terms) / len(terms)

    overrides = ("method=distil", "teacher=x", "loss=policy_gradient")
    check(world, config_of(*(f"train.{x}" for x in overrides)), naive)


VARIANTS = [
    *((f"train.algorithm={name}",) for name in Algorithm),
    *(
        (f"train.correction={kind}", f"train.aggregation={over}", "train.sequence_low=0.8")
        for kind, over in (("token", "prompts"), ("sequence", "constant"), ("icepop", "sequences"))
    ),
    ("train.kl_weight=0.1", "train.kl_estimator=k2", "train.aggregation=prompts"),
]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(VARIANTS), st.integers(1, 7), st.integers(1, 600))
def test_the_same_gradient_for_any_cut_and_any_number_of_workers(
    world: World, overrides: tuple[str, ...], workers: int, bound: int
) -> None:
    config = config_of(*overrides)
    whole, reference = learned(world, config)
    cut, other = learned(world, config, workers=workers, bound=bound)
    assert float((other - reference).norm() / reference.norm()) <= 1e-5
    assert cut.stats.loss == pytest.approx(whole.stats.loss, rel=1e-5, abs=1e-6)
    assert cut.stats.num_tokens == whole.stats.num_tokens
    assert cut.denominator == whole.denominator


def test_presets_are_the_recipes_names_and_the_defaults_are_proofloop() -> None:
    assert list(ALGORITHMS) == list(Algorithm)
    default, named = config_of(), config_of("train.algorithm=proofloop")
    assert default == named
