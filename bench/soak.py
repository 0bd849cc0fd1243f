"""Many verdicts on end, and what they leave behind: nothing.

    PYTHONPATH=src python bench/soak.py [--verifications 100000] [--workers 2] [--tier T1] [--json]

A mixed bag of answers (right, wrong, raising, exiting, killing themselves, flooding, eating memory,
and a few that hang) is judged by `--workers` verifiers with a fork-server each.  After a warm-up
and then at ten points, between two verdicts, it counts: resident memory of this process and of the
fork-servers, descriptors, processes, mounts as the fork-servers see them, files in a temporary
folder of its own.  Exit status 1 if a verdict was wrong or unscored, or if anything was left.
"""

import argparse
import itertools
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from proofloop.core import value
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
from proofloop.core.verdict import Scored, Tier
from proofloop.sandbox.descendants import descendants
from proofloop.verify import ProgramVerifier, build_verifier


class Kind(NamedTuple):
    """One answer of the bag: its share, whether it passes, its program."""

    weight: int
    passes: bool
    source: str


BAG = {
    "right": Kind(400, True, "def f(x):\n    return [y * 2 for y in x]\n"),
    "right, printing": Kind(100, True, "def f(x):\n    print(x)\n    return [y + y for y in x]\n"),
    "wrong": Kind(200, False, "def f(x):\n    return x\n"),
    "wrong type": Kind(50, False, "def f(x):\n    return tuple(y * 2 for y in x)\n"),
    "raising": Kind(80, False, "def f(x):\n    return x[99]\n"),
    "no program": Kind(40, False, "def f(x:\n"),
    "exiting": Kind(40, False, "import os\ndef f(x):\n    os._exit(0)\n"),
    "crashing": Kind(40, False, "import ctypes\ndef f(x):\n    ctypes.string_at(0)\n"),
    "killing itself": Kind(20, False, "import os\ndef f(x):\n    os.kill(os.getpid(), 9)\n"),
    "flooding": Kind(14, False, "def f(x):\n    print('y' * 10**6)\n"),
    "eating memory": Kind(14, False, "def f(x):\n    return bytearray(10**10)\n"),
    "computing": Kind(1, False, "def f(x):\n    while True: pass\n"),
    "sleeping": Kind(1, False, "import time\ndef f(x):\n    time.sleep(99)\n"),
}
LIMITS = Limits(wall_s=3.0, cpu_s=1)
TASK = Task(
    id=TaskId("soak@0"),
    env="soak",
    split=Split.HELDOUT,
    stratum=Stratum(family="list", complexity=1, horizon=1),
    messages=(),
)
KEY = AnswerKey(
    task_id=TASK.id,
    tests=CallTests(
        calls=tuple(
            TestCall(
                function="f",
                args=value.encode((list(range(n)),)),
                wanted=Returns(value=value.encode([2 * y for y in range(n)])),
            )
            for n in (1, 5, 9)
        )
    ),
)


def bag() -> Iterator[str]:
    """The bag's kinds, evenly spread, again and again."""
    places = [
        ((i + 0.5) / kind.weight, name) for name, kind in BAG.items() for i in range(kind.weight)
    ]
    return itertools.cycle([name for _, name in sorted(places)])


class Footprint(NamedTuple):
    """What there is of us at one moment."""

    client_mib: float
    servers_mib: float
    descriptors: int
    processes: int
    mounts: int
    files: int


def footprint(folder: Path) -> Footprint:
    below = descendants(os.getpid())
    return Footprint(
        client_mib=_resident_mib(os.getpid()),
        servers_mib=sum(_resident_mib(pid) for pid in below),
        descriptors=len(os.listdir("/proc/self/fd")),
        processes=len(below),
        mounts=sum(_num_mounts(pid) for pid in below),
        files=sum(1 for _ in folder.rglob("*")),
    )


def _resident_mib(pid: int) -> float:
    """Of its own: what is shared with others counts by parts."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # a server at T0 lets nobody look
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    figures = dict(line.split(":", 1) for line in lines if ":" in line)
    found = figures.get("Pss") or figures.get("VmRSS") or "0 kB"
    return int(found.split()[0]) / 1024


def _num_mounts(pid: int) -> int:
    try:
        return len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines())
    except OSError:
        return 0


def soak(num: int, workers: int, tier: Tier, folder: Path) -> dict[str, object]:
    """Judge `num` answers in eleven parts, the first a warm-up."""
    before = footprint(folder)
    kinds = bag()
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    verifiers = [build_verifier(tier, LIMITS) for _ in range(workers)]
    lock = threading.Lock()

    def judge(verifier: ProgramVerifier, names: Iterator[str]) -> None:
        while True:
            with lock:
                name = next(names, None)
            if name is None:
                return
            verdict = verifier.verify(TASK, KEY, BAG[name].source)
            is_right = isinstance(verdict, Scored) and verdict.passed is BAG[name].passes
            with lock:
                outcomes[f"{name}: {verdict.cause}"] += 1
                if not is_right:
                    wrong.append(f"{name}: {verdict}")

    start = time.perf_counter()
    points: list[Footprint] = []
    with ThreadPoolExecutor(workers) as pool:
        for part in range(11):
            names = itertools.islice(kinds, num * (part + 1) // 11 - num * part // 11)
            list(pool.map(judge, verifiers, itertools.repeat(names)))
            points.append(footprint(folder))
    took_s = time.perf_counter() - start
    for verifier in verifiers:
        verifier.close()
    after = footprint(folder)
    return {
        "tier": tier.value,
        "verifications": sum(outcomes.values()),
        "verdicts_per_s": sum(outcomes.values()) / took_s,
        "wrong": wrong[:20],
        "outcomes": dict(sorted(outcomes.items())),
        "before": before._asdict(),
        "points": [point._asdict() for point in points],
        "after": after._asdict(),
        "left": leftovers(before, points, after),
    }


def leftovers(before: Footprint, points: list[Footprint], after: Footprint) -> list[str]:
    """What grew.  Memory may vary by 2 MiB and a tenth: a server is replaced now and then, and
    memory of the interpreter is not given back at once."""
    left: list[str] = []
    for name in ("descriptors", "processes", "files"):
        if getattr(after, name) > getattr(before, name):
            left.append(f"{name}: {getattr(before, name)}, then {getattr(after, name)}")
    for name in ("descriptors", "processes", "mounts", "files"):
        if getattr(points[-1], name) > getattr(points[0], name):
            left.append(f"{name} while at work: {[getattr(p, name) for p in points]}")
    for name in ("client_mib", "servers_mib"):
        warm = max(getattr(point, name) for point in points[:3])
        if getattr(points[-1], name) > 1.1 * warm + 2:
            left.append(f"{name}: {[round(getattr(p, name), 1) for p in points]}")
    return left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--verifications", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tier", type=Tier, default=Tier.T1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        result = soak(options.verifications, options.workers, options.tier, Path(folder))
    if options.json:
        print(json.dumps(result))
    else:
        for name, found in result.items():
            rows = found if isinstance(found, list) else [found]
            print(f"{name}: ", *rows, sep="\n    " if len(rows) > 1 else "")
    sys.exit(bool(result["wrong"] or result["left"]))


if __name__ == "__main__":
    main()
