"""Laying out a fork-server's memory so that forking it is cheap.

Most of what a small program costs in a process of its own is page faults: each page that a child
touches after the fork is looked up or copied for it alone, at 3 to 5 µs.  Nothing here is needed
for a verdict, and nothing confines: where the kernel refuses a step, all goes on without it.
Standard library only.
"""

import ctypes
import os
from typing import NamedTuple

from proofloop.sandbox import kernel

_READ, _WRITE, _EXECUTE = 1, 2, 4
_PRIVATE_ANONYMOUS = 0x22
_MAYMOVE_FIXED = 1 | 2
_ADVISE_HUGE = 14
_HUGE_BYTES = 2 << 20
_FAILED = ctypes.c_void_p(-1).value
_OFTEN_RUN = ("libpython", "python", "libc.so", "libc-", "ld-linux", "libffi", "_ctypes")
"""How the names of the files begin whose code every child runs, whatever its program."""

_libc = ctypes.CDLL(None)  # of our own: the types below are no one else's
_mmap, _mremap, _munmap = _libc.mmap, _libc.mremap, _libc.munmap
_madvise, _mprotect = _libc.madvise, _libc.mprotect
_long, _pointer, _int = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
_mmap.argtypes, _mmap.restype = (_pointer, _long, _int, _int, _int, ctypes.c_long), _pointer
_mremap.argtypes, _mremap.restype = (_pointer, _long, _long, _int, _pointer), _pointer
_munmap.argtypes = (_pointer, _long)
_madvise.argtypes = _mprotect.argtypes = (_pointer, _long, _int)


class _Span(NamedTuple):
    start: int
    end: int
    path: str


def hold_code() -> None:
    """Copy the interpreter's code, and what else of files is read-only beside it, into memory of
    our own, at the same addresses.

    The kernel does not copy a file's page tables when it forks, so every child would fault such
    pages in again; those of a process's own memory it copies, and in huge pages there are few."""
    if kernel.MACHINE != "x86_64":  # elsewhere caches of instructions would have to be told
        return
    try:
        with open("/proc/self/maps") as maps:
            spans = _read_only_spans(maps.read())
    except OSError:
        return
    often = [s for s in spans if os.path.basename(s.path).startswith(_OFTEN_RUN)]
    large = [span for span in often if span.end - span.start >= 2 * _HUGE_BYTES]
    small = [span for span in often if span not in large]
    for span in large:
        _hold([span], span.start % _HUGE_BYTES)
    _hold(small, 0)


def _read_only_spans(maps: str) -> list[_Span]:
    """Of each file its read-only mappings, neighbours as one."""
    spans: list[_Span] = []
    for line in maps.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) < 6 or fields[1] not in ("r--p", "r-xp"):
            continue
        start, end = (int(text, 16) for text in fields[0].split("-"))
        if spans and spans[-1].end == start and spans[-1].path == fields[5]:
            spans[-1] = spans[-1]._replace(end=end)
        else:
            spans.append(_Span(start, end, fields[5]))
    return spans


def _hold(spans: list[_Span], offset: int) -> None:
    """Copies, side by side from `offset` on in huge pages: even in pieces, a fork counts one such
    page once.  A copy takes its original's place in one step, for it is code that runs meanwhile.
    """
    size = offset + sum(span.end - span.start for span in spans)
    room = -(-size // _HUGE_BYTES) * _HUGE_BYTES + _HUGE_BYTES
    found = _mmap(None, room, _READ | _WRITE, _PRIVATE_ANONYMOUS, -1, 0)
    if found == _FAILED:
        return
    at = -(-found // _HUGE_BYTES) * _HUGE_BYTES
    _madvise(at, room - _HUGE_BYTES, _ADVISE_HUGE)
    at += offset
    _munmap(found, at - found)
    for span in spans:
        size = span.end - span.start
        ctypes.memmove(at, span.start, size)
        is_held = (
            _mprotect(at, size, _READ | _EXECUTE) == 0
            and _mremap(at, size, size, _MAYMOVE_FIXED, span.start) == span.start
        )
        if not is_held:
            _munmap(at, size)
        at += size
    _munmap(at, found + room - at)
