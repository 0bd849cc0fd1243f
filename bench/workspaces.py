"""How long a workspace and a command in one take, per tier, on one core after another.

    PYTHONPATH=src python bench/workspaces.py [--rounds 100] [--json]

Medians (and the least) in ms of: opening an empty workspace; one over a base of 100 files; `true`
in an open one; open, `true` and close together; a file of 10 kB written and read back.  Beside them
`subprocess.run(["true"])` from this process, without any isolation, measured in between, since a
busy machine slows both alike.  Last, 100 workspaces open at once: the time until all stand, and how
much memory a keeper has for itself.

And workspaces of a repository (2,000 files, 16 MB, made here, prepared as for an agent): opening
one, the first `git status` in it, what changed after one edit; then 200 side by side, each with an
edit of its own: until all stand, memory of all keepers, and what of the machine's memory they take
up together, which is what was written.
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

from proofloop.agent.changes import changes
from proofloop.agent.repository import begin_history, prepare
from proofloop.core.errors import IsolationError
from proofloop.core.sandbox import Command, Limits, Policy
from proofloop.core.verdict import Tier
from proofloop.sandbox import ForkServerSandbox, open_sandbox
from proofloop.sandbox.descendants import descendants

LIMITS = Limits(num_processes=8, file_bytes=1 << 20)
TRUE = Command(argv=("true",), policy=Policy(limits=LIMITS))
NUM_AT_ONCE = 100
NUM_REPOSITORIES = 200
STATUS = Command(
    argv=("git", "-c", "safe.directory=*", "status", "--short"),
    policy=Policy(limits=Limits(num_processes=8, file_bytes=1 << 20, num_open_files=128)),
)


def make_base(folder: Path) -> Path:
    """100 files of 2 kB in 10 folders."""
    folder.mkdir()
    for i in range(100):
        path = folder / f"folder{i % 10}" / f"file{i}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(2048))
    return folder


def make_repository(folder: Path) -> Path:
    """As agents get it: one commit."""
    checkout = folder / "checkout"
    for i in range(2000):
        path = checkout / f"package{i % 40}" / f"module{i}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {i}\n" + "x = 1\n" * 1333)
    begin_history(checkout)
    return prepare(checkout, folder / "base").tree


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


def measure_repositories(tier: Tier, base: Path, num_rounds: int) -> dict[str, float]:
    times_s: dict[str, list[float]] = {"open": [], "status": [], "changes": []}
    with open_sandbox(tier) as sandbox:
        for _ in range(num_rounds):
            start = time.perf_counter()
            workspace = sandbox.open_workspace(base)
            opened = time.perf_counter()
            times_s["open"].append(opened - start)
            if len(times_s["status"]) < 10:
                workspace.run(STATUS)
                times_s["status"].append(time.perf_counter() - opened)
                workspace.write("package0/module0.py", b"x = 2\n")
                before = time.perf_counter()
                assert len(changes(workspace, base).files) == 1
                times_s["changes"].append(time.perf_counter() - before)
            workspace.close()
        figures = {f"repository_{n}_ms": 1e3 * statistics.median(t) for n, t in times_s.items()}
        figures["repository_open_p95_ms"] = 1e3 * statistics.quantiles(times_s["open"], n=20)[-1]
        if tier is Tier.T0:  # copies: 200 would be disk and patience, and say nothing new
            return figures
        with contextlib.ExitStack() as stack:
            free = available_mb()
            start = time.perf_counter()
            for i in range(NUM_REPOSITORIES):
                workspace = stack.enter_context(contextlib.closing(sandbox.open_workspace(base)))
                workspace.write("package0/module0.py", f"x = {i}\n".encode())
            taken_s = time.perf_counter() - start
            taken_mb = free - available_mb()
            assert sandbox._keepers is not None  # pyright: ignore[reportPrivateUsage]
            keepers = descendants(sandbox._keepers.pid)  # pyright: ignore[reportPrivateUsage]
            own_mb = sum(map(private_kb, keepers)) / 1024
        return figures | {
            "repositories_200_open_ms": 1e3 * taken_s,
            "repositories_200_keepers_MB": own_mb,
            "repositories_200_taken_MB": taken_mb,
        }


def available_mb() -> float:
    line = next(x for x in Path("/proc/meminfo").read_text().splitlines() if "MemAvail" in x)
    return int(line.split()[1]) / 1024


def private_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tier", action="append", help="only these; repeatable")
    parser.add_argument("--repositories", action="store_true", help="only the second part")
    options = parser.parse_args()
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        base = make_base(Path(folder, "base"))
        repository = make_repository(Path(folder))
        for tier in [tier for tier in Tier if not options.tier or tier in options.tier]:
            try:
                results[tier.value] = {}
                if not options.repositories:
                    results[tier.value] |= measure_tier(tier, base, options.rounds)
                results[tier.value] |= measure_repositories(tier, repository, options.rounds)
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
