"""Requests that come and go while others are answered: one thread drives the kernel.

For servers.  `submit`, `cancel` and `close` may be called from any thread; updates are told in the
driving one.  What is sampled does not depend on who else is there.
"""

import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from proofloop.core.completion import PolicyVersion, Request, StopReason
from proofloop.engine.local import STOP_REASONS, LocalEngine, begin, check_finite
from proofloop.engine.native.sampler import NativeSampler, Sample

STEPS = 4
"""Tokens between two looks at who came and who went."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """What one sample of a request has become."""

    place: int
    """Of its seed in the request."""
    tokens: tuple[int, ...]
    """Those since the last update."""
    logprobs: tuple[float, ...]
    entropies: tuple[float, ...]
    stop_reason: StopReason | None
    """None: it goes on."""
    policy: PolicyVersion


OnUpdate = Callable[[Update | Exception], None]
"""An exception is the last that is told: the request will not be answered."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A request under way."""

    request: Request
    on_update: OnUpdate
    samples: list[Sample] = field(default_factory=list[Sample])
    num_told: dict[int, int] = field(default_factory=dict[int, int])
    """Tokens told of each place whose sample goes on."""


@dataclass(frozen=True, slots=True)
class _Begin:
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class _Cancel:
    ticket: Ticket


@dataclass(frozen=True, slots=True)
class _Close:
    pass


class LiveEngine:
    """Drives an engine until closed; the engine is nobody else's meanwhile."""

    def __init__(self, engine: LocalEngine) -> None:
        """Raises ValueError for an engine without the kernel."""
        if engine.sampler is None:
            raise ValueError("only the kernel grows samples step by step")
        self._engine = engine
        self._sampler: NativeSampler = engine.sampler
        self._orders: queue.SimpleQueue[_Begin | _Cancel | _Close] = queue.SimpleQueue()
        self._tickets: list[Ticket] = []
        self.version = engine.use_newest_weights()
        self._thread = threading.Thread(target=self._drive, name="live engine", daemon=True)
        self._thread.start()

    def check(self, request: Request) -> None:
        """Raises UserError where the request can never be answered."""
        self._engine.check_fits(request)

    def submit(self, request: Request, on_update: OnUpdate) -> Ticket:
        """Raises UserError where the request can never be answered."""
        self.check(request)
        ticket = Ticket(request=request, on_update=on_update)
        self._orders.put(_Begin(ticket))
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Its samples grow no further.  Updates that are under way still arrive."""
        self._orders.put(_Cancel(ticket))

    def close(self) -> None:
        """Requests under way are told so."""
        self._orders.put(_Close())
        self._thread.join()

    def _drive(self) -> None:
        while self._obey():
            try:
                self._sampler.advance(STEPS)
            except Exception as error:  # of whatever kind: those who wait must hear of it
                self._give_up(error)
            for ticket in list(self._tickets):
                self._tell(ticket)
        self._give_up(RuntimeError("the engine was closed"))

    def _obey(self) -> bool:
        """Takes the orders that came; waits for one where nothing is under way.  False: close."""
        while not self._tickets or not self._orders.empty():
            match self._orders.get():
                case _Begin(ticket):
                    self._begin(ticket)
                case _Cancel(ticket):
                    self._drop(ticket)
                case _Close():
                    return False
        return True

    def _begin(self, ticket: Ticket) -> None:
        ticket.samples = begin(ticket.request)
        ticket.num_told = dict.fromkeys(range(len(ticket.samples)), 0)
        for sample in ticket.samples:
            self._sampler.submit(sample)
        self._tickets.append(ticket)

    def _drop(self, ticket: Ticket) -> None:
        with contextlib.suppress(ValueError):  # it has ended meanwhile
            self._tickets.remove(ticket)
        for sample in ticket.samples:
            self._sampler.cancel(sample)

    def _give_up(self, error: Exception) -> None:
        self._sampler.clear()
        for ticket in self._tickets:
            ticket.on_update(error)
        self._tickets.clear()

    def _tell(self, ticket: Ticket) -> None:
        for place, told in list(ticket.num_told.items()):
            sample = ticket.samples[place]
            if sample.num_sampled == told and not sample.stopped:
                continue  # it waits
            logprobs = sample.logprobs[told : sample.num_sampled].tolist()
            try:
                check_finite(logprobs)
            except Exception as error:
                self._drop(ticket)
                ticket.on_update(error)
                return
            ticket.num_told[place] = sample.num_sampled
            if sample.stopped:
                del ticket.num_told[place]
            ticket.on_update(
                Update(
                    place=place,
                    tokens=tuple(sample.tokens[told : sample.num_sampled].tolist()),
                    logprobs=tuple(logprobs),
                    entropies=tuple(sample.entropies[told : sample.num_sampled].tolist()),
                    stop_reason=STOP_REASONS[sample.stopped] if sample.stopped else None,
                    policy=self.version,
                )
            )
        if not ticket.num_told:
            self._tickets.remove(ticket)
