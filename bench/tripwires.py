"""What decoys and shown tests cost: verdicts on `functions` with neither, one and both, in turns.

    PYTHONPATH=src python bench/tripwires.py [--rounds 20] [--tasks 50] [--tier T1]

A round judges every task's oracle and a wrong answer in each of the four ways, the ways in turns,
so that a busy machine slows them alike.  Prints for each way the median over the rounds of
verdicts/s and of the trusted side's processor time a verdict, and the ratio to the first way.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

import msgspec

from proofloop.core.task import AnswerKey, CallTests, Problem, Split
from proofloop.core.verdict import Tier
from proofloop.envs.functions import FunctionsEnvironment
from proofloop.verify import ProgramVerifier, build_verifier
from proofloop.verify.tripwires import baited

WRONG = "def f(x):\n    return x\n"


def bare(key: AnswerKey) -> AnswerKey:
    assert isinstance(key.tests, CallTests)
    return msgspec.structs.replace(key, tests=msgspec.structs.replace(key.tests, shown=()))


WAYS: dict[str, Callable[[AnswerKey], AnswerKey]] = {
    "hidden tests alone": bare,
    "with decoys": lambda key: baited(bare(key), 0),
    "with shown tests": lambda key: key,
    "with both": lambda key: baited(key, 0),
}


def measure(
    verifier: ProgramVerifier, problems: list[Problem], keys: list[AnswerKey]
) -> tuple[float, float]:
    """Verdicts/s, and milliseconds of the trusted side's processor time a verdict."""
    began, cpu_s = time.perf_counter(), time.process_time()
    for problem, key in zip(problems, keys, strict=True):
        for answer in (problem.oracle, WRONG):
            verifier.verify(problem.task, key, answer)
    num = 2 * len(problems)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    return num / wall_s, 1e3 * cpu_s / num


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=50)
    parser.add_argument("--tier", type=Tier, default=None)
    options = parser.parse_args()
    environment = FunctionsEnvironment(complexity=(1, 2))
    strata = environment.strata(Split.TRAIN)
    problems = [
        environment.problem(Split.TRAIN, strata[i % len(strata)], i) for i in range(options.tasks)
    ]
    keys = {name: [change(p.key) for p in problems] for name, change in WAYS.items()}
    rounds: list[dict[str, tuple[float, float]]] = []
    with build_verifier(options.tier) as verifier:
        for _ in range(options.rounds + 1):
            rounds.append({n: measure(verifier, problems, k) for n, k in keys.items()})
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    first = next(iter(WAYS))
    for name in WAYS:
        rate, cpu_ms = (statistics.median(r[name][i] for r in rounds[1:]) for i in (0, 1))
        ratio, cpu_ratio = (
            statistics.median(r[name][i] / r[first][i] for r in rounds[1:]) for i in (0, 1)
        )
        print(
            f"{name:20} {rate:7.0f} verdicts/s ({ratio:.3f})  trusted side {cpu_ms:.3f} ms "
            f"({cpu_ratio:.3f})"
        )


if __name__ == "__main__":
    main()
