"""The null of a long task: steps that fail independently, so success is p(C)^H.

p(C) is measured where one step is the whole task, so nothing is fitted to longer ones.  What
deviates: better than the null, errors are repaired or easy tasks stay easy at every step (tasks
that differ in p have mean p^H above the power of their mean, whatever the policy does); worse,
errors beget errors.

Axes: T tasks, K cells (complexity, steps), B resamples.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proofloop.core.record import Record
from proofloop.measure.estimators import clusters, glm
from proofloop.measure.estimators.interval import LEVEL, Interval

Floats = NDArray[np.float64]

NUM_RESAMPLES = 2000


class Cell(Record):
    """Tasks of one complexity and one number of steps."""

    complexity: float
    steps: float
    observed: float
    predicted: float | None
    """p(C)^H; None where this complexity has no tasks of one step, or all of them passed or failed,
    of which no power says anything."""
    deviation: Interval | None
    """Observed minus predicted; None also from fewer than two tasks in either cell.  Of a cell in
    which all tasks agree resampling shows no spread: the interval is widened by what T tasks could
    have missed."""
    num_tasks: int


class Compounding(Record):
    """The null beside what was seen."""

    cells: tuple[Cell, ...]
    """Those of more than one step."""
    net_deviation: Interval | None
    """Signed mean over the cells that have a deviation, weighted by tasks: cells above the null and
    below it cancel, of which `both_ways` warns."""
    kappa: Interval | None
    """Slope of log hazard on log steps with a level of its own for each complexity: 1 under the
    null, below it where later steps fail less often.  None where it cannot be fitted."""
    num_tasks: int

    @property
    def both_ways(self) -> tuple[Cell, Cell] | None:
        """The cells that lie farthest above and below the null, where the intervals of both leave
        out 0; then no one number says how long tasks compound."""
        above = [c for c in self.cells if c.deviation and (c.deviation.low or 0.0) > 0.0]
        below = [c for c in self.cells if c.deviation and (c.deviation.high or 0.0) < 0.0]
        if not above or not below:
            return None
        return max(above, key=_lies), min(below, key=_lies)


def compounding(
    steps_T: ArrayLike,
    complexity_T: ArrayLike,
    num_samples_T: ArrayLike,
    num_passed_T: ArrayLike,
    *,
    seed: int = 0,
    num_resamples: int = NUM_RESAMPLES,
) -> Compounding:
    """Observed success minus p(C)^H in every cell, with intervals from tasks resampled in cells.

    Tasks are resampled within their cell, since dials are set and not drawn, and a task weighs the
    same however often it was run.  Coverage: bench/coverage/horizon.py.
    Raises ValueError for impossible counts, steps that are not whole and positive, or no task of
    one step at all.
    """
    data = clusters.counts(num_samples_T, num_passed_T)
    steps, complexity = np.asarray(steps_T, np.float64), np.asarray(complexity_T, np.float64)
    if not steps.shape == complexity.shape == (data.num_tasks,):
        raise ValueError("steps and complexity need one number a task")
    if not ((steps >= 1) & (steps == np.floor(steps))).all():
        raise ValueError("steps must be whole and positive: the null is a power of them")
    if not (steps == 1).any():
        raise ValueError("no task of one step: the single-step rate cannot be measured")
    settings_KS, cell_T = clusters.rows_of(complexity, steps)
    weights_BT = _weights_in_cells(cell_T, num_resamples, np.random.default_rng(seed))
    tasks_K = np.bincount(cell_T)
    share_T = data.passed_T / (data.passed_T + data.failed_T)
    rates_BK = clusters.summed(weights_BT * share_T, cell_T) / tasks_K
    single_of = {c: k for k, (c, h) in enumerate(settings_KS) if h == 1}
    cells: list[Cell] = []
    sum_B, num_told = np.zeros(len(rates_BK)), 0
    for number, (level, length) in enumerate(settings_KS):
        if length == 1:
            continue
        single_B = rates_BK[:, single_of[level]] if level in single_of else None
        if single_B is not None and not 0 < single_B[0] < 1:
            single_B = None
        predicted_B = None if single_B is None else single_B**length
        deviation = None
        if predicted_B is not None and min(tasks_K[number], tasks_K[single_of[level]]) > 1:
            deviation_B = rates_BK[:, number] - predicted_B
            deviation = _deviation(deviation_B, rates_BK[:, number], int(tasks_K[number]))
            sum_B = sum_B + tasks_K[number] * deviation_B
            num_told += int(tasks_K[number])
        cells.append(
            Cell(
                complexity=float(level),
                steps=float(length),
                observed=float(rates_BK[0, number]),
                predicted=None if predicted_B is None else float(predicted_B[0]),
                deviation=deviation,
                num_tasks=int(tasks_K[number]),
            )
        )
    mean = clusters.percentile(sum_B / num_told, num_tasks=num_told) if num_told else None
    return Compounding(
        cells=tuple(cells),
        net_deviation=mean,
        kappa=_kappa(data, settings_KS, cell_T, weights_BT),
        num_tasks=data.num_tasks,
    )


def _lies(cell: Cell) -> float:
    return 0.0 if cell.deviation is None else cell.deviation.value


def _weights_in_cells(
    cell_T: clusters.Ints, num_resamples: int, rng: np.random.Generator
) -> Floats:
    """How often each resample holds each task; the first row is the data themselves."""
    weights_BT = np.ones((num_resamples + 1, len(cell_T)))
    for cell in range(int(cell_T.max()) + 1):
        (members,) = np.nonzero(cell_T == cell)
        share = np.full(members.size, 1 / members.size)
        weights_BT[1:, members] = rng.multinomial(members.size, share, size=num_resamples)
    return weights_BT


def _deviation(deviation_B: Floats, observed_B: Floats, num_tasks: int) -> Interval | None:
    """Where all tasks passed, or all failed, a share q that would have differed could be as large
    as 1 - 0.05^(1/tasks) and still not be seen; the end on that side reaches so much further."""
    interval = clusters.percentile(deviation_B, num_tasks=num_tasks)
    if interval is None or observed_B[0] not in (0.0, 1.0):
        return interval
    assert interval.low is not None
    assert interval.high is not None
    unseen = 1 - (1 - LEVEL) ** (1 / num_tasks)
    return Interval(
        value=interval.value,
        low=interval.low - (unseen if observed_B[0] == 1.0 else 0.0),
        high=interval.high + (unseen if observed_B[0] == 0.0 else 0.0),
        num_tasks=num_tasks,
    )


def _kappa(
    data: clusters.Counts, settings_KS: Floats, cell_T: clusters.Ints, weights_BT: Floats
) -> Interval | None:
    passed_BK = clusters.summed(weights_BT * data.passed_T, cell_T)
    failed_BK = clusters.summed(weights_BT * data.failed_T, cell_T)
    levels_K, log_steps_K = settings_KS[:, 0], np.log(settings_KS[:, 1])
    # A level at which all passed, or all failed, tells nothing of kappa and has no finite level.
    told = [
        level
        for level in np.unique(levels_K)
        if passed_BK[0, levels_K == level].any() and failed_BK[0, levels_K == level].any()
    ]
    keep_K = np.isin(levels_K, told)
    design_UP = np.column_stack(
        [levels_K[keep_K] == level for level in told] + [log_steps_K[keep_K]]
    ).astype(np.float64)
    if not told or np.linalg.matrix_rank(design_UP) <= len(told):
        return None
    fits = glm.fit(design_UP, passed_BK[:, keep_K], failed_BK[:, keep_K], link=glm.Link.CLOGLOG)
    return clusters.percentile(
        np.where(fits.finite_B, fits.coefs_BP[:, -1], np.nan), num_tasks=data.num_tasks
    )
