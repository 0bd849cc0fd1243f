"""Continuous batching over the kernel: samples come and go while others grow.

A sample waits, is admitted when there are pages for it, grows by a few tokens a call, and leaves
with its pages released.  Contexts that are alike run once: their full pages are shared, the page
that is begun is copied.  Where pages run out the newest sample goes back to waiting and is computed
again later; its tokens stay, and since a row's arithmetic is the same in any company so do all
numbers after them.

Axes: N rows.
"""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from proofloop.core.completion import Request, SamplingParams
from proofloop.core.errors import UserError
from proofloop.engine.native.library import ROW
from proofloop.engine.native.network import Ints, NativeNetwork, Rows, Space
from proofloop.engine.pages import Pages
from proofloop.engine.stops import TextOf, first_stop

STEPS = 16
"""Tokens that a sample grows by before others are let in."""
PREFILL = 512
"""Most tokens of contexts run at once: more would not fit a core's cache."""
TEAM_BYTES = 16 << 20
"""Weights beyond this are read once for the rows of all threads: no core's own cache holds them."""
NO_TABLE: Ints = np.empty(0, np.int32)
NOT_STOPPED, AT_STOP_TOKEN, AT_LENGTH, AT_STOP_STRING = 0, 1, 2, 3
"""`stopped` in decode.c's Row, which knows no strings."""


@dataclass(slots=True, eq=False)
class Sample:
    """One completion while it grows."""

    context: tuple[int, ...]
    seed: int
    sampling: SamplingParams
    tokens: Ints
    logprobs: NDArray[np.float32]
    entropies: NDArray[np.float32]
    num_sampled: int = 0
    stopped: int = NOT_STOPPED
    pages: list[int] = field(default_factory=list[int])
    table: Ints = field(default_factory=lambda: NO_TABLE)
    """`pages` where the kernel reads them."""

    @classmethod
    def begin(cls, context: tuple[int, ...], seed: int, sampling: SamplingParams) -> "Sample":
        most = sampling.max_tokens
        return cls(
            context=context,
            seed=seed,
            sampling=sampling,
            tokens=np.empty(most, np.int32),
            logprobs=np.empty(most, np.float32),
            entropies=np.empty(most, np.float32),
        )

    @property
    def length(self) -> int:
        return len(self.context) + self.num_sampled

    def next_length(self, num_steps: int) -> int:
        """Positions in the cache once it grew by so many tokens, or as many as it may."""
        return self.length - 1 + min(num_steps, self.sampling.max_tokens - self.num_sampled)

    @property
    def all_tokens(self) -> tuple[int, ...]:
        return (*self.context, *self.tokens[: self.num_sampled].tolist())


class NativeSampler:
    """Grows samples on one network, in `num_threads` threads: each with rows of its own, who never
    wait for each other, or, where the weights are large, all of them on the same rows."""

    def __init__(
        self,
        network: NativeNetwork,
        stop_ids: Iterable[int],
        *,
        cache_bytes: int,
        rows_per_thread: int,
        num_threads: int = 1,
        text_of: TextOf | None = None,
    ) -> None:
        """Memory of the cache is only taken once it is used.  `text_of`: for stop strings."""
        self._network = network
        self._stop_ids = np.array(tuple(stop_ids), np.int32)
        num_pages = max(1, cache_bytes // (4 * network.page_floats))
        self._pages = Pages(num_pages, network.block)
        self._cache = np.empty((num_pages, network.page_floats), np.float32)
        self._max_rows = rows_per_thread * num_threads
        if network.packed_bytes > TEAM_BYTES:
            self._spaces = [Space(num_threads)]
        else:
            self._spaces = [Space() for _ in range(num_threads)]
        alone = len(self._spaces) == 1
        self._threads = None if alone else ThreadPoolExecutor(len(self._spaces))
        self._waiting: deque[Sample] = deque()
        self._growing: list[Sample] = []
        self._text_of = text_of

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._growing)

    def submit(self, sample: Sample) -> None:
        """It was checked that it fits."""
        self._waiting.append(sample)

    def check_fits(self, request: Request) -> None:
        """Raises UserError where a sample could never have pages enough."""
        context, most = len(request.context), request.sampling.max_tokens
        needed = self._pages.needed(context + most)
        if needed > self._pages.num_pages:
            raise UserError(
                f"a context of {context} tokens and a completion of up to {most} need {needed} "
                f"pages of the cache, which has {self._pages.num_pages}; lower sampling.max_tokens "
                "or give the engine more memory"
            )

    def cancel(self, sample: Sample) -> None:
        """It grows no further; whatever it has stays."""
        if sample in self._growing:
            self._growing.remove(sample)
            self._leave(sample)
        elif sample in self._waiting:
            self._waiting.remove(sample)

    def clear(self) -> None:
        """Nothing grows or waits any more."""
        for sample in (*self._waiting, *self._growing):
            self.cancel(sample)

    def weights_changed(self) -> None:
        """Nothing may be growing: its beginning would be another policy's."""
        assert not self._growing, "samples are growing"
        self._network.refresh()
        self._pages.forget_all()

    def advance(self, num_steps: int = STEPS) -> list[Sample]:
        """Everything grows by up to so many tokens.  Those that ended."""
        self._admit(num_steps)
        self._make_room(num_steps)
        self._over_threads(self._growing, lambda part, space: self._decode(part, num_steps, space))
        ended = [s for s in self._growing if s.stopped]
        self._growing = [s for s in self._growing if not s.stopped]
        for sample in ended:
            self._leave(sample)
        return ended

    def _over_threads(
        self, samples: list[Sample], work: Callable[[list[Sample], Space], None]
    ) -> None:
        """Neighbours, who share pages, stay together."""
        if not samples:
            return
        if self._threads is None:
            work(samples, self._spaces[0])
            return
        size = -(-len(samples) // len(self._spaces))
        parts = [samples[i : i + size] for i in range(0, len(samples), size)]
        for _ in self._threads.map(work, parts, self._spaces):
            pass

    def _admit(self, num_steps: int) -> None:
        """Those that wait, in order, as long as there are rows and pages."""
        first: dict[tuple[int, ...], Sample] = {}
        followers: list[tuple[Sample, Sample]] = []
        runs: list[tuple[Sample, int]] = []
        while self._waiting and len(self._growing) < self._max_rows:
            sample = self._waiting[0]
            tokens = sample.all_tokens[:-1]  # the newest one is the next step's
            leader = first.get(tokens)
            shared = self._pages.known(tokens) if leader is None else self._shared(leader, tokens)
            needed = self._pages.needed(sample.next_length(num_steps)) - len(shared)
            if needed > self._pages.num_available:
                for page in shared:
                    self._pages.release(page)
                break
            self._waiting.popleft()
            self._growing.append(sample)
            sample.pages = shared + [self._pages.take() for _ in range(needed)]
            self._set_table(sample)
            if leader is not None:
                followers.append((sample, leader))
            else:
                first[tokens] = sample
                runs.append((sample, len(shared) * self._pages.size))
        self._prefill(runs)
        for sample, leader in followers:
            begun = (sample.length - 1) // self._pages.size
            if (sample.length - 1) % self._pages.size:
                self._cache[sample.pages[begun]] = self._cache[leader.pages[begun]]
        for sample, _ in runs:
            self._pages.written(sample.all_tokens[:-1], sample.pages)

    def _shared(self, leader: Sample, tokens: tuple[int, ...]) -> list[int]:
        """The full pages of somebody who was just admitted with the same tokens."""
        shared = leader.pages[: len(tokens) // self._pages.size]
        for page in shared:
            self._pages.hold(page)
        return shared

    def _prefill(self, runs: list[tuple[Sample, int]]) -> None:
        """Contexts into the cache, each from a position on."""
        starts = dict(runs)
        self._over_threads(
            [sample for sample, _ in runs],
            lambda part, space: self._remember([(s, starts[s]) for s in part], space),
        )

    def _remember(self, runs: list[tuple[Sample, int]], space: Space) -> None:
        tokens: list[int] = []
        positions: list[int] = []
        tables: list[int] = []
        for sample, start in runs:
            own = sample.all_tokens[start:-1]
            tokens += own
            positions += range(start, start + len(own))
            tables += [sample.table.ctypes.data] * len(own)
        tokens_N, positions_N = np.array(tokens, np.int32), np.array(positions, np.int32)
        tables_N = np.array(tables, np.uint64)
        for i in range(0, len(tokens), PREFILL):
            part = slice(i, i + PREFILL)
            rows = Rows(tokens_N[part], positions_N[part], tables_N[part])
            self._network.remember(rows, self._cache, space)

    def _make_room(self, num_steps: int) -> None:
        """Pages for the next tokens of all that grow; without, the newest wait again."""
        for sample in list(self._growing):
            if not sample.pages:
                continue  # waits again
            needed = self._pages.needed(sample.next_length(num_steps))
            while len(sample.pages) < needed and sample.pages:
                if self._pages.num_available:
                    sample.pages.append(self._pages.take())
                else:
                    self._postpone(self._growing[-1])
            self._set_table(sample)

    def _postpone(self, sample: Sample) -> None:
        self._growing.remove(sample)
        self._leave(sample)
        self._waiting.appendleft(sample)

    def _set_table(self, sample: Sample) -> None:
        if len(sample.table) != len(sample.pages):
            sample.table = np.array(sample.pages, np.int32)

    def _decode(self, samples: list[Sample], num_steps: int, space: Space) -> None:
        rows_N = np.zeros(len(samples), ROW)
        for row, s in zip(rows_N, samples, strict=True):
            sampling = s.sampling
            newest = s.tokens[s.num_sampled - 1] if s.num_sampled else s.context[-1]
            row["seed"], row["pages"] = s.seed, s.table.ctypes.data
            row["tokens"], row["logprobs"] = s.tokens.ctypes.data, s.logprobs.ctypes.data
            row["entropies"] = s.entropies.ctypes.data
            row["temperature"], row["top_p"] = sampling.temperature, sampling.top_p
            row["min_p"], row["top_k"] = sampling.min_p, sampling.top_k
            row["token"], row["position"] = newest, s.length - 1
            row["num_sampled"], row["max_tokens"] = s.num_sampled, sampling.max_tokens
        self._network.decode(rows_N, num_steps, self._stop_ids, self._cache, space)
        for row, s in zip(rows_N, samples, strict=True):
            seen = s.num_sampled
            s.num_sampled, s.stopped = int(row["num_sampled"]), int(row["stopped"])
            if s.sampling.stop and self._text_of is not None:
                tokens = s.tokens[: s.num_sampled].tolist()
                if end := first_stop(tokens, s.sampling.stop, self._text_of, seen=seen):
                    s.num_sampled, s.stopped = end, AT_STOP_STRING

    def _leave(self, sample: Sample) -> None:
        """Its pages may be somebody else's beginning."""
        self._pages.written(sample.all_tokens[:-1], sample.pages)
        for page in sample.pages:
            self._pages.release(page)
        sample.pages, sample.table = [], NO_TABLE
