"""Untrusted programs: isolation tiers, limits, a fork-server.  Start with `open_sandbox`."""

from proofloop.core.errors import IsolationError
from proofloop.core.verdict import Tier
from proofloop.sandbox.pool import ForkServerSandbox
from proofloop.sandbox.probe import TierReport, probe
from proofloop.sandbox.session import Session

__all__ = ["ForkServerSandbox", "Session", "TierReport", "open_sandbox", "probe"]


def open_sandbox(tier: Tier | None = None) -> ForkServerSandbox:
    """A sandbox of exactly `tier`; without one, of T1 or, where this machine refuses that, T0.

    The shells of T2 and T3 cost more and are there for who asks.  Raises IsolationError, never
    falls below what was asked for.
    """
    if tier is not None:
        return ForkServerSandbox(tier)
    refusals: list[str] = []
    for candidate in (Tier.T1, Tier.T0):
        try:
            return ForkServerSandbox(candidate)
        except IsolationError as e:
            refusals.append(str(e))
    raise IsolationError("no isolation tier can be had here: " + " | ".join(refusals))
