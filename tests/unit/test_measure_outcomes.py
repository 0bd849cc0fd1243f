"""The outcome table, and gained and lost tasks against their null."""

import numpy as np
import pytest

from proofloop.core.task import Stratum
from proofloop.measure.outcomes import Attempt, Outcomes, difference_curve, known_ks
from proofloop.measure.solved import solved_sets, turnover

INT2 = Stratum(family="int", complexity=2, horizon=1)
LIST1 = Stratum(family="list", complexity=1, horizon=1)


def table(num_samples: int, passed: dict[str, int], stratum: Stratum = INT2) -> Outcomes:
    return Outcomes.from_attempts(
        Attempt(task_id=task_id, stratum=stratum, passed=i < c)
        for task_id, c in passed.items()
        for i in range(num_samples)
    )


def test_unscored_attempts_are_no_samples_but_are_counted():
    attempts = [
        Attempt(task_id="b", stratum=INT2, passed=True),
        Attempt(task_id="a", stratum=LIST1, passed=False),
        Attempt(task_id="b", stratum=INT2, passed=None),
    ]
    outcomes = Outcomes.from_attempts(attempts)
    assert outcomes.task_ids == ("a", "b")
    assert outcomes.num_samples.tolist() == [1, 1]
    assert outcomes.num_passed.tolist() == [0, 1]
    assert (outcomes.total_unscored, outcomes.max_samples) == (1, 1)
    assert outcomes.by_complexity()[1].task_ids == ("a",)
    assert outcomes.by_family()["int"].task_ids == ("b",)


def test_no_attempts_make_an_empty_table():
    empty = Outcomes.from_attempts([])
    assert (empty.num_tasks, known_ks(empty)) == (0, ())


def test_differences_pair_the_tasks_that_both_sides_tried():
    base = table(4, {"a": 0, "b": 2, "only-base": 4})
    trained = table(4, {"only-trained": 0, "b": 4, "a": 2})
    interval = difference_curve(base, trained, (1,)).at(0)
    assert interval is not None
    assert (interval.value, interval.num_tasks) == (0.5, 2)


def test_solved_sets_partition_the_tasks():
    sets = solved_sets(
        table(4, {"a": 1, "b": 2, "c": 0, "d": 0}), table(4, {"a": 4, "b": 0, "c": 1, "d": 0})
    )
    assert sets.both == ("a",)
    assert sets.base_only == ("b",)
    assert sets.trained_only == ("c",)
    assert sets.neither == ("d",)


def test_a_second_identical_model_gains_nothing_over_the_null():
    """Placebo: both tables drawn from the same rates; the raw sets are large, the excess is not."""
    rng = np.random.default_rng(4)
    rates = dict(zip([f"t{i}" for i in range(400)], rng.beta(0.3, 0.7, 400), strict=True))
    base, again = (
        table(64, {task: int(rng.binomial(64, p)) for task, p in rates.items()}) for _ in range(2)
    )
    result = turnover(base, again)
    assert result is not None
    assert result.num_samples == 32
    assert result.gained.value > 0.03
    assert result.null.value == pytest.approx(result.gained.value, abs=0.03)
    assert result.gained_over_null.includes_zero
    assert result.lost_over_null.includes_zero


def test_real_gains_exceed_the_null():
    base = table(8, {f"t{i}": 4 if i < 20 else 0 for i in range(40)})
    trained = table(8, {f"t{i}": 4 for i in range(40)})
    result = turnover(base, trained)
    assert result is not None
    assert result.gained_over_null.low is not None
    assert result.gained_over_null.low > 0.2
    assert turnover(table(1, {"a": 1}), table(1, {"a": 1})) is None
