"""Every number that a training step leaves; `docs/reference/store.md` says what each is."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from proofloop.core.completion import StopReason
from proofloop.core.rollout import Judged, RolloutId
from proofloop.core.verdict import Scored
from proofloop.train.advantages import Credited, Credits
from proofloop.train.corrections import CorrectionStats
from proofloop.train.crew import Attempted
from proofloop.train.objective import Objective
from proofloop.train.optimiser import Update
from proofloop.train.trainer import GradientStats
from proofloop.train.tripwires import training, tripwire_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What the optimiser did in one step."""

    stats: GradientStats
    denominator: int
    """Of the losses, all updates together."""
    objective: Objective
    correction: CorrectionStats | None
    update: Update
    """The last one."""
    train_s: float


def step_metrics(
    attempted: Attempted,
    credits: Credits,
    penalties: Mapping[RolloutId, float],
    learned: Learned,
    began: float,
    num_retired: int = 0,
) -> dict[str, float]:
    """The step began at `began` (time.perf_counter) and ends now."""
    groups = training(attempted.groups)
    scored = [pair for g in groups for pair in g.group.scored]
    completions = [t.completion for r, _ in scored for t in r.turns]
    num_tokens = sum(len(c.tokens) for c in completions)
    num_rollouts = sum(len(g.group.attempts) for g in attempted.groups)
    num_unscored = sum(g.group.num_unscored for g in attempted.groups)
    num_groups = len(groups)
    step_s = time.perf_counter() - began
    # A step that learned from the record sampled nothing now: no rates, as there are no seconds.
    sampled_in_s = math.nan if math.isnan(attempted.sample_s) else step_s
    return {
        "reward_mean": mean([v.reward for _, v in scored]),
        "passed_share": mean([v.passed for _, v in scored]),
        "entropy_mean": sum(sum(c.entropies) for c in completions) / max(1, num_tokens),
        "completion_tokens_mean": num_tokens / max(1, len(completions)),
        "truncated_share": mean([c.stop_reason is StopReason.LENGTH for c in completions]),
        "groups_all_pass_share": credits.num_all_equal_high / num_groups,
        "groups_all_fail_share": credits.num_all_equal_low / num_groups,
        "num_unscored": float(num_unscored),
        "num_groups_drawn": float(num_groups),
        "num_groups_trained": float(sum(map(_has_advantage, credits.groups))),
        "num_refill_rounds": float(attempted.num_rounds - 1),
        "num_tasks_retired": float(num_retired),
        "num_truncated_dropped": float(credits.num_truncated),
        "penalty_mean": mean(list(penalties.values())),
        "sample_s": attempted.sample_s,
        "verify_s": attempted.verify_s,
        "step_s": step_s,
        "rollouts_per_s": num_rollouts / sampled_in_s,
        "sampled_tokens_per_s": num_tokens / sampled_in_s,
        "verdicts_per_s": num_rollouts / sampled_in_s,
        **learning_metrics(learned),
        **policy_metrics(learned),
        **tripwire_metrics(attempted.groups),
        **budgets([a for g in groups for a in g.group.attempts]),
        **turn_metrics([a for g in groups for a in g.group.attempts]),
        "num_taught_tokens": float(credits.num_taught_tokens),
        "teacher_gap_mean": credits.teacher_gap_mean,
        "explained_variance": credits.explained_variance,
        "value_mean": credits.value_mean,
    }


def budgets(attempts: Sequence[Judged]) -> dict[str, float]:
    """What a step's rollouts cost, whatever came of them, so that arms can be held to one budget.
    Of the record alone: a step that is learned from the record again costs the same."""
    return {
        "num_sampled_tokens": float(sum(a.rollout.num_sampled_tokens for a in attempts)),
        "num_verifier_calls": float(sum(len(a.rollout.turns) for a in attempts)),
    }


def turn_metrics(attempts: Sequence[Judged]) -> dict[str, float]:
    """What the first attempts earn by themselves, and what further ones bring.

    A first attempt counts as it was judged, even where we failed to judge the second."""
    scored = [(a, a.verdict) for a in attempts if isinstance(a.verdict, Scored)]
    firsts = [v.passed and not a.failures for a, v in scored]
    firsts += [False for a in attempts if a.failures and not isinstance(a.verdict, Scored)]
    return {
        "first_passed_share": mean(firsts),
        "retried_passed_share": mean([v.passed for a, v in scored if a.failures]),
    }


def learning_metrics(learned: Learned) -> dict[str, float]:
    """Of gradients and updates, whatever they were made from."""
    stats, update = learned.stats, learned.update
    return {
        "loss": stats.loss / max(1, learned.denominator),
        "grad_norm": update.grad_norm,
        "signal_share": update.signal_share,
        "learning_rate": update.learning_rate,
        "num_trained_tokens": float(stats.num_tokens),
        "train_s": learned.train_s,
        "trained_tokens_per_s": stats.num_tokens / max(learned.train_s, 1e-9),
    }


def policy_metrics(learned: Learned) -> dict[str, float]:
    """How far sampler, trainer and starting weights are from each other; of own rollouts.

    The effective sample size of importance weights w is (sum w)^2 / sum w^2 (Kish 1965)."""
    stats, correction = learned.stats, learned.correction or CorrectionStats()
    per_token = max(1, stats.num_tokens)
    squares = stats.num_tokens * stats.ratio_squared_sum
    rated = correction.num_tokens or math.nan
    values = learned.objective.has_values
    return {
        "logprob_gap_max": stats.gap_max,
        "logprob_gap_mean": stats.gap_sum / per_token,
        "clip_share": stats.num_clipped / per_token,
        "effective_token_share": stats.ratio_sum**2 / squares if squares else math.nan,
        "kl_mean": stats.kl_sum / per_token if learned.objective.kl_in_loss else math.nan,
        "value_loss": stats.value_loss / max(1, learned.denominator) if values else math.nan,
        "masked_share": correction.num_masked / rated,
        "capped_share": correction.num_capped / rated,
    }


def _has_advantage(group: Sequence[Credited]) -> bool:
    return any(c.advantage or any(c.token_advantages or ()) for c in group)


def mean(values: Sequence[float]) -> float:
    """NaN where there is nothing to average."""
    return float(np.mean(values)) if values else math.nan
