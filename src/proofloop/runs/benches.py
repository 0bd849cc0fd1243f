"""Work that needs a sandbox and a verifier, done by several at once, results in order.

Threads for little work, since they start at once; processes for much of it, since judging takes
half a millisecond of the trusted side, which threads of one interpreter take in turn.  A process
that dies takes no verdict with it: what has not come back is done by threads.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from functools import partial
from multiprocessing import get_context
from queue import SimpleQueue
from typing import NamedTuple, TypeVar

from proofloop.core.sandbox import Limits
from proofloop.core.task import Problem
from proofloop.core.verdict import Tier
from proofloop.runs.lifeline import die_with_parent
from proofloop.runs.machine_check import languages_of_problems
from proofloop.runs.manifest import num_workers
from proofloop.sandbox import ForkServerSandbox, open_sandbox
from proofloop.verify import ProgramVerifier
from proofloop.verify.toolchain import check_languages

T = TypeVar("T")
R = TypeVar("R")

ITEMS_FOR_PROCESSES = 200
"""A worker, from which on they pay for their start of about half a second."""
_CHUNK = 4
"""Items that a process is handed at a time."""


class Bench(NamedTuple):
    """What one worker works with."""

    sandbox: ForkServerSandbox
    verifier: ProgramVerifier


Work = Callable[[Bench, T], R]


def at_benches(
    work: Work[T, R],
    items: Sequence[T],
    *,
    tier: Tier | None,
    workers: int = 0,
    problems: Sequence[Problem] = (),
) -> Iterator[R]:
    """Results in the order of the items, by `workers` at once (0: the cores).

    `work`, items and results are pickled where processes do it; `work` is done again where one of
    those was lost.  Raises IsolationError or MissingProgram (for what `problems` need) before the
    first result, and what `work` raises.
    """
    num = max(1, min(num_workers(workers), len(items)))
    with open_sandbox(tier) as sandbox:
        check_languages(sandbox, languages_of_problems(problems))
        tier = sandbox.tier  # what the first one got, all must have: one file, one tier
    num_done = 0
    if num > 1 and len(items) >= num * ITEMS_FOR_PROCESSES:
        try:
            for result in _by_processes(work, items, tier, num):
                yield result
                num_done += 1
        except BrokenProcessPool:
            pass
        else:
            return
    yield from _by_threads(work, items[num_done:], tier, num)


def _by_threads(work: Work[T, R], items: Sequence[T], tier: Tier, num: int) -> Iterator[R]:
    with ExitStack() as stack:
        idle: SimpleQueue[Bench] = SimpleQueue()
        for _ in range(num):
            bench = _bench(tier)
            stack.callback(bench.verifier.close)
            idle.put(bench)

        def run(item: T) -> R:
            bench = idle.get()
            try:
                return work(bench, item)
            finally:
                idle.put(bench)

        pool = stack.enter_context(ThreadPoolExecutor(num, "verify"))
        stack.callback(pool.shutdown, cancel_futures=True)
        yield from pool.map(run, items)


def _by_processes(work: Work[T, R], items: Sequence[T], tier: Tier, num: int) -> Iterator[R]:
    with ExitStack() as stack:
        pool = ProcessPoolExecutor(num, get_context("spawn"), _open_own_bench, (tier,))
        stack.callback(pool.shutdown, cancel_futures=True)
        yield from pool.map(partial(_at_own_bench, work), items, chunksize=_CHUNK)


def _bench(tier: Tier) -> Bench:
    sandbox = open_sandbox(tier)
    return Bench(sandbox, ProgramVerifier(sandbox, Limits()))


_own: list[Bench] = []
"""Of a process of the pool: one."""


def _open_own_bench(tier: Tier) -> None:
    threading.Thread(target=die_with_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    _own.append(_bench(tier))


def _at_own_bench(work: Work[T, R], item: T) -> R:
    return work(_own[0], item)
