"""Learning from preference pairs: a policy by DPO, or a reward model by Bradley–Terry.

A third loop over the hops of `loop_sync`: nothing is sampled or judged to learn from, and what is
left is learn, publish, record.  The ledger holds which pairs a step learned.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from proofloop.core.task import Stratum
from proofloop.store import Draw, Phase
from proofloop.train.config import Whose
from proofloop.train.loop_sync import (
    Report,
    StepReport,
    evaluate,
    publish,
    save_checkpoint,
)
from proofloop.train.metrics import Learned, learning_metrics, mean
from proofloop.train.objective import PairLoss, PairObjective
from proofloop.train.pairs import (
    Pair,
    policy_bundle,
    policy_question,
    score_bundle,
    score_question,
)
from proofloop.train.parts import LoopState, Parts
from proofloop.train.samples import Bundle
from proofloop.train.trainer import GradientStats

_PLACE = Stratum(family="pairs", complexity=1, horizon=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLessons:
    """What is learned from, and what it is measured on."""

    pairs: tuple[Pair, ...]
    heldout: tuple[Pair, ...]
    """Of other prompts."""
    length_slope: float
    """Of the offset in the loss (`train.pairs.length_offset`), a hundred tokens; 0: none."""
    source: str

    @property
    def says(self) -> str:
        """One line for a person."""
        num_prompts = len({p.task_id for p in (*self.pairs, *self.heldout)})
        return (
            f"{len(self.pairs)} pairs of {self.source} train, {len(self.heldout)} of other prompts "
            f"are kept to measure by; {num_prompts} prompts"
        )


def loop_pairs(parts: Parts, state: LoopState, lessons: PairLessons) -> Iterator[Report]:
    """Trains from `state` to the last step.  Between two yields the run may be stopped.

    Raises RunError where the ledger has a step with other pairs: the file or the run has changed.
    """
    config, objective = parts.config, objective_of(parts)
    is_policy = objective.loss is PairLoss.DPO
    parts.store.event_once("pairs", lessons.says)
    if is_policy:
        yield from evaluate(parts, state.step)
    while state.step < config.num_steps:
        began = time.perf_counter()
        step = state.step + 1
        places = deal(lessons.pairs, step, num_pairs=config.tasks_per_step, seed=config.seed)
        pairs = [lessons.pairs[place] for place in places]
        _record_ledger(parts, step, places, pairs)
        learned = learn_pairs(parts, pairs, lessons.length_slope)
        version = publish(parts, step)
        is_last = step == config.num_steps
        at_checkpoint = step % config.checkpoint_every == 0 or is_last
        wall_s = time.perf_counter() - began
        metrics = (
            learning_metrics(learned)
            | pair_metrics(learned.stats)
            | _heldout_metrics(parts, lessons.heldout if at_checkpoint else ())
            | {"step_s": wall_s}
        )
        parts.store.record_step(step, metrics=metrics, weights_sha256=version.sha256, wall_s=wall_s)
        state = LoopState(step=step, curriculum=state.curriculum)
        if at_checkpoint:
            save_checkpoint(parts, state)
        yield StepReport(step=step, num_steps=config.num_steps, metrics=metrics, alarms=())
        if is_policy:
            yield from evaluate(parts, step)


def deal(pairs: Sequence[Pair], step: int, *, num_pairs: int, seed: int) -> list[int]:
    """Places of the pairs of a step: all are passed through, in a new order each time."""
    orders: dict[int, list[int]] = {}
    dealt: list[int] = []
    for number in range((step - 1) * num_pairs, step * num_pairs):
        time_round, place = divmod(number, len(pairs))
        if time_round not in orders:
            orders[time_round] = list(range(len(pairs)))
            Random(f"pairs {seed} {time_round}").shuffle(orders[time_round])
        dealt.append(orders[time_round][place])
    return dealt


def learn_pairs(parts: Parts, pairs: Sequence[Pair], length_slope: float) -> Learned:
    """One update.  Its gradient comes in two halves of different prompts, by which the optimiser
    tells its signal."""
    began = time.perf_counter()
    objective = objective_of(parts)
    bundles = (
        _policy_bundles(parts, pairs, objective)
        if objective.loss is PairLoss.DPO
        else [score_bundle(pair, length_slope) for pair in pairs]
    )
    number = {task_id: i for i, task_id in enumerate(dict.fromkeys(p.task_id for p in pairs))}
    stats, halves = GradientStats(), []
    for parity in (0, 1):
        half = [b for b, p in zip(bundles, pairs, strict=True) if number[p.task_id] % 2 == parity]
        gradient, half_stats = parts.crew.gradient(half, len(pairs))
        halves.append(gradient)
        stats += half_stats
    assert stats.num_pairs == len(pairs), "every pair trains, once"
    return Learned(
        stats=stats,
        denominator=len(pairs),
        objective=parts.config.objective,
        correction=None,
        update=parts.optimiser.update(*halves),
        train_s=time.perf_counter() - began,
    )


def pair_metrics(stats: GradientStats) -> dict[str, float]:
    """Of the pairs that a step learned, before its update."""
    return {
        "num_pairs": float(stats.num_pairs),
        "pair_accuracy": stats.num_right_pairs / max(1, stats.num_pairs),
        "pair_margin_mean": stats.margin_sum / max(1, stats.num_pairs),
    }


def margins_of(parts: Parts, pairs: Sequence[Pair]) -> list[float]:
    """How far the chosen answer of each pair is ahead, by the weights in hand; no offsets."""
    objective = objective_of(parts)
    if objective.loss is PairLoss.BRADLEY_TERRY:
        scores = scores_of(parts, pairs)
        return [chosen - rejected for chosen, rejected in scores]
    asked = [policy_question(p, a) for p in pairs for a in p.answers]
    temperature = parts.config.temperature
    own = parts.crew.score(asked, temperature)
    reference = (
        [(0.0,) * len(values) for values in own]
        if objective.reference_free
        else parts.crew.score(asked, temperature, Whose.START)
    )
    answers = [a for p in pairs for a in p.answers]
    rewards: list[float] = []
    for values, before, answer in zip(own, reference, answers, strict=True):
        ratio = float(np.subtract(values, before)[np.array(answer.sampled)].sum())
        rewards.append(
            objective.beta * ratio / (answer.length if objective.length_normalised else 1)
        )
    return [a - b for a, b in zip(rewards[::2], rewards[1::2], strict=True)]


def scores_of(parts: Parts, pairs: Sequence[Pair]) -> list[tuple[float, float]]:
    """Of a reward model: (chosen, rejected) of each pair."""
    asked = [score_question(p.context, a.tokens) for p in pairs for a in p.answers]
    last = [values[-1] for values in parts.crew.values(asked)]
    return list(zip(last[::2], last[1::2], strict=True))


def objective_of(parts: Parts) -> PairObjective:
    objective = parts.config.objective.pairs
    assert objective is not None, "of a method that learns from pairs"
    return objective


def _policy_bundles(parts: Parts, pairs: Sequence[Pair], objective: PairObjective) -> list[Bundle]:
    if objective.reference_free:
        return [policy_bundle(pair, None) for pair in pairs]
    asked = [policy_question(p, a) for p in pairs for a in p.answers]
    answers = iter(parts.crew.score(asked, parts.config.temperature, Whose.START))
    return [policy_bundle(pair, (next(answers), next(answers))) for pair in pairs]


def _heldout_metrics(parts: Parts, pairs: Sequence[Pair]) -> dict[str, float]:
    """NaN between checkpoints."""
    margins = margins_of(parts, pairs) if pairs else []
    return {
        "heldout_pair_accuracy": mean([m > 0 for m in margins]),
        "heldout_pair_margin": mean(margins),
    }


def _record_ledger(parts: Parts, step: int, places: Sequence[int], pairs: Sequence[Pair]) -> None:
    draws = [
        Draw(slot=slot, task_id=pair.task_id, stratum=_PLACE, index=place)
        for slot, (place, pair) in enumerate(zip(places, pairs, strict=True))
    ]
    parts.store.record_draws(Phase.TRAIN, step, draws)
