"""What a second attempt is worth: `python bench/feedback_gain.py TOLD BARE [MORE …]`.

Each is the directory of an evaluation with `eval.feedback = true` on the same tasks; see
docs/feedback.md.  The fresh attempt is reckoned from the first attempts of TOLD.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from proofloop.measure.estimators.feedback_gain import fixed_share, fresh_fixes, gain
from proofloop.measure.estimators.interval import Interval
from proofloop.measure.second_attempts import second_attempts


def main(runs: Sequence[Path]) -> int:
    if not runs:
        print(__doc__)
        return 2
    arms = {run.name: second_attempts(run) for run in runs}
    tasks = sorted(set.intersection(*(set(arm) for arm in arms.values())))
    tables = {name: np.array([arm[t] for t in tasks]).T for name, arm in arms.items()}
    told, *others = tables
    n_T, failed_T, _ = tables[told]
    fresh = (failed_T, fresh_fixes(n_T, n_T - failed_T))
    print(f"{len(tasks)} tasks, {int(n_T.sum())} first attempts, {int(failed_T.sum())} failed")
    print(f"fresh attempt: {text(fixed_share(*fresh))}")
    for name, (_, failed, fixed) in tables.items():
        print(f"{name}: second attempts that pass: {text(fixed_share(failed, fixed))}")
        print(f"{name} - fresh: {text(gain(fresh, (failed, fixed)))}")
    for name in others:
        _, failed, fixed = tables[name]
        mine = (tables[told][1], tables[told][2])
        print(f"{told} - {name}: {text(gain((failed, fixed), mine))}")
    return 0


def text(interval: Interval | None) -> str:
    if interval is None:
        return "not known: nothing failed"
    if interval.low is None or interval.high is None:
        return f"{interval.value:+.1%} (no interval)"
    return f"{interval.value:+.1%} [{interval.low:+.1%}, {interval.high:+.1%}]"


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
