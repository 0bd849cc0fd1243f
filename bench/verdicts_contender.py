"""One contender of `verdicts.py` in processes of its own, under its own interpreter.

    python verdicts_contender.py NAME WORKERS LIMIT_S

A line in: a list of {"name", "arguments", "results", "source"}; a line out: {"passed", "verdict_s",
"wall_s"}.  Knows nothing of ours but for the contenders `ours-T0` and `ours-T1`.
"""

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

_BARE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "verdicts_bare.py")
NAME, WORKERS, LIMIT_S = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def timed(judge, pool):
    """A contender out of a function of one solution and a pool that maps."""

    def run(solutions):
        start = time.perf_counter()
        pairs = list(pool.map(_clocked, [(judge, s) for s in solutions]))
        wall_s = time.perf_counter() - start
        return [p for p, _ in pairs], [s for _, s in pairs], wall_s

    return run


def _clocked(item):
    judge, solution = item
    start = time.perf_counter()
    passed = judge(solution)
    return bool(passed), time.perf_counter() - start


# --- ours ---

_verifier = None


def _start_ours(tier):
    global _verifier
    from proofloop.core.sandbox import Limits
    from proofloop.core.verdict import Tier
    from proofloop.verify import build_verifier

    _verifier = build_verifier(Tier(tier), Limits(cpu_s=LIMIT_S, wall_s=10.0 * LIMIT_S))


def _ours(solution):
    from proofloop.core.task import AnswerKey, CallTests, Returns, Split, Stratum, Task, TestCall
    from proofloop.core.value import encode

    global _made
    made = _made.get(solution["key"])
    if made is None:
        calls = tuple(
            TestCall(
                function=solution["name"],
                args=encode(tuple(a)),
                wanted=Returns(value=encode(r)),
            )
            for a, r in zip(solution["arguments"], solution["results"], strict=True)
        )
        stratum = Stratum(family="bench", complexity=0, horizon=1)
        task = Task(id="t", env="bench", split=Split.HELDOUT, stratum=stratum, messages=())
        made = _made[solution["key"]] = (task, AnswerKey(task_id="t", tests=CallTests(calls=calls)))
    start = time.perf_counter()
    verdict = _verifier.verify(*made, solution["source"])
    return getattr(verdict, "passed", None) is True, time.perf_counter() - start


_made = {}


def ours(tier):
    context = multiprocessing.get_context("spawn")
    pool = context.Pool(WORKERS, _start_ours, (tier,))

    def run(solutions):
        for solution in solutions:
            solution["key"] = json.dumps([solution["name"], solution["arguments"]])
        start = time.perf_counter()
        pairs = pool.map(_ours, solutions, chunksize=4)
        wall_s = time.perf_counter() - start
        return [p for p, _ in pairs], [s for _, s in pairs], wall_s

    return run


# --- the plainest ways ---


def bare():
    """A small process forks, the child runs solution and tests and says one byte."""
    workers = [_BareWorker() for _ in range(WORKERS)]

    def run(solutions):
        start = time.perf_counter()
        with ThreadPoolExecutor(WORKERS) as pool:
            dealt = [solutions[i::WORKERS] for i in range(WORKERS)]
            shares = list(pool.map(_BareWorker.ask, workers, dealt))
        wall_s = time.perf_counter() - start
        passed, seconds = [False] * len(solutions), [0.0] * len(solutions)
        for i, share in enumerate(shares):
            passed[i::WORKERS] = [p for p, _ in share]
            seconds[i::WORKERS] = [s for _, s in share]
        return passed, seconds, wall_s

    return run


class _BareWorker:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-s", _BARE, str(LIMIT_S)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def ask(self, solutions):
        self.process.stdin.write(json.dumps(solutions).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def fresh(solution):
    """An interpreter for every solution; the tests stand below it, the exit status decides."""
    pairs = zip(solution["arguments"], solution["results"], strict=True)
    tests = "".join(f"assert {solution['name']}(*{a!r}) == {r!r}\n" for a, r in pairs)
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(solution["source"] + "\n" + tests)
        file.flush()
        try:
            done = subprocess.run(
                [sys.executable, "-I", file.name], capture_output=True, timeout=LIMIT_S
            )
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


# --- peers ---


def untrusted(solution):
    from evalplus.eval import PASS, untrusted_check

    status, _ = untrusted_check(
        "humaneval", solution["source"], solution["arguments"], solution["name"],
        expected=solution["results"], atol=0, ref_time=[0.0] * len(solution["results"]),
        fast_check=True, min_time_limit=LIMIT_S,
    )  # fmt: skip
    return status == PASS


def livecodebench():
    from lcb_runner.evaluation.compute_code_generation_metrics import codegen_metrics

    def run(solutions):
        samples = [
            {"input_output": json.dumps({
                "fn_name": s["name"],
                "inputs": ["\n".join(map(json.dumps, args)) for args in s["arguments"]],
                "outputs": [json.dumps(result) for result in s["results"]],
            })}
            for s in solutions
        ]  # fmt: skip
        start = time.perf_counter()
        _, results, _ = codegen_metrics(
            samples, [[s["source"]] for s in solutions], k_list=[1],
            num_process_evaluate=WORKERS, timeout=LIMIT_S,
        )  # fmt: skip
        wall_s = time.perf_counter() - start
        passed = [all(x is True for x in results[i][0]) for i in range(len(solutions))]
        return passed, [], wall_s

    return run


def main():
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if NAME.startswith("ours-"):
        run = ours(NAME.removeprefix("ours-"))
    elif NAME == "bare":
        run = bare()
    elif NAME == "fresh":
        run = timed(fresh, ThreadPoolExecutor(WORKERS))
    elif NAME == "evalplus":
        import evalplus.eval  # noqa: F401  loaded before the pool forks, as in its `evaluate`

        run = timed(untrusted, ProcessPoolExecutor(WORKERS))
    else:
        run = livecodebench()
    for line in sys.stdin:
        passed, verdict_s, wall_s = run(json.loads(line))
        print(json.dumps({"passed": passed, "verdict_s": verdict_s, "wall_s": wall_s}), file=out)
        out.flush()


if __name__ == "__main__":
    main()
