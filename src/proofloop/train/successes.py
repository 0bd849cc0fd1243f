"""Right answers that a run sampled, dealt out to the steps of supervised fine-tuning.

Pure but for reading the run's record.  The deal is a function of that record, the number of tokens
and the seed: a resumed run comes by the same steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from random import Random

from proofloop.core.errors import RunError
from proofloop.core.rollout import Rollout, RolloutId
from proofloop.store import Draw, Phase, RunReader
from proofloop.train.advantages import Credited, Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class SolvedGroup:
    """What a step of the run got right at one of its tasks."""

    draw: Draw
    rollouts: tuple[RolloutId, ...]
    num_tokens: int
    """Sampled ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """All steps of fine-tuning on a run's successes."""

    source: RunReader
    steps: tuple[tuple[SolvedGroup, ...], ...]
    num_solved: int
    """Different successes."""
    num_solved_tokens: int
    num_tokens: int
    """As many as the run trained on; the steps come within half a group's tokens of it."""

    @property
    def says(self) -> str:
        """One line for a person."""
        return (
            f"{self.num_solved} right answers of {self.source.directory} hold "
            f"{self.num_solved_tokens} tokens and are passed over "
            f"{self.num_tokens / self.num_solved_tokens:.2f} times: {self.num_tokens} tokens, as "
            "many as that run trained on"
        )


def lessons_of(source: RunReader, *, num_steps: int, seed: int) -> Lessons:
    """Raises RunError where the run got nothing right, or trained on nothing."""
    groups = list(solved_groups(source))
    num_tokens = round(sum(n for _, n in source.metrics("num_trained_tokens")))
    if not groups:
        raise RunError(
            f"{source.directory}: no rollout that its training sampled was right, so there is "
            "nothing to learn from; name a run with successes"
        )
    if not num_tokens:
        raise RunError(
            f"{source.directory}: its record says of no step how many tokens it trained on "
            "(num_trained_tokens); it trained on nothing, or an older version made it"
        )
    return Lessons(
        source=source,
        steps=deal(groups, num_tokens=num_tokens, num_steps=num_steps, seed=seed),
        num_solved=sum(len(g.rollouts) for g in groups),
        num_solved_tokens=sum(g.num_tokens for g in groups),
        num_tokens=num_tokens,
    )


def solved_groups(source: RunReader) -> Iterator[SolvedGroup]:
    """By step and slot; what passed the hidden tests, whatever reward it earned."""
    rows = source.iter_rollouts(phase=Phase.TRAIN)
    for step, of_step in groupby(rows, lambda row: row.step):
        draws = {draw.slot: draw for draw in source.load_draws(Phase.TRAIN, step)}
        for slot, of_slot in groupby(of_step, lambda row: row.slot):
            solved = [row for row in of_slot if row.passed and not row.tripwire]
            if solved:
                yield SolvedGroup(
                    draw=draws[slot],
                    rollouts=tuple(row.id for row in solved),
                    num_tokens=sum(row.num_sampled_tokens for row in solved),
                )


def deal(
    groups: Sequence[SolvedGroup], *, num_tokens: int, num_steps: int, seed: int
) -> tuple[tuple[SolvedGroup, ...], ...]:
    """Whole groups for every step, so that after step k about k / num_steps of the tokens are
    dealt, off by half a group at most; all groups are passed through in a new order each time."""
    passing = _passes(groups, seed)
    pending, dealt = next(passing), 0
    steps: list[tuple[SolvedGroup, ...]] = []
    for step in range(1, num_steps + 1):
        batch: list[SolvedGroup] = []
        due = num_tokens * step / num_steps
        while dealt + pending.num_tokens / 2 <= due:
            batch.append(pending)
            dealt += pending.num_tokens
            pending = next(passing)
        steps.append(tuple(batch))
    return tuple(steps)


def _passes(groups: Sequence[SolvedGroup], seed: int) -> Iterator[SolvedGroup]:
    number = 0
    while True:
        order = list(groups)
        Random(f"successes {seed} {number}").shuffle(order)
        yield from order
        number += 1


def credits_of(source: RunReader, groups: Sequence[SolvedGroup]) -> Credits:
    """Every success with advantage 1, token for token as it was sampled; of one that took several
    turns only the last, and the others are what it answers to.  Raises StoreDamaged."""
    return Credits(
        groups=tuple(
            tuple(_credited(source.load_rollout(name).judged.rollout) for name in group.rollouts)
            for group in groups
        ),
        num_all_equal_high=0,
        num_all_equal_low=0,
        num_too_few=0,
    )


def _credited(rollout: Rollout) -> Credited:
    last = len(rollout.turns[-1].completion.tokens)
    before = rollout.num_sampled_tokens - last
    return Credited(
        rollout=rollout, advantage=1.0, token_advantages=(0.0,) * before + (1.0,) * last
    )
