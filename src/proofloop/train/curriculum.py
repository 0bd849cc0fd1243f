"""Which tasks next: strata near half solved are drawn more often.

The variance of a pass/fail reward, p (1 - p), is what a group can teach; a stratum is drawn in
proportion to it, and never less than a floor.  Where the recipe says so, strata open one after the
other, horizon before complexity.  State is a handful of numbers, saved with every checkpoint; a
draw is a pure function of that state, the seed and the step.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import msgspec

from proofloop.core.record import Record
from proofloop.core.rollout import Group
from proofloop.core.task import Environment, Split, Stratum
from proofloop.train.config import Order

_MEMORY = 0.9
"""Share of the old estimate that a new group leaves."""
_FLOOR = 0.02
"""Weight of a stratum with nothing to teach, beside at most 0.25."""
_ENOUGH = 8
"""Groups after which a stratum's estimate says when to go on: the first one is then less than half
of it."""
_POOL_FROM = 1 << 30
"""A pool's tasks of a generated stratum are among so many first ones."""


class StratumState(Record):
    """What is known of a stratum, and how far its tasks have been used."""

    stratum: Stratum
    pass_rate: float
    num_drawn: int
    num_seen: int = 0
    """Groups with a score that the estimate is of."""


class DrawRule(Record):
    """What is drawn from, and what counts as solved."""

    order: Order = Order.FREE
    advance_at: float = 0.5
    """Pass rate of a stratum at which `horizon_first` opens the next."""
    solved_above: float = 0.0
    """Reward."""


FREE = DrawRule()


class TaskHistory(Record):
    """How a task has gone so far, over all steps that drew it."""

    stratum: Stratum
    index: int
    num_scored: int
    num_rewarded: int


class CurriculumState(Record):
    """All strata, in the environment's order."""

    strata: tuple[StratumState, ...]
    tasks: tuple[TaskHistory, ...] = ()
    """Those attempted so far, where the recipe retires tasks."""


class DrawnTask(Record):
    """A place in the environment's training split."""

    stratum: Stratum
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a step saw of a task."""

    stratum: Stratum
    index: int
    group: Group


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
    round_: int = 0,
    max_pass_rate: float = 1.0,
    rule: DrawRule = FREE,
) -> tuple[tuple[DrawnTask, ...], CurriculumState]:
    """`num_tasks` places, and the state after taking them.

    A generated stratum never repeats a task; a finite one is passed through in a new order each
    time round, and so are the tasks of a pool `only`, each as often as it takes.  Below 1,
    `max_pass_rate` passes over tasks of which at least that share of all attempts so far was
    rewarded (No-Positive-Resampling: ScaleRL, Khatri et al. 2025), as long as any other is left.
    """
    rng = Random(f"draw {seed} {step} {round_}" if round_ else f"draw {seed} {step}")
    sizes = [
        environment.num_tasks(Split.TRAIN, s.stratum) if only is None else len(only[s.stratum])
        for s in state.strata
    ]
    retired, live = _live(state, sizes, max_pass_rate)
    if rule.order is Order.HORIZON_FIRST:
        ahead = opened(state, rule.advance_at, live)
        live = [
            is_live and s.stratum in ahead for is_live, s in zip(live, state.strata, strict=True)
        ]
    weights = [
        max(_FLOOR, s.pass_rate * (1 - s.pass_rate)) if is_live else 0.0
        for s, is_live in zip(state.strata, live, strict=True)
    ]
    counts = [s.num_drawn for s in state.strata]
    drawn: list[DrawnTask] = []
    for i in rng.choices(range(len(weights)), weights, k=num_tasks):
        stratum, size = state.strata[i].stratum, sizes[i]
        while True:
            index = _index(counts[i], size, seed, stratum)
            index = index if only is None else only[stratum][index]
            counts[i] += 1
            if not live[i] or (stratum, index) not in retired:
                break
        drawn.append(DrawnTask(stratum=stratum, index=index))
    after = tuple(
        msgspec.structs.replace(s, num_drawn=n) for s, n in zip(state.strata, counts, strict=True)
    )
    return tuple(drawn), CurriculumState(strata=after, tasks=state.tasks)


def opened(
    state: CurriculumState, advance_at: float, live: Sequence[bool] | None = None
) -> frozenset[Stratum]:
    """Of each family, strata in the order of complexity and, within one, of horizon: up to the
    first whose estimate is below `advance_at`, or of too few groups to say.

    So a policy meets longer tasks of parts that it masters before it meets harder parts.  What was
    once drawn from stays open.  Without a task left (`live`), a stratum is passed by.
    """
    found: set[Stratum] = set()
    by_family: dict[str, list[tuple[StratumState, bool]]] = {}
    for s, is_live in zip(state.strata, live or [True] * len(state.strata), strict=True):
        by_family.setdefault(s.stratum.family, []).append((s, is_live))
    for strata in by_family.values():
        is_open = True
        for s, is_live in sorted(
            strata, key=lambda one: (one[0].stratum.complexity, one[0].stratum.horizon)
        ):
            if not (is_open or s.num_drawn):
                break
            found.add(s.stratum)
            mastered = s.num_seen >= _ENOUGH and s.pass_rate >= advance_at
            is_open = mastered or not is_live
    return frozenset(found)


def retired_tasks(state: CurriculumState, max_pass_rate: float) -> frozenset[tuple[Stratum, int]]:
    """Those that are solved too often to teach."""
    return frozenset(
        (task.stratum, task.index)
        for task in state.tasks
        if max_pass_rate < 1 and task.num_rewarded >= max_pass_rate * task.num_scored
    )


def _live(
    state: CurriculumState, sizes: Sequence[int | None], max_pass_rate: float
) -> tuple[frozenset[tuple[Stratum, int]], list[bool]]:
    """Which tasks are passed over, and of every stratum whether any other is left; none and all
    where nothing else would be left at all."""
    retired = retired_tasks(state, max_pass_rate)
    gone = Counter(stratum for stratum, _ in retired)
    live = [gone[s.stratum] != size for s, size in zip(state.strata, sizes, strict=True)]
    return (retired, live) if any(live) else (frozenset(), [True] * len(live))


def _index(count: int, size: int | None, seed: int, stratum: Stratum) -> int:
    return count if size is None else _order(size, seed, stratum, count // size)[count % size]


@lru_cache(maxsize=32)
def _order(size: int, seed: int, stratum: Stratum, time_round: int) -> tuple[int, ...]:
    order = list(range(size))
    Random(f"order {seed} {stratum.label} {time_round}").shuffle(order)
    return tuple(order)


def observe(
    state: CurriculumState,
    results: Sequence[Result],
    *,
    by_task: bool = False,
    solved_above: float = 0.0,
) -> CurriculumState:
    """Estimates moved towards the shares rewarded just seen (above `solved_above`); groups without
    a score say nothing.  `by_task`: the tasks' histories are kept, too."""
    rates = {s.stratum: s.pass_rate for s in state.strata}
    seen = Counter({s.stratum: s.num_seen for s in state.strata})
    tasks = {(t.stratum, t.index): (t.num_scored, t.num_rewarded) for t in state.tasks}
    for result in results:
        rewarded = [verdict.reward > solved_above for _, verdict in result.group.scored]
        if not rewarded:
            continue
        share = sum(rewarded) / len(rewarded)
        seen[result.stratum] += 1
        rates[result.stratum] = _MEMORY * rates[result.stratum] + (1 - _MEMORY) * share
        if by_task:
            place = (result.stratum, result.index)
            num_scored, num_rewarded = tasks.get(place, (0, 0))
            tasks[place] = (num_scored + len(rewarded), num_rewarded + sum(rewarded))
    return CurriculumState(
        strata=tuple(
            msgspec.structs.replace(s, pass_rate=rates[s.stratum], num_seen=seen[s.stratum])
            for s in state.strata
        ),
        tasks=tuple(
            TaskHistory(stratum=s, index=i, num_scored=n, num_rewarded=k)
            for (s, i), (n, k) in tasks.items()
        ),
    )
