"""Running this folder's files, a process of one thread each."""

import importlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from bench.coverage.row import Row

FOLDER = Path(__file__).parent


def files() -> list[str]:
    """Those of this folder that define `rows`."""
    names = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    return [name for name in names if "\ndef rows(" in (FOLDER / f"{name}.py").read_text()]


def run(name: str, num_worlds: int, seed: int) -> tuple[list[Row], float]:
    start = time.monotonic()
    module = importlib.import_module(f"bench.coverage.{name}")
    return list(module.rows(num_worlds=num_worlds, seed=seed)), time.monotonic() - start


def collect(
    names: Sequence[str], *, num_worlds: int, seed: int, workers: int
) -> Iterator[tuple[str, list[Row]]]:
    """The rows of every file, in the order in which they end."""
    # One thread each, which libraries read when first loaded: hence fresh processes.
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(run, name, num_worlds, seed): name for name in names}
        for future in as_completed(futures):
            found, seconds = future.result()
            name = futures[future]
            print(f"{name}: {len(found)} rows in {seconds:.0f} s", file=sys.stderr, flush=True)
            yield name, found
