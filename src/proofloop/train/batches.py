"""From credits to the samples of a step: what crew and objective add before anything is cut up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from proofloop.core.rollout import RolloutId
from proofloop.store import RecordedGroup
from proofloop.train.advantages import Credits
from proofloop.train.config import Correction, Whose
from proofloop.train.corrections import CorrectionStats, corrected_samples
from proofloop.train.crew import Crew
from proofloop.train.kl import kl
from proofloop.train.objective import Objective
from proofloop.train.parts import LoopConfig
from proofloop.train.samples import Sample, continuation_of, samples_of
from proofloop.train.scoring import Question, question_of
from proofloop.train.trainer import GradientStats, check_logprob_gap


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A step's samples by group."""

    groups: list[list[Sample]]
    correction: CorrectionStats | None


def penalties_of(
    config: LoopConfig, crew: Crew, groups: Sequence[RecordedGroup]
) -> Mapping[RolloutId, float]:
    """What each rollout's divergence from the starting weights takes off its reward; empty where
    the recipe has none there.  The sampler's log-probabilities stand for the policy's."""
    objective = config.objective
    if not objective.kl_in_reward:
        return {}
    rollouts = [rollout for g in groups for rollout, _ in g.group.scored]
    after = [continuation_of(rollout) for rollout in rollouts]
    questions = [question_of(rollout) for rollout in rollouts]
    answers = crew.score(questions, config.temperature, Whose.START)
    penalties: dict[RolloutId, float] = {}
    for rollout, part, answer in zip(rollouts, after, answers, strict=True):
        sampled = torch.tensor(part.sampled)
        own, reference = (
            torch.tensor(values, dtype=torch.float64)[sampled] for values in (part.logprobs, answer)
        )
        divergence = kl(objective.kl_estimator, own, reference).sum()
        penalties[rollout.id] = objective.kl_weight * float(divergence)
    return penalties


def prepare(config: LoopConfig, crew: Crew, credits: Credits, *, own: bool) -> Prepared:
    """`own`: the weights in hand sampled the groups.  Others' samples are neither corrected nor
    held near the starting weights.

    Raises TrainingHalted where sampler and trainer disagree about what was sampled.
    """
    objective = config.objective
    groups = [[s for c in group for s in samples_of(c)] for group in credits.groups]
    correction = None
    if own and objective.correction is not Correction.NONE:
        trainers = _logprobs(crew, groups, config.temperature, Whose.OWN)
        groups, correction = corrected_samples(objective, groups, trainers)
        gaps = GradientStats(
            num_tokens=correction.num_tokens,
            gap_sum=correction.gap_sum,
            gap_max=correction.gap_max,
        )
        check_logprob_gap(gaps, config.max_logprob_gap)
    if own and objective.kl_in_loss:
        answers = _logprobs(crew, groups, config.temperature, Whose.START)
        groups = [
            [replace(s, reference_logprobs=a) for s, a in zip(*pair, strict=True)]
            for pair in zip(groups, answers, strict=True)
        ]
    return Prepared(groups=groups, correction=correction)


def with_gradient(groups: Sequence[Sequence[Sample]], objective: Objective) -> list[list[Sample]]:
    """The groups that need to be run: advantages of 0 are in the denominator and nowhere else,
    unless the loss has another part."""
    other = objective.kl_in_loss or objective.has_values
    return [list(g) for g in groups if other or any(any(s.advantages) for s in g)]


def _logprobs(
    crew: Crew, groups: Sequence[Sequence[Sample]], temperature: float, whose: Whose
) -> list[list[tuple[float, ...]]]:
    """Of all tokens of all samples, in their order."""
    questions = [Question(context=s.context, tokens=s.tokens) for g in groups for s in g]
    answers = iter(crew.score(questions, temperature, whose))
    return [[next(answers) for _ in group] for group in groups]
