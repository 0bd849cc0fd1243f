"""The first steps of a server process: meet the client, learn who owns us, tidy up.

Standard library only, as all that runs in a server; see `boot`.
"""

import _socket
import contextlib
import os
import struct

from proofloop.sandbox import kernel, mounts, wire

_ENVIRONMENT = {"PYTHONHASHSEED", "LC_ALL", "LD_BIND_NOW", "LD_LIBRARY_PATH"}


def meet(where: str) -> _socket.socket:
    """The control socket, by its descriptor's number or, from within a container, its path."""
    if where.isdigit():
        return _socket.socket(fileno=int(where))
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    control.connect(where)
    return control


def receive_owner(control: _socket.socket) -> int:
    """A pidfd: inside a pid namespace a number would name no one."""
    order, ancillary, _, _ = control.recvmsg(16, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
    if order != wire.OWNER or not ancillary:
        raise RuntimeError("no descriptors come through the control socket (as under gVisor)")
    return descriptors(ancillary[0][2])[0]


def descriptors(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"{len(packed) // 4}i", packed)


def clean_up(keep: tuple[str, ...] = ()) -> None:
    """What shells add to the environment is no program's business, nor is their input.  And where
    the machine's memory runs out, the kernel is to choose among programs, not their owner."""
    for name in set(os.environ) - _ENVIRONMENT.union(keep):
        del os.environ[name]
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as f:
        f.write("500")


def measures_of(tier: str) -> str:
    """Whose measures apply inside: T1's at T1 and T2; in a container (T3) if it allows them."""
    if tier == "T3":
        return "T1" if _allows_namespaces() else "T0"
    return "T0" if tier == "T0" else "T1"


def _allows_namespaces() -> bool:
    """Tried in a process of its own, for a refused step leaves the earlier ones behind."""
    trial = os.fork()
    if not trial:
        try:
            kernel.enter_namespaces()
            mounts.enter_minimal_root([], staging())
            inner = os.fork()
            if not inner:
                os._exit(0)
            os._exit(os.waitpid(inner, 0)[1])
        except BaseException:
            os._exit(1)
    return os.waitpid(trial, 0)[1] == 0


def staging() -> str:
    """A folder to build a new root over."""
    return "/tmp" if os.path.isdir("/tmp") else "/mnt"
