"""A machine that is busy with other candidates, for as long as a block lasts."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

from proofloop.core import value
from proofloop.core.sandbox import Call, Limits
from proofloop.core.verdict import Tier
from proofloop.sandbox import open_sandbox

_SPIN = "def f():\n    while True:\n        pass\n"
_BUSY = Limits(wall_s=60.0, cpu_s=300, memory_bytes=64 * 1024 * 1024)


@contextmanager
def busy(num_candidates: int, tier: Tier | None) -> Generator[None]:
    """So many programs that compute without end, each in a sandbox of `tier`.  Raises SandboxLost
    or IsolationError."""
    with ExitStack() as stack:
        sandbox = stack.enter_context(open_sandbox(tier))
        for _ in range(num_candidates):
            session = stack.enter_context(sandbox.open_session(_BUSY))
            session.load(_SPIN)
            session.queue_call(0, Call(function="f", args=value.encode(())))
            session.await_loaded()
        yield
