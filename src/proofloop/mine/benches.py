"""Several sandboxes at once, each for one thread; results as they come.

Threads are enough: what takes time runs in the sandboxes' processes.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from queue import SimpleQueue
from typing import TypeVar

from proofloop.core.errors import SandboxLost
from proofloop.core.verdict import Tier
from proofloop.sandbox import ForkServerSandbox, open_sandbox

T = TypeVar("T")
R = TypeVar("R")

_TRIES = 3


class Benches:
    def __init__(self, workers: int, tier: Tier | None = None) -> None:
        """`workers` 0: the cores that this process may use.  Raises IsolationError."""
        self.num = workers or len(os.sched_getaffinity(0))
        self._stack = ExitStack()
        self._idle: SimpleQueue[ForkServerSandbox] = SimpleQueue()
        for _ in range(self.num):
            sandbox = self._stack.enter_context(open_sandbox(tier))
            tier = sandbox.tier  # what the first one got, all must have
            self._idle.put(sandbox)
        assert tier is not None
        self.tier = tier
        self._pool = ThreadPoolExecutor(self.num, "mine")

    def __enter__(self) -> "Benches":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._stack.close()

    def map(self, work: Callable[[ForkServerSandbox, T], R], items: Sequence[T]) -> list[R]:
        """Results in the order of the items.  Raises what `work` raises; SandboxLost after a few
        tries."""
        return [future.result() for future in [self._submit(work, item) for item in items]]

    def stream(self, work: Callable[[ForkServerSandbox, T], R], items: Iterable[T]) -> Iterator[R]:
        """Results as they come; an item is drawn only when there is a sandbox for it."""
        waiting: set[Future[R]] = set()
        drawn = iter(items)
        try:
            while True:
                while len(waiting) < self.num:
                    item = next(drawn, None)
                    if item is None:
                        break
                    waiting.add(self._submit(work, item))
                if not waiting:
                    return
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in waiting:
                future.cancel()

    def _submit(self, work: Callable[[ForkServerSandbox, T], R], item: T) -> "Future[R]":
        def run() -> R:
            sandbox = self._idle.get()
            try:
                for _ in range(_TRIES - 1):
                    try:
                        return work(sandbox, item)
                    except SandboxLost:
                        continue
                return work(sandbox, item)
            finally:
                self._idle.put(sandbox)

        return self._pool.submit(run)
