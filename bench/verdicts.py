"""Verdicts per second beside other ways to judge the same solutions, in one run.

    PYTHONPATH=src python bench/verdicts.py --data HUMANEVAL.jsonl.gz [--peers FOLDER]
        [--workers 4] [--rounds 5] [--solutions 300] [--limit 1] [--json]

HumanEval solutions, right and wrong ones (mutants of the right), each against twenty calls; then
the same with 1% that hang.  Everyone judges the same list with as many workers and the same time
limit, in interleaved rounds; medians over rounds.  FOLDER holds the peers' environments (see
`bench/README.md`).  The last part puts 1% bombs among the solutions and looks at the others.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from verdicts_solutions import BOMBS, Solution, hanging, solutions_of

from proofloop.core.sandbox import Limits
from proofloop.core.verdict import Tier
from proofloop.runs.verification import Attempt, judge

HERE = Path(__file__).resolve().parent


class Timed(NamedTuple):
    """One round of one contender."""

    passed: list[bool]
    verdict_s: list[float]
    """Of each solution, where the contender says; else empty."""
    wall_s: float


Contender = Callable[[Sequence[Solution]], Timed]


class Helper:
    """A contender that runs in processes of its own: a list of solutions in, a `Timed` out."""

    def __init__(self, command: Sequence[str], env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.to, self.of = self.process.stdin, self.process.stdout

    def __call__(self, solutions: Sequence[Solution]) -> Timed:
        rows = [solution.plain() for solution in solutions]
        self.to.write(json.dumps(rows).encode() + b"\n")
        self.to.flush()
        line = self.of.readline()
        if not line:
            raise SystemExit(f"{self.process.args} ended with {self.process.wait()}")
        return Timed(**json.loads(line))

    def close(self) -> None:
        self.to.close()
        self.process.wait()


def ours_by_threads(tier: Tier, workers: int, limits: Limits) -> Contender:
    """What `proofloop verify` runs, its sandboxes' start included."""

    def run(solutions: Sequence[Solution]) -> Timed:
        attempts = [Attempt(s.problem, s.source) for s in solutions]
        start = time.perf_counter()
        verdicts = list(judge(attempts, tier=tier, workers=workers, limits=limits))
        wall_s = time.perf_counter() - start
        return Timed([v.reward == 1.0 for v in verdicts], [], wall_s)  # type: ignore[union-attr]

    return run


def quantile(values: Sequence[float], q: int) -> float:
    return statistics.quantiles(values, n=100)[q - 1] if len(values) > 1 else float("nan")


def figures(rounds: Sequence[Timed]) -> dict[str, float]:
    rates = [len(timed.passed) / timed.wall_s for timed in rounds]
    times = [1e3 * t for timed in rounds for t in timed.verdict_s]
    found = {"per_s": statistics.median(rates), "least": min(rates), "most": max(rates)}
    if times:
        found |= {"p50_ms": quantile(times, 50), "p99_ms": quantile(times, 99)}
    return found


def wrong_verdicts(timed: Timed, solutions: Sequence[Solution]) -> int:
    return sum(p != s.is_right for p, s in zip(timed.passed, solutions, strict=True))


def among_bombs(contender: Contender, plain: Sequence[Solution], rounds: int) -> dict[str, Any]:
    """Time of the others' verdicts, with 1% bombs among them and without, in turn."""
    num_bombs = max(1, len(plain) // 100)
    step = len(plain) // num_bombs
    mixed: list[Solution] = []
    for place, solution in enumerate(plain):
        mixed.append(solution)
        if place % step == step // 2:
            source = BOMBS[place // step % len(BOMBS)].replace("$NAME", solution.name)
            mixed.append(msgspec.structs.replace(solution, source=source, is_right=False))
    others = [place for place, s in enumerate(mixed) if any(s is p for p in plain)]
    without: list[float] = []
    with_bombs: list[float] = []
    escaped = 0
    for _ in range(rounds):
        without += contender(plain).verdict_s
        timed = contender(mixed)
        with_bombs += [timed.verdict_s[place] for place in others]
        escaped += sum(timed.passed) - sum(timed.passed[place] for place in others)
    return {
        "num_bombs": len(mixed) - len(plain),
        "escaped": escaped,
        "median_ratio": statistics.median(with_bombs) / statistics.median(without),
        "p50_ms": [1e3 * quantile(without, 50), 1e3 * quantile(with_bombs, 50)],
        "p99_ms": [1e3 * quantile(without, 99), 1e3 * quantile(with_bombs, 99)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True, help="HumanEval's rows")
    parser.add_argument("--peers", type=Path, help="the folder of environments")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--solutions", type=int, default=300)
    parser.add_argument("--limit", type=int, default=1, help="seconds, for everyone")
    parser.add_argument("--tier", default="T1")
    parser.add_argument("--only", nargs="*", help="contenders whose names begin so")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    plain = solutions_of(options.data, options.solutions)
    mixed = hanging(plain, max(1, len(plain) // 100))
    limits = Limits(cpu_s=options.limit, wall_s=10.0 * options.limit)
    with ExitStack() as stack:

        def helper(name: str, python: str, *path: str) -> Contender:
            command = [python, str(HERE / "verdicts_contender.py"), name, str(options.workers),
                       str(options.limit)]  # fmt: skip
            paths = os.pathsep.join([*path, *sys.path[1:]] if name.startswith("ours") else path)
            made = Helper(command, {"PYTHONPATH": paths})
            stack.callback(made.close)
            return made

        python = sys.executable
        contenders: dict[str, Contender] = {
            f"ours {options.tier}, processes": helper(f"ours-{options.tier}", python),
            f"ours {options.tier}, proofloop verify": ours_by_threads(
                Tier(options.tier), options.workers, limits
            ),
            "bare fork and run": helper("bare", python),
            "fresh interpreter": helper("fresh", python),
        }
        if options.peers is not None:
            peer_python = str(options.peers / "code" / "bin" / "python")
            contenders["EvalPlus"] = helper("evalplus", peer_python)
            contenders["LiveCodeBench"] = helper(
                "livecodebench", peer_python, str(options.peers / "lcb")
            )
        if options.only:
            contenders = {
                name: made for name, made in contenders.items()
                if any(name.startswith(word) for word in options.only)
            }  # fmt: skip
        results: dict[str, dict[str, float]] = {}
        for kind, solutions in (("right and wrong", plain), ("1% hanging", mixed)):
            rounds: dict[str, list[Timed]] = {name: [] for name in contenders}
            for number in range(options.rounds + 1):
                for name, contender in contenders.items():
                    timed = contender(solutions)
                    if number:  # the first round warms up
                        rounds[name].append(timed)
            for name, some in rounds.items():
                wrong = max(wrong_verdicts(timed, solutions) for timed in some)
                results[f"{name}; {kind}"] = {**figures(some), "misjudged": wrong}
        bombs = None
        first = next(iter(contenders.items()))
        if first[0].startswith("ours") and "processes" in first[0]:
            bombs = among_bombs(first[1], plain, options.rounds)
    shown = {"load": os.getloadavg()[0], "workers": options.workers, **results, "bombs": bombs}
    if options.json:
        print(json.dumps(shown))
        return
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    print(f"{options.workers} workers, {len(plain)} solutions, limit {options.limit} s")
    for kind in ("right and wrong", "1% hanging"):
        best = next(v["per_s"] for name, v in results.items() if name.endswith(kind))
        for name, line in results.items():
            if name.endswith(kind):
                print(f"{name:48}", "  ".join(f"{k} {v:.2f}" for k, v in line.items()),
                      f" ours / it {best / line['per_s']:.2f}")  # fmt: skip
    print("bombs:", json.dumps(bombs))


if __name__ == "__main__":
    main()
