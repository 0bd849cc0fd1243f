"""What the controller of a suite reported: strictly decoded, and nothing more than claims."""

import os
import signal
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from proofloop.core.codec import from_json
from proofloop.core.record import Record
from proofloop.core.sandbox import Limits
from proofloop.core.verdict import ScoredCause
from proofloop.sandbox.suite import frames


class Outcome(Record):
    """What a run says of one test."""

    id: str
    outcome: str
    """"passed", or anything else."""
    error: str
    """Name of the last exception's type; empty where there was none."""


class Claims(Record):
    """What a run says of itself."""

    collected: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    collection_error: str
    status: int


class Failure(Record):
    """Why there are no claims to go by."""

    cause: ScoredCause
    detail: str


ClaimsT = TypeVar("ClaimsT", bound=Record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(Generic[ClaimsT]):
    """All that the controller wrote."""

    is_ready: bool
    """Whether it came to the point where the answer's code could run at all."""
    runs: tuple[ClaimsT | Failure, ...]


def read_report(data: bytes, limits: Limits, type_: type[ClaimsT]) -> Report[ClaimsT]:
    """Ends at the first frame that is incomplete or out of order."""
    is_ready, runs, at = False, list[ClaimsT | Failure](), 0
    while len(data) - at >= frames.REPORT.size:
        kind, number, why, status, cpu_s, size = frames.REPORT.unpack_from(data, at)
        claims = data[at + frames.REPORT.size : at + frames.REPORT.size + size]
        at += frames.REPORT.size + size
        if len(claims) < size:
            break
        if kind == frames.READY and not is_ready:
            is_ready = True
        elif kind == frames.RUN and is_ready and number == len(runs):
            runs.append(_read_run(why, status, cpu_s, claims, limits, type_))
        else:
            break
    return Report(is_ready=is_ready, runs=tuple(runs))


def _read_run(
    why: int, status: int, cpu_s: float, data: bytes, limits: Limits, type_: type[ClaimsT]
) -> ClaimsT | Failure:
    if why == frames.TIME_LIMIT:
        return Failure(cause=ScoredCause.TIME_LIMIT, detail=f"over {limits.wall_s:g} s")
    if why == frames.FLOOD:
        return Failure(cause=ScoredCause.INVALID_RESULT, detail="claims over their size limit")
    if status:
        code = os.waitstatus_to_exitcode(status)
        # A second later, where the first signal was ignored; the two clocks differ a little.
        killed = code == -signal.SIGKILL and cpu_s >= limits.cpu_s
        if code == -signal.SIGXCPU or killed:
            return Failure(cause=ScoredCause.TIME_LIMIT, detail=f"over {limits.cpu_s} CPU s")
        how = f"ended with status {code}" if code >= 0 else f"killed by signal {-code}"
        return Failure(cause=ScoredCause.CRASH, detail=f"the tests' process {how}")
    if not data:
        return Failure(cause=ScoredCause.CRASH, detail="the tests' process ended before its tests")
    try:
        return from_json(data, type_)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Failure(cause=ScoredCause.INVALID_RESULT, detail="claims that do not decode")
