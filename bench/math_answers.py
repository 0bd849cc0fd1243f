"""How many final answers a second one core judges, beside math-verify, and what a bomb costs.

    PYTHONPATH=src python bench/math_answers.py DATA_DIR [--peer VENV/bin/python] [--json]

DATA_DIR holds `gsm8k_model_solutions.jsonl.gz` and `math_model_solutions.jsonl.gz`.  Typical
answers are real completions, right and wrong, in shuffled order; `in process` is the share that
needed no worker.  The rows of other notations are right answers to MATH-like gold answers written
otherwise, and those of the worker need functions or nested roots.  `worst in process` is the
slowest of many hostile answers built to exhaust the caps of the trusted process.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from math_agreement import labelled

from proofloop.core.task import MathAnswer
from proofloop.core.verdict import Tier
from proofloop.sandbox.descendants import descendants
from proofloop.verify.math.prover import Prover
from proofloop.verify.math.verdicts import verify_answer

PEER = Path(__file__).with_name("math_peer.py")

OTHERWISE = (
    ("12\\frac{3}{5}", "\\frac{63}{5}"), ("2\\sqrt{3}", "\\sqrt{12}"), ("4a-2", "2(2a-1)"),
    ("\\frac{\\sqrt{2}}{2}", "\\frac{1}{\\sqrt{2}}"), ("[2,5)", "\\left[2, 5\\right)"),
    ("\\{1,2,3\\}", "\\{3, 1, 2\\}"), ("y = 2x+1", "2x - y + 1 = 0"), ("1,-2", "-2, 1"),
    ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{bmatrix}1\\\\2\\end{bmatrix}"),
    ("(3, \\frac{\\pi}{2})", "\\left( 3, \\frac{\\pi}{2} \\right)"), ("10,000", "10000"),
)  # fmt: skip
FOR_THE_WORKER = (
    ("\\ln 8", "3 \\ln 2"), ("\\sqrt{2+\\sqrt{3}}", "\\frac{\\sqrt{6}+\\sqrt{2}}{2}"),
    ("2^{n+1}", "2 \\cdot 2^n"), ("\\log_2 8", "3"), ("\\cos \\frac{\\pi}{3}", "\\frac12"),
)  # fmt: skip
BOMBS = (
    ("2^{2^{2^2}}", "9^{9^{(9^9)}}"), ("2^{10}", "9^{9^{9}}"), ("5!", "(10^9)!"),
    ("\\binom{6}{3}", "\\binom{10^9}{5 \\cdot 10^8}"), ("4", "9^{9^{9^{9}}}"),
    ("(x+1)^{60}", "(x+y+z+1)^{64}"), ("\\sqrt{2+\\sqrt{3}}",
     "\\sqrt{2+\\sqrt{3+\\sqrt{5+\\sqrt{7+\\sqrt{11+\\sqrt{13+\\sqrt{17}}}}}}}"),
)  # fmt: skip


class Row(NamedTuple):
    gold: str
    completion: str


class Timed(NamedTuple):
    seconds: list[float]
    num_asked: int
    worker_cpu_s: float
    """Of the worker and its children, for all that was asked."""


class _CountingProver(Prover):
    """Counts the questions that reach the worker."""

    num_asked = 0

    def ask(self, key: MathAnswer, text: str) -> Any:
        self.num_asked += 1
        return super().ask(key, text)

    def cpu_s(self) -> float:
        """Of the worker, the children that it has collected, and the one that it has."""
        if self._worker is None:
            return 0.0
        pid = self._worker[0].pid
        stats = [Path(f"/proc/{p}/stat").read_text() for p in (pid, *descendants(pid))]
        ticks = [sum(map(int, stat.rpartition(")")[2].split()[11:15])) for stat in stats]
        return sum(ticks) / os.sysconf("SC_CLK_TCK")


def ours(rows: Sequence[Row]) -> Timed:
    prover = _CountingProver()
    prover.ask(MathAnswer(gold="\\ln 8"), "3 \\ln 2")  # starts the worker
    prover.num_asked = 0
    seconds: list[float] = []
    before_s = prover.cpu_s()
    for row in rows:
        start = time.perf_counter()
        verify_answer(prover, MathAnswer(gold=row.gold), row.completion, Tier.T0)
        seconds.append(time.perf_counter() - start)
    worker_cpu_s = prover.cpu_s() - before_s
    prover.close()
    return Timed(seconds, prover.num_asked, worker_cpu_s)


def theirs(rows: Sequence[Row], python: str) -> list[float]:
    lines = "".join(json.dumps(row._asdict()) + "\n" for row in rows)
    done = subprocess.run(
        [python, str(PEER)], input=lines, capture_output=True, text=True, check=True
    )
    return [json.loads(line)["seconds"] for line in done.stdout.splitlines()]


def typical(folder: Path) -> list[Row]:
    rows = [
        Row(one.key.gold, one.completion.replace("\nA:", "\nThe answer is"))
        for env in ("gsm8k", "math")
        for one in labelled(env, folder / f"{env}_model_solutions.jsonl.gz")
    ]
    random.Random(0).shuffle(rows)
    return rows


def boxed(pairs: Sequence[tuple[str, str]], times: int) -> list[Row]:
    return [Row(gold, f"So the answer is $\\boxed{{{text}}}$.") for gold, text in pairs] * times


def hostile(num: int) -> list[Row]:
    """Answers near the caps: long sums, products of sums, powers, roots, brackets, numerals."""
    draw = random.Random(1)
    parts = ("(a+b+c)", "x^{8}", "\\sqrt{999983}", "9^{600}", "\\frac{1}{x+1}", "(1+\\sqrt{2})^8",
             "99999999", "\\frac{999983}{999979}", "\\sqrt[64]{999962000357}", "y_1", "\\sin(x)",
             "\\pi", "\\left(\\frac{a}{b}\\right)^{2}", "100!")  # fmt: skip
    gold = "x + 9^2 + \\sqrt{2} + \\sin(x) + 3! + 2 \\cdot 3 + (1+\\sqrt{3})^2"
    rows = [
        Row(gold, "\\boxed{" + "{" * 900), Row(gold, "\\boxed{" + "(" * 900 + "}"),
        Row(gold, "\\boxed{1}" * 5000), Row(gold, "#### 1\n" * 5000), Row(gold, "<think>" * 9999),
        Row(gold, "\\boxed{" + "9" * 999 + "}"), Row(gold, "the answer is " * 9999),
        Row("\\{" + ",".join(f"{i}/7" for i in range(60)) + "\\}",
            "\\boxed{\\{" + ",".join(f"{i}/7" for i in reversed(range(60))) + "\\}}"),
    ]  # fmt: skip
    while len(rows) < num:
        text = draw.choice(parts)
        length = draw.randrange(200, 900)
        while len(text) < length:
            text += draw.choice(("+", " \\cdot ", "-", "+", " \\cdot ")) + draw.choice(parts)
        rows.append(Row(gold, f"\\boxed{{{text}}}"))
    return rows


class _NoProver(Prover):
    """Answers at once, so that only the trusted process is timed."""

    def ask(self, key: MathAnswer, text: str) -> Any:
        from proofloop.verify.math.worker import Outcome, Reply

        return Reply(outcome=Outcome.WRONG)


def worst_in_process(num: int) -> float:
    seconds = 0.0
    for row in hostile(num):
        start = time.thread_time()
        verify_answer(_NoProver(), MathAnswer(gold=row.gold), row.completion, Tier.T0)
        seconds = max(seconds, time.thread_time() - start)
    return seconds


def figures(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=100)
    return {
        "answers_per_s": len(seconds) / sum(seconds),
        "p50_ms": 1e3 * cuts[49],
        "p99_ms": 1e3 * cuts[98],
        "most_ms": 1e3 * max(seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--peer", help="an interpreter that has math-verify")
    parser.add_argument("--peer-rows", type=int, default=600, help="of the typical ones")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = typical(options.folder)
    kinds = {
        "typical": rows,
        "written otherwise": boxed(OTHERWISE, 100),
        "for the worker": boxed(FOR_THE_WORKER, 20),
        "bombs": boxed(BOMBS, 1),
    }
    results: dict[str, dict[str, float]] = {}
    for name, of_kind in kinds.items():
        timed = ours(of_kind)
        share = 1 - timed.num_asked / len(of_kind)
        results[f"{name}, ours"] = {**figures(timed.seconds), "in_process": share}
        if timed.num_asked:
            cpu_ms = 1e3 * timed.worker_cpu_s / timed.num_asked
            results[f"{name}, ours"]["worker_cpu_ms"] = cpu_ms
        if options.peer is not None:
            some = of_kind[: options.peer_rows]
            results[f"{name}, math-verify"] = figures(theirs(some, options.peer))
    results["worst in process"] = {"most_ms": 1e3 * worst_in_process(600)}
    if options.json:
        print(json.dumps({"load": os.getloadavg()[0], **results}))
        return
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for name, line in results.items():
        print(f"{name}:", "  ".join(f"{k} {v:.2f}" for k, v in line.items()))


if __name__ == "__main__":
    main()
