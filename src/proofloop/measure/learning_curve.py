"""Held-out score over the compute that training has spent, from a run's record."""

from pathlib import Path

from proofloop.core.record import Record
from proofloop.store import Phase, RunReader, RunStore

FORWARD, BACKWARD = 2, 4
"""Operations a parameter and token (Kaplan et al. 2020, arXiv:2001.08361, section 2.1)."""


class CurvePoint(Record):
    step: int
    flops: float
    """Of sampling and training up to here; measuring is not counted."""
    score: float
    """pass@1, over the tasks that every evaluation of the run attempted."""
    num_tasks: int


def learning_curve(run: Path, *, num_parameters: int) -> tuple[CurvePoint, ...]:
    """One point an evaluation, step 0 first.  Raises RunError where there is no run.

    A step's operations are `2 N` a context token, once a group, and `2 N` a sampled token for
    sampling; `6 N` of the same for training where the group had variance (others are dropped, and
    cost nothing more).  N counts all parameters.
    """
    with RunStore.read(run) as store:
        scores = {step: _rates(store, step) for step in store.recorded_steps(Phase.EVAL)}
        spent = _flops(store, num_parameters)
    common = set[str].intersection(*(set(rates) for rates in scores.values())) if scores else set()
    if not common:
        return ()
    return tuple(
        CurvePoint(
            step=step,
            flops=sum(flops for s, flops in spent.items() if s <= step),
            score=sum(rates[task] for task in common) / len(common),
            num_tasks=len(common),
        )
        for step, rates in scores.items()
    )


def _rates(store: RunReader, step: int) -> dict[str, float]:
    passed: dict[str, list[bool]] = {}
    for task_id, ok in store.outcomes(Phase.EVAL, step, ("task_id", "passed")):
        if ok is not None:
            passed.setdefault(task_id, []).append(bool(ok))
    return {task_id: sum(oks) / len(oks) for task_id, oks in passed.items()}


def _flops(store: RunReader, num_parameters: int) -> dict[int, float]:
    spent: dict[int, float] = {}
    for step in store.recorded_steps(Phase.TRAIN):
        tokens: dict[int, int] = {}
        rewards: dict[int, set[float]] = {}
        for row in store.iter_rollouts(phase=Phase.TRAIN, step=step):
            tokens.setdefault(row.slot, row.num_context_tokens)
            tokens[row.slot] += row.num_sampled_tokens
            if row.reward is not None and not row.tripwire:
                rewards.setdefault(row.slot, set()).add(row.reward)
        trained = sum(n for slot, n in tokens.items() if len(rewards.get(slot, ())) > 1)
        forward = FORWARD * sum(tokens.values())
        spent[step] = float(num_parameters) * (forward + (FORWARD + BACKWARD) * trained)
    return spent
