"""Right answers dealt out to steps: whole groups, even shares, all of them in every pass."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from proofloop.core.rollout import RolloutId
from proofloop.core.task import Stratum, TaskId
from proofloop.store import Draw
from proofloop.train.successes import SolvedGroup, deal

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def groups(sizes: list[int]) -> list[SolvedGroup]:
    stratum = Stratum(family="int", complexity=1, horizon=1)
    return [
        SolvedGroup(
            draw=Draw(slot=i, task_id=TaskId(f"t{i}"), stratum=stratum, index=i),
            rollouts=(RolloutId(f"train-1-{i}-0"),),
            num_tokens=size,
        )
        for i, size in enumerate(sizes)
    ]


def test_by_hand() -> None:
    # 30 tokens in three steps of groups of 10: one a step, each once.
    steps = deal(groups([10, 10, 10]), num_tokens=30, num_steps=3, seed=0)
    assert [len(step) for step in steps] == [1, 1, 1]
    assert {step[0].draw.index for step in steps} == {0, 1, 2}
    # 50 tokens of the same: two steps of 25 each get 20 or 30, 50 together.
    steps = deal(groups([10, 10, 10]), num_tokens=50, num_steps=2, seed=0)
    assert sum(g.num_tokens for step in steps for g in step) == 50


@settings(deadline=None)
@given(SIZES, st.integers(1, 300), st.integers(1, 20), st.integers(0, 5))
def test_tokens_are_as_many_as_asked_for_within_half_a_group_after_every_step(
    sizes: list[int], num_tokens: int, num_steps: int, seed: int
) -> None:
    steps = deal(groups(sizes), num_tokens=num_tokens, num_steps=num_steps, seed=seed)
    assert len(steps) == num_steps
    dealt = 0
    for number, step in enumerate(steps, start=1):
        dealt += sum(g.num_tokens for g in step)
        assert abs(dealt - num_tokens * number / num_steps) <= max(sizes) / 2
    assert steps == deal(groups(sizes), num_tokens=num_tokens, num_steps=num_steps, seed=seed)


@settings(deadline=None)
@given(SIZES, st.integers(1, 300), st.integers(0, 5))
def test_no_group_is_taken_twice_before_all_are_taken_once(
    sizes: list[int], num_tokens: int, seed: int
) -> None:
    (step,) = deal(groups(sizes), num_tokens=num_tokens, num_steps=1, seed=seed)
    counts = Counter(g.draw.index for g in step)
    times = [counts[i] for i in range(len(sizes))]
    assert max(times) - min(times) <= 1


def test_another_seed_is_another_order() -> None:
    orders = {
        tuple(g.draw.index for g in deal(groups([5] * 9), num_tokens=45, num_steps=1, seed=s)[0])
        for s in range(5)
    }
    assert len(orders) == 5
    assert all(sorted(order) == list(range(9)) for order in orders)


def test_a_step_without_a_share_of_its_own_stays_empty() -> None:
    steps = deal(groups([100]), num_tokens=100, num_steps=4, seed=0)
    assert [len(step) for step in steps] == [0, 1, 0, 0]
