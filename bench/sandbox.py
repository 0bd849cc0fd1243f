"""How long a verdict takes: one process, one 12-call solution at a time, every tier.

    PYTHONPATH=src python bench/sandbox.py [--runs 5] [--verdicts 300] [--json]

Prints, per tier, the median over the runs of: verdicts/s; median and 90th percentile of one
verdict; processor time of the candidate's process and of the trusted side.  Beside it, what the
machine takes for a bare fork, exit and wait of this small interpreter, measured in between, since
a busy machine slows both alike.
"""

import argparse
import json
import os
import statistics
import sys
import time

from proofloop.core import value
from proofloop.core.errors import IsolationError
from proofloop.core.sandbox import Limits
from proofloop.core.task import (
    AnswerKey,
    CallTests,
    Returns,
    Split,
    Stratum,
    Task,
    TaskId,
    TestCall,
)
from proofloop.core.verdict import ScoredCause, Tier
from proofloop.verify import build_verifier

NUM_CALLS = 12
ANSWER = "def f(x):\n    return [y * 2 + 1 for y in x if y % 3]\n"
TASK = Task(
    id=TaskId("bench@0"),
    env="bench",
    split=Split.HELDOUT,
    stratum=Stratum(family="list", complexity=2, horizon=1),
    messages=(),
)
KEY = AnswerKey(
    task_id=TASK.id,
    tests=CallTests(
        calls=tuple(
            TestCall(
                function="f",
                args=value.encode((list(range(n + 3)),)),
                wanted=Returns(value=value.encode([y * 2 + 1 for y in range(n + 3) if y % 3])),
            )
            for n in range(NUM_CALLS)
        )
    ),
)


def measure_tier(tier: Tier, num_runs: int, num_verdicts: int) -> dict[str, float]:
    runs: list[dict[str, float]] = []
    with build_verifier(tier, Limits()) as verifier:
        for _ in range(num_runs + 1):
            times_s: list[float] = []
            trusted_s = time.process_time()
            for _ in range(num_verdicts):
                start = time.perf_counter()
                verdict = verifier.verify(TASK, KEY, ANSWER)
                times_s.append(time.perf_counter() - start)
                assert verdict.cause is ScoredCause.PASSED, verdict
            trusted_s = time.process_time() - trusted_s
            runs.append(
                {
                    "verdicts_per_s": num_verdicts / sum(times_s),
                    "median_ms": 1e3 * statistics.median(times_s),
                    "p90_ms": 1e3 * statistics.quantiles(times_s, n=10)[-1],
                    "least_ms": 1e3 * min(times_s),
                    "trusted_cpu_ms": 1e3 * trusted_s / num_verdicts,
                    "bare_fork_ms": bare_fork_ms(),
                }
            )
    return {name: statistics.median(run[name] for run in runs[1:]) for name in runs[0]}


def bare_fork_ms(num_forks: int = 100) -> float:
    """Fork, exit and wait, of an interpreter that imported nothing, in a process of its own."""
    script = f"""
import os, time
times = []
for _ in range({num_forks}):
    start = time.perf_counter()
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    times.append(time.perf_counter() - start)
print(sorted(times)[{num_forks} // 2] * 1e3)
"""
    with os.popen(f"{sys.executable} -S -s -c '{script}'") as output:
        return float(output.read())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--verdicts", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    for tier in Tier:
        try:
            results[tier.value] = measure_tier(tier, options.runs, options.verdicts)
        except IsolationError as e:
            print(f"{tier}: {e}", file=sys.stderr)
    if options.json:
        print(json.dumps({"load": os.getloadavg()[0], **results}))
        return
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for tier, figures in results.items():
        print(tier, "  ".join(f"{name} {figure:.2f}" for name, figure in figures.items()))


if __name__ == "__main__":
    main()
