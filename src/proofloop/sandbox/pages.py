"""Laying out a fork-server's code so that forking it is cheap.

A small program's process costs more in pages than in work.  A page of a file that a child touches
is faulted in for it anew; a page of memory is counted at the fork, one by one, and once more at
the end, unless many of them lie in one huge page.  So the code moves from its files into memory,
as far as it goes into huge pages, at the addresses that it had.

Nothing here confines, and no verdict needs it: where a step cannot be had, all goes on without it.
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
_size, _pointer, _int = ctypes.c_size_t, ctypes.c_void_p, ctypes.c_int
_mmap.argtypes, _mmap.restype = (_pointer, _size, _int, _int, _int, ctypes.c_long), _pointer
_mremap.argtypes, _mremap.restype = (_pointer, _size, _size, _int, _pointer), _pointer
_munmap.argtypes = (_pointer, _size)
_madvise.argtypes = _mprotect.argtypes = (_pointer, _size, _int)


class _Span(NamedTuple):
    start: int
    end: int
    access: str
    path: str

    @property
    def size(self) -> int:
        return self.end - self.start

    @property
    def name(self) -> str:
        return os.path.basename(self.path)


def hold_together() -> None:
    """Move the code; call while /proc is in sight and single-threaded."""
    if kernel.MACHINE != "x86_64":  # elsewhere caches of instructions would have to be told
        return
    try:
        _hold_code(_spans())
    except OSError:
        return


def _spans() -> list[_Span]:
    """What is mapped; of a file its read-only mappings side by side are one."""
    spans: list[_Span] = []
    with open("/proc/self/maps") as maps:
        lines = maps.read().splitlines()
    for line in lines:
        place, access, _, _, _, *path = line.split(maxsplit=5)
        start, end = (int(text, 16) for text in place.split("-"))
        span = _Span(start, end, "r-x" if access[:2] == "r-" else access[:3], "".join(path))
        last = spans[-1] if spans else span
        if span.path and last.end == start and last[2:] == span[2:] == ("r-x", span.path):
            spans[-1] = last._replace(end=end)
        else:
            spans.append(span)
    return spans


def _hold_code(spans: list[_Span]) -> None:
    often = [s for s in spans if s.access == "r-x" and s.name.startswith(_OFTEN_RUN)]
    large = [span for span in often if span.size >= 2 * _HUGE_BYTES]
    for span in large:  # in step with the huge pages, which are then not taken to pieces
        _take_places([span], _room(span.size, span.start % _HUGE_BYTES))
    small = [span for span in often if span not in large]
    _take_places(small, _room(sum(span.size for span in small)))


def _take_places(spans: list[_Span], at: int) -> None:
    """Copies take the originals' places, each in one step: it is code that runs meanwhile."""
    for span in spans if at else ():
        ctypes.memmove(at, span.start, span.size)
        is_held = (
            _mprotect(at, span.size, _READ | _EXECUTE) == 0
            and _mremap(at, span.size, span.size, _MAYMOVE_FIXED, span.start) == span.start
        )
        if not is_held:
            _munmap(at, span.size)
        at += span.size


def _room(size: int, offset: int = 0) -> int:
    """Where there is room for `size` bytes at `offset` into huge pages; 0 where there is none."""
    room = -(-(offset + size) // _HUGE_BYTES) * _HUGE_BYTES
    found = _mmap(None, room + _HUGE_BYTES, _READ | _WRITE, _PRIVATE_ANONYMOUS, -1, 0)
    if found == _FAILED:
        return 0
    start = -(-found // _HUGE_BYTES) * _HUGE_BYTES
    _madvise(start, room, _ADVISE_HUGE)
    end = start + offset + size
    _munmap(found, start + offset - found)
    _munmap(end, found + room + _HUGE_BYTES - end)
    return start + offset
