"""The null of every comparison: one step that does nothing, between two measurements.

The recipe gives the second one other chances (`eval.later_seed`), so all that differs is chance;
the run looks like any other, and whatever compares runs reads it.
"""

import time
from collections.abc import Iterator

from proofloop.train.loop_sync import Report, StepReport, evaluate, publish
from proofloop.train.parts import LoopState, Parts


def loop_copy(parts: Parts, state: LoopState) -> Iterator[Report]:
    """Measures the weights twice.  Between two yields the run may be stopped."""
    yield from evaluate(parts, state.step)
    began = time.perf_counter()
    step = parts.config.num_steps
    version = publish(parts, step)
    wall_s = time.perf_counter() - began
    parts.store.record_step(step, metrics={}, weights_sha256=version.sha256, wall_s=wall_s)
    yield StepReport(step=step, num_steps=step, metrics={}, alarms=())
    yield from evaluate(parts, step)
