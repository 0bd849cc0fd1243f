"""Advantages, samples, bundles: hand-computed numbers and invariants."""

import statistics

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollouts import completion, group, rollout

from proofloop.core.completion import StopReason
from proofloop.core.rollout import Group, Judged, RolloutId, Turn
from proofloop.train.advantages import AdvantageRule, Credited, credit, group_advantages
from proofloop.train.config import AdvantageScale, Baseline, LearnFrom, Ties, Truncated
from proofloop.train.samples import Bundle, Sample, bundles_of, micro_batches, samples_of, shares


def test_group_advantages_by_hand() -> None:
    np.testing.assert_allclose(group_advantages(np.array([1.0, 0, 0, 1])), [0.5, -0.5, -0.5, 0.5])
    np.testing.assert_allclose(group_advantages(np.array([1.0, 1, 1])), 0)


@given(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=2, max_size=9), st.data())
def test_group_advantages_against_a_loop(rewards: list[float], data: st.DataObject) -> None:
    baseline = data.draw(st.sampled_from(Baseline))
    scale = data.draw(st.sampled_from(AdvantageScale))
    spread = statistics.pstdev(rewards)
    if spread == 0:
        return
    wanted: list[float] = []
    for i, reward in enumerate(rewards):
        others = rewards[:i] + rewards[i + 1 :]
        less = {
            Baseline.GROUP: statistics.fmean(rewards),
            Baseline.LEAVE_ONE_OUT: statistics.fmean(others),
            Baseline.NONE: 0.0,
            Baseline.VALUE: 0.0,  # taken off later, token by token
        }[baseline]
        over = {AdvantageScale.GROUP: spread, AdvantageScale.MEAN: statistics.fmean(rewards)}
        wanted.append((reward - less) / over.get(scale, 1.0))
    rule = AdvantageRule(baseline=baseline, scale=scale)
    np.testing.assert_allclose(group_advantages(np.array(rewards), rule), wanted, atol=1e-12)


def test_without_a_baseline_a_solved_group_trains_and_a_hopeless_one_does_not() -> None:
    rule = AdvantageRule(baseline=Baseline.NONE, scale=AdvantageScale.NONE)
    credits = credit([group([1, 1], task="solved"), group([0, 0], task="hopeless")], rule)
    assert [[c.advantage for c in g] for g in credits.groups] == [[1, 1]]
    assert (credits.num_all_equal_high, credits.num_all_equal_low) == (0, 1)


def test_ties_unscored_and_lonely_groups_are_dropped_and_counted() -> None:
    credits = credit(
        [
            group([1, 0, None, 0], task="mixed"),
            group([1, 1], task="solved"),
            group([0, 0, None], task="hopeless"),
            group([1, None, None], task="lonely"),
            group([None, None], task="lost"),
        ]
    )
    assert (credits.num_all_equal_high, credits.num_all_equal_low, credits.num_too_few) == (1, 1, 2)
    (kept,) = credits.groups
    assert [c.rollout.id for c in kept] == ["mixed-0", "mixed-1", "mixed-3"]
    raw = np.array([2 / 3, -1 / 3, -1 / 3])
    np.testing.assert_allclose([c.advantage for c in kept], raw / raw.std())


def test_scale_is_the_batchs_not_the_groups() -> None:
    credits = credit([group([1, 0], task="a"), group([1, 0, 0, 0], task="b")])
    a, b = ([c.advantage for c in g] for g in credits.groups)
    assert a[0] / a[1] == pytest.approx(-1)
    assert a[0] / b[0] == pytest.approx(0.5 / 0.75)
    assert np.std([*a, *b]) == pytest.approx(1)


def test_only_sampled_tokens_train_and_the_stop_token_is_one_of_them() -> None:
    turns = (
        Turn(context=(1, 2), completion=completion((3, 4, 0), (-0.1, -0.2, -0.3))),
        Turn(context=(5, 6), completion=completion((7, 0), (-0.4, -0.5))),
    )
    (sample,) = samples_of(Credited(rollout=rollout("r", turns), advantage=2.0))
    assert sample.context == (1, 2)
    assert sample.tokens == (3, 4, 0, 5, 6, 7, 0)
    assert sample.trained == (True, True, True, False, False, True, True)
    assert sample.sampler_logprobs == (-0.1, -0.2, -0.3, 0, 0, -0.4, -0.5)
    assert sample.advantages == (2, 2, 2, 0, 0, 2, 2)


def test_a_context_that_begins_anew_is_a_sample_of_its_own() -> None:
    """Every sampled token trains once, after what the policy saw when it sampled it."""
    turns = (
        Turn(context=(1, 2), completion=completion((3, 0), (-0.1, -0.2))),
        Turn(context=(5,), completion=completion((6, 0), (-0.3, -0.4))),
        Turn(context=(1, 2, 9), completion=completion((7, 0), (-0.5, -0.6)), restarts=True),
    )
    credited = Credited(
        rollout=rollout("r", turns), advantage=2.0, token_advantages=(1, 2, 3, 4, 5, 6)
    )
    first, second = samples_of(credited)
    assert (first.context, first.tokens) == ((1, 2), (3, 0, 5, 6, 0))
    assert (second.context, second.tokens) == ((1, 2, 9), (7, 0))
    assert first.advantages == (1, 2, 0, 3, 4)
    assert second.advantages == (5, 6)
    assert second.sampler_logprobs == (-0.5, -0.6)
    bundles = bundles_of([first, second], padded=False)
    assert [b.context for b in bundles] == [(1, 2), (1, 2, 9)]


def test_a_sample_with_parts_of_unlike_length_is_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        Sample(
            context=(1,), tokens=(2, 3), trained=(True,), sampler_logprobs=(0, 0), advantages=(1, 1)
        )


def made(context: int, length: int) -> Sample:
    return Sample(
        context=(1,) * context,
        tokens=(2,) * length,
        trained=(True,) * length,
        sampler_logprobs=(0.0,) * length,
        advantages=(1.0,) * length,
    )


lengths = st.lists(st.integers(1, 60), min_size=1, max_size=20)


@given(lengths, st.integers(1, 80))
def test_bundling_keeps_every_sample_once_and_never_runs_more(
    lengths: list[int], context: int
) -> None:
    samples = [made(context, n) for n in lengths]
    bundles = bundles_of(samples)
    kept = sorted(len(s.tokens) for b in bundles for s in b.samples)
    assert kept == sorted(lengths)
    whole = Bundle(samples=tuple(samples))
    assert sum(b.num_positions for b in bundles) <= whole.num_positions


@given(st.lists(lengths, min_size=1, max_size=8), st.integers(50, 3000), st.integers(1, 5))
def test_micro_batches_and_shares_lose_nothing(
    groups: list[list[int]], bound: int, num_shares: int
) -> None:
    bundles = [b for g in groups for b in bundles_of([made(10, n) for n in g])]
    batches = micro_batches(bundles, max_positions=bound)
    assert sorted(map(id, bundles)) == sorted(id(b) for batch in batches for b in batch)
    for batch in batches:
        if len(batch) > 1:
            S, T = max(len(b.samples) for b in batch), max(b.longest for b in batch)
            assert len(batch) * (10 + S * T) <= bound
    dealt = shares(bundles, num_shares)
    assert len(dealt) == num_shares
    assert sorted(map(id, bundles)) == sorted(id(b) for share in dealt for b in share)


def cut_short(rewards: list[float | None], which: set[int]) -> Group:
    """A group of which some rollouts ran into their limit."""

    def attempt(i: int, judged: Judged) -> Judged:
        (turn,) = judged.rollout.turns
        reason = StopReason.LENGTH if i in which else StopReason.STOP
        done = msgspec.structs.replace(turn.completion, stop_reason=reason)
        again = msgspec.structs.replace(turn, completion=done)
        return msgspec.structs.replace(
            judged, rollout=msgspec.structs.replace(judged.rollout, turns=(again,))
        )

    made = group(rewards)
    return msgspec.structs.replace(
        made, attempts=tuple(attempt(i, judged) for i, judged in enumerate(made.attempts))
    )


@pytest.mark.parametrize(
    ("policy", "wanted", "num_dropped"),
    [
        (Truncated.REWARD, {0: 0.5, 1: 0.5, 2: -0.5, 3: -0.5}, 0),
        (Truncated.ZERO, {0: 0.75, 1: -0.25, 2: -0.25, 3: -0.25}, 0),
        (Truncated.DROP, {0: 0.5, 3: -0.5}, 2),
    ],
)
def test_what_ran_into_its_limit_trains_as_the_recipe_says(
    policy: Truncated, wanted: dict[int, float], num_dropped: int
) -> None:
    rule = AdvantageRule(scale=AdvantageScale.NONE, truncated=policy)
    credits = credit([cut_short([1, 1, 0, 0], {1, 2})], rule)
    (kept,) = credits.groups
    assert {c.rollout.id: c.advantage for c in kept} == {
        f"task-{i}": advantage for i, advantage in wanted.items()
    }
    assert credits.num_truncated == num_dropped


def test_a_group_of_which_all_ran_into_the_limit_is_gone_whole() -> None:
    rule = AdvantageRule(truncated=Truncated.DROP)
    assert credit([cut_short([1, 0], {0, 1})], rule).groups == ()


def test_ties_that_are_kept_have_no_advantage_and_are_counted_all_the_same() -> None:
    for scale in AdvantageScale:
        rule = AdvantageRule(scale=scale, ties=Ties.KEEP)
        groups = [group([0.1, 0.1, 0.1]), group([0, 0]), group([1, 0]), group([1, None])]
        credits = credit(groups, rule)
        tied = [c.advantage for g in credits.groups[:2] for c in g]
        np.testing.assert_allclose(tied, 0, atol=1e-15)
        assert (credits.num_all_equal_high, credits.num_all_equal_low, credits.num_too_few) == (
            *(1, 1, 1),
        )
        assert len(credits.groups) == 3


def test_only_what_was_rewarded_trains_once_all_were_compared() -> None:
    rule = AdvantageRule(scale=AdvantageScale.NONE, learn_from=LearnFrom.REWARDED)
    (kept,) = credit([group([1, 0, 0.5, 0])], rule).groups
    assert [(c.rollout.id, c.advantage) for c in kept] == [("task-0", 0.625), ("task-2", 0.125)]
    alone = AdvantageRule(baseline=Baseline.NONE, learn_from=LearnFrom.REWARDED)
    (kept,) = credit([group([1, 0, 1])], alone).groups
    assert [c.advantage for c in kept] == [1, 1], "all the same: no spread to divide by"


def test_penalties_shape_advantages_and_not_whether_a_group_teaches() -> None:
    rule = AdvantageRule(scale=AdvantageScale.NONE)
    penalties = {RolloutId("a-0"): 0.5, RolloutId("b-0"): 0.5}
    credits = credit([group([1, 0], task="a"), group([1, 1], task="b")], rule, penalties)
    (kept,) = credits.groups
    assert [c.advantage for c in kept] == [0.25, -0.25]
    assert credits.num_all_equal_high == 1
