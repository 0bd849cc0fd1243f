"""The confidence sequence: against its formula written out, and under constant peeking."""

import math

import numpy as np
import pytest

from proofloop.measure.estimators.sequential import ConfidenceSequence


def naive_kept(values: list[float], mean: float) -> bool:
    """Waudby-Smith & Ramdas, theorem 3, for one candidate mean; sums taken anew at every step."""
    up = down = 1.0
    for t in range(1, len(values) + 1):
        seen = values[: t - 1]
        deviations = [(x - (0.5 + sum(seen[: i + 1])) / (i + 2)) ** 2 for i, x in enumerate(seen)]
        variance = (0.25 + sum(deviations)) / t
        bet = math.sqrt(2 * math.log(2 / 0.05) / (variance * t * math.log(1 + t)))
        x = values[t - 1]
        up *= 1 + min(bet, 0.75 / mean) * (x - mean)
        down *= 1 - min(bet, 0.75 / (1 - mean)) * (x - mean)
        if max(up, down) / 2 >= 1 / 0.05:
            return False
    return True


def test_the_interval_is_the_formulas():
    values = np.random.default_rng(1).beta(2.0, 3.0, 60).tolist()
    sequence = ConfidenceSequence()
    sequence.update(values)
    interval = sequence.interval
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    assert interval.value == pytest.approx(np.mean(values))
    for end, sign in ((interval.low, 1), (interval.high, -1)):
        assert not naive_kept(values, end)
        assert naive_kept(values, end + sign * 0.0005)


def test_one_by_one_or_at_once_is_the_same():
    values = np.random.default_rng(2).random(50).tolist()
    once, single = ConfidenceSequence(), ConfidenceSequence()
    once.update(values)
    for value in values:
        single.update([value])
    assert once.interval == single.interval
    assert once.num_tasks == 50


def test_it_never_widens_and_stops_when_narrow():
    rng = np.random.default_rng(3)
    sequence, widths = ConfidenceSequence(), [1.0]
    assert sequence.interval is None
    assert not sequence.is_narrow(0.99)
    while not sequence.is_narrow(0.2):
        sequence.update([float(rng.binomial(8, 0.7) / 8)])
        widths.append(sequence.width)
    assert widths == sorted(widths, reverse=True)
    assert sequence.num_tasks < 60


def test_what_is_no_task_mean_is_refused():
    for bad in (1.1, -0.1, math.nan):
        with pytest.raises(ValueError, match="between 0 and 1"):
            ConfidenceSequence().update([bad])
    with pytest.raises(ValueError):
        ConfidenceSequence(level=1.0)


def test_sorted_tasks_are_noticed_once_no_mean_fits():
    sequence = ConfidenceSequence()
    sequence.update([0.0] * 300 + [1.0] * 300)
    with pytest.raises(ValueError, match="random order"):
        _ = sequence.interval


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.7), (0.1, 1.5)])
def test_whoever_peeks_after_every_task_is_misled_in_fewer_than_5_of_100_worlds(a: float, b: float):
    """An ordinary interval, looked at as often from the 20th task on, misses in a third of them."""
    rng, misled, ordinary = np.random.default_rng(4), 0, 0
    for _ in range(100):
        values = rng.binomial(8, rng.beta(a, b, 200)) / 8
        sequence, truth = ConfidenceSequence(), a / (a + b)
        sequence.update(values)
        # It never widens: holding the truth at the end is having held it all along.
        interval = sequence.interval
        assert interval is not None
        assert interval.low is not None
        assert interval.high is not None
        misled += not interval.low <= truth <= interval.high
        count = np.arange(1, 201)
        means = np.cumsum(values) / count
        errors = np.sqrt((np.cumsum(values**2) / count - means**2) / count)
        ordinary += bool(np.any(np.abs(means - truth)[20:] > 1.96 * errors[20:]))
    assert misled <= 5
    assert ordinary >= 20
