"""Which tasks next: strata near half solved are drawn more often.

The variance of a pass/fail reward, p (1 - p), is what a group can teach; a stratum is drawn in
proportion to it, and never less than a floor.  State is a handful of numbers, saved with every
checkpoint; a draw is a pure function of that state, the seed and the step.
"""

from random import Random

from proofloop.core.record import Record
from proofloop.core.rollout import Group
from proofloop.core.task import Environment, Split, Stratum

_MEMORY = 0.9
"""Share of the old estimate that a new group leaves."""
_FLOOR = 0.02
"""Weight of a stratum with nothing to teach, beside at most 0.25."""


class StratumState(Record):
    """What is known of a stratum, and how far its tasks have been used."""

    stratum: Stratum
    pass_rate: float
    num_drawn: int


class CurriculumState(Record):
    """All strata, in the environment's order."""

    strata: tuple[StratumState, ...]


def initial_state(environment: Environment) -> CurriculumState:
    return CurriculumState(
        strata=tuple(
            StratumState(stratum=s, pass_rate=0.5, num_drawn=0)
            for s in environment.strata(Split.TRAIN)
        )
    )


class DrawnTask(Record):
    """A place in the environment's training split."""

    stratum: Stratum
    index: int


def draw_tasks(
    state: CurriculumState, environment: Environment, *, num_tasks: int, seed: int, step: int
) -> tuple[tuple[DrawnTask, ...], CurriculumState]:
    """`num_tasks` different places, and the state after taking them.

    A generated stratum never repeats a task; a finite one is passed through in a new order each
    time round.
    """
    rng = Random(f"draw {seed} {step}")
    weights = [max(_FLOOR, s.pass_rate * (1 - s.pass_rate)) for s in state.strata]
    counts = [s.num_drawn for s in state.strata]
    drawn: list[DrawnTask] = []
    for i in rng.choices(range(len(weights)), weights, k=num_tasks):
        stratum = state.strata[i].stratum
        size = environment.num_tasks(Split.TRAIN, stratum)
        drawn.append(DrawnTask(stratum=stratum, index=_index(counts[i], size, seed, stratum)))
        counts[i] += 1
    after = tuple(
        StratumState(stratum=s.stratum, pass_rate=s.pass_rate, num_drawn=n)
        for s, n in zip(state.strata, counts, strict=True)
    )
    return tuple(drawn), CurriculumState(strata=after)


def _index(count: int, size: int | None, seed: int, stratum: Stratum) -> int:
    if size is None:
        return count
    order = list(range(size))
    Random(f"order {seed} {stratum.label} {count // size}").shuffle(order)
    return order[count % size]


def observe(state: CurriculumState, results: list[tuple[Stratum, Group]]) -> CurriculumState:
    """Estimates moved towards the shares rewarded just seen; groups without a score say nothing."""
    rates = {s.stratum: s.pass_rate for s in state.strata}
    for stratum, group in results:
        rewarded = [verdict.reward > 0 for _, verdict in group.scored]
        if rewarded:
            share = sum(rewarded) / len(rewarded)
            rates[stratum] = _MEMORY * rates[stratum] + (1 - _MEMORY) * share
    return CurriculumState(
        strata=tuple(
            StratumState(stratum=s.stratum, pass_rate=rates[s.stratum], num_drawn=s.num_drawn)
            for s in state.strata
        )
    )
