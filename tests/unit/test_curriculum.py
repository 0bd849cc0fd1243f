"""The draw of tasks: a pure function that prefers strata near half solved."""

import math
from collections import Counter
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollouts import group

from proofloop.core.task import Problem, Split, Stratum
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.envs.minirepos import MiniReposEnvironment
from proofloop.train.config import Order
from proofloop.train.curriculum import (
    CurriculumState,
    DrawRule,
    Result,
    StratumState,
    TaskPool,
    choose_tasks,
    draw_tasks,
    initial_state,
    observe,
    opened,
    retired_tasks,
)

ENVIRONMENT = FunctionsEnvironment(complexity=(1, 2, 3), families=("int",))
EASY, MIDDLE, HARD = ENVIRONMENT.strata(Split.TRAIN)


def state(*pass_rates: float) -> CurriculumState:
    return CurriculumState(
        strata=tuple(
            StratumState(stratum=s, pass_rate=p, num_drawn=0)
            for s, p in zip((EASY, MIDDLE, HARD), pass_rates, strict=True)
        )
    )


def result(stratum: Stratum, index: int, rewards: list[float | None]) -> Result:
    return Result(stratum=stratum, index=index, group=group(rewards))


def test_half_solved_strata_are_preferred_and_none_is_forgotten() -> None:
    drawn, _ = draw_tasks(state(1.0, 0.5, 0.02), ENVIRONMENT, num_tasks=3000, seed=0, step=1)
    counts = Counter(d.stratum for d in drawn)
    assert counts[MIDDLE] > 8 * counts[EASY] > 0
    assert counts[MIDDLE] > 8 * counts[HARD] > 0


@given(st.integers(1, 50), st.integers(0, 100))
def test_no_generated_task_is_drawn_twice(num_tasks: int, seed: int) -> None:
    current = initial_state(ENVIRONMENT)
    seen: list[tuple[Stratum, int]] = []
    for step in range(1, 4):
        again = draw_tasks(current, ENVIRONMENT, num_tasks=num_tasks, seed=seed, step=step)
        drawn, current = draw_tasks(current, ENVIRONMENT, num_tasks=num_tasks, seed=seed, step=step)
        assert again == (drawn, current)
        seen += [(d.stratum, d.index) for d in drawn]
    assert len(seen) == len(set(seen)) == 3 * num_tasks


class FiniteEnvironment:
    """Five tasks, like a data file."""

    name = "finite"

    def strata(self, split: Split) -> tuple[Stratum, ...]:
        return (EASY,)

    def num_tasks(self, split: Split, stratum: Stratum) -> int:
        return 5

    def problem(self, split: Split, stratum: Stratum, index: int) -> Problem:
        raise NotImplementedError

    def find(self, task_id: str) -> Problem:
        raise NotImplementedError


def test_a_finite_stratum_is_passed_through_in_a_new_order_each_time() -> None:
    environment = FiniteEnvironment()
    drawn, after = draw_tasks(initial_state(environment), environment, num_tasks=15, seed=0, step=1)
    rounds = [[d.index for d in drawn[i : i + 5]] for i in (0, 5, 10)]
    assert all(sorted(r) == [0, 1, 2, 3, 4] for r in rounds)
    assert len({tuple(r) for r in rounds}) > 1
    assert after.strata[0].num_drawn == 15


def pool_places(pool: TaskPool | None) -> list[tuple[Stratum, int]]:
    assert pool is not None
    return [(stratum, index) for stratum, places in pool.items() for index in places]


@given(st.integers(1, 40), st.integers(0, 20))
def test_a_pool_holds_so_many_different_tasks_and_more_of_them_are_the_same_and_others(
    num_tasks: int, seed: int
) -> None:
    fewer, more = (
        pool_places(choose_tasks(ENVIRONMENT, n, seed=seed)) for n in (num_tasks, num_tasks + 3)
    )
    assert len(fewer) == len(set(fewer)) == num_tasks
    assert set(fewer) < set(more)
    counts = Counter(stratum for stratum, _ in more)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_another_seed_chooses_other_tasks_and_0_sets_no_limit() -> None:
    ones = {pool_places(choose_tasks(ENVIRONMENT, 1, seed=s))[0] for s in range(20)}
    assert len(ones) == 20
    assert {stratum for stratum, _ in ones} == {EASY, MIDDLE, HARD}
    assert choose_tasks(ENVIRONMENT, 0, seed=0) is None


def test_a_finite_environment_is_chosen_from_until_it_runs_out() -> None:
    environment = FiniteEnvironment()
    places = pool_places(choose_tasks(environment, 5, seed=0))
    assert sorted(index for _, index in places) == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="finite has 5 training tasks"):
        choose_tasks(environment, 6, seed=0)


def test_a_pool_is_all_that_is_drawn_each_task_as_often_as_it_takes() -> None:
    pool = choose_tasks(ENVIRONMENT, 2, seed=1)
    start = initial_state(ENVIRONMENT, pool)
    assert len(start.strata) == 2
    drawn, after = draw_tasks(start, ENVIRONMENT, num_tasks=64, seed=0, step=1, only=pool)
    counts = Counter((d.stratum, d.index) for d in drawn)
    assert set(counts) == set(pool_places(pool))
    assert sum(s.num_drawn for s in after.strata) == sum(counts.values()) == 64

    (one,) = pool_places(only := choose_tasks(ENVIRONMENT, 1, seed=1))
    start = initial_state(ENVIRONMENT, only)
    drawn, _ = draw_tasks(start, ENVIRONMENT, num_tasks=8, seed=0, step=1, only=only)
    assert [(d.stratum, d.index) for d in drawn] == [one] * 8


def test_a_stratum_of_a_pool_passes_through_its_tasks_in_turn() -> None:
    pool: TaskPool = {MIDDLE: (30, 10, 20)}
    start = initial_state(ENVIRONMENT, pool)
    drawn, _ = draw_tasks(start, ENVIRONMENT, num_tasks=9, seed=0, step=1, only=pool)
    rounds = [sorted(d.index for d in drawn[i : i + 3]) for i in (0, 3, 6)]
    assert rounds == [[10, 20, 30]] * 3


def test_estimates_move_towards_what_was_seen() -> None:
    after = observe(state(0.5, 0.5, 0.5), [result(EASY, 0, [1, 1, None]), result(HARD, 0, [0, 0])])
    rates = [s.pass_rate for s in after.strata]
    assert rates[0] > 0.5 == rates[1] > rates[2]
    silent = observe(state(0.5, 0.5, 0.5), [result(EASY, 0, [None, None])])
    assert silent == state(0.5, 0.5, 0.5)


def test_tasks_that_are_mostly_solved_are_not_drawn_again_until_no_other_is_left() -> None:
    environment = FiniteEnvironment()
    solved, mixed = [1.0] * 9 + [0.0], [1.0] * 8 + [0.0] * 2
    current = initial_state(environment)
    results = [result(EASY, i, solved if i < 3 else mixed) for i in range(5)]
    current = observe(current, results, by_task=True)
    assert len(retired_tasks(current, 0.9)) == 3
    assert retired_tasks(current, 1.0) == frozenset()
    drawn, after = draw_tasks(current, environment, num_tasks=20, seed=0, step=1, max_pass_rate=0.9)
    assert Counter(d.index for d in drawn) == {3: 10, 4: 10}
    again = [result(EASY, i, [1.0] * 90) for i in (3, 4)]
    everything = observe(after, again, by_task=True)
    assert len(retired_tasks(everything, 0.9)) == 5
    drawn, _ = draw_tasks(everything, environment, num_tasks=20, seed=0, step=2, max_pass_rate=0.9)
    assert {d.index for d in drawn} == {0, 1, 2, 3, 4}


def test_a_stratum_whose_tasks_are_all_solved_is_left_for_others() -> None:
    pool: TaskPool = {EASY: (7,), HARD: (3, 5)}
    current = observe(initial_state(ENVIRONMENT, pool), [result(EASY, 7, [1.0, 1.0])], by_task=True)
    drawn, _ = draw_tasks(
        current, ENVIRONMENT, num_tasks=40, seed=0, step=1, only=pool, max_pass_rate=0.9
    )
    assert {d.stratum for d in drawn} == {HARD}
    assert Counter(d.index for d in drawn) == {3: 20, 5: 20}


def test_another_round_of_a_step_draws_other_tasks() -> None:
    first, after = draw_tasks(initial_state(ENVIRONMENT), ENVIRONMENT, num_tasks=9, seed=0, step=1)
    second, _ = draw_tasks(after, ENVIRONMENT, num_tasks=9, seed=0, step=1, round_=1)
    assert not {(d.stratum, d.index) for d in first} & {(d.stratum, d.index) for d in second}


# --- in an order ---

GRID = MiniReposEnvironment(families=("int", "list"), complexity=(1, 2, 3), horizon=(1, 2, 4))
FIRST = DrawRule(order=Order.HORIZON_FIRST, advance_at=0.6)


class Solver:
    """Whose skill at a family grows with what a group can teach, p (1 - p): each further part to
    mend and each further operation asks for more of it."""

    def __init__(self, pace: float) -> None:
        self.skill = {"int": 2.0, "list": 1.5}
        self.pace = pace

    def rate(self, stratum: Stratum) -> float:
        asked = 1.2 * math.log2(stratum.horizon) + 2.0 * (stratum.complexity - 1)
        return 1 / (1 + math.exp(asked - self.skill[stratum.family]))

    def attempt(self, stratum: Stratum, rng: Random) -> list[float | None]:
        rate = self.rate(stratum)
        self.skill[stratum.family] += self.pace * rate * (1 - rate)
        return [float(rng.random() < rate) for _ in range(8)]


def learned_by(rule: DrawRule, num_steps: int = 60) -> tuple[list[list[Stratum]], list[float]]:
    """Strata as they were drawn, step by step, and how well each was solved then."""
    solver, rng, current = Solver(pace=0.02), Random(0), initial_state(GRID)
    steps: list[list[Stratum]] = []
    rates: list[float] = []
    for step in range(1, num_steps + 1):
        drawn, current = draw_tasks(current, GRID, num_tasks=32, seed=0, step=step, rule=rule)
        steps.append([d.stratum for d in drawn])
        rates += [solver.rate(d.stratum) for d in drawn]
        results = [result(d.stratum, d.index, solver.attempt(d.stratum, rng)) for d in drawn]
        current = observe(current, results)
    return steps, rates


def test_horizon_is_raised_before_complexity() -> None:
    steps, _ = learned_by(FIRST)
    for family in ("int", "list"):
        firsts: dict[tuple[int, int], int] = {}
        for number, strata in enumerate(steps):
            for s in strata:
                if s.family == family:
                    firsts.setdefault((s.complexity, s.horizon), number)
        assert list(firsts) == sorted(firsts), "met in this order"
        assert list(firsts)[:4] == [(1, 1), (1, 2), (1, 4), (2, 1)]
        assert len(set(firsts.values())) == len(firsts), "each in its own time"
        assert firsts[1, 1] == 0


def test_in_an_order_more_of_what_is_drawn_is_near_half_solved() -> None:
    def share(rates: list[float]) -> float:
        return sum(0.2 <= r <= 0.8 for r in rates) / len(rates)

    _, in_order = learned_by(FIRST, num_steps=25)
    _, free = learned_by(DrawRule(), num_steps=25)
    assert share(in_order) > share(free)
    assert share(in_order) > 0.6


def test_a_stratum_opens_once_the_one_before_it_is_known_to_be_solved() -> None:
    def known(*facts: tuple[float, int, int]) -> CurriculumState:
        return CurriculumState(
            strata=tuple(
                StratumState(stratum=s, pass_rate=p, num_seen=seen, num_drawn=drawn)
                for s, (p, seen, drawn) in zip((EASY, MIDDLE, HARD), facts, strict=True)
            )
        )

    new = (0.5, 0, 0)
    assert opened(initial_state(ENVIRONMENT), 0.5) == {EASY}
    assert opened(known((0.9, 7, 9), new, new), 0.5) == {EASY}, "too few groups to say"
    assert opened(known((0.9, 8, 9), new, new), 0.5) == {EASY, MIDDLE}
    assert opened(known((0.4, 8, 9), (0.9, 9, 9), new), 0.5) == {EASY, MIDDLE, HARD}, "stays open"
    assert opened(known((0.5, 0, 0), new, new), 0.5, [False, True, True]) == {EASY, MIDDLE}


@given(st.integers(0, 30))
def test_a_free_order_draws_what_it_always_drew(seed: int) -> None:
    current = state(0.9, 0.5, 0.1)
    draws = [
        draw_tasks(current, ENVIRONMENT, num_tasks=20, seed=seed, step=1, rule=rule)[0]
        for rule in (DrawRule(), DrawRule(advance_at=0.9))
    ]
    assert draws[0] == draws[1]
    assert len({d.stratum for d in draws[0]}) > 1


def test_what_counts_as_solved_is_more_than_a_part_of_it() -> None:
    before = initial_state(ENVIRONMENT)
    half = [result(EASY, 0, [0.6, 0.6, 1.0, 0.2])]
    assert observe(before, half).strata[0].pass_rate == pytest.approx(0.55)
    strict = observe(before, half, solved_above=1 - 1e-9).strata[0]
    assert strict.pass_rate == pytest.approx(0.9 * 0.5 + 0.1 * 0.25)
    assert strict.num_seen == 1
    assert msgspec.json.decode(msgspec.json.encode(before), type=CurriculumState) == before
