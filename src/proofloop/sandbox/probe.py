"""What isolation this machine gives, found by trying: each tier is started for real and a small
program inside attempts what the tier must refuse."""

from dataclasses import dataclass

from proofloop.core import value
from proofloop.core.errors import IsolationError, WorldError
from proofloop.core.sandbox import Call, ClaimKind, Ending, Limits, Program
from proofloop.core.verdict import Tier
from proofloop.sandbox.advice import advise
from proofloop.sandbox.pool import ForkServerSandbox
from proofloop.sandbox.shells import TierRefused

# Returns what it managed to do; an isolated process manages nothing.
_ESCAPES = """
def escapes():
    import os, _socket
    managed = []
    def attempt(name, act):
        try:
            act()
        except OSError:
            return
        managed.append(name)
    attempt("read a file outside", lambda: os.open("/etc/passwd", os.O_RDONLY))
    attempt("read /proc", lambda: os.open("/proc/1/cmdline", os.O_RDONLY))
    attempt("write a file", lambda: os.open("/tmp/escape", os.O_RDWR | os.O_CREAT))
    attempt("open a socket", lambda: _socket.socket())
    attempt("fork", lambda: os.fork() or os._exit(0))
    attempt("execute a file", lambda: os.execv("/bin/true", ["true"]))
    attempt("signal another process", lambda: os.kill(os.getppid() or -1, 0))
    return managed
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierReport:
    """Whether a tier can be had here, and what stands in its way."""

    tier: Tier
    available: bool
    reason: str
    """One line: what it was seen to refuse, or the step that failed."""
    advice: str = ""
    """What to do to get it, or more of it; empty: nothing, or nothing that we know."""


def probe() -> tuple[TierReport, ...]:
    """One report per tier, weakest first.  Takes about a quarter of a second a tier."""
    return tuple(_probe(tier) for tier in Tier)


def _probe(tier: Tier) -> TierReport:
    try:
        with ForkServerSandbox(tier) as sandbox:
            call = Call(function="escapes", args=value.encode(()))
            program = Program(source=_ESCAPES, calls=(call,), limits=Limits())
            execution = sandbox.run(program)
            measures = sandbox.measures
    except (IsolationError, WorldError) as e:
        reason = e.reason if isinstance(e, TierRefused) else str(e)
        advice = advise(tier, reason)
        return TierReport(tier=tier, available=False, reason=reason, advice=advice)
    if execution.ending is not Ending.COMPLETED or execution.claims[0].kind != ClaimKind.RETURNED:
        reason = f"the trial program ended by {execution.ending}: {execution.detail}"
        return TierReport(tier=tier, available=False, reason=reason)
    managed = value.decode(execution.claims[0].data)
    if managed:
        reason = f"the trial program could {', '.join(managed)}"
        return TierReport(tier=tier, available=False, reason=reason)
    reason = "refused files, /proc, sockets, fork, exec and signals when tried"
    if tier is Tier.T3:
        reason += f"; inside the container, {measures}"
    return TierReport(tier=tier, available=True, reason=reason)
