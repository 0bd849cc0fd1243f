"""Hand-made rollouts for tests of training."""

from proofloop.core.completion import Completion, PolicyVersion, SamplingParams, StopReason
from proofloop.core.rollout import Group, Judged, Rollout, RolloutId, Turn
from proofloop.core.task import TaskId
from proofloop.core.verdict import Scored, ScoredCause, Tier, Unscored, UnscoredCause, Verdict


def completion(tokens: tuple[int, ...], logprobs: tuple[float, ...] | None = None) -> Completion:
    return Completion(
        tokens=tokens,
        logprobs=logprobs or tuple(-1.0 for _ in tokens),
        entropies=tuple(1.0 for _ in tokens),
        stop_reason=StopReason.STOP,
        seed=0,
        sampling=SamplingParams(),
        policy=PolicyVersion(step=0, sha256="0" * 64),
    )


def rollout(name: str, turns: tuple[Turn, ...], *, task: str = "task") -> Rollout:
    return Rollout(id=RolloutId(name), task_id=TaskId(task), turns=turns, answer="")


def verdict(reward: float | None) -> Verdict:
    if reward is None:
        return Unscored(cause=UnscoredCause.SANDBOX_LOST, detail="", tier=Tier.T0)
    return Scored(
        reward=reward,
        passed=reward == 1,
        cause=ScoredCause.PASSED if reward == 1 else ScoredCause.WRONG_ANSWER,
        parts={},
        detail="",
        tier=Tier.T0,
    )


def group(rewards: list[float | None], *, task: str = "task") -> Group:
    turn = Turn(context=(1, 2), completion=completion((3, 0)))
    return Group(
        task_id=TaskId(task),
        attempts=tuple(
            Judged(rollout=rollout(f"{task}-{i}", (turn,), task=task), verdict=verdict(r))
            for i, r in enumerate(rewards)
        ),
    )
