"""The draw of tasks: a pure function that prefers strata near half solved."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from rollouts import group

from proofloop.core.task import Problem, Split, Stratum
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.train.curriculum import (
    CurriculumState,
    StratumState,
    draw_tasks,
    initial_state,
    observe,
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


def test_estimates_move_towards_what_was_seen() -> None:
    after = observe(state(0.5, 0.5, 0.5), [(EASY, group([1, 1, None])), (HARD, group([0, 0]))])
    rates = [s.pass_rate for s in after.strata]
    assert rates[0] > 0.5 == rates[1] > rates[2]
    silent = observe(state(0.5, 0.5, 0.5), [(EASY, group([None, None]))])
    assert silent == state(0.5, 0.5, 0.5)
