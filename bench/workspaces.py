"""How long a workspace and a command in one take, per tier, on one core after another.

    PYTHONPATH=src python bench/workspaces.py [--rounds 100] [--json]

Medians (and the least) in ms of: opening an empty workspace; one over a base of 100 files; `true`
in an open one; open, `true` and close together; a file of 10 kB written and read back.  Beside them
`subprocess.run(["true"])` from this process, without any isolation, measured in between, since a
busy machine slows both alike.  Last, 100 workspaces open at once: the time until all stand, and how
much memory a keeper has for itself.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from proofloop.core.errors import IsolationError
from proofloop.core.sandbox import Command, Limits, Policy
from proofloop.core.verdict import Tier
from proofloop.sandbox import ForkServerSandbox, open_sandbox
from proofloop.sandbox.descendants import descendants

LIMITS = Limits(num_processes=8, file_bytes=1 << 20)
TRUE = Command(argv=("true",), policy=Policy(limits=LIMITS))
NUM_AT_ONCE = 100


def make_base(folder: Path) -> Path:
    """100 files of 2 kB in 10 folders."""
    for i in range(100):
        path = folder / f"folder{i % 10}" / f"file{i}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(2048))
    return folder


def measure_tier(tier: Tier, base: Path, num_rounds: int) -> dict[str, float]:
    with open_sandbox(tier) as sandbox, contextlib.closing(sandbox.open_workspace()) as kept:

        def write_and_read() -> None:
            kept.write("file", bytes(10_000))
            assert kept.read("file", max_bytes=10_000) is not None

        def whole_life() -> None:
            with contextlib.closing(sandbox.open_workspace()) as workspace:
                workspace.run(TRUE)

        actions: dict[str, Callable[[], object]] = {
            "bare_subprocess": lambda: subprocess.run(["true"], check=True),
            "open": sandbox.open_workspace,
            "open_over_100_files": lambda: sandbox.open_workspace(base),
            "command": lambda: kept.run(TRUE),
            "open_command_close": whole_life,
            "write_and_read_10_kB": write_and_read,
        }
        times_s: dict[str, list[float]] = {name: [] for name in actions}
        for _ in range(num_rounds):
            for name, act in actions.items():
                start = time.perf_counter()
                made = act()
                times_s[name].append(time.perf_counter() - start)
                if hasattr(made, "close"):
                    made.close()  # type: ignore[attr-defined]
        figures = {f"{n}_ms": 1e3 * statistics.median(t) for n, t in times_s.items()}
        figures |= {f"least_{n}_ms": 1e3 * min(t) for n, t in times_s.items()}
        return figures | measure_many(sandbox)


def measure_many(sandbox: ForkServerSandbox) -> dict[str, float]:
    with contextlib.ExitStack() as stack:
        start = time.perf_counter()
        for _ in range(NUM_AT_ONCE):
            stack.enter_context(contextlib.closing(sandbox.open_workspace()))
        taken_s = time.perf_counter() - start
        assert sandbox._keepers is not None  # pyright: ignore[reportPrivateUsage]
        keepers = descendants(sandbox._keepers.pid)  # pyright: ignore[reportPrivateUsage]
        own_kb = sum(map(private_kb, keepers))
    return {"open_100_ms": 1e3 * taken_s, "keeper_MB": own_kb / 1024 / len(keepers)}


def private_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder))
        for tier in Tier:
            try:
                results[tier.value] = measure_tier(tier, base, options.rounds)
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
