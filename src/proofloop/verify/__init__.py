"""Verifiers: one file a kind of test.  Start with `build_verifier`."""

from proofloop.core.sandbox import Limits
from proofloop.core.verdict import Tier
from proofloop.sandbox import open_sandbox
from proofloop.verify.judge import ProgramVerifier

__all__ = ["ProgramVerifier", "build_verifier"]


def build_verifier(tier: Tier | None = None, limits: Limits | None = None) -> ProgramVerifier:
    """A verifier with a sandbox of its own, of exactly `tier` (None: the best there is).

    One per process.  Raises IsolationError when this machine cannot give `tier`.
    """
    return ProgramVerifier(open_sandbox(tier), limits or Limits())
