"""The last steps of a candidate's confinement, taken in its own process right after the fork.

They run for every program, and whatever a process first touches after a fork is copied for it,
page by page, at 3 to 5 µs each.  So all is made ready before the fork: filters in memory, calls
with their types, bytecode specialised by a rehearsal.  Standard library only; every call is
checked.
"""

import ctypes
import os
import resource
import signal
import struct

from proofloop.sandbox import kernel, seccomp

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_GET_NO_NEW_PRIVS = 1, 22, 39
_CLOSE_RANGE = 436
_CAPSET, _GETPID = (126, 39) if kernel.MACHINE == "x86_64" else (91, 172)
_NUM_REHEARSALS = 20
"""More than the interpreter wants to see of a function before it specialises its bytecode."""

_SHARED_LIMITS = (
    (resource.RLIMIT_FSIZE, 0, 0),
    (resource.RLIMIT_CORE, 0, 0),
    (resource.RLIMIT_MSGQUEUE, 0, 0),
    (resource.RLIMIT_MEMLOCK, 0, 0),
)
_libc = ctypes.CDLL(None, use_errno=True)  # of our own: the types below are no one else's
_prctl, _syscall = _libc.prctl, _libc.syscall
_prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
_syscall.argtypes, _syscall.restype = (ctypes.c_long,) * 4, ctypes.c_long


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


class _Filter:
    """A system-call filter where the kernel can read it, and where the process's id goes in it."""

    def __init__(self, program: bytes) -> None:
        self.code = bytearray(program)
        self._pinned = (ctypes.c_char * len(program)).from_buffer(self.code)
        place = ctypes.addressof(self._pinned)
        self._header = _FilterProgram(len(program) // 8, place)
        self.header_at = ctypes.addressof(self._header)
        found = [at for at in range(0, len(program), 4) if program.startswith(seccomp.OWN_PID, at)]
        self.own_pid_at = tuple(found)


class Lockdown:
    """Ready-made in the fork-server, entered by each of its children."""

    def __init__(self, *, has_pid_namespace: bool) -> None:
        self._has_pid_namespace = has_pid_namespace
        self._filters = {
            may_fork: _Filter(seccomp.candidate_filter(kernel.MACHINE, may_fork=may_fork))
            for may_fork in (False, True)
        }
        self._cap_header = struct.pack("<Ii", 0x20080522, 0)
        self._cap_none = bytes(24)
        self._cap_header_at = _address(self._cap_header)
        self._cap_none_at = _address(self._cap_none)

    def rehearse(self) -> None:
        """In the fork-server: the same calls with nothing to them, and the limits that it can
        share, which its children inherit."""
        _limit(_SHARED_LIMITS)
        for _ in range(_NUM_REHEARSALS):
            _checked("prctl(NO_NEW_PRIVS)", _prctl(_PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))
            _checked("getpid", _syscall(_GETPID, 0, 0, 0))
            _limit(((resource.RLIMIT_CORE, *resource.getrlimit(resource.RLIMIT_CORE)),))
            struct.pack_into("<I", bytearray(8), 0, os.getpid())

    def die_with_parent(self) -> None:
        _checked("prctl(PDEATHSIG)", _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))

    def enter(
        self, first_to_close: int, memory: int, cpu_s: int, processes: int, files: int
    ) -> None:
        """Raises kernel.StepFailed or OSError, after which the process must end."""
        _checked("close_range", _syscall(_CLOSE_RANGE, first_to_close, 0xFFFFFFFF, 0))
        _limit(
            (
                (resource.RLIMIT_AS, memory, memory),
                (resource.RLIMIT_CPU, cpu_s, cpu_s),
                (resource.RLIMIT_NOFILE, files, files),
                (resource.RLIMIT_NPROC, processes, processes),
            )
        )
        if self._has_pid_namespace:  # else the fork-server has dropped them already
            _checked("capset", _syscall(_CAPSET, self._cap_header_at, self._cap_none_at, 0))
        chosen = self._filters[processes > 1]
        for at in chosen.own_pid_at:
            struct.pack_into("<I", chosen.code, at, os.getpid())
        _checked("prctl(SECCOMP)", _prctl(_PR_SET_SECCOMP, 2, chosen.header_at, 0, 0))


def tidy_heap() -> None:
    """Give free memory back, so that children find short lists of it to search."""
    trim = getattr(_libc, "malloc_trim", None)  # the GNU library's
    if trim is not None:
        trim(0)


def _limit(limits: tuple[tuple[int, int, int], ...]) -> None:
    for kind, soft, hard in limits:
        resource.setrlimit(kind, (soft, hard))


def _checked(step: str, result: int) -> None:
    if result < 0:
        raise kernel.StepFailed(step, ctypes.get_errno())


def _address(data: bytes) -> int:
    """Where the bytes lie; they must outlive the address."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
