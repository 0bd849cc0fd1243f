"""What isolation this machine gives, found by trying: each tier is started for real and a small
program inside attempts what the tier must refuse."""

import platform
from dataclasses import dataclass
from pathlib import Path

from proofloop.core import value
from proofloop.core.errors import IsolationError, WorldError
from proofloop.core.sandbox import Call, ClaimKind, Ending, Limits, Program
from proofloop.core.verdict import Tier
from proofloop.sandbox.pool import ForkServerSandbox

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
_HINTS = (
    ("/proc/sys/user/max_user_namespaces", "0"),
    ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
    ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
)
"""Settings that forbid user namespaces, and the value with which they do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierReport:
    """Whether a tier can be had here, and what stands in its way."""

    tier: Tier
    available: bool
    reason: str
    """One line: what it was seen to refuse, or the step that failed and likely why."""


def probe() -> tuple[TierReport, ...]:
    """One report per tier, weakest first.  Takes about a quarter of a second a tier."""
    return tuple(_probe(tier) for tier in Tier)


def _probe(tier: Tier) -> TierReport:
    try:
        with ForkServerSandbox(tier) as sandbox:
            call = Call(function="escapes", args=value.encode(()))
            program = Program(source=_ESCAPES, calls=(call,), limits=Limits())
            execution = sandbox.run(program)
    except (IsolationError, WorldError) as e:
        hints = "".join(_hints()) if tier is Tier.T1 else ""
        return TierReport(tier=tier, available=False, reason=f"{e} (Linux {_kernel()}{hints})")
    if execution.ending is not Ending.COMPLETED or execution.claims[0].kind != ClaimKind.RETURNED:
        reason = f"the trial program ended by {execution.ending}: {execution.detail}"
        return TierReport(tier=tier, available=False, reason=reason)
    managed = value.decode(execution.claims[0].data)
    if managed:
        reason = f"the trial program could {', '.join(managed)}"
        return TierReport(tier=tier, available=False, reason=reason)
    return TierReport(
        tier=tier,
        available=True,
        reason="refused files, /proc, sockets, fork, exec and signals when tried",
    )


def _kernel() -> str:
    return f"{platform.release()} {platform.machine()}"


def _hints() -> list[str]:
    found: list[str] = []
    for path, forbidding in _HINTS:
        try:
            if Path(path).read_text().strip() == forbidding:
                found.append(f"; {path} is {forbidding}")
        except OSError:
            continue
    return found
