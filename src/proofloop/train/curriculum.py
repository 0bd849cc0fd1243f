"""Which tasks next: strata near half solved are drawn more often.

The variance of a pass/fail reward, p (1 - p), is what a group can teach; a stratum is drawn in
proportion to it, and never less than a floor.  State is a handful of numbers, saved with every
checkpoint; a draw is a pure function of that state, the seed and the step.
"""

from collections.abc import Iterator, Mapping
from random import Random

from proofloop.core.record import Record
from proofloop.core.rollout import Group
from proofloop.core.task import Environment, Split, Stratum

_MEMORY = 0.9
"""Share of the old estimate that a new group leaves."""
_FLOOR = 0.02
"""Weight of a stratum with nothing to teach, beside at most 0.25."""
_POOL_FROM = 1 << 30
"""A pool's tasks of a generated stratum are among so many first ones."""


class StratumState(Record):
    """What is known of a stratum, and how far its tasks have been used."""

    stratum: Stratum
    pass_rate: float
    num_drawn: int


class CurriculumState(Record):
    """All strata, in the environment's order."""

    strata: tuple[StratumState, ...]


class DrawnTask(Record):
    """A place in the environment's training split."""

    stratum: Stratum
    index: int


TaskPool = Mapping[Stratum, tuple[int, ...]]
"""The only tasks that may be drawn: places by stratum, none of them empty."""


def choose_tasks(environment: Environment, num_tasks: int, *, seed: int) -> TaskPool | None:
    """`num_tasks` different places of the training split, from strata in turn, in an order of
    chance; None for 0, which is no limit.  More tasks of one seed are the fewer ones and others.

    Raises ValueError where the environment holds fewer.
    """
    if not num_tasks:
        return None
    strata = list(environment.strata(Split.TRAIN))
    Random(f"tasks {seed}").shuffle(strata)
    places = {s: _places(environment.num_tasks(Split.TRAIN, s), seed, s) for s in strata}
    chosen: list[DrawnTask] = []
    while len(chosen) < num_tasks:
        turn = [(s, next(places[s], None)) for s in strata]
        found = [DrawnTask(stratum=s, index=index) for s, index in turn if index is not None]
        if not found:
            raise ValueError(f"{environment.name} has {len(chosen)} training tasks")
        chosen += found[: num_tasks - len(chosen)]
    return {
        s: tuple(place.index for place in chosen if place.stratum == s)
        for s in strata
        if any(place.stratum == s for place in chosen)
    }


def _places(size: int | None, seed: int, stratum: Stratum) -> Iterator[int]:
    """A stratum's indices in an order of chance, each once."""
    rng = Random(f"tasks {seed} {stratum.label}")
    if size is not None:
        yield from rng.sample(range(size), size)
        return
    seen: set[int] = set()
    while True:
        index = rng.randrange(_POOL_FROM)
        if index not in seen:
            seen.add(index)
            yield index


def initial_state(environment: Environment, only: TaskPool | None = None) -> CurriculumState:
    """Strata without a task in the pool `only` are left out."""
    return CurriculumState(
        strata=tuple(
            StratumState(stratum=s, pass_rate=0.5, num_drawn=0)
            for s in environment.strata(Split.TRAIN)
            if only is None or s in only
        )
    )


def draw_tasks(
    state: CurriculumState,
    environment: Environment,
    *,
    num_tasks: int,
    seed: int,
    step: int,
    only: TaskPool | None = None,
) -> tuple[tuple[DrawnTask, ...], CurriculumState]:
    """`num_tasks` places, and the state after taking them.

    A generated stratum never repeats a task; a finite one is passed through in a new order each
    time round, and so are the tasks of a pool `only`, each as often as it takes.
    """
    rng = Random(f"draw {seed} {step}")
    weights = [max(_FLOOR, s.pass_rate * (1 - s.pass_rate)) for s in state.strata]
    counts = [s.num_drawn for s in state.strata]
    drawn: list[DrawnTask] = []
    for i in rng.choices(range(len(weights)), weights, k=num_tasks):
        stratum = state.strata[i].stratum
        if only is not None:
            pool = only[stratum]
            index = pool[_index(counts[i], len(pool), seed, stratum)]
        else:
            size = environment.num_tasks(Split.TRAIN, stratum)
            index = _index(counts[i], size, seed, stratum)
        drawn.append(DrawnTask(stratum=stratum, index=index))
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
